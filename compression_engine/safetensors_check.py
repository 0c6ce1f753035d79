"""Whether a child in safetensors may count: every tensor is expanded and laid beside the parent's, piece by piece. Nothing is run.

Rules:
- what was not to change has the parent's bytes; shorter floats are the parent's numbers to the nearest; integers times scale are as
  near as the grid allows: one step and a little with the full range; where ranges were searched, what is cut off besides;
- NaN or infinity in what comes out is refused; so is everything else that is further away (output_differs);
- there is no runtime for bare tensors: the evidence is of the kind `structure` and says `structure-checked`; gates can see it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from compression_engine.canonical import shown
from compression_engine.environment import environment
from compression_engine.errors import OutputRefused
from compression_engine.formats.safetensors_forms import forms_of
from compression_engine.formats.safetensors_io import Array, TensorFile, as_floats
from compression_engine.formats.safetensors_model import TensorModel
from compression_engine.measure import size
from compression_engine.methods.rounding import Grid
from compression_engine.methods.safetensors_weights import Choice, flat, pieces, spans
from compression_engine.methods.safetensors_writing import shortened
from compression_engine.result import Evidence, Measurement
from compression_engine.structure.safetensors import Entry
from compression_engine.structure_check import NOT_RUN

METHOD = "expanded_and_compared"
_WHOLE_RANGE_STEPS = 1.1
_CLIPPED_STEPS = {8: 34.0, 4: 17.0}
_REASON = "no runtime opens bare tensors"


@dataclass
class _Tally:
    """What comparing has found so far."""

    tensors: int = 0
    changed: int = 0
    numbers: int = 0
    rounded: int = 0
    worst_steps: float = 0.0
    worst_relative: tuple[float, str] = (0.0, "")
    squares: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def add(self, entry: Entry, apart: float, whole: float) -> None:
        """Squared error and squared size of one changed tensor."""
        self.changed += 1
        self.numbers += entry.elements
        self.squares[0] += apart
        self.squares[1] += whole
        relative = math.sqrt(apart / whole) if whole else 0.0
        self.worst_relative = max(self.worst_relative, (relative, entry.name))


def check_tensors(
    parent: TensorModel, child: TensorModel, choices: Mapping[str, Choice], told: Callable[[str], None]
) -> list[Evidence]:
    """Compares every tensor; evidence of the kinds `size` and `structure`.

    Raises OutputRefused (output_differs, output_not_finite).
    """
    tally = _Tally()
    for before, after in zip(parent.files, child.files, strict=True):
        forms = forms_of(after)
        for entry in before.entries.values():
            told(entry.name)
            choice = choices.get(entry.name)
            tally.tensors += 1
            if choice is None:
                _same(before, after, entry)
            elif choice.form is None:
                _short(before, after, entry, str(choice.short), tally)
            elif forms.get(entry.name) != choice.form:
                raise _differs(entry.name, "is not stored in the form that was chosen for it")
            else:
                _integers(before, after, entry, choice, tally)
    sizes = Evidence("size", size.METHOD, None, environment(1), size.measure_size(child.size_bytes, parent.size_bytes))
    facts = [*environment(1), {"name": "checked", "value": NOT_RUN}]
    facts.sort(key=lambda fact: str(fact["name"]))
    return [sizes, Evidence("structure", METHOD, None, facts, _figures(tally))]


def _same(before: TensorFile, after: TensorFile, entry: Entry) -> None:
    held = after.entries.get(entry.name)
    if held is None or (held.dtype, held.shape) != (entry.dtype, entry.shape):
        raise _differs(entry.name, "is missing, or of another type or shape")
    if any(ours != theirs for ours, theirs in zip(after.pieces(held), before.pieces(entry), strict=True)):
        raise _differs(entry.name, "was to stay as it is and did not")


def _short(before: TensorFile, after: TensorFile, entry: Entry, dtype: str, tally: _Tally) -> None:
    held, apart, whole = after.entries[entry.name], 0.0, 0.0
    seen = flat(entry)
    there = Entry(held.name, held.dtype, seen.shape, held.start, held.size_bytes)
    for (start, stop), rows in zip(spans(entry), pieces(before, entry), strict=True):
        found = after.rows(there, start, stop)
        if found.tobytes() != shortened(rows, dtype).tobytes():
            raise _differs(entry.name, "is not the parent's numbers to the nearest")
        errors = as_floats(found, dtype).astype(np.float64) - rows
        apart, whole = apart + _square(errors), whole + _square(rows)
    tally.add(entry, apart, whole)


def _integers(before: TensorFile, after: TensorFile, entry: Entry, choice: Choice, tally: _Tally) -> None:
    form, grid = choice.form, choice.grid
    assert form is not None
    assert grid is not None
    apart, whole, worst = 0.0, 0.0, 0.0
    for (start, stop), rows in zip(spans(entry), pieces(before, entry), strict=True):
        found, scale = form.expanded(after, start, stop), form.scales(after, start, stop)
        if not np.isfinite(found).all():
            raise OutputRefused("output_not_finite", f"{shown(entry.name)} expands to NaN or infinity.", _REPORT)
        errors = found.astype(np.float64) - rows
        apart, whole = apart + _square(errors), whole + _square(rows)
        np.abs(errors, out=errors)
        for group in range(form.groups):
            part = errors[:, group * form.size : (group + 1) * form.size].max(axis=1)
            worst = max(worst, float((part / np.abs(scale[:, group])).max()))
    limit = _limit(grid)
    if worst > limit:
        raise _differs(entry.name, f"is {worst:.2f} steps away at worst, at most {limit} are possible")
    tally.rounded += entry.elements
    tally.worst_steps = max(tally.worst_steps, worst)
    tally.add(entry, apart, whole)


def _limit(grid: Grid) -> float:
    """The most steps that rounding with such a grid can be away."""
    return _CLIPPED_STEPS[grid.bits] if grid.clipped else _WHOLE_RANGE_STEPS


def _figures(tally: _Tally) -> list[Measurement]:
    overall = math.sqrt(tally.squares[0] / tally.squares[1]) if tally.squares[1] else 0.0
    worst, name = tally.worst_relative
    what = f"It was NOT run, because {_REASON}: all {tally.tensors:,} tensors were laid beside the original's."
    changed = f"{tally.changed:,} tensors are stored otherwise, all others have the same bytes."
    size_of_error = f"Over all changed numbers the error is {overall:.3%} of their size (root mean square)."
    furthest = f"The tensor with the largest error is {shown(name)}: {worst:.3%} of its size."
    ratio = "weight_error_relative"
    found = [
        Measurement("generated_runs", None, "count", 0, what, reason=_REASON),
        Measurement("compared_tensors", tally.tensors, "count", tally.tensors, changed),
        Measurement(ratio, overall, "ratio", tally.numbers, size_of_error),
        Measurement(f"{ratio}_worst", worst, "ratio", tally.changed, furthest),
    ]  # fmt: skip
    if tally.rounded:
        plain = f"No number is more than {tally.worst_steps:.3f} steps of its scale away from the original."
        found.append(Measurement("weight_error_steps_worst", tally.worst_steps, "step", tally.rounded, plain))
    return found


def _square(array: Array) -> float:
    wide = array.astype(np.float64, copy=False)
    return float((wide * wide).sum())  # not a product of vectors, whose sum depends on the threads


_REPORT = "This is a fault of the engine: report it with the recipe."


def _differs(name: str, what: str) -> OutputRefused:
    return OutputRefused("output_differs", f"The tensor {shown(name)} {what}.", _REPORT)
