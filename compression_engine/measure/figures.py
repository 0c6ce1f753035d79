"""Figures that several measures make alike: a share of rows, a mean over rows, cosines, spans that double.

Where rows belong to sequences (`clusters`) the intervals are made for whole sequences.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from compression_engine.data import Array
from compression_engine.measure.statistics import bootstrap
from compression_engine.measure.statistics.bootstrap import Clusters
from compression_engine.measure.statistics.intervals import (
    Floats,
    deviation,
    quantile_interval,
    rarer_than,
)
from compression_engine.result import Measurement

UNIT = "output_unit"
OTHERS: Mapping[str, str] = {"parent": "original", "incumbent": "incumbent", "first": "first approved version"}
"""How a sentence calls another model."""
_FIRST_SPAN = 32


def share(metric: str, hits: NDArray[np.bool_], clusters: Clusters, seed: int, what: str) -> Measurement:
    """A share of rows with Wilson's interval, or one from whole sequences."""
    low, high = bootstrap.interval_of_share(hits, seed, clusters)
    count, n = int(hits.sum()), len(hits)
    reason = None if low is not None else bootstrap.TOO_FEW
    return Measurement(metric, count / n, "share", n, f"{count} of {n} rows {what}.", low, high, reason=reason)


def mean(metric: str, values: Floats, unit: str, clusters: Clusters, seed: int, words: str) -> Measurement:
    """A mean over rows with its interval; `words` has a place for the value and one for n."""
    value = float(values.mean())
    low, high = bootstrap.interval_of_mean(values, seed, clusters, _within(metric, unit))
    reason = None if low is not None else bootstrap.TOO_FEW
    plain = words.format(value, len(values))
    return Measurement(metric, value, unit, len(values), plain, low, high, deviation(values), reason)


def cosine_figures(cosines: Floats, clusters: Clusters, role: str, seed: int) -> list[Measurement]:
    """Mean, least and 5 % quantile of the rows' cosines."""
    n, other = len(cosines), OTHERS[role]
    average, least, low_quantile = float(cosines.mean()), float(cosines.min()), float(np.quantile(cosines, 0.05))
    low, high = bootstrap.interval_of_mean(cosines, seed, clusters, (-1.0, 1.0))
    quantile_low, quantile_high = quantile_interval(cosines, 0.05)
    open_end = quantile_low is None or quantile_high is None
    return [
        Measurement(
            "cosine_mean",
            average,
            "cosine",
            n,
            f"On {n} rows the answers agree with the {other}'s to {average:.4f} on average (1 is identical).",
            low=low,
            high=high,
            spread=deviation(cosines),
            reason=None if low is not None else bootstrap.TOO_FEW,
        ),
        Measurement(
            "cosine_min",
            least,
            "cosine",
            n,
            f"The least agreement of any of the {n} rows is {least:.4f}; with 95 % confidence at most "
            f"{100 * rarer_than(n):.2g} % of such rows agree less.",
            reason="the least value of a sample has no interval; the sentence says how rare lower ones are",
        ),
        Measurement(
            "cosine_p05",
            low_quantile,
            "cosine",
            n,
            f"19 of 20 rows agree to {low_quantile:.4f} or better.",
            low=quantile_low,
            high=quantile_high,
            reason=f"{n} rows do not bound both ends" if open_end else None,
        ),
    ]


def largest_difference(one: Array, other: Array) -> float | None:
    """The largest distance of entries of two answers; None where their forms differ, or only one of two entries is finite."""
    if one.shape != other.shape:
        return None
    a, b = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.abs(a - b)
    apart[(a == b) | (np.isnan(a) & np.isnan(b))] = 0
    return float(apart.max(initial=0.0)) if np.isfinite(apart).all() else None


def larger_of(one: float | None, other: float | None) -> float | None:
    """The larger difference; None, which is beyond all, where either is."""
    return None if one is None or other is None else max(one, other)


def doubling_spans(longest: int) -> list[tuple[int, int]]:
    """1-32, 33-64, 65-128 and so on, doubling, as far as there is anything; ends included."""
    spans, low, high = [], 1, _FIRST_SPAN
    while low <= longest:
        spans.append((low, high))
        low, high = high + 1, high * 2
    return spans


def _within(metric: str, unit: str) -> tuple[float, float]:
    """The range that a mean can have."""
    if metric == "rank_correlation":
        return -1.0, 1.0
    if metric == "drift_along_sequence":
        return bootstrap.ANY
    return bootstrap.SHARE if unit == "share" else bootstrap.NOT_NEGATIVE
