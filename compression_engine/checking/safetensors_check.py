"""Whether a child in safetensors may count: every tensor is expanded and laid beside the parent's, piece by piece. Nothing is run.

Rules:
- what was not to change has the parent's bytes; shorter floats are the parent's numbers to the nearest; integers times scale are as
  near as the grid allows: one step and a little with the full range; where ranges were searched, what is cut off besides;
- NaN or infinity in what comes out is refused; so is everything else that is further away (output_differs);
- there is no runtime for bare tensors: the evidence is of the kind `structure` and says `structure-checked`; gates can see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from compression_engine.checking.weight_errors import (
    CUT_STEPS,
    METHOD,
    NOT_RUN,
    SEARCHED_STEPS,
    Tally,
    check_finite,
    differs,
    sum_of_squares,
    worst_in_steps,
)
from compression_engine.environment import environment
from compression_engine.formats.safetensors_forms import forms_of
from compression_engine.formats.safetensors_io import TensorFile, as_floats
from compression_engine.formats.safetensors_model import TensorModel
from compression_engine.measure import size
from compression_engine.methods.safetensors_weights import Choice, flat, pieces, spans
from compression_engine.methods.safetensors_writing import shortened
from compression_engine.result import Evidence
from compression_engine.structure.safetensors import Entry

_REASON = "no runtime opens bare tensors"


def check_tensors(
    parent: TensorModel, child: TensorModel, choices: Mapping[str, Choice], told: Callable[[str], None]
) -> list[Evidence]:
    """Compares every tensor; evidence of the kinds `size` and `structure`.

    Raises OutputRefused (output_differs, output_not_finite).
    """
    tally = Tally()
    for before, after in zip(parent.files, child.files, strict=True):
        forms = forms_of(after)
        for entry in before.entries.values():
            told(entry.name)
            choice = choices.get(entry.name)
            tally.tensors += 1
            tally.changed += choice is not None
            if choice is None:
                _same(before, after, entry)
            elif choice.form is None:
                _short(before, after, entry, str(choice.short), tally)
            elif forms.get(entry.name) != choice.form:
                raise differs(entry.name, "is not stored in the form that was chosen for it")
            else:
                _integers(before, after, entry, choice, tally)
    sizes = Evidence("size", size.METHOD, None, environment(1), size.measure_size(child.size_bytes, parent.size_bytes))
    facts = [*environment(1), {"name": "checked", "value": NOT_RUN}]
    facts.sort(key=lambda fact: str(fact["name"]))
    return [sizes, Evidence("structure", METHOD, None, facts, tally.figures(_REASON))]


def _same(before: TensorFile, after: TensorFile, entry: Entry) -> None:
    held = after.entries.get(entry.name)
    if held is None or (held.dtype, held.shape) != (entry.dtype, entry.shape):
        raise differs(entry.name, "is missing, or of another type or shape")
    if any(ours != theirs for ours, theirs in zip(after.pieces(held), before.pieces(entry), strict=True)):
        raise differs(entry.name, "was to stay as it is and did not")


def _short(before: TensorFile, after: TensorFile, entry: Entry, dtype: str, tally: Tally) -> None:
    held, apart, whole = after.entries[entry.name], 0.0, 0.0
    seen = flat(entry)
    there = Entry(held.name, held.dtype, seen.shape, held.start, held.size_bytes)
    for (start, stop), rows in zip(spans(entry), pieces(before, entry), strict=True):
        found = after.rows(there, start, stop)
        if found.tobytes() != shortened(rows, dtype).tobytes():
            raise differs(entry.name, "is not the parent's numbers to the nearest")
        errors = as_floats(found, dtype).astype(np.float64) - rows
        apart, whole = apart + sum_of_squares(errors), whole + sum_of_squares(rows)
    tally.add(entry.name, apart, whole, entry.elements)


def _integers(before: TensorFile, after: TensorFile, entry: Entry, choice: Choice, tally: Tally) -> None:
    form, grid = choice.form, choice.grid
    assert form is not None
    assert grid is not None
    apart, whole, worst = 0.0, 0.0, 0.0
    for (start, stop), rows in zip(spans(entry), pieces(before, entry), strict=True):
        found, scale = form.expanded(after, start, stop), form.scales(after, start, stop)
        check_finite(entry.name, found)
        errors = found.astype(np.float64) - rows
        apart, whole = apart + sum_of_squares(errors), whole + sum_of_squares(rows)
        np.abs(errors, out=errors)
        for group in range(form.groups):
            part = errors[:, group * form.size : (group + 1) * form.size].max(axis=1)
            worst = max(worst, worst_in_steps(part, scale[:, group]))
    tally.add_rounded(entry.name, worst, SEARCHED_STEPS[grid.bits] if grid.clipped else CUT_STEPS, entry.elements)
    tally.add(entry.name, apart, whole, entry.elements)
