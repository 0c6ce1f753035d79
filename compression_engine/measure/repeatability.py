"""Whether a model answers the same rows the same when it is asked again.

Rules:
- the first batch is answered twice, with the same inputs and, where a state is carried, the same first state; bits are compared;
- a model that repeats itself gets no figure, one that does not gets `repeat_difference_max`: it draws at random (dropout that was
  left on, noise), and every other figure of it is one draw of many.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from compression_engine.data import Array, Encoder
from compression_engine.measure.context import Context
from compression_engine.measure.figures import UNIT
from compression_engine.outputs import FIRST, INCUMBENT, PARENT, VERSION
from compression_engine.result import Measurement
from compression_engine.runtime import Model, batches, judged_output

_WHO: Mapping[str, tuple[str, str]] = {
    VERSION: ("", "The model"),
    PARENT: ("parent_", "The original"),
    INCUMBENT: ("incumbent_", "The incumbent"),
    FIRST: ("first_", "The first approved version"),
}


def measured(context: Context) -> list[Measurement]:
    """A figure for each model whose answers differ from call to call; nothing without models at hand."""
    if context.encoder is None:
        return []
    found = []
    for role, model in context.models.items():
        prefix, who = _WHO[role]
        figure = repeat_difference(f"{prefix}repeat_difference_max", model, context.encoder, context.plan.output, who)
        found += [] if figure is None else [figure]
    return found


def repeat_difference(metric: str, model: Model, encoder: Encoder, output: str | None, who: str) -> Measurement | None:
    """The largest change of an entry between two answers to the first batch; None where both are the same to the bit."""
    batch = next(batches(encoder))
    judged = judged_output(model, batch, output)
    first, again = (model.run(batch.feed)[judged] for _ in range(2))
    if first.shape == again.shape and first.tobytes() == again.tobytes():
        return None
    told = f"{who} answers the same rows otherwise when asked again"
    worst = _largest(first, again)
    if worst is None:
        reason = "the two answers have different forms, or only one of them is a finite number"
        return Measurement(metric, None, UNIT, batch.count, f"{told}: {reason}.", reason=reason)
    plain = f"{told}, by up to {worst:.3g} ({batch.count} rows, twice): each figure of it is one draw of many."
    return Measurement(metric, worst, UNIT, batch.count, plain, reason="a largest value has no interval")


def _largest(first: Array, again: Array) -> float | None:
    if first.shape != again.shape:
        return None
    with np.errstate(invalid="ignore"):
        apart = np.abs(first.astype(np.float64) - again.astype(np.float64))
    apart[first == again] = 0
    return float(apart.max(initial=0.0)) if np.isfinite(apart).all() else None
