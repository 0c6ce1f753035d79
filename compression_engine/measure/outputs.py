"""What a model's answers look like when there is no other model to compare them with.

Where rows belong to sequences the intervals are made for whole sequences.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from compression_engine.answers.outputs import VERSION
from compression_engine.data import Array
from compression_engine.measure.context import Context, Found
from compression_engine.measure.figures import UNIT
from compression_engine.measure.statistics import bootstrap
from compression_engine.measure.statistics.intervals import deviation
from compression_engine.result import Measurement

KIND = "outputs"
METHOD = "answers_described"


def measure(context: Context) -> list[Found]:
    """The version's answers by themselves."""
    answer = context.outputs.answer(VERSION)
    rows = (answer.row(index) for index in range(len(answer)))
    described = _described(rows, context.outputs.sequences, context.seed)
    context.progress("fidelity", len(answer), len(answer), "answers described")
    return [Found(KIND, METHOD, described, context.seed)]


def _described(rows: Iterable[Array], clusters: bootstrap.Clusters, seed: int) -> list[Measurement]:
    wide = enumerate(row.astype(np.float64) for row in rows)
    # an answer without an entry has no mean: n says how many have one
    numbered = [(index, row.mean(), row.std(), np.sqrt(np.square(row).sum())) for index, row in wide if row.size]
    which, found = np.array([index for index, *_ in numbered]), np.array([figures for _, *figures in numbered])
    clusters = None if clusters is None else clusters[which]
    n = len(found)
    columns = {
        "output_mean": "The mean entry of an answer is {:.4g}",
        "output_spread": "The entries of an answer spread by {:.4g}",
        "output_norm_mean": "An answer has the length {:.4g}",
    }
    measured = []
    for (metric, words), values in zip(columns.items(), found.T, strict=True):
        low, high = bootstrap.interval_of_mean(values, seed, clusters)
        value = float(values.mean())
        reason = None if low is not None else bootstrap.TOO_FEW
        plain = f"{words.format(value)} on average over {n} rows."
        measured.append(Measurement(metric, value, UNIT, n, plain, low, high, deviation(values), reason))
    return measured
