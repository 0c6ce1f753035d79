"""Intervals of means, ratios of sums, and figures of counts, from 2,000 resamples of whole rows.

Rules:
- a row is drawn with everything that belongs to it, so that paired and clustered values (tokens of a text) stay together;
- rows of one sequence depend on each other, so whole sequences are drawn where there are any;
- means and ratios are studentised, which holds for skewed values too; other figures take the percentiles;
- an interval does not leave the range that the figure can have; values that do not differ at all have none to speak of, and its
  ends are the value; but for a share, of which equal rows are no certainty: there each row, or sequence, counts as one answer
  that is right or wrong (Wilson), which is the widest that values within 0 and 1 can be;
- errors, whose tails may be heavy, have an interval that allows for these, with the reason beside it (`tails`);
- figures that depend on rows through counts alone are resampled as counts (the multinomial law of the same bootstrap);
- beyond 5,000 rows or sequences random groups of equal size are drawn instead of them: means and their spread stay the same;
- memory is bounded by blocks and does not grow with the number of resamples.
Sources: percentile bootstrap (Efron 1979); studentised (Hall 1988), see `resampling`; of clusters (Davison and Hinkley 1997, 3.8);
Wilson's interval of a share (1927).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from compression_engine.measure.statistics.intervals import Floats, share_interval
from compression_engine.measure.statistics.resampling import ratio_of, studentised_intervals
from compression_engine.measure.statistics.tails import allowing_for_tails

RESAMPLES = 2000
UNITS_MAX = 5000
_BLOCK_ENTRIES = 2_000_000
_ENDS = (0.025, 0.975)
_LEAST_USABLE = 0.95
Figure = Callable[..., Floats]
Interval = tuple[float | None, float | None]
Clusters = NDArray[np.int64] | None
"""The number of the sequence of each row, [rows]; None where rows stand alone."""
NO_INTERVAL: Interval = (None, None)
TOO_FEW = "too few rows that differ to bound both ends"
ANY = (-math.inf, math.inf)
NOT_NEGATIVE = (0.0, math.inf)
SHARE = (0.0, 1.0)


def interval_of_means(columns: Sequence[Floats], figure: Figure, seed: int, clusters: Clusters = None) -> Interval:
    """Interval of `figure(mean of column 1, mean of column 2, ...)`; columns [rows], given to `figure` as [resamples].

    Resamples for which the figure is not defined are left out; the interval is open where they are more than 5 %.
    """
    generator = np.random.default_rng(seed)
    sizes = np.ones(len(columns[0]))
    if clusters is not None:
        columns, sizes = _joined(columns, sizes, np.unique(clusters, return_inverse=True)[1])
    if len(sizes) > UNITS_MAX:
        columns, sizes = _joined(columns, sizes, generator.permutation(len(sizes)) % UNITS_MAX)
    if len(sizes) < 2:
        return NO_INTERVAL
    found = []
    for count in _blocks(len(sizes)):
        drawn = generator.integers(0, len(sizes), size=(count, len(sizes)))
        rows = sizes[drawn].sum(axis=1)
        found.append(figure(*(column[drawn].sum(axis=1) / rows for column in columns)))
    return _ends(np.concatenate(found))


def intervals_of_counts(
    codes: NDArray[np.intp], figures: Figure, count: int, seed: int, clusters: Clusters = None
) -> list[Interval]:
    """Intervals of figures of how often each code occurs: `codes` [rows] from 0, `figures` takes counts [resamples, codes] and
    gives `count` figures, [resamples, count].
    """
    width = int(codes.max()) + 1
    places = np.zeros(len(codes), np.intp) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    units = len(codes) if clusters is None else int(places.max()) + 1
    if units < 2:
        return [NO_INTERVAL] * count
    generator = np.random.default_rng(seed)
    counts = np.bincount(codes, minlength=width)
    found = []
    for block in _blocks(max(units if clusters is not None else 0, width)):
        if clusters is None:
            drawn = generator.multinomial(units, counts / units, size=block)
        else:
            drawn = _counted(generator.multinomial(units, np.full(units, 1 / units), size=block), places, codes, width)
        found.append(figures(drawn))
    return [_ends(column) for column in np.concatenate(found).T]


def interval_of_ratio(
    values: Floats, weights: Floats, seed: int, clusters: Clusters = None, within: tuple[float, float] = ANY
) -> Interval:
    """Interval of sum(values) / sum(weights), both [rows], studentised; `within`: the range that the figure can have."""
    pair: Sequence[Floats] = [values, weights]
    if clusters is not None:
        pair = [_sums(column, np.unique(clusters, return_inverse=True)[1]) for column in pair]
    if len(pair[0]) > UNITS_MAX:
        places = np.random.default_rng(seed).permutation(len(pair[0])) % UNITS_MAX
        pair = [_sums(column, places) for column in pair]
    units = pair[0], pair[1]
    ratio = ratio_of(*units)
    if ratio.error is None:
        return NO_INTERVAL
    if ratio.error == 0:
        return share_interval(ratio.value * ratio.units, ratio.units) if within == SHARE else (ratio.value, ratio.value)
    found = studentised_intervals([lambda: units], len(units[0]), seed)[0]
    return NO_INTERVAL if found is None else (max(within[0], found[0]), min(within[1], found[1]))


def interval_of_mean(
    values: Floats, seed: int, clusters: Clusters = None, within: tuple[float, float] = ANY
) -> Interval:
    """Interval of a mean."""
    return interval_of_ratio(values, np.ones(len(values)), seed, clusters, within)


def interval_of_errors(
    values: Floats, seed: int, clusters: Clusters = None, ends: Interval | None = None
) -> tuple[Interval, str | None]:
    """Interval of a mean of values that are not negative and may have heavy tails, and why it may still be too narrow.

    `ends` are those of another method, where values are what each row adds to a figure that is no mean.
    """
    low, high = ends or interval_of_mean(values, seed, clusters, NOT_NEGATIVE)
    if low is None or high is None:
        return NO_INTERVAL, TOO_FEW
    columns, sizes = [values], np.ones(len(values))
    if clusters is not None:
        columns, sizes = _joined(columns, sizes, np.unique(clusters, return_inverse=True)[1])
    (low, high), reason = allowing_for_tails(columns[0], sizes, (low, high), seed)
    return (max(0.0, low), high), reason


def interval_of_share(hits: NDArray[np.bool_], seed: int, clusters: Clusters = None) -> Interval:
    """Wilson's interval of a share of rows; where rows belong to sequences, from resamples of these."""
    if clusters is None:
        return share_interval(int(hits.sum()), len(hits))
    return interval_of_mean(hits.astype(np.float64), seed, clusters, SHARE)


