"""Nearest neighbours among embeddings by cosine, in blocks, so that memory does not grow with the square of the rows.

Equal similarities are ordered by the number of the row, so the same embeddings give the same neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import Array
from compression_engine.measure.statistics.intervals import Floats

_BLOCK_ENTRIES = 2_000_000
_LEAST_LENGTH = 1e-30


def nearest(rows: Array, count: int) -> NDArray[np.intp]:
    """[rows, count]: for each row the other rows that are nearest, nearest first; fewer where there are fewer others."""
    unit = rows.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), _LEAST_LENGTH)
    count = min(count, len(unit) - 1)
    found = np.empty((len(unit), count), dtype=np.intp)
    size = max(1, _BLOCK_ENTRIES // max(1, len(unit)))
    for start in range(0, len(unit), size):
        similarity = unit[start : start + size] @ unit.T
        own = np.arange(len(similarity))
        similarity[own, start + own] = -np.inf
        found[start : start + size] = _largest(similarity, count)
    return found


def hits_at(rows: Array, groups: NDArray[np.intp], counts: Sequence[int]) -> dict[int, Floats]:
    """For each k: 1 where one of the k nearest other rows is of the row's own group, else 0; [rows].

    This is recall@k of metric learning (Jegou et al. 2011, Oh Song et al. 2016). A row that is alone in its group is never found.
    """
    others = nearest(rows, max(counts))
    same = groups[others] == groups[:, None]
    return {k: same[:, :k].any(axis=1).astype(np.float64) for k in counts}


def _largest(similarity: Floats, count: int) -> NDArray[np.intp]:
    if count == 1:
        return np.asarray(similarity.argmax(axis=1)[:, None], dtype=np.intp)
    # every entry that ties with the count-th largest competes, and the stable sort lets the lower row number win
    bound = -np.partition(-similarity, count - 1, axis=1)[:, count - 1 : count]
    found = np.empty((len(similarity), count), dtype=np.intp)
    for index, row in enumerate(similarity):
        candidates = np.flatnonzero(row >= bound[index])
        found[index] = candidates[np.argsort(-row[candidates], kind="stable")[:count]]
    return found
