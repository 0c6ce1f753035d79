"""Two models' scores of the same rows, compared on all rows and on slices: difference, interval, flips, chance, power.

Rules:
- what is right or wrong is counted (Tango's interval, McNemar's test); all else is a mean or a ratio of sums, with the
  studentised bootstrap and Student's t; rows of one sequence depend on each other, so there sequences count, not rows;
- differences without bounds whose tails are heavy have an interval that allows for these, and say so (`tails`);
- a difference is the version's figure minus the other's; a loss is positive where the version is worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from compression_engine.measure.statistics.flips import Flips, count_flips, mcnemar, mcnemar_loss
from compression_engine.measure.statistics.intervals import Floats, paired_share_interval
from compression_engine.measure.statistics.power import TAIL, smallest_mean_loss, smallest_share_loss
from compression_engine.measure.statistics.resampling import (
    Ratio,
    Whole,
    ratio_of,
    studentised_intervals,
    summed,
    units_of,
)
from compression_engine.measure.statistics.tails import allowing_for_tails

Member = Callable[[], NDArray[np.bool_]]


@dataclass(frozen=True)
class Pair:
    """Scores of the version and of another model, [rows]; `weights` [rows] where the figure is a ratio of two sums."""

    metric: str
    unit: str
    higher_is_better: bool
    ours: Floats
    theirs: Floats
    weights: Floats | None = None
    sequences: Whole | None = None

    @property
    def loss(self) -> Floats:
        """By how much the version is worse; [rows]."""
        return self.theirs - self.ours if self.higher_is_better else self.ours - self.theirs

    @property
    def counted(self) -> bool:
        """Whether rows are right or wrong, each for itself."""
        plain = self.higher_is_better and self.weights is None and self.sequences is None
        return plain and all(bool(((a == 0) | (a == 1)).all()) for a in (self.ours, self.theirs))


@dataclass(frozen=True)
class Compared:
    """The outcome on some rows. `p` is two-sided, `p_loss` one-sided against a loss."""

    n: int
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_loss: float | None
    spread: float | None
    flips: Flips | None = None
    ratio: Ratio | None = None
    higher_is_better: bool = True
    reason: str | None = None
    """What speaks against trusting the interval; None where nothing does."""

    @property
    def certain_loss(self) -> float:
        """The least loss within the interval, negative where none is certain: what slices are ranked by."""
        if self.low is None or self.high is None:
            return -math.inf
        return -self.high if self.higher_is_better else self.low

    @property
    def possible_loss(self) -> float:
        """The largest loss within the interval."""
        if self.low is None or self.high is None:
            return math.inf
        return -self.low if self.higher_is_better else self.high

    def smallest_among(self, questions: int) -> float | None:
        """The smallest loss that would be seen four times in five where so many slices are tested, one-sided."""
        return self._smallest(0.05 / max(1, questions))

    def _smallest(self, tail: float) -> float | None:
        if self.flips is not None:
            return smallest_share_loss(self.flips.lost + self.flips.won, self.n, tail)
        if self.ratio is None or not self.ratio.error:
            return None
        return smallest_mean_loss(self.ratio.error, self.ratio.units, tail)

    @property
    def smallest(self) -> float | None:
        """The smallest loss that would be seen four times in five, at 5 % two-sided."""
        return self._smallest(TAIL)

    def simultaneous(self, questions: int) -> tuple[float | None, float | None]:
        """The interval that holds the worst of so many slices too (Bonferroni), however it was picked."""
        tail = 0.025 / max(1, questions)
        if self.flips is not None:
            return paired_share_interval(self.flips.lost, self.flips.won, self.n, NormalDist().inv_cdf(1 - tail))
        if self.ratio is None or not self.ratio.error:
            return None, None
        from scipy.stats import t

        half = float(t.ppf(1 - tail, self.ratio.units - 1)) * self.ratio.error
        return self.difference - half, self.difference + half


def compare(pair: Pair, members: Sequence[Member], seed: int) -> list[Compared]:
    """Compares on the rows of each member; every one holds at least one row."""
    if pair.counted:
        return [_counted(pair, member()) for member in members]
    rows = len(pair.ours)
    units = units_of(rows, pair.sequences, seed)
    count = rows if units is None else int(units.max(initial=-1)) + 1
    values = pair.ours - pair.theirs
    weights = np.ones(rows) if pair.weights is None else pair.weights

    def sums(member: Member) -> tuple[Floats, Floats]:
        inside = member()
        return summed(values * inside, units, count), summed(weights * inside, units, count)

    makers = [lambda member=member: sums(member) for member in members]
    intervals = studentised_intervals(makers, count, seed)
    return [_averaged(pair, m(), sums(m), ends, seed) for m, ends in zip(members, intervals, strict=True)]


def _counted(pair: Pair, inside: NDArray[np.bool_]) -> Compared:
    flips = count_flips(pair.ours[inside], pair.theirs[inside])
    low, high = paired_share_interval(flips.lost, flips.won, flips.n)
    difference, discordant = (flips.won - flips.lost) / flips.n, flips.lost + flips.won
    return Compared(
        flips.n,
        difference,
        low,
        high,
        mcnemar(flips.lost, flips.won),
        mcnemar_loss(flips.lost, flips.won),
        math.sqrt(max(0.0, discordant / flips.n - difference**2)),
        flips,
    )


def _averaged(
    pair: Pair, inside: NDArray[np.bool_], sums: tuple[Floats, Floats], interval: tuple[float, float] | None, seed: int
) -> Compared:
    n, ratio = int(inside.sum()), ratio_of(*sums)
    p = p_loss = reason = None
    if ratio.error is not None:
        loss = -ratio.value if pair.higher_is_better else ratio.value
        p, p_loss = _student(loss, ratio.error, ratio.units)
    if interval is not None and pair.unit != "share":
        interval, reason = allowing_for_tails(*sums, interval, seed)
    low, high = interval or (None, None)
    better = pair.higher_is_better
    return Compared(n, ratio.value, low, high, p, p_loss, _spread(pair, inside, ratio), None, ratio, better, reason)


def _spread(pair: Pair, inside: NDArray[np.bool_], ratio: Ratio) -> float | None:
    """The standard deviation of the rows' differences; for a ratio of sums that of what each row moves it by, in its unit."""
    values = (pair.ours - pair.theirs)[inside]
    if len(values) < 2:
        return None
    if pair.weights is None:
        return float(values.std(ddof=1))
    weights = pair.weights[inside]
    mean = float(weights.mean())
    return float((values - ratio.value * weights).std(ddof=1)) / mean if mean else None


def _student(loss: float, error: float, units: int) -> tuple[float, float]:
    """Two-sided and one-sided p-values of a mean; where nothing varies, of so many equal signs."""
    from scipy.stats import t

    if error == 0:
        signs = 0.5**units if loss else 0.5
        return min(1.0, 2 * signs), signs if loss > 0 else 1.0
    return 2 * float(t.sf(abs(loss) / error, units - 1)), float(t.sf(loss / error, units - 1))
