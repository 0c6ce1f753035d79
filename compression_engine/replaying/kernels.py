"""Whether bytes that differ may come from the processor alone: libraries choose the kernels that sum floats by it.

Rules:
- steps that look at data run the model and sum what flows there, in an order that kernels choose; low_rank has LAPACK sum even
  without rows; all other steps give the same bytes on every processor (decision 0025);
- what decides is the kind of BLAS kernels, the instruction sets, and the machine; where a result is older than the first of these,
  the name of the processor stands for it; where nobody says on what a model was made, it may have been anything;
- steps that train sum gradients in torch: its version and the device count there too;
- two factors that were made without rows (low_rank) have other last bits, and rounding for inputs (gptq) gives other integers and
  scales; both change nothing else: a difference anywhere else in such a child does not come from the processor.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from compression_engine.environment import environment
from compression_engine.methods.report import Stored
from compression_engine.recipe import Recipe

_BLAS = "blas_kernel"
_DECIDES = (_BLAS, "cpu_flags", "machine")
_OLDER = ("cpu_flags", "cpu_model", "machine")
_OF_TRAINING = ("device", "torch")
_BY_INPUTS = "gptq"
_FACTOR = re.compile(r"_(left|right)(_|\Z)")
"""What low_rank calls its factors, and later steps what they make of these."""


def other_kernels(recorded: Mapping[str, str] | None, device: str | None = None) -> str:
    """What of the recorded environment (values by name; None: not known) sums in another order here, in words; "" for nothing.

    `device`: where steps train here; None where none does.
    """
    if recorded is None:
        return "on which processor it was made is not on record"
    here = {str(fact["name"]): str(fact["value"]) for fact in environment(1, device=device)}
    names = (*(_DECIDES if _BLAS in recorded else _OLDER), *(() if device is None else _OF_TRAINING))
    changed = [
        f"{name} {recorded[name]} -> {here.get(name, 'none')}"
        for name in names
        if name in recorded and recorded[name] != here.get(name)
    ]
    return ", ".join(changed)


def only_by_kernels(
    recipe: Recipe, marks: Iterable[Stored], differing: Iterable[str], *, form_same: bool = True
) -> bool:
    """Whether other kernels alone can make these tensors of a child differ; `marks` says how its tensors are stored.

    `form_same`: the graph, and names, types and shapes of all tensors, are the same.
    """
    looking = [step for step in recipe.steps if step.needs_calibration]
    if any(step.needs_training for step in recipe.steps):
        return True  # every number that was learned may be another
    if any(step.parameters.get("rounding") != _BY_INPUTS for step in looking):
        return True  # ranges, layers that stay in floats, one temperature: anything may follow from what was seen
    by_inputs = [mark.parts for mark in marks if mark.rounding == _BY_INPUTS]
    parts = {name for one in by_inputs for name in (one.values, one.scale, one.zero)}
    factored = any(step.spec.sums_by_kernels for step in recipe.steps)
    others = {name for name in differing if not (factored and _FACTOR.search(name))}
    return bool(looking or factored) and form_same and others <= parts
