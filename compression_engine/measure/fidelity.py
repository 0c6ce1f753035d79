"""How close the version's answers are to another model's, row by row, without labels.

Rules:
- against the parent the kind is `fidelity`, against others `fidelity-incumbent` and `fidelity-first`; the metrics are the same;
- a row that the other model answers with NaN or infinity is no yardstick and is left out; where only the version does so, it is
  refused;
- these documents are functions of the stored outputs; what needs the models themselves (alone or in a batch, from a cache, asked
  again) stands in a document of its own, of the kind `invariance`.
Without another model the answers are described (`outputs`).
"""

from __future__ import annotations

import numpy as np

from compression_engine.answers.outputs import ANSWER, FIRST, INCUMBENT, PARENT, VERSION, Field, Outputs
from compression_engine.data import Array
from compression_engine.errors import OutputRefused
from compression_engine.measure import (
    agreement,
    invariance,
    outputs,
    recurrence,
    score_agreement,
    token_agreement,
)
from compression_engine.measure.agreement import cosine_rows
from compression_engine.measure.context import Context, Found
from compression_engine.measure.figures import OTHERS, UNIT
from compression_engine.measure.invariance import batch_difference
from compression_engine.plan import Plan
from compression_engine.result import Measurement

__all__ = ["METHOD", "UNIT", "batch_difference", "cosine_rows", "measure"]
METHOD = "answers_compared"
KINDS = {PARENT: "fidelity", INCUMBENT: "fidelity-incumbent", FIRST: "fidelity-first"}
_LANGUAGE = "language-model"


def measure(context: Context) -> list[Found]:
    """One document for each other model, or a description of the answers; and, with models at hand, what only they can show.

    Raises OutputRefused.
    """
    if not context.outputs.others:
        return outputs.measure(context) + invariance.measure(context)
    found: list[Found] = []
    for role in context.outputs.others:
        measurements = compared(context.outputs, role, context.plan, context.seed)
        found.append(Found(KINDS[role], METHOD, measurements, context.seed))
    context.progress("fidelity", len(context.outputs), len(context.outputs), "answers compared")
    return found + invariance.measure(context)


def compared(given: Outputs, role: str, plan: Plan, seed: int) -> list[Measurement]:
    """All figures of agreement with one other model that need no model. Raises OutputRefused (output_not_finite)."""
    if plan.task == _LANGUAGE:
        return token_agreement.figures(given, role, seed)
    if not agreement.same_form(given, role):
        other = OTHERS[role]
        reason = f"the {other}'s answers have another form"
        plain = f"The answers cannot be held against the {other}'s: {reason}."
        return [Measurement("cosine_mean", None, "cosine", 0, plain, reason=reason)]
    usable = _usable(given, role)
    found = agreement.figures(usable, role, plan, seed)
    if len(usable):
        found += score_agreement.figures(usable, role, plan, seed)
        told = any(entry.metric == "mean_abs_difference" for entry in found)
        found += recurrence.figures(usable, role, plan, seed, overall=not told)
    return found


def _usable(given: Outputs, role: str) -> Outputs:
    """The rows that the other model answers with numbers."""
    theirs, ours = _finite(given.answer(role)), _finite(given.answer(VERSION))
    broken = int((theirs & ~ours).sum())
    if broken:
        hint = "The recipe breaks this model; use another method, or leave out the weights that it changes."
        message = f"The compressed model answers {broken} of {len(ours)} rows with NaN or infinity."
        raise OutputRefused("output_not_finite", message, hint)
    if theirs.all():
        return given
    models = {name: {ANSWER: agreement.kept(given.answer(name), theirs)} for name in (VERSION, role)}
    return Outputs(models, sequences=None if given.sequences is None else given.sequences[theirs])


def _finite(field: Field) -> Array:
    flat = field.matrix()
    if flat is not None:
        return np.asarray(np.isfinite(flat).all(axis=1))
    return np.array([bool(np.isfinite(field.row(index)).all()) for index in range(len(field))], dtype=bool)
