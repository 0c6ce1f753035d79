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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from compression_engine import facts
from compression_engine.canonical import shown
from compression_engine.errors import OutputRefused
from compression_engine.formats import onnx_io
from compression_engine.formats.numbers import Array, block_numbers, boxes, opened
from compression_engine.formats.onnx_graph import graphs_of
from compression_engine.formats.parked import numbers_of
from compression_engine.methods.report import Stored, digest_of_tensors
from compression_engine.progress import Progress
from compression_engine.quantization_map import from_file
from compression_engine.result import Measurement
from compression_engine.stored_form import form_of

METHOD = "expanded_and_compared"
REASON = "the model does not fit into the memory at hand"
_REPORT = "This is a fault of the engine: report it with the recipe."
_NEAREST_STEPS, _CUT_STEPS = 0.6, 1.1
_SEARCHED_STEPS = {8: 34.0, 4: 17.0}
_HALF_OF_LAST_BIT = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
_LEAST = {"float16": 2.0**-25, "bfloat16": 2.0**-133}


@dataclass
class _Tally:
    tensors: int = 0
    changed: int = 0
    unread: int = 0
    rounded: int = 0
    worst_steps: float = 0.0
    apart: float = 0.0
    whole: float = 0.0
    numbers: int = 0
    worst: tuple[float, str] = (0.0, "")

    def add(self, name: str, apart: float, whole: float, numbers: int) -> None:
        self.apart, self.whole, self.numbers = self.apart + apart, self.whole + whole, self.numbers + numbers
        self.worst = max(self.worst, (math.sqrt(apart / whole) if whole else 0.0, name))


def compare_tensors(child: Path, parent: Path, progress: Progress) -> list[Measurement]:
    """Figures of the evidence `structure` for a child that is not run; raises OutputRefused (output_differs, output_not_finite)."""
    original = onnx_io.load(parent).model
    onnx_io.prepare(original)
    made = onnx_io.load(child).model
    before, after = _named(original), _named(made)
    text = facts.map_text({entry.key: entry.value for entry in made.metadata_props})
    marks = {} if text is None else {mark.tensor: mark for mark in from_file(text) if mark.tensor in before}
    tally = _Tally()
    for done, (name, tensor) in enumerate(before.items()):
        progress("check", done, len(before), name)
        tally.tensors += 1
        mark = marks.get(name)
        if mark is None:
            _same(name, tensor, after.get(name))
        else:
            tally.changed += 1
            _compare(mark, tensor, after, tally)
    return _figures(tally)


