"""Intervals of 95 % confidence that need no assumption about the shape of a distribution.

Sources: order statistics for quantiles (David and Nagaraja, "Order Statistics", 7.1); Wilson's score interval
for shares (1927); Tango's score interval for the difference of paired shares (1998); for differences and ratios of independent
quantities the variance estimates recovered from their own limits (Newcombe 1998, method 10; Zou and Donner 2008, for ratios on
the scale of logarithms).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Z95 = 1.959963984540054
_OUTSIDE = 0.025


@dataclass(frozen=True)
class Estimate:
    """A value with the limits of its interval."""

    value: float
    low: float
    high: float


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


def share_interval(successes: float, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's interval of a share; `z` is the normal quantile of another confidence."""
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n * n)) / (1 + z**2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def paired_share_interval(lost: float, won: float, n: int, z: float = Z95) -> tuple[float, float]:
    """Tango's score interval of (won - lost) / n, where both stand on the same n rows.

    It keeps its promise where rows rarely differ, and bounds the difference even where none differs (there a bootstrap
    would claim certainty).
    """
    estimate = (won - lost) / n
    low = _crossing(lambda delta: _tango(lost, won, n, delta) > z, -1.0, estimate)
    high = _crossing(lambda delta: _tango(lost, won, n, delta) > -z, estimate, 1.0)
    return low, high


def difference_interval(a: Estimate, b: Estimate) -> tuple[float, float]:
    """Interval of a - b for independent quantities of which value and limits are known."""
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    return low, value + math.hypot(a.high - a.value, b.value - b.low)


def ratio_interval(a: Estimate, b: Estimate) -> tuple[float, float] | None:
    """Interval of a / b for independent quantities that are not negative, on the scale of logarithms; None where b may be 0."""
    if b.low <= 0 or a.high <= 0:
        return None
    if a.value <= 0 or a.low <= 0:
        return 0.0, a.high / b.low  # cautious: the corner of both intervals
    ratio = a.value / b.value
    low = ratio * math.exp(-math.hypot(math.log(a.value / a.low), math.log(b.high / b.value)))
    return low, ratio * math.exp(math.hypot(math.log(a.high / a.value), math.log(b.value / b.low)))


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


def _tango(lost: float, won: float, n: int, delta: float) -> float:
    """The score statistic of a difference `delta`, falling in delta; the nuisance share is its maximum-likelihood value."""
    linear = -won - lost + (2 * n - won + lost) * delta
    constant = -lost * delta * (1 - delta)
    share = (math.sqrt(max(0.0, linear * linear - 8 * n * constant)) - linear) / (4 * n)
    variance = n * (2 * share + delta * (1 - delta))
    distance = won - lost - n * delta
    if abs(distance) < 1e-12:
        return 0.0
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)


def _crossing(above: Callable[[float], bool], low: float, high: float) -> float:
    """Where a falling condition turns false between two ends, to the last digits."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if above(middle) else (low, middle)
    return (low + high) / 2
