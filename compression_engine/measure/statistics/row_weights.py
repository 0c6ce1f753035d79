"""Resamples rows once for many figures: how often each row counts is drawn, and all columns are summed under it.

For figures that are no means (a calibration error), where every resample has to be looked at. What is drawn is a row, a whole
sequence, or beyond 100,000 of them a random group, as `resampling.units_of` says. Sums run in one fixed order, so that no
number of threads changes a bit. Source: the bootstrap (Efron 1979), paired since all columns of one call see the same draws.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compression_engine.answers.outputs import Array
from compression_engine.measure.statistics.intervals import Floats
from compression_engine.measure.statistics.resampling import RESAMPLES, units_of

SEQUENCES_LEAST = 6
"""Fewer are too few to be drawn again for an interval."""
_BLOCK_ENTRIES = 2_000_000
_OUTSIDE = 0.025


def resampled_means(columns: Any, seed: int, sequences: Array | None = None) -> Floats:
    """Means [2,000, columns] of columns [rows, columns], an array or a scipy.sparse one, under resampled rows."""
    from scipy import sparse

    rows, width = columns.shape
    columns = sparse.csr_array(columns)
    units = units_of(rows, sequences, seed)
    if units is None:
        turned, counts = columns.T.tocsr(), np.ones(rows)
    else:
        counts = np.bincount(units).astype(np.float64)
        member = sparse.csr_array((np.ones(rows), (units, np.arange(rows))), shape=(len(counts), rows))
        turned = (member @ columns).T.tocsr()
    count = len(counts)
    generator = np.random.default_rng(seed)
    block = max(1, _BLOCK_ENTRIES // count)
    means = np.empty((RESAMPLES, width))
    for start in range(0, RESAMPLES, block):
        size = min(block, RESAMPLES - start)
        drawn = generator.integers(0, count, size=(size, count), dtype=np.int32).astype(np.int64)
        drawn += (np.arange(size) * count)[:, None]
        weights = np.bincount(drawn.reshape(-1), minlength=size * count).reshape(size, count).astype(np.float64)
        totals = (weights * counts).sum(axis=1)
        means[start : start + size] = (turned @ weights.T).T / totals[:, None]
    return means


def interval(resampled: Floats) -> tuple[float, float]:
    """The 95 % percentile interval of resampled figures."""
    low, high = np.quantile(resampled, [_OUTSIDE, 1 - _OUTSIDE])
    return float(low), float(high)


def centred_interval(resampled: Floats, value: float) -> tuple[float, float]:
    """The same, moved by the bias that resampling itself shows: for figures that chance lifts, and lifts again."""
    low, high = interval(resampled)
    bias = float(resampled.mean()) - value
    return low - bias, high - bias
