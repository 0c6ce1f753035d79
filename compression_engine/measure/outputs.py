"""What a model's answers look like when there is no other model to compare them with."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from compression_engine.data import Array
from compression_engine.measure import invariance, repeatability
from compression_engine.measure.context import Context, Found
from compression_engine.measure.figures import UNIT
from compression_engine.measure.statistics.intervals import bootstrap_mean, deviation
from compression_engine.outputs import VERSION
from compression_engine.result import Measurement

KIND = "outputs"
METHOD = "answers_described"


def measure(context: Context) -> list[Found]:
    """The version's answers by themselves, and, with the model at hand, whether they depend on the batch or on chance."""
    answer = context.outputs.answer(VERSION)
    described = _described((answer.row(index) for index in range(len(answer))), context.seed)
    context.progress("fidelity", len(answer), len(answer), "answers described")
    of_the_model = invariance.measured(context) + repeatability.measured(context)
    return [Found(KIND, METHOD, described + of_the_model, context.seed)]


def _described(rows: Iterable[Array], seed: int) -> list[Measurement]:
    wide = (row.astype(np.float64) for row in rows)
    found = np.array([(row.mean(), row.std(), np.sqrt(np.square(row).sum())) for row in wide])
    n = len(found)
    columns = {
        "output_mean": "The mean entry of an answer is {:.4g}",
        "output_spread": "The entries of an answer spread by {:.4g}",
        "output_norm_mean": "An answer has the length {:.4g}",
    }
    measured = []
    for (metric, words), values in zip(columns.items(), found.T, strict=True):
        low, high = bootstrap_mean(values, seed) or (None, None)
        value = float(values.mean())
        reason = None if low is not None else "one row gives no interval"
        plain = f"{words.format(value)} on average over {n} rows."
        measured.append(Measurement(metric, value, UNIT, n, plain, low, high, deviation(values), reason))
    return measured
