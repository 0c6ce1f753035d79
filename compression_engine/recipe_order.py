"""Which method may follow which: what an earlier step did must be something that a later one can work on, and does not undo.

Rules:
- weights that are integers are neither pruned nor trained: pruning and training come before quantising, and quantize_aware_training
  rounds by itself;
- weights that an earlier step rounded all of are not rounded again; what it left alone (`exclude`, `min_elements`) may be;
- channels and factors come before single numbers: with a channel go zeros that were made in it, and the share that was asked for
  holds no more; in the product of two factors no zero stays one. A distillation to fewer channels counts as one that takes them;
- a model that is handed in as the student comes first: it takes the place of all that was done before;
- a temperature is fitted to the scores of the model as it stays: nothing is pruned or trained after it.
Standard library only: a server refuses such a recipe as the engine does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from compression_engine.errors import RecipeError

_CUTS, _FACTORS, _ZEROS, _TRAINS, _LEARNS, _ROUNDS, _HALVES, _FITS = range(8)
KINDS = {
    "prune_structured": _CUTS,
    "low_rank": _FACTORS,
    "prune_unstructured": _ZEROS,
    "fine_tune": _TRAINS,
    "distill": _TRAINS,
    "quantize_aware_training": _LEARNS,
    "quantize_weights": _ROUNDS,
    "quantize_dynamic": _ROUNDS,
    "quantize_static": _ROUNDS,
    "convert_fp16": _HALVES,
    "calibrate_temperature": _FITS,
}
"""What each method does to weights, in the order in which steps usually follow each other; every method has a line here."""
_REFUSED = {
    **{
        (kind, later): f"whose integers are {why}"
        for kind in (_LEARNS, _ROUNDS)
        for later, why in (
            (_CUTS, "not cut: which channels matter is told among floats"),
            (_FACTORS, "not factored: what a rank loses is told among floats"),
            (_ZEROS, "not pruned: what is small is told among floats"),
            (_TRAINS, "not trained: no step of training is as large as theirs"),
            (_LEARNS, "not trained: it rounds by itself, and needs the weights as floats"),
        )
    },
    (_ZEROS, _CUTS): "whose zeros go with the channels: the share that was asked of it holds no more",
    (_ZEROS, _FACTORS): "whose zeros are lost in the product of two factors",
    **{
        (_FITS, later): "whose temperature is not that of the scores which this step leaves"
        for later in (_CUTS, _FACTORS, _ZEROS, _TRAINS, _LEARNS)
    },
}


_WHOLE_WIDTH = 1000
_GRID = {"bits": 8, "granularity": "channel"}
"""The grid of quantize_weights into which every weight fits."""


class Ordered(Protocol):
    """A step, as far as its place matters."""

    @property
    def method(self) -> str: ...
    @property
    def parameters(self) -> Mapping[str, Any]: ...
    @property
    def takes_student(self) -> bool: ...


def check_order(steps: Sequence[Ordered]) -> None:
    """Raises RecipeError (recipe_order) for the first step that may not stand behind an earlier one, with why and a right order."""
    for later, step in enumerate(steps):
        for earlier, before in enumerate(steps[:later]):
            why = _why(before, step)
            if why is not None:
                message = f"Step {later + 1}: {step.method} stands behind step {earlier + 1}, {before.method}, {why}."
                raise RecipeError("recipe_order", message, _hint(before, step, steps))


def is_made_good(step: Ordered, following: Ordered) -> bool:
    """Whether what a step cuts away is made good by the next one, so that nobody would serve the model between them."""
    return KINDS.get(step.method) in (_CUTS, _FACTORS, _ZEROS) and KINDS.get(following.method) in (_TRAINS, _LEARNS)


def rewrites(step: Ordered) -> bool:
    """Whether a step gives weights other numbers than the parent's rounded: then no tensor of a child tells whether it is right."""
    return KINDS.get(step.method) in (_CUTS, _FACTORS, _ZEROS, _TRAINS, _LEARNS)


def _why(before: Ordered, step: Ordered) -> str | None:
    """Why a step may not stand behind another one; None where it may."""
    if step.takes_student:
        return "and begins as a model that is handed in: what was done before is thrown away"
    refused = _REFUSED.get((_kind(before), _kind(step)))
    if refused is not None:
        return refused
    return "which rounds all weights that this one could" if _rounded_all(before, step) else None


def _kind(step: Ordered) -> int:
    """What a step does first of all that its place hangs on."""
    if step.parameters.get("width_per_mille", _WHOLE_WIDTH) < _WHOLE_WIDTH:
        return _CUTS
    return KINDS.get(step.method, -1)


def _rounded_all(before: Ordered, step: Ordered) -> bool:
    """Whether an earlier step surely took every weight that a later one looks for; where that is not sure, the work shows it."""
    if KINDS.get(step.method) != _ROUNDS or KINDS.get(before.method) != _ROUNDS:
        return False
    theirs, ours = before.parameters, step.parameters
    if before.method == "quantize_dynamic":
        takes_all = step.method == before.method
    else:
        takes_all = before.method == "quantize_weights" and (
            all(theirs[name] == ours.get(name) for name in _GRID) or all(theirs[name] == _GRID[name] for name in _GRID)
        )
    return takes_all and not theirs["exclude"] and bool(theirs["min_elements"] <= ours["min_elements"])


def _hint(before: Ordered, step: Ordered, steps: Sequence[Ordered]) -> str:
    if KINDS.get(before.method) == KINDS.get(step.method) == _ROUNDS:
        return "Leave one of them out, or spare weights for the second: 'exclude' of the first names them."
    placed = sorted(steps, key=lambda one: (not one.takes_student, _kind(one)))
    return f"A right order: {', '.join(one.method for one in placed)}."