def _joined(columns: Sequence[Floats], sizes: Floats, places: NDArray[np.intp]) -> tuple[list[Floats], Floats]:
    """Sums of what stands at the same place, and how many rows that is."""
    return [_sums(column, places) for column in columns], _sums(sizes, places)


def _counted(
    drawn: NDArray[np.int64], places: NDArray[np.intp], codes: NDArray[np.intp], width: int
) -> NDArray[np.int64]:
    """How often each code occurs, [resamples, codes], where sequence `s` was drawn `drawn[resample, s]` times.

    Row by row of the resamples: a table of sequences and codes could be larger than the memory.
    """
    found = [np.bincount(codes, weights=times[places], minlength=width) for times in drawn]
    return np.rint(np.stack(found)).astype(np.int64)


def _sums(values: Floats, places: NDArray[np.intp]) -> Floats:
    return np.bincount(places, weights=values).astype(np.float64)


def _ends(resampled: Floats) -> Interval:
    usable = resampled[np.isfinite(resampled)]
    if len(usable) < _LEAST_USABLE * len(resampled):
        return NO_INTERVAL
    low, high = np.quantile(usable, _ENDS)
    return float(low), float(high)


def _blocks(width: int) -> Iterator[int]:
    size = max(1, min(RESAMPLES, _BLOCK_ENTRIES // max(1, width)))
    for start in range(0, RESAMPLES, size):
        yield min(size, RESAMPLES - start)
