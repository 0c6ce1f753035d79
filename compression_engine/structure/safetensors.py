"""Checks the header of a safetensors file against its bytes; the tensors themselves are never read.

Rules:
- the header has at most 8 MiB, is a JSON object, has no doubled name, and lies inside the file;
- every tensor has a known dtype, a shape, and offsets whose distance is what the shape needs;
- offsets start at 0, follow each other without gap or overlap, and end with the file.
"""

from __future__ import annotations

import json
import math
from typing import Any, BinaryIO

from compression_engine.structure.findings import Inspection, Tally
from compression_engine.structure.protobuf import invalid, over_limit, truncated

HEADER_BYTES_MAX = 8 * 1024 * 1024
_DIMENSIONS_MAX = 64
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


def inspect_safetensors(file: BinaryIO, size_bytes: int) -> Inspection:
    """The structure of a safetensors file; raises FileRefused."""
    header_bytes, header = _header(file, size_bytes)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise invalid("The metadata of the safetensors header is not made of texts.")
    tally = Tally()
    spans = [(*_tensor(name, entry, tally), name) for name, entry in header.items()]
    position = 0
    for start, end, name in sorted(spans):
        if start != position:
            what = "overlaps the one before" if start < position else "leaves a gap before it"
            raise invalid(f"The tensor {name!r} {what} (it starts at {start}, expected {position}).")
        position = end
    expected_bytes = 8 + header_bytes + position
    if expected_bytes > size_bytes:
        raise truncated(f"The file has {size_bytes} bytes, its header promises {expected_bytes}.")
    if expected_bytes < size_bytes:
        raise invalid(f"{size_bytes - expected_bytes} bytes at the end belong to no tensor.")
    return Inspection(
        format="safetensors",
        size_bytes=size_bytes,
        tensor_count=tally.tensors,
        parameter_count=tally.parameters,
        bytes_by_dtype=tally.dtypes(),
        metadata=tuple(sorted(metadata.items())),
    )


def _header(file: BinaryIO, size_bytes: int) -> tuple[int, dict[str, Any]]:
    file.seek(0)
    prefix = file.read(8)
    if len(prefix) < 8:
        raise truncated("The file is shorter than the eight bytes that give the length of its header.")
    header_bytes = int.from_bytes(prefix, "little")
    if header_bytes > HEADER_BYTES_MAX:
        raise over_limit(f"The header claims {header_bytes} bytes; at most {HEADER_BYTES_MAX} are read.")
    if header_bytes > size_bytes - 8:
        raise truncated(f"The header claims {header_bytes} bytes, the file has {size_bytes - 8} after its length.")
    try:
        header = json.loads(file.read(header_bytes).decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:  # a number of too many digits is a plain ValueError
        raise invalid(f"The safetensors header is not JSON: {error}.") from error
    if not isinstance(header, dict):
        raise invalid("The safetensors header is not a JSON object.")
    return header_bytes, header


def _tensor(name: str, entry: Any, tally: Tally) -> tuple[int, int]:
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
    tally.add(dtype, elements, needed_bytes)
    return offsets[0], offsets[1]


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
