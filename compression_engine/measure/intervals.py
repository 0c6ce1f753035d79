"""Intervals of 95 % confidence that need no assumption about the shape of a distribution.

Sources: order statistics for quantiles (David and Nagaraja, "Order Statistics", 7.1); percentile bootstrap (Efron 1979);
Wilson's score interval for shares (1927).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_RESAMPLES = 2000
_BLOCK = 100
_Z95 = 1.959963984540054
_OUTSIDE = 0.025


def bootstrap_mean(values: Floats, seed: int) -> tuple[float, float] | None:
    """Interval of a mean from 2,000 resamples; None for fewer than two values."""
    if len(values) < 2:
        return None
    generator = np.random.default_rng(seed)
    means = [
        values[generator.integers(0, len(values), size=(_BLOCK, len(values)))].mean(axis=1)
        for _ in range(_RESAMPLES // _BLOCK)
    ]
    low, high = np.quantile(np.concatenate(means), [_OUTSIDE, 1 - _OUTSIDE])
    return float(low), float(high)


def quantile_interval(values: Floats, share: float) -> tuple[float | None, float | None]:
    """Interval of a quantile from the values themselves; an end is None where n is too small to bound it."""
    ordered = np.sort(values)
    n = len(ordered)
    cumulative = np.cumsum([math.exp(_log_binomial(n, k, share)) for k in range(n + 1)])
    below = int(np.searchsorted(cumulative, _OUTSIDE, side="right"))  # the largest rank with P(count < rank) <= 2.5 %
    above = int(np.searchsorted(cumulative, 1 - _OUTSIDE, side="left")) + 1
    low = float(ordered[below - 1]) if below >= 1 else None
    high = float(ordered[above - 1]) if above <= n else None
    return low, high


def share_interval(successes: int, n: int) -> tuple[float, float]:
    """Wilson's interval of a share."""
    share = successes / n
    centre = (share + _Z95**2 / (2 * n)) / (1 + _Z95**2 / n)
    half = _Z95 * math.sqrt(share * (1 - share) / n + _Z95**2 / (4 * n * n)) / (1 + _Z95**2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def rarer_than(n: int) -> float:
    """With 95 % confidence, at most this share of such rows lies beyond the most extreme of n rows."""
    return float(1 - 0.05 ** (1 / n))


def quartile_range(values: Floats) -> float:
    """The distance of the quartiles."""
    low, high = np.quantile(values, [0.25, 0.75])
    return float(high - low)


def deviation(values: Floats) -> float | None:
    """The sample's standard deviation; None for fewer than two values."""
    return float(values.std(ddof=1)) if len(values) > 1 else None


def _log_binomial(n: int, k: int, share: float) -> float:
    choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return choose + k * math.log(share) + (n - k) * math.log1p(-share)
