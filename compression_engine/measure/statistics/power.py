"""The smallest loss that a comparison could have seen: no finding means little where only a disaster would have been found.

Two-sided at 5 %, seen in 80 of 100 repetitions.
Sources: for paired shares the normal approximation of McNemar's test (Miettinen 1968; Connor 1987), solved for the
difference at the discordance that was seen, never below what the exact test needs; for means the normal approximation.
"""

from __future__ import annotations

import math

from compression_engine.measure.statistics.intervals import Z95

POWER = 0.8
_Z_POWER = 0.8416212335729143
_FLIPS_LEAST = 6
"""All of six flips must go one way before the exact two-sided test falls below 5 %: 2 * 0.5**6 = 0.031."""


def smallest_share_loss(discordant: int, n: int) -> float | None:
    """Share of rows; `discordant` of `n` rows flipped in either direction. None where even losing every row shows nothing."""
    if n < _FLIPS_LEAST:
        return None
    least = _least_one_way(n)
    if least is None:
        return None
    psi = discordant / n
    # sqrt(n) d = z_a sqrt(psi) + z_b sqrt(psi - d^2), squared and solved for its larger root
    root = Z95 * math.sqrt(n * psi)
    inside = root**2 - (n + _Z_POWER**2) * (Z95**2 - _Z_POWER**2) * psi
    found = (root + math.sqrt(max(0.0, inside))) / (n + _Z_POWER**2)
    return min(1.0, max(least, found))


def smallest_mean_loss(error: float) -> float:
    """In the unit of the mean; `error` is the standard error of the paired difference."""
    return (Z95 + _Z_POWER) * error


def _least_one_way(n: int) -> float | None:
    """The share of lost rows, none being won, of which at least six among n are lost in 80 of 100 repetitions."""
    if _six_lost(n, 1.0) < POWER:
        return None
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if _six_lost(n, middle) >= POWER else (middle, high)
    return high


def _six_lost(n: int, share: float) -> float:
    if share >= 1:
        return 1.0 if n >= _FLIPS_LEAST else 0.0
    if share <= 0:
        return 0.0
    fewer = (math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(_FLIPS_LEAST))
    return 1 - math.fsum(fewer)
