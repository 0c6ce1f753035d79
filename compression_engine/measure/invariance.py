"""Whether a model answers a row the same alone and in a batch, a text the same with and without its cache, and all again.

Rules:
- these figures need the models: they stand in a document of their own (kind `invariance`, method `models_asked_again`), which
  stored answers do not give again;
- an answer that is a number in one way of asking and none in the other has no difference, and says so: it is never the same;
- both runs get the same inputs, padding included; what differs is company alone;
- a recurrent model is run along whole sequences, side by side and alone, each with its own carried state;
- a language model with a cache reads the beginning of a text at once and the rest token by token from the cache, against the whole
  text at once.
A model that depends on its batch answers differently under load than in its tests, and no average of one run shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import PARENT, VERSION
from compression_engine.data import Array, Encoder, Feed
from compression_engine.measure import cached, repeatability
from compression_engine.measure.context import Context, Found
from compression_engine.measure.figures import UNIT, larger_of, largest_difference
from compression_engine.plan import Plan
from compression_engine.result import Measurement
from compression_engine.runtime import Batch, Model, batches, judged_output

_BATCHES_TAKEN_APART = 4
_ROWS_TAKEN_APART = _BATCHES_TAKEN_APART * 16
_SEQUENCES = 8
_STEPS_MAX = 64
KIND = "invariance"
METHOD = "models_asked_again"
_WHO: Mapping[str, tuple[str, str]] = {VERSION: ("", "The model"), PARENT: ("parent_", "The original")}


def measure(context: Context) -> list[Found]:
    """One document of what changes with the way of asking; nothing without models at hand."""
    figures = measured(context) + repeatability.measured(context)
    return [Found(KIND, METHOD, figures)] if figures else []


def measured(context: Context) -> list[Measurement]:
    """Figures of the version, and of its parent beside it where it ran; nothing without models at hand."""
    encoder = context.encoder
    if encoder is None:
        return []
    found = []
    for role, (prefix, who) in _WHO.items():
        model = context.models.get(role)
        if model is None:
            continue
        output = judged_output(model, next(batches(encoder, 1)), context.plan.output)
        metric = f"{prefix}batch_difference_max"
        if context.plan.states:
            numbers = context.outputs.sequences
            found.append(sequences_apart(model, encoder, context.plan, numbers, output, metric, who))
        else:
            found.append(batch_difference(model, encoder, output, metric, who))
        if context.plan.task == "language-model":
            found += cached.figures(model, encoder, context.plan, output, prefix, who)
    return found


def batch_difference(model: Model, encoder: Encoder, output: int, metric: str, who: str) -> Measurement:
    """The largest change of an answer when a row runs alone instead of in its batch, with the same inputs."""
    worst: float | None = 0.0
    rows = 0
    if encoder.fixed_rows is not None:
        reason = f"the model takes exactly {encoder.fixed_rows} rows at a time"
        return Measurement(metric, None, UNIT, 0, f"{who} cannot be run on other batches.", reason=reason)
    for batch in batches(encoder, _ROWS_TAKEN_APART):
        together = batch.rows(model.run(batch.feed)[output])
        for row in range(batch.count):
            single = Batch(_alone(batch, row, encoder.batch([rows])), 1)
            alone = single.rows(model.run(single.feed)[output])[0]
            worst = larger_of(worst, largest_difference(alone, together[row]))
            rows += 1
    return _told(metric, worst, rows, f"{who} answers a row", f"alone and in a batch ({rows} rows)")


def sequences_apart(
    model: Model,
    encoder: Encoder,
    plan: Plan,
    numbers: NDArray[np.int64] | None,
    output: int,
    metric: str,
    who: str,
) -> Measurement:
    """The largest change of an answer when a sequence runs alone instead of beside others, state carried; up to 8 x 64 rows."""
    starts = [] if numbers is None else np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]])).tolist()
    ends = [*starts[1:], len(encoder.rows)]
    spans = sorted(zip(starts, ends, strict=True), key=lambda span: (span[0] - span[1], span[0]))[:_SEQUENCES]
    why = f"the model takes exactly {encoder.fixed_rows} rows at a time" if encoder.fixed_rows else None
    if why or len(spans) < 2:
        plain = f"{who} cannot be run on sequences side by side."
        return Measurement(metric, None, UNIT, 0, plain, reason=why or "there are no two sequences")
    steps = min(_STEPS_MAX, min(end - start for start, end in spans))
    together = _along(model, encoder, plan, [start for start, _ in spans], steps, output)
    worst: float | None = 0.0
    for place, (start, _) in enumerate(spans):
        alone = _along(model, encoder, plan, [start], steps, output)
        for a, b in zip(alone, together, strict=True):
            worst = larger_of(worst, largest_difference(a[0], b[place]))
    rows = steps * len(spans)
    how = f"alone and beside {len(spans) - 1} others ({rows} rows, state carried)"
    return _told(metric, worst, rows, f"{who} answers a sequence", how)


def _told(metric: str, worst: float | None, rows: int, what: str, how: str) -> Measurement:
    if worst is None:
        reason = "only one of two answers to the same row is finite, or they differ in form"
        return Measurement(metric, None, UNIT, rows, f"{what} otherwise {how}: {reason}.", reason=reason)
    same = "exactly the same" if worst == 0 else f"the same up to {worst:.2g}"
    reason = "a largest value has no interval"
    return Measurement(metric, worst, UNIT, rows, f"{what} {same} {how}.", reason=reason)


def _along(model: Model, encoder: Encoder, plan: Plan, starts: Sequence[int], steps: int, output: int) -> list[Array]:
    """The judged output at every step of sequences side by side, from these rows on."""
    state: Feed = {}
    found = []
    for step in range(steps):
        answered = model.run(encoder.batch([start + step for start in starts]) | state)
        state = {entry.input: answered[model.output_names.index(entry.output)] for entry in plan.states}
        found.append(answered[output])
    return found


def _alone(batch: Batch, row: int, single: Feed) -> Feed:
    """One row of a batch with the same padding; what does not come from rows (a fresh state, one number) as for one row."""
    feed = {}
    for name, array in batch.feed.items():
        from_rows = single[name].ndim > 0 and len(single[name]) == 1 and array.ndim > 0 and len(array) == batch.count
        feed[name] = array[row : row + 1] if from_rows else single[name]
    return feed
