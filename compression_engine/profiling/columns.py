"""What each column of a table holds: what is missing, how many values differ, which lie far from the rest, how it moved.

Outliers of numbers: the modified z-score, 0.6745 |x - median| / MAD beyond 3.5 (Iglewicz and Hoaglin, How to Detect and Handle
Outliers, 1993); where more than half of the values are one and the same (MAD 0), beyond three interquartile ranges of the
quartiles (Tukey, Exploratory Data Analysis, 1977). An array in each row counts by its distance from the array of medians, where
that is large.
Shift: the population stability index, sum of (a - b) ln(a / b) over ten bins with the earlier deciles as edges (Lewis, An
Introduction to Credit Scoring, 1994); half a row is added to each bin, so that an empty one gives a number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compression_engine.data.mapped import blocks
from compression_engine.data.rows import Array
from compression_engine.profiling.table import Cells

Z_LIMIT = 3.5
FENCE_WIDTHS = 3.0
_Z_FACTOR = 0.6745
_MEDIAN_ROWS_MAX = 10_000
_CATEGORIES_MAX = 50
_DECILES = np.arange(1, 10) / 10
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class ColumnFacts:
    """One column. What does not apply is None."""

    name: str
    kind: str
    shape: tuple[int, ...]
    missing: int
    distinct: int | None
    constant: bool
    minimum: float | None
    median: float | None
    maximum: float | None
    outliers: int | None
    outlier_rule: str | None


def facts_of(cells: Cells) -> tuple[ColumnFacts, Bools]:
    """The facts of a column, and which rows hold an outlier of it."""
    gaps = cells.missing()
    none = np.zeros(len(gaps), dtype=bool)
    if cells.codes is not None:
        distinct = len(np.unique(cells.codes[~gaps]))
        made = ColumnFacts(cells.name, cells.kind, (), int(gaps.sum()), distinct, distinct <= 1, *[None] * 5)
        return made, none
    numbers = cells.numbers
    assert numbers is not None
    if numbers.ndim > 1:
        far, rule = _far(distances(numbers, gaps), gaps, above_only=True)
        constant = bool(all((numbers[part] == numbers[:1]).all() for part in blocks(numbers)))
        count = None if rule is None else int(far.sum())
        shape = tuple(int(size) for size in numbers.shape[1:])
        facts = ColumnFacts(
            cells.name, cells.kind, shape, int(gaps.sum()), None, constant, None, None, None, count, rule
        )
        return facts, far
    there = numbers[~gaps].astype(np.float64)
    if not len(there):
        return ColumnFacts(cells.name, cells.kind, (), int(gaps.sum()), 0, True, *[None] * 5), none
    distinct = len(np.unique(there))
    far, rule = _far(numbers.astype(np.float64), gaps)
    low, middle, high = float(there.min()), float(np.median(there)), float(there.max())
    count = None if rule is None else int(far.sum())
    made = ColumnFacts(
        cells.name, cells.kind, (), int(gaps.sum()), distinct, distinct == 1, low, middle, high, count, rule
    )
    return made, far


def _far(values: Floats, gaps: Bools, *, above_only: bool = False) -> tuple[Bools, str | None]:
    """Which values lie far from the rest, and by which rule; None where the rest has no spread to measure by."""
    there = values[~gaps]
    far = np.zeros(len(values), dtype=bool)
    if len(there) < 2:
        return far, None
    middle = float(np.median(there))
    spread = float(np.median(np.abs(there - middle)))
    if spread > 0:
        score = _Z_FACTOR * (there - middle) / spread
        far[~gaps] = score > Z_LIMIT if above_only else np.abs(score) > Z_LIMIT
        return far, "modified_z_score"
    low, high = np.quantile(there, [0.25, 0.75])
    if high <= low:
        return far, None
    fence = FENCE_WIDTHS * (high - low)
    far[~gaps] = (there > high + fence) | ((there < low - fence) & (not above_only))
    return far, "interquartile_fence"


def distances(numbers: Array, gaps: Bools) -> Floats:
    """Of each row's array the distance from the array of medians (over at most 10,000 rows, evenly taken), [rows]."""
    found = np.zeros(len(numbers))
    usable = np.flatnonzero(~gaps)
    if not len(usable):
        return found
    chosen = usable[:: max(1, -(-len(usable) // _MEDIAN_ROWS_MAX))]
    middle = np.median(np.asarray(numbers[chosen], dtype=np.float64).reshape(len(chosen), -1), axis=0)
    for part in blocks(numbers):
        block = np.asarray(numbers[part], dtype=np.float64)
        found[part] = np.sqrt(((block.reshape(len(block), -1) - middle) ** 2).sum(axis=1))
    return found


def shift(cells: Cells, before: Cells) -> tuple[float | None, str | None]:
    """The population stability index of a column against its earlier self; None with the reason where it has no answer."""
    if (cells.codes is None) != (before.codes is None):
        return None, f"the column was {before.kind} and is {cells.kind}"
    if cells.codes is not None:
        return _shift_of_words(cells, before)
    now, then = _level(cells), _level(before)
    if not len(now) or not len(then):
        return None, "one of the two has no value"
    edges = np.unique(np.quantile(then, _DECILES))
    return _psi(
        *(np.bincount(np.searchsorted(edges, part, side="right"), minlength=len(edges) + 1) for part in (now, then))
    ), None


def _level(cells: Cells) -> Floats:
    """The numbers that are there; of arrays the mean of each row's."""
    assert cells.numbers is not None
    gaps = cells.missing()
    if cells.numbers.ndim == 1:
        return cells.numbers[~gaps].astype(np.float64)
    made = np.zeros(len(gaps))
    for part in blocks(cells.numbers):
        block = np.asarray(cells.numbers[part], dtype=np.float64)
        made[part] = block.reshape(len(block), -1).mean(axis=1)
    return made[~gaps]


def _shift_of_words(cells: Cells, before: Cells) -> tuple[float | None, str | None]:
    """Over the values, the fifty most frequent ones by name; of free text over the lengths."""
    assert before.codes is not None
    now, then = (_counts(one) for one in (cells, before))
    if not now or not then:
        return None, "one of the two has no value"
    if len(then) > _CATEGORIES_MAX and len(then) > len(before.codes) // 2:
        return shift(_lengths(cells), _lengths(before))
    named = sorted(then, key=lambda value: (-then[value], value))[:_CATEGORIES_MAX]
    columns = []
    for found in (now, then):
        inside = [found.get(value, 0) for value in named]
        columns.append(np.array([*inside, sum(found.values()) - sum(inside)]))
    return _psi(*columns), None


def _lengths(cells: Cells) -> Cells:
    known = np.array([*(float(len(value)) for value in cells.values), np.nan])
    return Cells(cells.name, "number", numbers=known[cells.codes])


def _counts(cells: Cells) -> dict[str, int]:
    assert cells.codes is not None
    found = np.bincount(cells.codes[cells.codes >= 0], minlength=len(cells.values))
    return {value: int(count) for value, count in zip(cells.values, found, strict=True) if count}


def _psi(now: NDArray[np.int64], then: NDArray[np.int64]) -> float:
    a, b = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (now, then))
    return float(((a - b) * np.log(a / b)).sum())
