"""Arrays that need not fit into memory: looked at in their file, or laid down in a nameless temporary one.

Rules:
- what is small lies in memory; what is large is mapped and read where it is touched;
- a temporary file has no name: when the process ends, however it ends, nothing is left of it;
- an array of Python objects is never opened;
- a header that tells of more bytes than there are is refused before memory is asked for.
"""

from __future__ import annotations

import io
import math
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.limits import Nameless

Array = NDArray[Any]
SMALL_BYTES = 32 * 1024**2
_BLOCK_BYTES = 8 * 1024**2
_LOCAL_HEADER = struct.Struct("<26xHH")


def numpy_arrays(path: Path) -> dict[str, Array]:
    """The arrays of a .npy (under the name "") or .npz file; ValueError, OSError or BadZipFile where it is none."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            file.seek(0)
            return {"": _member(path, file, path.stat().st_size, 0)}
    found: dict[str, Array] = {}
    with zipfile.ZipFile(path) as archive:
        for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
            if not entry.filename.endswith(".npy"):
                continue
            stored = entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1
            with archive.open(entry) as member:
                start = _start(path, entry) if stored else None
                found[entry.filename.removesuffix(".npy")] = _member(path, member, entry.file_size, start)
    if not found:
        raise ValueError("it holds no array")
    return found


def taken(array: Array, indices: NDArray[np.int64]) -> Array:
    """Some rows of an array; in a temporary file where they are many."""
    size_bytes = len(indices) * max(1, array[:1].nbytes)
    if size_bytes <= SMALL_BYTES:
        return np.asarray(array[indices])
    made = temporary((len(indices), *array.shape[1:]), array.dtype)
    for part in blocks(made):
        made[part] = array[indices[part]]
    return made


def temporary(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array to write into, in a nameless file where it is large."""
    size_bytes = math.prod(shape) * dtype.itemsize
    if size_bytes <= SMALL_BYTES:
        return np.empty(shape, dtype=dtype)
    with tempfile.TemporaryFile(prefix="pressmark-rows-") as file:
        made = np.memmap(file, dtype=dtype, mode="w+", shape=shape)
    Nameless(made).count(size_bytes)  # nothing is written yet
    return made


def blocks(array: Array) -> Iterator[slice]:
    """Slices along the first axis, about 8 MiB each."""
    rows = max(1, _BLOCK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield slice(start, min(start + rows, len(array)))


def finite_rows(array: Array) -> NDArray[np.bool_]:
    """Which rows hold neither NaN nor infinity; all of them where entries are whole numbers."""
    good = np.ones(len(array), dtype=bool)
    if np.issubdtype(array.dtype, np.floating):
        for part in blocks(array):
            block = array[part]
            good[part] = np.isfinite(block.reshape(len(block), -1)).all(axis=1)
    return good


class Growing:
    """Rows that come in blocks of one type and shape; beyond what is small they lie in a nameless file."""

    def __init__(self) -> None:
        self._parts: list[Array] = []
        self._kept_bytes = 0
        self._file: IO[bytes] | None = None
        self._on_disk = Nameless(self)
        self._rows = 0

    def append(self, block: Array) -> None:
        """Adds rows."""
        self._parts.append(np.ascontiguousarray(block))
        self._rows += len(block)
        self._kept_bytes += block.nbytes
        if self._kept_bytes > SMALL_BYTES:
            self._spill()

    def array(self) -> Array:
        """All rows."""
        if self._file is None:
            return np.concatenate(self._parts)
        like = self._parts[-1]
        self._spill()
        with self._file as file:
            file.flush()
            made = np.memmap(file, dtype=like.dtype, mode="r", shape=(self._rows, *like.shape[1:]))
        self._on_disk.belongs_to(made)
        return made

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="pressmark-rows-")  # noqa: SIM115  it lives as long as its rows
        self._on_disk.count(self._kept_bytes)
        for part in self._parts:
            part.tofile(self._file)
        self._parts = self._parts[-1:] and [self._parts[-1][:0]]
        self._kept_bytes = 0


def _start(path: Path, entry: zipfile.ZipInfo) -> int:
    """Where the bytes of a stored member begin: the local header may be longer than the directory says."""
    with path.open("rb") as file:
        file.seek(entry.header_offset)
        name_bytes, extra_bytes = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    return entry.header_offset + _LOCAL_HEADER.size + int(name_bytes) + int(extra_bytes)


def _member(path: Path, file: IO[bytes], size_bytes: int, start: int | None) -> Array:
    """One array: read where it is small, mapped in place where its bytes lie as they are, else unpacked and mapped."""
    if size_bytes <= SMALL_BYTES:
        data = io.BytesIO(file.read())
        _check_told_bytes(data)
        data.seek(0)
        loaded: Array = np.load(data, allow_pickle=False)
        return loaded
    if start is not None:
        with path.open("rb") as whole:
            whole.seek(start)
            return _mapped(whole)
    free_bytes = shutil.disk_usage(tempfile.gettempdir()).free
    if size_bytes > free_bytes // 2:
        raise ValueError(
            f"unpacked, an array takes {size_bytes} bytes, and {free_bytes} are free; numpy.savez does not pack it"
        )
    with tempfile.TemporaryFile(prefix="pressmark-rows-") as unpacked:
        on_disk = Nameless(unpacked)
        on_disk.count(size_bytes)
        shutil.copyfileobj(file, unpacked, _BLOCK_BYTES)
        unpacked.seek(0)
        made = _mapped(unpacked)
    on_disk.belongs_to(made)
    return made


def _check_told_bytes(data: io.BytesIO) -> None:
    shape, _, dtype = _header(data)
    told_bytes, held_bytes = math.prod(shape) * dtype.itemsize, len(data.getbuffer()) - data.tell()
    if told_bytes > held_bytes and not dtype.hasobject:
        raise ValueError(f"its header tells of {told_bytes:,} bytes, and it holds {held_bytes:,}")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type; leaves the file at the first byte of the entries."""
    if np.lib.format.read_magic(file) == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


def _mapped(file: IO[bytes]) -> Array:
    shape, fortran, dtype = _header(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    return np.memmap(file, dtype=dtype, mode="r", offset=file.tell(), shape=shape, order="F" if fortran else "C")
