"""Checks the header of a safetensors file against its bytes; the tensors themselves are never read.

Rules:
- the header has at most 8 MiB, is a JSON object, has no doubled name, and lies inside the file;
- names and texts can be written down again: no half of a surrogate pair, no U+0000;
- every tensor has a known dtype, a shape, and offsets whose distance is what the shape needs;
- offsets start at 0, follow each other without gap or overlap, and end with the file.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, BinaryIO

from compression_engine.canonical import shown
from compression_engine.structure.findings import Inspection, Tally
from compression_engine.structure.protobuf import invalid, over_limit, truncated

HEADER_BYTES_MAX = 8 * 1024 * 1024
LENGTH_BYTES = 8
METADATA = "__metadata__"
_DIMENSIONS_MAX = 64
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: its dtype as the header spells it, its shape, and where its bytes lie from the file's start."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    size_bytes: int

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """A header that agrees with its file: the tensors in the order in which they lie, and the texts beside them."""

    entries: tuple[Entry, ...]
    metadata: dict[str, str]


def inspect_safetensors(file: BinaryIO, size_bytes: int) -> Inspection:
    """The structure of a safetensors file; raises FileRefused."""
    header = read_header(file, size_bytes)
    tally = Tally()
    for entry in header.entries:
        tally.add(entry.dtype, entry.elements, entry.size_bytes)
    return Inspection(
        format="safetensors",
        size_bytes=size_bytes,
        tensor_count=tally.tensors,
        parameter_count=tally.parameters,
        bytes_by_dtype=tally.dtypes(),
        metadata=tuple(sorted(header.metadata.items())),
    )


def read_header(file: BinaryIO, size_bytes: int) -> Header:
    """What the header says, once all of it agrees with the file; nothing behind it is read. Raises FileRefused."""
    header_bytes, header = _header(file, size_bytes)
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise invalid("The metadata of the safetensors header is not made of texts.")
    for text in (*header, *metadata, *metadata.values()):
        _check_text(text)
    origin = LENGTH_BYTES + header_bytes
    entries = sorted((_tensor(name, entry, origin) for name, entry in header.items()), key=_place)
    position = origin
    for entry in entries:
        if entry.start != position:
            what = "overlaps the one before" if entry.start < position else "leaves a gap before it"
            at, expected = entry.start - origin, position - origin
            raise invalid(f"The tensor {entry.name!r} {what} (it starts at {at}, expected {expected}).")
        position += entry.size_bytes
    if position > size_bytes:
        raise truncated(f"The file has {size_bytes} bytes, its header promises {position}.")
    if position < size_bytes:
        raise invalid(f"{size_bytes - position} bytes at the end belong to no tensor.")
    return Header(tuple(entries), metadata)


def _place(entry: Entry) -> tuple[int, int, str]:
    return entry.start, entry.size_bytes, entry.name


def _header(file: BinaryIO, size_bytes: int) -> tuple[int, dict[str, Any]]:
    file.seek(0)
    prefix = file.read(LENGTH_BYTES)
    if len(prefix) < LENGTH_BYTES:
        raise truncated("The file is shorter than the eight bytes that give the length of its header.")
    header_bytes = int.from_bytes(prefix, "little")
    if header_bytes > HEADER_BYTES_MAX:
        raise over_limit(f"The header claims {header_bytes} bytes; at most {HEADER_BYTES_MAX} are read.")
    if header_bytes > size_bytes - LENGTH_BYTES:
        raise truncated(
            f"The header claims {header_bytes} bytes, the file has {size_bytes - LENGTH_BYTES} after its length."
        )
    try:
        header = json.loads(file.read(header_bytes).decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:  # a number of too many digits is a plain ValueError
        raise invalid(f"The safetensors header is not JSON: {error}.") from error
    if not isinstance(header, dict):
        raise invalid("The safetensors header is not a JSON object.")
    return header_bytes, header


def _tensor(name: str, entry: Any, origin: int) -> Entry:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise invalid(f"The tensor {name!r} is not described by dtype, shape and data_offsets.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise invalid(f"The tensor {name!r} has the unknown dtype {dtype!r}.")
    if not _naturals(shape) or len(shape) > _DIMENSIONS_MAX:
        raise invalid(f"The tensor {name!r} has no valid shape.")
    if not _naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise invalid(f"The tensor {name!r} has no valid offsets.")
    elements = math.prod(shape)
    needed_bytes = elements * _BITS[dtype] // 8
    if needed_bytes != offsets[1] - offsets[0]:
        message = f"The tensor {name!r} needs {needed_bytes} bytes for its shape, its offsets span "
        raise invalid(f"{message}{offsets[1] - offsets[0]}.")
    return Entry(name, dtype, tuple(shape), origin + offsets[0], needed_bytes)


def _check_text(text: str) -> None:
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise invalid(f"The safetensors header holds the text {shown(text)}, which cannot be written down again.")


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 2**53 for item in value
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise invalid(f"The name {name!r} stands twice in the header.")
        result[name] = value
    return result
