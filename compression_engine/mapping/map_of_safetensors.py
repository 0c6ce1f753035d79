"""The quantisation map of a model in safetensors, held against its tensors; without one, what the layout of its tensors says.

Rules:
- each file of a model carries the map of its own tensors, and is believed as little as a graph is (`map_reading`);
- a file of another program is read where its tensors lie as in compressed-tensors (see `safetensors_forms`), under its own names;
  `rounding` is then unknown;
- tensors of integers or short floats that no entry names are told beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from compression_engine import facts
from compression_engine.canonical import shown
from compression_engine.errors import EngineError
from compression_engine.formats.safetensors_forms import SCALE, ZERO, forms_of
from compression_engine.formats.safetensors_io import TensorFile
from compression_engine.formats.safetensors_model import open_model
from compression_engine.mapping.quantization_map import (
    QuantizationMap,
    from_file,
    in_order,
    untrue,
    wrong_digest,
    wrong_scheme,
)
from compression_engine.methods.report import Parts, Stored
from compression_engine.methods.safetensors_writing import digest_in

_TYPES = {"int8": "I8", "int4": "I32", "float16": "F16", "bfloat16": "BF16"}
_SHORT = frozenset({"I8", "U8", "F16", "BF16"})
_SMALL = 16


def map_of_tensors(path: Path) -> QuantizationMap:
    """The map of a file, or of all shards of an index. Raises EngineError as `map_reading.read_map` does."""
    marks: list[Stored] = []
    unmapped: list[tuple[str, str, str]] = []
    sources: set[str] = set()
    with open_model(path) as model:
        for file in model.files:
            text = facts.map_text(file.metadata)
            found = _of_layout(file) if text is None else _checked(file, from_file(text))
            sources |= {"graph"} if text is None and found else {"map"} if found else set()
            marks += found
            unmapped += _unmapped(file, found)
    if not marks and not unmapped:
        hint = "Nothing to compare: quantise it first, or ask for a file that is."
        raise EngineError("map_missing", f"{path.name} has no quantisation map, and nothing in it is quantised.", hint)
    return QuantizationMap(in_order(marks), "map" if sources == {"map"} else "graph", unmapped)


def _checked(file: TensorFile, marks: Sequence[Stored]) -> Sequence[Stored]:
    for mark in marks:
        why = _wrong(file, mark)
        if why is not None:
            raise untrue(file.path.name, mark, why)
    return marks


def _wrong(file: TensorFile, mark: Stored) -> str | None:
    """What about a mark is not so; None where all of it is."""
    if mark.parts.values is None:
        return "a file without a graph rounds nothing while running"
    scales = [name for name in (mark.parts.scale, mark.parts.zero) if name is not None]
    for name in (mark.parts.values, *scales):
        if name not in file.entries:
            return f"there is no tensor {shown(name)}"
        if name != mark.tensor and not name.startswith(f"{mark.tensor}_"):
            return f"{shown(name)} is none of its tensors"
    dtype = file.entries[mark.parts.values].dtype
    if dtype != _TYPES.get(mark.dtype):
        return f"it is {dtype}, not {mark.dtype}"
    if (why := wrong_scheme(mark)) is not None:
        return why
    return wrong_digest(mark, digest_in(file, [mark.parts.values]), digest_in(file, scales) if scales else None)


def _of_layout(file: TensorFile) -> list[Stored]:
    """What lies there as compressed-tensors lays weights out, whoever wrote it."""
    found = []
    for name, form in forms_of(file).items():
        scales = [name + SCALE] + [name + ZERO] * (not form.symmetric)
        per_row = form.groups == 1
        found.append(
            Stored(
                name,
                f"int{form.bits}",
                "symmetric" if form.symmetric else "asymmetric",
                "channel" if per_row else f"block-{form.size}",
                "unknown",
                digest_in(file, scales),
                digest_in(file, [form.values]),
                Parts(form.values, name + SCALE, None if form.symmetric else name + ZERO),
            )
        )
    return found


def _unmapped(file: TensorFile, marks: Sequence[Stored]) -> list[tuple[str, str, str]]:
    named = {name for mark in marks for name in (mark.parts.values, mark.parts.scale, mark.parts.zero)}
    return [
        (entry.name, entry.dtype.lower(), digest_in(file, [entry.name]))
        for entry in file.entries.values()
        if entry.name not in named and entry.dtype in _SHORT and math.prod(entry.shape) >= _SMALL
    ]
