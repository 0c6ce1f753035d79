"""Whether a child that is too large to be run may count: every tensor is expanded and laid beside the parent's, block by block.

Rules:
- the child is read from its files, and what it stores from the quantisation map in it; nothing of how it was made is used;
- what the map names has the digests that it says, all else the parent's bytes, or the check fails (output_differs);
- 16-bit floats are the parent's numbers to the nearest; integers times scale are within half a step, and a little where arithmetic
  has 16 bits; a step and a little where zero points or 4 bits cut the range; more only where ranges were searched;
- NaN or infinity is refused (output_not_finite); a form that cannot be read back here is counted, and told;
- memory is that of a few blocks, whatever the model takes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx

from compression_engine import facts
from compression_engine.checking.weight_errors import (
    CUT_STEPS,
    SEARCHED_STEPS,
    Tally,
    check_finite,
    differs,
    sum_of_squares,
    worst_in_steps,
)
from compression_engine.formats import onnx_io
from compression_engine.formats.numbers import block_numbers, boxes, opened
from compression_engine.formats.onnx_graph import named_tensors
from compression_engine.formats.parked import numbers_of
from compression_engine.mapping.quantization_map import from_file
from compression_engine.mapping.stored_form import InLayer, form_of, in_layers
from compression_engine.methods.report import Stored, digest_of_tensors
from compression_engine.progress import Progress
from compression_engine.result import Measurement

REASON = "the model does not fit into the memory at hand"
_NEAREST_STEPS = 0.6
_HALF_OF_LAST_BIT = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
_LEAST = {"float16": 2.0**-25, "bfloat16": 2.0**-133}


def compare_tensors(child: Path, parent: Path, progress: Progress) -> list[Measurement]:
    """Figures of the evidence `structure` for a child that is not run; raises OutputRefused (output_differs, output_not_finite)."""
    original = onnx_io.load(parent).model
    onnx_io.prepare(original)
    made = onnx_io.load(child).model
    before, after = named_tensors(original), named_tensors(made)
    text = facts.map_text({entry.key: entry.value for entry in made.metadata_props})
    marks = {} if text is None else {mark.tensor: mark for mark in from_file(text) if mark.tensor in before}
    tally, layers = Tally(), in_layers(made)
    for done, (name, tensor) in enumerate(before.items()):
        progress("check", done, len(before), name)
        tally.tensors += 1
        mark = marks.get(name)
        if mark is None:
            _same(name, tensor, after.get(name))
        else:
            tally.changed += 1
            _compare(mark, tensor, after, layers, tally)
    return tally.figures(REASON)


def _same(name: str, before: onnx.TensorProto, after: onnx.TensorProto | None) -> None:
    if after is None or digest_of_tensors([before]) != digest_of_tensors([after]):
        raise differs(name, "is no more what it was, and the quantisation map does not name it")


def _compare(
    mark: Stored,
    before: onnx.TensorProto,
    held: Mapping[str, onnx.TensorProto],
    layers: Mapping[str, InLayer],
    tally: Tally,
) -> None:
    _check_digests(mark, held)
    if mark.scheme == "float":
        _short(mark, before, held, tally)
        return
    form = form_of(mark, before.dims, held, layers)
    if form is None:
        tally.unread += 1
        return
    apart = whole = worst = 0.0
    for theirs, ours, steps in form.blocks(before):
        check_finite(mark.tensor, ours)
        errors = np.abs(ours - theirs)
        apart, whole = apart + sum_of_squares(errors), whole + sum_of_squares(theirs)
        worst = max(worst, worst_in_steps(errors, steps))
    tally.add_rounded(mark.tensor, worst, _limit(mark, form.bits), math.prod(before.dims))
    tally.add(mark.tensor, apart, whole, math.prod(before.dims))


def _check_digests(mark: Stored, held: Mapping[str, onnx.TensorProto]) -> None:
    """What lies in the files is what the map was written for."""
    parts = mark.parts
    for names, digest in (((parts.values,), mark.values_digest), ((parts.scale, parts.zero), mark.scale_digest)):
        tensors = [held.get(name) for name in names if name is not None]
        known = [tensor for tensor in tensors if tensor is not None]
        if digest is not None and (len(known) < len(tensors) or digest_of_tensors(known) != digest):
            raise differs(mark.tensor, "is not stored as the quantisation map says")


def _limit(mark: Stored, bits: int) -> float:
    if mark.rounding != "nearest":
        return SEARCHED_STEPS[bits]
    return _NEAREST_STEPS if mark.scheme == "symmetric" and bits == 8 else CUT_STEPS


def _short(mark: Stored, before: onnx.TensorProto, held: Mapping[str, onnx.TensorProto], tally: Tally) -> None:
    stored = held.get(mark.parts.values or "")
    if stored is None or list(stored.dims) != list(before.dims):
        raise differs(mark.tensor, "is missing, or of another shape")
    apart = whole = 0.0
    numbers = numbers_of(before)
    with opened(numbers) as theirs, opened(numbers_of(stored)) as ours:
        for box in boxes(numbers.shape, block_numbers(numbers.dtype)):
            wide, short = theirs.part(box).astype(np.float64), ours.part(box).astype(np.float64)
            check_finite(mark.tensor, short)
            errors = np.abs(short - wide)
            if (errors > _HALF_OF_LAST_BIT[mark.dtype] * np.abs(wide) + _LEAST[mark.dtype]).any():
                raise differs(mark.tensor, "is not the parent's numbers to the nearest")
            apart, whole = apart + sum_of_squares(errors), whole + sum_of_squares(wide)
    tally.add(mark.tensor, apart, whole, numbers.size)
