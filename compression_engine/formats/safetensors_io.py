"""Reads and writes safetensors files piece by piece: rows of one tensor at a time, never a tensor as a whole.

Rules:
- a header is checked against its file (`structure.safetensors`) before a tensor is read; links are not followed;
- tensors are written by falling width of a number, then by name, so that the same tensors give the same bytes;
- a file is written where it will not be seen before it is whole: the caller's folder appears by a rename;
- texts of the header may be put in last, when digests are known; they keep the length that was held free for them.
The format: github.com/huggingface/safetensors (length of the header, header in JSON, bytes of the tensors).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from compression_engine.errors import EngineError, FileRefused, OutputRefused
from compression_engine.formats.short_floats import widened
from compression_engine.limits import limits
from compression_engine.structure.safetensors import HEADER_BYTES_MAX, LENGTH_BYTES, METADATA, Entry, read_header

Array = NDArray[Any]

SUFFIX = ".safetensors"
PIECE_BYTES = 4 * 1024**2
"""How many bytes are read or written at once where nothing else decides."""
_ALIGNMENT = 8
NUMBERS: dict[str, np.dtype[Any]] = {
    name: np.dtype(code)
    for name, code in {
        "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
        "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
    }.items()
}  # fmt: skip
"""How numbers of a dtype lie in the file; those of BF16 as their 16 bits."""
FLOATS = ("F64", "F32", "F16", "BF16")


class TensorFile:
    """An open file whose tensors are read by rows: the first axis of a tensor, everything behind it flat."""

    def __init__(self, path: Path) -> None:
        if path.is_symlink() or not path.is_file():
            raise EngineError("not_found", f"There is no plain file {path}.", "Give the file itself, not a link to it.")
        self.path = path
        self._file: BinaryIO = path.open("rb")
        try:
            self.size_bytes = os.fstat(self._file.fileno()).st_size
            header = read_header(self._file, self.size_bytes)
        except BaseException:
            self._file.close()
            raise
        self.metadata = header.metadata
        self.entries: dict[str, Entry] = {entry.name: entry for entry in header.entries}

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def rows(self, entry: Entry, start: int, stop: int) -> Array:
        """Rows `start` to `stop` as [rows, numbers of a row], in the file's own numbers (`NUMBERS`)."""
        kind = NUMBERS[entry.dtype]
        width = _width(entry.shape)
        data = self._read(entry.start + start * width * kind.itemsize, (stop - start) * width * kind.itemsize)
        return np.frombuffer(data, dtype=kind).reshape(stop - start, width)

    def floats(self, entry: Entry, start: int, stop: int) -> Array:
        """The same as floats; BF16 as float32, all others of `FLOATS` as they are."""
        return as_floats(self.rows(entry, start, stop), entry.dtype)

    def numbers(self, entry: Entry, places: NDArray[np.int64]) -> Array:
        """Single numbers of a tensor, by their flat positions, as they lie in the file."""
        kind = NUMBERS[entry.dtype]
        distinct, inverse = np.unique(places, return_inverse=True)
        found = b"".join(self._read(entry.start + int(place) * kind.itemsize, kind.itemsize) for place in distinct)
        return np.frombuffer(found, dtype=kind)[inverse.reshape(-1)]

    def pieces(self, entry: Entry) -> Iterator[bytes]:
        """All bytes of a tensor, at most `PIECE_BYTES` at once."""
        for offset in range(0, entry.size_bytes, PIECE_BYTES):
            yield self._read(entry.start + offset, min(PIECE_BYTES, entry.size_bytes - offset))

    def _read(self, offset: int, count: int) -> bytes:
        # not mapped: pages of a mapped file count as this process's memory for as long as the system pleases
        data = os.pread(self._file.fileno(), count, offset)
        while len(data) < count:
            more = os.pread(self._file.fileno(), count - len(data), offset + len(data))
            if not more:
                raise FileRefused("file_truncated", f"{self.path.name} became shorter while it was read.", "Try again.")
            data += more
        return data


@dataclass(frozen=True)
class Planned:
    """A tensor that is about to be written."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """What its numbers take."""
        return int(np.prod(self.shape, dtype=object)) * NUMBERS_BYTES[self.dtype]


NUMBERS_BYTES = {name: kind.itemsize for name, kind in NUMBERS.items()} | {
    "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "C64": 8,
}  # fmt: skip


class NewFile:
    """A file with room for planned tensors, which are then written in any order and in pieces."""

    def __init__(self, path: Path, planned: Sequence[Planned], metadata: Mapping[str, str]) -> None:
        self.path = path
        ordered = sorted(planned, key=lambda tensor: (-NUMBERS_BYTES[tensor.dtype], tensor.name))
        self._places: dict[str, tuple[int, int]] = {}
        self._described: dict[str, Any] = {}
        place = 0
        for tensor in ordered:
            end = place + tensor.size_bytes
            self._described[tensor.name] = {"data_offsets": [place, end], "dtype": tensor.dtype, "shape": tensor.shape}
            self._places[tensor.name] = (place, tensor.size_bytes)
            place = end
        self._head = self._header(metadata)
        if len(self._head) - LENGTH_BYTES > HEADER_BYTES_MAX:
            hint = "Split the model into more shards: each keeps the facts about its own tensors."
            message = f"The header of {path.name} would have {len(self._head):,} bytes, at most {HEADER_BYTES_MAX:,} are read."
            raise OutputRefused("limit_exceeded", message, hint)
        limits().count(path, len(self._head) + place)
        self._file = path.open("w+b")
        self._file.truncate(len(self._head) + place)
        self._put(0, self._head)

    def __enter__(self) -> NewFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def write(self, name: str, offset: int, data: bytes | memoryview) -> None:
        """Puts bytes into a tensor, `offset` bytes behind its beginning; ValueError where they do not fit into it."""
        place, size_bytes = self._places[name]
        if offset < 0 or offset + len(data) > size_bytes:
            raise ValueError(f"{len(data)} bytes at {offset} are beyond the {size_bytes} of {name!r}")
        self._put(len(self._head) + place + offset, data)

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Puts the texts of the header as they are in the end; ValueError where they are not as long as those before."""
        head = self._header(metadata)
        if len(head) != len(self._head):
            raise ValueError("the texts of the header have another length than was held free")
        self._put(0, head)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _header(self, metadata: Mapping[str, str]) -> bytes:
        entries = {METADATA: dict(sorted(metadata.items()))} | self._described
        text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-len(text) % _ALIGNMENT)
        return len(text).to_bytes(LENGTH_BYTES, "little") + text

    def _put(self, offset: int, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while len(view):
            written = os.pwrite(self._file.fileno(), view, offset)
            view, offset = view[written:], offset + written


def as_floats(array: Array, dtype: str) -> Array:
    """Numbers as they lie in a file, as floats: BF16 becomes float32, which holds all of them."""
    return widened(array) if dtype == "BF16" else array


def _width(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape[1:], dtype=object))
