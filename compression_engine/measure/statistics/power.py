"""The smallest loss that a comparison could have seen: no finding means little where only a disaster would have been found.

Two-sided at 5 %, or with `tail` at another chance of a false finding on the side of a loss; seen in 80 of 100 repetitions.
Sources: for paired shares the normal approximation of McNemar's test (Miettinen 1968; Connor 1987), solved for the
difference at the discordance that was seen, never below what the exact test needs; for means the sum of both quantiles of
Student's t in standard errors (a close approximation of the noncentral t; Julious 2004).
"""

from __future__ import annotations

import math
from statistics import NormalDist

POWER = 0.8
TAIL = 0.025
_Z_POWER = NormalDist().inv_cdf(POWER)


def smallest_share_loss(discordant: int, n: int, tail: float = TAIL) -> float | None:
    """Share of rows; `discordant` of `n` rows flipped in either direction. None where even losing every row shows nothing."""
    least = _least_one_way(n, flips_least(tail))
    if least is None:
        return None
    z = NormalDist().inv_cdf(1 - tail)
    psi = discordant / n
    # sqrt(n) d = z_a sqrt(psi) + z_b sqrt(psi - d^2), squared and solved for its larger root
    root = z * math.sqrt(n * psi)
    inside = root**2 - (n + _Z_POWER**2) * (z**2 - _Z_POWER**2) * psi
    found = (root + math.sqrt(max(0.0, inside))) / (n + _Z_POWER**2)
    return min(1.0, max(least, found))


def smallest_mean_loss(error: float, units: int, tail: float = TAIL) -> float:
    """In the unit of the mean; `error` is the standard error of the paired difference of so many units, two at least."""
    from scipy.stats import t

    return float(t.ppf(1 - tail, units - 1) + t.ppf(POWER, units - 1)) * error


def flips_least(tail: float) -> int:
    """How many flips, all of them losses, the exact test needs: six at 5 % two-sided, since 0.5**6 = 0.016 is below 0.025."""
    return math.ceil(-math.log2(tail))


def _least_one_way(n: int, flips: int) -> float | None:
    """The share of lost rows, none being won, of which at least so many among n are lost in 80 of 100 repetitions."""
    if n < flips:
        return None
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if _so_many_lost(n, middle, flips) >= POWER else (middle, high)
    return high


def _so_many_lost(n: int, share: float, flips: int) -> float:
    fewer = (math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(flips))
    return 1 - math.fsum(fewer)