def _named(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Every tensor that a graph names, in the order of the model; those in Constant nodes under the name that these give."""
    found: dict[str, onnx.TensorProto] = {}
    for graph in graphs_of(model.graph):
        for tensor in graph.initializer:
            found[tensor.name] = tensor
        for node in graph.node:
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.name == "value":
                    found[node.output[0]] = attribute.t
    return found


def _same(name: str, before: onnx.TensorProto, after: onnx.TensorProto | None) -> None:
    if after is None or digest_of_tensors([before]) != digest_of_tensors([after]):
        raise _differs(name, "is no more what it was, and the quantisation map does not name it")


def _compare(mark: Stored, before: onnx.TensorProto, held: Mapping[str, onnx.TensorProto], tally: _Tally) -> None:
    _check_digests(mark, held)
    if mark.scheme == "float":
        _short(mark, before, held, tally)
        return
    form = form_of(mark, before.dims, held)
    if form is None:
        tally.unread += 1
        return
    apart = whole = worst = 0.0
    for theirs, ours, steps in form.blocks(before):
        _finite(mark.tensor, ours)
        errors = np.abs(ours - theirs)
        apart, whole = apart + _square(errors), whole + _square(theirs)
        if errors.size:
            worst = max(worst, float((errors / np.abs(steps)).max()))
    limit = _limit(mark, form.bits)
    if worst > limit:
        raise _differs(mark.tensor, f"is {worst:.2f} steps away at worst, at most {limit} are possible")
    tally.rounded += math.prod(before.dims)
    tally.worst_steps = max(tally.worst_steps, worst)
    tally.add(mark.tensor, apart, whole, math.prod(before.dims))


def _check_digests(mark: Stored, held: Mapping[str, onnx.TensorProto]) -> None:
    """What lies in the files is what the map was written for."""
    parts = mark.parts
    for names, digest in (((parts.values,), mark.values_digest), ((parts.scale, parts.zero), mark.scale_digest)):
        tensors = [held.get(name) for name in names if name is not None]
        known = [tensor for tensor in tensors if tensor is not None]
        if digest is not None and (len(known) < len(tensors) or digest_of_tensors(known) != digest):
            raise _differs(mark.tensor, "is not stored as the quantisation map says")


def _limit(mark: Stored, bits: int) -> float:
    if mark.rounding != "nearest":
        return _SEARCHED_STEPS[bits]
    return _NEAREST_STEPS if mark.scheme == "symmetric" and bits == 8 else _CUT_STEPS


def _short(mark: Stored, before: onnx.TensorProto, held: Mapping[str, onnx.TensorProto], tally: _Tally) -> None:
    stored = held.get(mark.parts.values or "")
    if stored is None or list(stored.dims) != list(before.dims):
        raise _differs(mark.tensor, "is missing, or of another shape")
    apart = whole = 0.0
    numbers = numbers_of(before)
    with opened(numbers) as theirs, opened(numbers_of(stored)) as ours:
        for box in boxes(numbers.shape, block_numbers(numbers.dtype)):
            wide, short = theirs.part(box).astype(np.float64), ours.part(box).astype(np.float64)
            _finite(mark.tensor, short)
            errors = np.abs(short - wide)
            if (errors > _HALF_OF_LAST_BIT[mark.dtype] * np.abs(wide) + _LEAST[mark.dtype]).any():
                raise _differs(mark.tensor, "is not the parent's numbers to the nearest")
            apart, whole = apart + _square(errors), whole + _square(wide)
    tally.add(mark.tensor, apart, whole, numbers.size)


def _finite(name: str, array: Array) -> None:
    if not np.isfinite(array).all():
        raise OutputRefused("output_not_finite", f"The tensor {shown(name)} expands to NaN or infinity.", _REPORT)


def _figures(tally: _Tally) -> list[Measurement]:
    overall = math.sqrt(tally.apart / tally.whole) if tally.whole else 0.0
    worst, name = tally.worst
    what = f"It was NOT run, because {REASON}: all {tally.tensors:,} tensors were laid beside the original's."
    changed = f"{tally.changed:,} tensors are stored otherwise, all others have the same bytes."
    if tally.unread:
        changed += f" {tally.unread:,} of these are stored in a form that was not read back."
    ratio = "weight_error_relative"
    found = [
        Measurement("generated_runs", None, "count", 0, what, reason=REASON),
        Measurement("compared_tensors", tally.tensors - tally.unread, "count", tally.tensors, changed),
    ]
    if tally.numbers:
        size = f"Over all changed numbers the error is {overall:.3%} of their size (root mean square)."
        furthest = f"The tensor with the largest error is {shown(name)}: {worst:.3%} of its size."
        found.append(Measurement(ratio, overall, "ratio", tally.numbers, size))
        found.append(Measurement(f"{ratio}_worst", worst, "ratio", tally.changed, furthest))
    if tally.rounded:
        plain = f"No number is more than {tally.worst_steps:.3f} steps of its scale away from the original."
        found.append(Measurement("weight_error_steps_worst", tally.worst_steps, "step", tally.rounded, plain))
    return found


def _square(array: Array) -> float:
    return float((array * array).sum())  # not a product of vectors, whose sum depends on the threads


def _differs(name: str, what: str) -> OutputRefused:
    return OutputRefused("output_differs", f"The tensor {shown(name)} {what}.", _REPORT)
