"""Writes a file of safetensors again with some of its tensors stored as integers or shorter floats: row by row, in bounded memory.

Rules:
- integers and scales are those that `rounding` gives for the same matrix in a graph;
- what does not change keeps its bytes; texts of the parent's header are kept, those of earlier compressions aside (`facts`);
- digests of the map are of what was written, read again from the new file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.canonical import JSON
from compression_engine.formats.safetensors_forms import SCALE, SHAPE, WORD, ZERO, Form, packed
from compression_engine.formats.safetensors_io import NUMBERS, Array, NewFile, Planned, TensorFile
from compression_engine.formats.short_floats import bfloat16_bits
from compression_engine.methods.report import Parts, Stored
from compression_engine.methods.rounding import Grid, Rounded, round_array
from compression_engine.methods.safetensors_weights import Choice, pieces, spans
from compression_engine.structure.safetensors import Entry
from compression_engine.tensor_digest import TensorDigest

_SIGN = 128
_ONNX_NAMES = {
    "F64": "double", "F32": "float", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32", "I16": "int16",
    "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
Texts = Callable[[list[Stored]], Mapping[str, str]]
"""The texts of a file's header, given the marks of what is stored in it."""


@dataclass(frozen=True)
class Written:
    """What was written: a mark for each changed tensor, name and digest of every tensor."""

    marks: list[Stored]
    tensors: list[dict[str, JSON]]


def write_file(
    parent: TensorFile, target: Path, choices: Mapping[str, Choice], texts: Texts, told: Callable[[str], None]
) -> Written:
    """Writes the child of one file. `told` hears the name of each tensor. Raises FileRefused, EngineError (disk_full)."""
    planned = [part for entry in parent.entries.values() for part in _planned(entry, choices.get(entry.name))]
    unknown = "sha256:" + "0" * 64
    room = [_mark(entry, choice, unknown) for entry in parent.entries.values() if (choice := choices.get(entry.name))]
    with NewFile(target, planned, texts(room)) as made:
        for entry in parent.entries.values():
            told(entry.name)
            _write(parent, entry, choices.get(entry.name), made)
        with TensorFile(target) as again:
            digests = {name: digest_in(again, [name]) for name in again.entries}
            marks = [
                _marked(again, entry, choice, digests)
                for entry in parent.entries.values()
                if (choice := choices.get(entry.name))
            ]
        made.finish(texts(marks))
    return Written(marks, [{"digest": digest, "name": name} for name, digest in digests.items()])


def _planned(entry: Entry, choice: Choice | None) -> list[Planned]:
    if choice is None:
        return [Planned(entry.name, entry.dtype, entry.shape)]
    if choice.form is not None:
        return choice.form.parts()
    assert choice.short is not None
    return [Planned(entry.name, choice.short, entry.shape)]


def _write(parent: TensorFile, entry: Entry, choice: Choice | None, made: NewFile) -> None:
    if choice is None:
        place = 0
        for piece in parent.pieces(entry):
            made.write(entry.name, place, piece)
            place += len(piece)
    elif choice.form is not None and choice.grid is not None:
        _write_integers(parent, entry, choice.form, choice.grid, made)
    else:
        place = 0
        for rows in pieces(parent, entry):
            data = shortened(rows, str(choice.short)).tobytes()
            made.write(entry.name, place, data)
            place += len(data)


def _write_integers(parent: TensorFile, entry: Entry, form: Form, grid: Grid, made: NewFile) -> None:
    kind = NUMBERS[form.scale_dtype]
    for (start, stop), rows in zip(spans(entry), pieces(parent, entry), strict=True):
        rounded = round_array(rows, frozenset({0}), grid, kind)
        values, scale, zero = _rows_of(rounded, form, stop - start)
        _write_values(form, start, values, grid, made)
        made.write(form.name + SCALE, start * form.groups * kind.itemsize, scale.astype(kind).tobytes())
        if zero is not None:
            _write_zeros(form, start, zero, made)
    if form.bits == 4:
        made.write(form.name + SHAPE, 0, np.array(form.shape, dtype="<i8").tobytes())


def _rows_of(rounded: Rounded, form: Form, rows: int) -> tuple[Array, Array, Array | None]:
    """Stored integers [rows, width], scales and zero points [rows, groups]."""
    values, scale = np.asarray(rounded.values), np.asarray(rounded.scale)
    zero = None if rounded.zero is None else np.asarray(rounded.zero).reshape(rows, form.groups)
    return values.reshape(rows, -1)[:, : form.width], scale.reshape(rows, form.groups), zero


def _write_values(form: Form, start: int, values: Array, grid: Grid, made: NewFile) -> None:
    if form.bits == 4:
        words = packed(values.astype(np.uint8))
        made.write(form.values, start * words.shape[1] * words.itemsize, words.tobytes())
    else:
        signed = values if grid.lowest else _signed(values)
        made.write(form.values, start * form.width, signed.tobytes())


def _write_zeros(form: Form, start: int, zero: Array, made: NewFile) -> None:
    if form.bits == 8:
        made.write(form.name + ZERO, start * form.groups, _signed(zero).tobytes())
        return
    words = np.ascontiguousarray(packed(np.ascontiguousarray(zero.T)).T)
    made.write(form.name + ZERO, start // WORD * form.groups * words.itemsize, words.tobytes())


def _signed(values: Array) -> NDArray[np.int8]:
    """Integers from 0 to 255, less 128."""
    return (values.astype(np.int16) - _SIGN).astype(np.int8)


def shortened(rows: Array, dtype: str) -> Array:
    """Numbers of float32 as float16, or as the 16 bits of bfloat16; to the nearest, ties to even."""
    return rows.astype("<f2") if dtype == "F16" else bfloat16_bits(rows)


def _mark(entry: Entry, choice: Choice, digest: str) -> Stored:
    """The mark of a tensor, whose digests are not known yet; as long as it will be."""
    if choice.form is None or choice.grid is None:
        kind = _ONNX_NAMES[str(choice.short)]
        return Stored(entry.name, kind, "float", "tensor", "nearest", None, digest, Parts(entry.name))
    form, grid = choice.form, choice.grid
    scheme = "symmetric" if grid.symmetric else "asymmetric"
    granularity = "channel" if grid.block_size is None else f"block-{grid.block_size}"
    zero = None if grid.symmetric else form.name + ZERO
    parts = Parts(form.values, form.name + SCALE, zero)
    return Stored(entry.name, f"int{grid.bits}", scheme, granularity, grid.rounding, digest, digest, parts)


def _marked(file: TensorFile, entry: Entry, choice: Choice, digests: Mapping[str, str]) -> Stored:
    bare = _mark(entry, choice, "")
    scales = [name for name in (bare.parts.scale, bare.parts.zero) if name is not None]
    more: dict[str, Any] = {"scale_digest": digest_in(file, scales) if scales else None}
    return Stored(
        bare.tensor, bare.dtype, bare.scheme, bare.granularity, bare.rounding,
        values_digest=digests[str(bare.parts.values)], parts=bare.parts, **more,
    )  # fmt: skip


def digest_in(file: TensorFile, names: list[str]) -> str:
    """The digest of tensors as they lie in a file, one behind the other."""
    running = TensorDigest()
    for name in names:
        entry = file.entries[name]
        running.add(_ONNX_NAMES.get(entry.dtype, entry.dtype.lower()), entry.shape, file.pieces(entry))
    return running.text()
