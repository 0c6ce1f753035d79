"""Ranks of the entries of rows, equal entries sharing the mean of theirs: numpy alone, so that serving hosts can compute them."""

from __future__ import annotations

import numpy as np

from compression_engine.data import Array
from compression_engine.measure.statistics.intervals import Floats


def average_ranks(rows: Array) -> Floats:
    """Ranks from 1 along the last axis of [rows, entries], the same as scipy.stats.rankdata(rows, axis=1) gives."""
    count, width = rows.shape
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    begins = np.ones((count, width), dtype=bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    group = np.cumsum(begins.reshape(-1)) - 1
    sizes = np.bincount(group)
    firsts = np.flatnonzero(begins.reshape(-1)) % width
    means = firsts + (sizes + 1) / 2
    ranks = np.empty((count, width))
    np.put_along_axis(ranks, order, means[group].reshape(count, width), axis=1)
    return ranks
