"""Cuts a model file into stretches: the bytes of one tensor each, and what lies between them. Nothing is parsed into memory.

Rules:
- the file was inspected before, so that its lengths can be believed;
- tensors shorter than 2 KiB stay with what lies between, as do numbers that are not stored as raw bytes;
- stretches follow each other without gap and cover the file; where two tensors claim the same bytes, the first one has them.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from compression_engine.packed.placed import Placing
from compression_engine.structure.protobuf import BYTES, Field, Reader
from compression_engine.structure.safetensors import read_header

_SHORT_BYTES = 2048
_ONNX = {1: 4, 2: -1, 3: -1, 4: 2, 5: 2, 6: 4, 7: 8, 9: -1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2, 21: -2, 22: -2}
"""Bytes of an element by TensorProto.DataType; -1: integers of a byte, -2: two of them in a byte. All else is plain bytes."""
_SAFETENSORS = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
                "I8": -1, "U8": -1, "BOOL": -1, "F8_E4M3": -1, "F8_E5M2": -1}  # fmt: skip
_TORCH = {0: -1, 1: -1, 2: -1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 11: -1, 12: -1, 13: 2}
_LOCAL_HEAD_BYTES = 30


@dataclass(frozen=True)
class Stretch:
    """Bytes of a file that are coded alike."""

    start: int
    size_bytes: int
    placing: Placing


def onnx_stretches(path: Path) -> dict[str, list[Stretch]]:
    """Of an ONNX file and of each file with its external data, by the name that the model gives it ("" is the model)."""
    size_bytes = path.stat().st_size
    found: dict[str, list[Stretch]] = {"": []}
    with path.open("rb") as file:
        reader = Reader(file, size_bytes)
        for field in reader.fields(0, size_bytes, 0):
            for location, stretch in _walk(reader, field, _MODEL.get(field.number), 1):
                found.setdefault(location, []).append(stretch)
    return {name: covering(held, (path.parent / name if name else path).stat().st_size) for name, held in found.items()}


def safetensors_stretches(path: Path) -> list[Stretch]:
    """Of a file in safetensors."""
    with path.open("rb") as file:
        entries = read_header(file, path.stat().st_size).entries
    found = [
        Stretch(entry.start, entry.size_bytes, _placing(_SAFETENSORS.get(entry.dtype, 0), entry.shape))
        for entry in entries
    ]
    return covering(found, path.stat().st_size)


def archive_stretches(path: Path) -> list[Stretch]:
    """Of a `.pt2`: its members are stored, each behind its local header."""
    found = []
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        shapes = _torch_tensors(archive)
        for member in archive.infolist():
            inner = member.filename.partition("/")[2]
            start = _data_of(file, member.header_offset)
            width, shape = shapes.get(inner, (0, ()))
            found.append(Stretch(start, member.file_size, _placing(width, shape)))
    return covering(found, path.stat().st_size)


def covering(found: list[Stretch], size_bytes: int) -> list[Stretch]:
    """These in their order, without the short ones, and plain bytes wherever they leave a gap, up to the end of the file."""
    whole: list[Stretch] = []
    position = 0
    for one in sorted(found, key=lambda one: (one.start, one.size_bytes)):
        fits = one.size_bytes >= _SHORT_BYTES and position <= one.start and one.start + one.size_bytes <= size_bytes
        if fits and (one.placing.integers or one.placing.width > 1):
            if one.start > position:
                whole.append(Stretch(position, one.start - position, Placing()))
            whole.append(one)
            position = one.start + one.size_bytes
    if position < size_bytes:
        whole.append(Stretch(position, size_bytes - position, Placing()))
    return whole


def _placing(width: int, shape: tuple[int, ...]) -> Placing:
    """`width` as in the tables above; the shape counts bytes where these are integers."""
    if width > 0:
        return Placing(width=width)
    if width == 0:
        return Placing()
    if width == -2:
        shape = (*shape[:-1], shape[-1] // 2) if shape and shape[-1] % 2 == 0 else ()
    return Placing(integers=True, shape=shape)


# what is walked into: message -> field number -> message; a "tensor" is an end
_ATTRIBUTE = {5: "tensor", 10: "tensor", 6: "graph", 11: "graph"}
_WITHIN = {"graph": {1: "node", 5: "tensor"}, "node": {5: "attribute"}, "attribute": _ATTRIBUTE,
           "function": {7: "node", 11: "attribute"}}  # fmt: skip
_MODEL = {7: "graph", 25: "function"}


def _walk(reader: Reader, field: Field, what: str | None, depth: int) -> Iterator[tuple[str, Stretch]]:
    if what is None or field.wire != BYTES:
        return
    if what == "tensor":
        yield from _tensor(reader, field, depth)
        return
    for inner in reader.fields(field.start, field.end, depth):
        yield from _walk(reader, inner, _WITHIN[what].get(inner.number), depth + 1)


def _tensor(reader: Reader, field: Field, depth: int) -> Iterator[tuple[str, Stretch]]:
    shape: list[int] = []
    kind, raw, external = 0, None, {}
    for item in reader.fields(field.start, field.end, depth):
        if item.number == 1:
            shape += reader.varints(item)
        elif item.number == 2:
            kind = item.value
        elif item.number == 9:
            raw = item
        elif item.number == 13:
            pair = {part.number: reader.text(part) for part in reader.fields(item.start, item.end, depth + 1)}
            external[pair.get(1, "")] = pair.get(2, "")
    placing = _placing(_ONNX.get(kind, 0), tuple(shape))
    if raw is not None:
        yield "", Stretch(raw.start, raw.end - raw.start, placing)
    elif "location" in external:
        width = {-2: 0.5, -1: 1}.get(_ONNX.get(kind, 0), _ONNX.get(kind, 0))
        size_bytes = int(external.get("length", math.ceil(math.prod(shape) * width)))
        yield external["location"], Stretch(int(external.get("offset", 0)), size_bytes, placing)


def _torch_tensors(archive: zipfile.ZipFile) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Bytes of an element and shape, by the member that holds a tensor; a view of a larger storage has no shape that tells."""
    found: dict[str, tuple[int, tuple[int, ...]]] = {}
    for folder, name in (("weights", "model_weights_config"), ("constants", "model_constants_config")):
        for member in archive.infolist():
            if member.filename.partition("/")[2] != f"data/{folder}/{name}.json":
                continue
            described: dict[str, Any] = json.loads(archive.read(member)).get("config", {})
            for entry in described.values():
                meta = entry["tensor_meta"]
                shape = tuple(int(size["as_int"]) for size in meta["sizes"])
                found[f"data/{folder}/{entry['path_name']}"] = (_TORCH.get(meta["dtype"], 0), shape)
    return found


def _data_of(file: BinaryIO, start: int) -> int:
    """Where the bytes of a member begin: behind its local header, the name and the extra field in it."""
    file.seek(start)
    head = file.read(_LOCAL_HEAD_BYTES)
    return start + _LOCAL_HEAD_BYTES + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
