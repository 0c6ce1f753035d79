"""Whether a model answers the same rows the same when it is asked again.

Rules:
- whole batches are asked again, spread over all rows and drawn by the seed: one in twenty, two at least, 64 at most; a model may
  draw at random for some rows only, and what it does for the first ones says nothing about the rest;
- the second answer is held against the one that every figure rests on, bit for bit; where only numbers of it were kept (language
  models) or a state was carried, the batch is asked twice, beginning with the same state;
- a model that repeats itself gets no figure, one that does not gets `repeat_difference_max`: it draws at random (dropout that was
  left on, noise), and every other figure of it is one draw of many;
- noise in a share p of the batches is missed with the chance (1 - p)^k for k batches that are asked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from compression_engine.answers.outputs import FIRST, INCUMBENT, PARENT, VERSION
from compression_engine.data import Array, Encoder
from compression_engine.measure.context import Context
from compression_engine.measure.figures import UNIT
from compression_engine.result import Measurement
from compression_engine.runtime import BATCH_ROWS, Model, batch_at, batch_rows, judged_output

_ONE_IN, _BATCHES_LEAST, _BATCHES_MOST = 20, 2, 64
_WHO: Mapping[str, tuple[str, str]] = {
    VERSION: ("", "The model"),
    PARENT: ("parent_", "The original"),
    INCUMBENT: ("incumbent_", "The incumbent"),
    FIRST: ("first_", "The first approved version"),
}


def measured(context: Context) -> list[Measurement]:
    """A figure for each model whose answers differ from call to call; nothing without models at hand. Unit: output_unit."""
    if context.encoder is None:
        return []
    chosen = _chosen(context.encoder, context.seed)
    found = []
    for role, model in context.models.items():
        pairs = list(_asked_again(context, context.encoder, role, model, chosen))
        if any(first.tobytes() != again.tobytes() for first, again in pairs):
            prefix, who = _WHO[role]
            found.append(_figure(f"{prefix}repeat_difference_max", who, pairs))
    return found


def _chosen(encoder: Encoder, seed: int) -> list[range]:
    """The batches that are asked again, as they were asked, in their order."""
    total, size = len(encoder.rows), encoder.fixed_rows or BATCH_ROWS
    count = -(-total // size)
    wanted = min(count, _BATCHES_MOST, max(_BATCHES_LEAST, -(-count // _ONE_IN)))
    drawn = np.sort(np.random.default_rng(seed).choice(count, size=wanted, replace=False))
    return [range(size * int(place), min(size * int(place) + size, total)) for place in drawn]


def _asked_again(
    context: Context, encoder: Encoder, role: str, model: Model, chosen: Sequence[range]
) -> Iterator[tuple[Array, Array]]:
    """Both answers to each row, flat."""
    kept = None if context.plan.states or context.plan.task == "language-model" else context.outputs.answer(role)
    judged = judged_output(model, batch_at(encoder, [0]), context.plan.output)
    for rows in chosen:
        batch = batch_at(encoder, rows)
        again = batch_rows(batch, model.run(batch.feed)[judged])
        first = batch_rows(batch, model.run(batch.feed)[judged]) if kept is None else [kept.row(row) for row in rows]
        for one, other in zip(first, again, strict=True):
            yield np.ravel(one), np.ravel(other)


def _figure(metric: str, who: str, pairs: Sequence[tuple[Array, Array]]) -> Measurement:
    told = f"{who} answers the same rows otherwise when asked again"
    n, worst = len(pairs), [_largest(first, again) for first, again in pairs]
    largest = max((value for value in worst if value is not None), default=0.0)
    if None in worst:
        reason = "the two answers have different forms, or only one of them is a finite number"
        return Measurement(metric, None, UNIT, n, f"{told}: {reason}.", reason=reason)
    plain = f"{told}, by up to {largest:.3g} ({n} rows, twice): each figure of it is one draw of many."
    return Measurement(metric, largest, UNIT, n, plain, reason="a largest value has no interval")


def _largest(first: Array, again: Array) -> float | None:
    if first.shape != again.shape:
        return None
    with np.errstate(invalid="ignore"):
        apart = np.abs(first.astype(np.float64) - again.astype(np.float64))
    apart[first == again] = 0
    return float(apart.max(initial=0.0)) if np.isfinite(apart).all() else None
