"""Draws rows again, paired, for many slices at once, fast and in bounded memory.

Rules:
- both models' figures of one resample stand on the same rows; what is drawn is a row, or a whole sequence where rows of one
  sequence depend on each other;
- counts are drawn as counts (a multinomial of the table of outcomes), never row by row;
- sums are of whole numbers below 2**53 (values in fixed point, 35 bits for 100,000 units, more for fewer), so that neither the
  order of summation nor the number of threads changes a bit of any figure; what is summed are distances from the ratio, so
  that a spread that is small beside its mean is not lost;
- values that differ by no more than arithmetic rounds away do not differ;
- scipy makes it fast where slices are many; on a serving host, which has none, numpy gives the same bits;
- beyond 100,000 rows or sequences random groups of them, of equal size, are drawn: means and their spread are the same.
Sources: Efron (1979); the studentised interval, second-order exact for means (Hall 1988; DiCiccio and Efron 1996); the
error of a ratio by linearisation, clustered (Cochran, "Sampling Techniques", 6.4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.measure.statistics.intervals import Floats

RESAMPLES = 2000
UNITS_MAX = 100_000
_BLOCK_BYTES = 24_000_000
_ENTRIES_MAX = 1_000_000
_BITS = 52
"""Of a sum of whole numbers: what the number of units takes of them, their entries cannot have."""
_COLUMNS = 5
_OUTSIDE = 0.025
_ROUNDING = 1e-12
Whole = NDArray[np.int64]
Counts = NDArray[np.uint8]


@dataclass(frozen=True)
class Ratio:
    """sum(values) / sum(weights) over units, its standard error by linearisation, and how many units are part of it."""

    value: float
    error: float | None
    units: int

    @property
    def centre(self) -> float:
        """The value, 0 where there is none."""
        return 0.0 if math.isnan(self.value) else self.value


def bootstrap_counts(tables: Whole, seed: int, resamples: int = RESAMPLES) -> Whole:
    """[resamples, tables, cells] from counts [tables, cells]; the total of each table stays what it is."""
    generator = np.random.default_rng(seed)
    drawn = np.empty((resamples, *tables.shape), dtype=np.int64)
    for place, table in enumerate(tables):
        total = int(table.sum())
        drawn[:, place] = generator.multinomial(total, table / max(1, total), size=resamples) if total else 0
    return drawn


def ratio_of(values: Floats, weights: Floats) -> Ratio:
    """The ratio of two sums over units; no error for fewer than two units."""
    carrying = (weights != 0) | (values != 0)
    units, total = int(carrying.sum()), float(weights.sum())
    if not total:
        return Ratio(math.nan, None, 0)
    value = float(values.sum()) / total
    if units < 2:
        return Ratio(value, None, units)
    residuals = values[carrying] - value * weights[carrying]
    if float(np.abs(residuals).max()) <= _ROUNDING * float(np.abs(values).max()):
        return Ratio(value, 0.0, units)
    # not a product of vectors: a BLAS with more threads would add up in another order
    error = math.sqrt(float(np.square(residuals).sum()) * units / (units - 1)) / total
    return Ratio(value, error, units)


def units_of(rows: int, sequences: Whole | None, seed: int) -> Whole | None:
    """The number of the unit that each row belongs to; None where each row is one."""
    if sequences is None and rows <= UNITS_MAX:
        return None
    numbers = np.arange(rows) if sequences is None else np.unique(sequences, return_inverse=True)[1].reshape(-1)
    count = int(numbers.max(initial=-1)) + 1
    if count <= UNITS_MAX:
        return numbers.astype(np.int64)
    groups = np.arange(count, dtype=np.int64) % UNITS_MAX
    np.random.default_rng(seed).shuffle(groups)
    return groups[numbers]


def summed(values: Floats, units: Whole | None, count: int) -> Floats:
    """Sums [units] of values [rows]."""
    if units is None:
        return values
    return np.bincount(units, weights=values, minlength=count).astype(np.float64)


def studentised_intervals(
    slices: Sequence[Callable[[], tuple[Floats, Floats]]], units: int, seed: int, resamples: int = RESAMPLES
) -> list[tuple[float, float] | None]:
    """95 % intervals of sum(values) / sum(weights) of each slice, all from the same draws of units.

    A slice gives its (values, weights) [units] when asked, so that only a few stand in memory. None where the units of a
    slice are fewer than two, do not differ, or so few differ that an end is not bounded.
    """
    if not slices or not units:
        return [None] * len(slices)
    sums = np.zeros((len(slices), _COLUMNS, resamples))
    ratios: dict[int, Ratio] = {}
    width = max(1, _ENTRIES_MAX // units)
    for done, counts in _draws(units, seed, resamples):
        for start in range(0, len(slices), width):
            chunk = [make() for make in slices[start : start + width]]
            if not done:
                ratios |= {start + place: ratio_of(*pair) for place, pair in enumerate(chunk)}
            centred = [(values - ratios[start + place].centre * weights, weights)
                       for place, (values, weights) in enumerate(chunk)]  # fmt: skip
            sums[start : start + len(chunk), :, done : done + len(counts)] = _weighted_sums(counts, centred)
    return [_studentised(ratios[place], sums[place]) for place in range(len(slices))]


def _draws(units: int, seed: int, resamples: int) -> Iterator[tuple[int, Counts]]:
    """Blocks of how often each unit is drawn, [resamples of the block, units], with the number of the block's first."""
    generator = np.random.default_rng(seed)
    block = max(1, _BLOCK_BYTES // units)
    for done in range(0, resamples, block):
        # one byte is enough: of n draws among n, more than 255 of one unit do not happen
        counts = np.empty((min(block, resamples - done), units), dtype=np.uint8)
        step = max(1, _ENTRIES_MAX // units)
        for start in range(0, len(counts), step):
            here = counts[start : start + step]
            drawn = generator.integers(0, units, size=here.shape)
            drawn += np.arange(len(here))[:, None] * units
            here[:] = np.bincount(drawn.reshape(-1), minlength=here.size).reshape(here.shape)
        yield done, counts


def _weighted_sums(counts: Counts, chunk: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Sums of values, weights, values squared, values times weights and weights squared: [slices, 5, resamples]."""
    plain = all(bool(((weights == 1) | ((weights == 0) & (values == 0))).all()) for values, weights in chunk)
    kept = _COLUMNS - 2 if plain else _COLUMNS
    places, entries, scales = _fixed_point(chunk, kept, _BITS - math.ceil(math.log2(counts.shape[1])))
    columns = _rows_of(places, entries, counts.shape[1])
    step = max(1, _BLOCK_BYTES // (8 * counts.shape[1]))
    found = np.empty((len(places), len(counts)))
    for start in range(0, len(counts), step):
        found[:, start : start + step] = columns @ counts[start : start + step].T.astype(np.float64, order="C")
    sums = (found * np.array(scales)[:, None]).reshape(len(chunk), kept, -1)
    # with weights of 0 and 1, values times weights are the values and weights squared the weights
    return np.concatenate([sums, sums[:, :2]], axis=1) if plain else sums


def _rows_of(places: Sequence[NDArray[np.intp]], entries: Sequence[Floats], width: int) -> Any:
    """[columns, units] of the entries at their places: sparse, since a slice has few of the rows and no thread of a BLAS then
    waits for another on a busy machine; without scipy an array, whose sums are the same, being of whole numbers."""
    try:
        from scipy.sparse import csr_array
    except ImportError:
        found = np.zeros((len(places), width))
        for row, where, column in zip(found, places, entries, strict=True):
            row[where] = column
        return found
    ends = np.cumsum([0] + [len(part) for part in places])
    return csr_array((np.concatenate(entries), np.concatenate(places), ends), shape=(len(places), width))


def _fixed_point(
    chunk: Sequence[tuple[Floats, Floats]], kept: int, bits: int
) -> tuple[list[NDArray[np.intp]], list[Floats], list[float]]:
    """The first `kept` columns of each slice: its units, their entries as whole numbers of so many bits, what one is worth."""
    places, entries, scales = [], [], []
    for values, weights in chunk:
        carrying = np.flatnonzero((weights != 0) | (values != 0))
        v, w = values[carrying], weights[carrying]
        for column in (v, w, v * v, v * w, w * w)[:kept]:
            scale = math.ldexp(1.0, math.frexp(float(np.abs(column).max(initial=0.0)) or 1.0)[1] - bits)
            places.append(carrying)
            entries.append(np.rint(column / scale))
            scales.append(scale)
    return places, entries, scales


def _studentised(ratio: Ratio, sums: Floats) -> tuple[float, float] | None:
    """Inverts the resampled distribution of (ratio* - ratio) / error*; the sums are of distances from the ratio."""
    if ratio.error is None or ratio.error == 0:
        return None
    s, c, ss, sc, cc = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = s / c
        squares = np.maximum(0.0, ss - 2 * moved * sc + moved * moved * cc)
        # what fixed point rounds away is no spread: a resample without the few units that differ has none
        squares[squares <= ratio.units * float(ss.max()) * math.ldexp(1.0, 2 - _BITS)] = 0.0
        errors = np.sqrt(squares * (ratio.units / (ratio.units - 1))) / c
        distances = moved / errors
    # a resample without spread, or without a row of the slice, says nothing of the one side it would fall on
    bad = np.isnan(distances)
    distances[bad] = 0.0
    ordered = np.sort(distances)
    low, high = (float(ordered[round(q * (len(ordered) - 1))]) for q in (_OUTSIDE, 1 - _OUTSIDE))
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    return ratio.value - high * ratio.error, ratio.value - low * ratio.error
