"""Quality of a regression: mean absolute error, root mean squared error, coefficient of determination.

Definitions are scikit-learn's; with several numbers a row each is judged by itself and the figures are averaged.
Intervals from 2,000 resamples of rows, or of whole sequences where rows belong to such. Where errors have heavy tails, what is
rare and large may be in none of the rows: the intervals of the errors then allow for larger ones than were seen, and say so.
How often they hold the truth is measured by `tests.bench evaluation`: with errors after Student's t of 5 and 4 degrees of
freedom in about 95 of 100 cases (92 without that), of 3, whose squares have no variance, in about 92 (83 without).
"""

from __future__ import annotations

import math

import numpy as np

from compression_engine.answers.outputs import Outputs
from compression_engine.measure import scores
from compression_engine.measure.statistics import bootstrap
from compression_engine.measure.statistics.intervals import Floats, deviation
from compression_engine.plan import Plan
from compression_engine.result import Measurement

_ENTRIES_MAX = 16
UNIT = "output_unit"


def figures(outputs: Outputs, role: str, plan: Plan, seed: int, who: str) -> list[Measurement]:
    """All figures of one model; errors are in the unit of the labels."""
    errors, right = scores.residuals(outputs, role), scores.targets(outputs)
    n = len(errors)
    absolute = np.abs(errors).mean(axis=1)
    mean = float(absolute.mean())
    (low, high), reason = bootstrap.interval_of_errors(absolute, seed, outputs.sequences)
    plain = f"{who} is off by {mean:.4g} on average ({n} rows)."
    return [
        Measurement("mean_absolute_error", mean, UNIT, n, plain, low, high, deviation(absolute), reason),
        _root(errors, seed, outputs.sequences, who),
        _determination(errors, right, seed, outputs.sequences, who),
    ]


def _root(errors: Floats, seed: int, clusters: bootstrap.Clusters, who: str) -> Measurement:
    squares = np.square(errors)
    value = float(_mean_root(*squares.mean(axis=0)))
    low, high, reason = _root_interval(squares, value, seed, clusters)
    plain = f"{who} has a root mean squared error of {value:.4g} ({len(errors)} rows)."
    return Measurement("root_mean_squared_error", value, UNIT, len(errors), plain, low, high, reason=reason)


def _root_interval(
    squares: Floats, value: float, seed: int, clusters: bootstrap.Clusters
) -> tuple[float | None, float | None, str | None]:
    if squares.shape[1] == 1:  # the root of a mean, whose interval holds for skewed squares too
        ends, reason = bootstrap.interval_of_errors(squares[:, 0], seed, clusters)
        low, high = (None if end is None else math.sqrt(end) for end in ends)
        return low, high, reason
    low, high, reason = _interval(list(squares.T), _mean_root, squares.shape[1], seed, clusters)
    if low is None or high is None or value == 0:
        return low, high, reason
    roots = np.sqrt(squares.mean(axis=0))
    # what each row adds to the mean of the roots, to first order: the mean over rows is that figure itself
    added = np.divide(squares, 2 * roots, out=np.zeros(squares.shape), where=roots > 0).mean(axis=1) + value / 2
    ends, reason = bootstrap.interval_of_errors(added, seed, clusters, (low, high))
    return *ends, reason


def _determination(errors: Floats, right: Floats, seed: int, clusters: bootstrap.Clusters, who: str) -> Measurement:
    centred = right - right.mean(axis=0)
    entries, n = right.shape[1], len(right)
    if n < 2 or not bool((np.square(centred).sum(axis=0) > 0).all()):
        plain = f"{who} has no R² on these {n} rows: their labels do not vary."
        return Measurement("r2", None, "share", n, plain, reason="the labels do not vary")
    columns = [*np.square(errors).T, *centred.T, *np.square(centred).T]

    def explained(*means: Floats) -> Floats:
        lost, middle, spread = means[:entries], means[entries : 2 * entries], means[2 * entries :]
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = [1 - a / (c - np.square(b)) for a, b, c in zip(lost, middle, spread, strict=True)]
        return np.asarray(np.mean(shares, axis=0))

    value = float(np.mean(1 - np.square(errors).sum(axis=0) / np.square(centred).sum(axis=0)))
    low, high, reason = _interval(columns, explained, entries, seed, clusters)
    plain = f"{who} explains {value:.1%} of the variance of the labels ({n} rows)."
    return Measurement("r2", value, "share", n, plain, low, high, reason=reason)


def _mean_root(*means: Floats) -> Floats:
    return np.asarray(np.mean(np.sqrt(means), axis=0))


def _interval(
    columns: list[Floats], figure: bootstrap.Figure, entries: int, seed: int, clusters: bootstrap.Clusters
) -> tuple[float | None, float | None, str | None]:
    if entries > _ENTRIES_MAX:
        return None, None, f"no interval for more than {_ENTRIES_MAX} numbers a row"
    low, high = bootstrap.interval_of_means(columns, figure, seed, clusters)
    return low, high, bootstrap.TOO_FEW if low is None else None
