"""Which rows the version lost and won against another model, whether that is chance, and where the lost ones go.

Rules:
- a row is lost where the other model is right and the version wrong, won the other way round; all else is no flip;
- destinations are judged by the other model's own doubts: an ordinary loss goes where the other model was already unsure,
  a backdoor or a collapsed class draws rows from everywhere to one place. Only an excess of more than 25 points over what
  those doubts let expect counts: rounding that tilts a net a little draws some losses one way, too (a net for digits, its
  weights disturbed until 8 of 100 rows were lost, stayed below it in 60 of 60 trials). With two classes there is one place
  to go, and the slices by answer say who pays.
Sources: McNemar (1947); exact below 25 discordant rows, else mid-p (Fagerland, Lydersen and Laake 2013).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compression_engine.measure.statistics.intervals import Floats
from compression_engine.measure.statistics.multiplicity import holm

EXACT_BELOW = 25
ORDINARY_EXCESS = 0.25


@dataclass(frozen=True)
class Flips:
    """How many of `n` rows flipped."""

    n: int
    lost: int
    won: int


@dataclass(frozen=True)
class Destination:
    """A class that lost rows go to: how many of `lost` do, the share that doubts let expect, the p-value of the excess."""

    to: int
    count: int
    lost: int
    expected: float
    p: float


def count_flips(ours: Floats, theirs: Floats) -> Flips:
    """Flips between two arrays [rows] of 0 (wrong) and 1 (right)."""
    return Flips(len(ours), int(((theirs == 1) & (ours == 0)).sum()), int(((theirs == 0) & (ours == 1)).sum()))


def mcnemar(lost: int, won: int) -> float:
    """The two-sided p-value of as many lost and won rows if each flip went either way by chance."""
    return min(1.0, 2 * _tail(max(lost, won), lost + won))


def mcnemar_loss(lost: int, won: int) -> float:
    """The one-sided p-value against a loss."""
    return _tail(lost, lost + won)


def most_frequent_pairs(sources: NDArray[np.intp], targets: NDArray[np.intp]) -> list[tuple[int, int, int]]:
    """(from, to, rows), the most frequent first, then by class."""
    if not len(sources):
        return []
    pairs, counts = np.unique(np.stack([sources, targets], axis=1), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [(int(pairs[i, 0]), int(pairs[i, 1]), int(counts[i])) for i in order]


def doubts(probabilities: Floats, right: NDArray[np.intp]) -> Floats:
    """Of each row, how the probability that the right class leaves is spread over the others: [rows, classes], sums of 1."""
    rows, classes = probabilities.shape
    spread = np.clip(probabilities, 0.0, None).astype(np.float64)
    spread[np.arange(rows), right] = 0.0
    left = spread.sum(axis=1, keepdims=True)
    even = np.full_like(spread, 1 / max(1, classes - 1))
    even[np.arange(rows), right] = 0.0
    certain = left <= 1e-30  # no doubt is left to go by: any other class alike
    return np.where(certain, even, spread / np.where(certain, 1.0, left))


def judge_destinations(targets: NDArray[np.intp], shares: Floats) -> list[Destination]:
    """Every destination with its excess, by ascending p-value (Holm over the destinations), then by excess.

    `targets` [lost] are the version's answers to the lost rows, `shares` [classes] the other model's doubts there,
    on average.
    The p-value is binomial, exact, of at least as many rows where the share is the expected one and 25 points more.
    """
    from scipy.stats import binom

    lost, classes = len(targets), len(shares)
    if classes < 3 or not lost:
        return []
    counts = np.bincount(targets, minlength=classes)
    allowed = np.minimum(1.0, shares + ORDINARY_EXCESS)
    adjusted = holm(binom.sf(counts - 1, lost, allowed).tolist())
    found = [Destination(to, int(counts[to]), lost, float(shares[to]), adjusted[to]) for to in range(classes)]
    return sorted(found, key=lambda entry: (entry.p, entry.expected - entry.count / lost))


def _tail(flips: int, discordant: int) -> float:
    """P(at least `flips` of `discordant` fair coins), with half the weight on equality where there are many."""
    from scipy.stats import binom

    if not discordant:
        return 1.0
    tail = float(binom.sf(flips - 1, discordant, 0.5))
    return tail if discordant < EXACT_BELOW else tail - 0.5 * float(binom.pmf(flips, discordant, 0.5))
