"""Whether a promise is kept on some rows: by a lower confidence bound overall, and in every declared slice.

Rules:
- overall the bound keeps the promise, not the mean alone; `low` is the end below which the truth lies with a risk of 2.5 %;
- so does that of a slice that is large enough to show it: whose rows, all kept, would. A smaller one (of 30 rows or more) has to
  keep it in the mean, and is named with the loss that could hide in it; of fewer than 30 rows nothing is said but their number;
- what is said twice counts once: equal rows, and rows of one sequence or of equal ones, are one unit;
- every figure must hold at once, so that asking for many makes no false promise likelier; of several recipes see `verifying`;
- a mean of numbers (cosines, squared differences) of fewer than 30 units has no bound, not even where all are the same;
- the bounds of shares are Wilson's, of what labels say Tango's, also of rows that repeat each other, as many answers as differ; of
  whole sequences, tokens of texts, and numbers those of `bootstrap`; errors allow for heavy tails. Where too few sequences or texts
  differ to resample them, each counts as one answer (Wilson), which is the widest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import Column
from compression_engine.canonical import JSON, decimal_text
from compression_engine.measure.slicing import ROWS_MIN
from compression_engine.measure.statistics import bootstrap
from compression_engine.measure.statistics.intervals import Z95, Floats, paired_share_interval, share_interval
from compression_engine.searching.budget import QUALITY, Promise
from compression_engine.searching.kept import Kept

RISK = 0.025
"""The chance that the truth lies below a bound: the lower end of an interval of 95 %."""
_DIGITS = 9


@dataclass(frozen=True)
class Figure:
    """What is kept of the rows of a slice (empty: of all), how little it may be in truth, and whether that is enough."""

    measure: str
    where: tuple[str, str] | None
    rows: int
    units: int
    value: float
    low: float | None
    least: float
    by_bound: bool
    counted: bool = True
    high: float | None = None
    """How much it may be in truth: the other end of the interval of 95 %."""

    @property
    def margin(self) -> float:
        """By how much the promise is kept; negative where it is not."""
        judged = self.low if self.by_bound else self.value
        return (-1.0 if judged is None else judged) - self.least

    @property
    def holds(self) -> bool:
        """Whether the promise is kept here."""
        return self.margin >= 0

    @property
    def plain(self) -> str:
        """One sentence."""
        where = "" if self.where is None else f" where {self.where[0]} is {self.where[1]}"
        low = "no bound" if self.low is None else f"at least {self.low:.4f} by its bound"
        how = "" if self.by_bound else ", judged by the mean: too few rows for a bound"
        return f"{self.measure}{where}: {self.value:.4f} on {self.rows} rows ({low}{how}); promised {self.least:g}"

    def document(self) -> dict[str, JSON]:
        """As a record holds it; `could_hide` is the largest loss that these rows do not rule out."""
        hidden = None if self.low is None else decimal_text(round(1 - self.low, _DIGITS))
        return {
            "could_hide": None if self.measure == QUALITY else hidden,
            "holds": self.holds,
            "judged_by": "bound" if self.by_bound else "mean",
            "low": None if self.low is None else decimal_text(round(self.low, _DIGITS)),
            "measure": self.measure,
            "n": self.rows,
            "promised": decimal_text(round(self.least, _DIGITS)),
            "slice": [] if self.where is None else [{"name": self.where[0], "value": self.where[1]}],
            "units": self.units,
            "value": decimal_text(round(self.value, _DIGITS)),
        }


def figures(found: Sequence[Kept], slices: Mapping[str, Column], budget: Promise, seed: int) -> list[Figure]:
    """One figure for all rows and for each slice that has enough of them, of every measure."""
    made = []
    for entry in found:
        everything = np.ones(len(entry.values), dtype=bool)
        made.append(_figure(entry, everything, None, budget, seed))
        for name, value, member in _members(slices):
            if int((member & (entry.weights > 0)).sum()) >= ROWS_MIN:
                made.append(_figure(entry, member, (name, value), budget, seed))
    return made


def too_small(slices: Mapping[str, Column], usable: NDArray[np.bool_]) -> list[tuple[str, str, int]]:
    """The slices of which nothing is said, with their usable rows; `usable`: which rows count for a figure, [rows]."""
    sized = [(name, value, int((member & usable).sum())) for name, value, member in _members(slices)]
    return [entry for entry in sized if entry[2] < ROWS_MIN]


def rows_needed(least: float, *, counted: bool = True) -> int:
    """The fewest rows that show a share, when every one of them is kept; of a mean of numbers the fewest that have a bound."""
    return ROWS_MIN if not counted else int(np.ceil(Z95 * Z95 * least / (1 - least) - 1e-9))


def _members(slices: Mapping[str, Column]) -> list[tuple[str, str, NDArray[np.bool_]]]:
    found = []
    for name, column in slices.items():
        for code in (*range(len(column.values)), -1):
            member = np.asarray(column.codes == code)
            if member.any():
                found.append((name, "missing" if code < 0 else column.values[code], member))
    return found


def _figure(
    entry: Kept, member: NDArray[np.bool_], where: tuple[str, str] | None, budget: Promise, seed: int
) -> Figure:
    chosen = member & (entry.weights > 0)
    values, weights = entry.values[chosen], entry.weights[chosen]
    sequences = None if entry.sequences is None else entry.sequences[chosen]
    rows = len(values)
    units = rows if sequences is None else len(np.unique(sequences))
    least = budget.least(entry.measure)
    if not rows:
        return Figure(entry.measure, where, 0, 0, 0.0, None, least, by_bound=True)
    low, high = _interval(entry, values, weights, sequences, seed)
    return Figure(
        measure=entry.measure,
        where=where,
        rows=rows,
        units=units,
        value=float(values.sum() / weights.sum()),
        low=low,
        least=least,
        by_bound=where is None or _could_show(entry, units, least),
        counted=entry.counted,
        high=high,
    )


def _could_show(entry: Kept, units: int, least: float) -> bool:
    """Whether so many rows, or sequences, would keep the promise by their bound if all were kept."""
    if entry.measure == QUALITY:
        return paired_share_interval(0, 0, units)[0] >= least
    return share_interval(units, units)[0] >= least if entry.counted else units >= ROWS_MIN


def _interval(
    entry: Kept, values: Floats, weights: Floats, sequences: NDArray[np.int64] | None, seed: int
) -> tuple[float | None, float | None]:
    single = bool((weights == 1).all()) and sequences is None
    if single and entry.counted:
        return share_interval(float(values.sum()), len(values))
    units = len(values) if sequences is None else len(np.unique(sequences))
    alike = bool((weights == 1).all()) and (sequences is None or _all_alike(values, sequences))
    if entry.measure == QUALITY and alike and bool(np.isin(values, (-1, 0, 1)).all()):
        # rows that repeat others count once: as many answers as differ, in the shares in which the rows have them
        lost, won = (units * float((values == sign).mean()) for sign in (-1, 1))
        return paired_share_interval(lost, won, units)
    if entry.counted and alike:
        return share_interval(units * float(values.mean()), units)
    if entry.measure == QUALITY:
        return bootstrap.interval_of_mean(values, seed, sequences, (-1.0, 1.0))
    if entry.counted:
        found = bootstrap.interval_of_ratio(values, weights, seed, sequences, bootstrap.SHARE)
        return share_interval(units * float(values.sum() / weights.sum()), units) if found[0] is None else found
    if len(values if sequences is None else np.unique(sequences)) < ROWS_MIN:
        return None, None  # so few errors say nothing of what is rare, however small they are
    least, most = bootstrap.interval_of_errors(np.maximum(0.0, 1 - values), seed, sequences)[0]
    return None if most is None else 1 - most, None if least is None else 1 - least


def _all_alike(values: Floats, sequences: NDArray[np.int64]) -> bool:
    """Whether rows of one unit all have one value: rows that repeat each other do, those along a recording need not."""
    order = np.argsort(sequences, kind="stable")
    same_unit = np.diff(sequences[order]) == 0
    return bool((np.diff(values[order])[same_unit] == 0).all())
