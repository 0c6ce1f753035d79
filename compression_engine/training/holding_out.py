"""Which training rows are held out, to see on rows that were not learned from how training goes.

Rules:
- about a tenth, drawn by the digests of what the model gets and the recipe's seed: their order in the file does not matter;
- rows that are equal or nearly equal (`data.alike`) and rows of one sequence are on one side. In tables where nearly equal rows
  chain up to a few large lumps, only equal ones are kept together;
- of each class about a tenth; rows without a usable label are a class of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine import seen
from compression_engine.data import Encoder
from compression_engine.data.rows import Indices
from compression_engine.errors import DataError
from compression_engine.progress import Progress

_EVERY = 10
_GROUPS_LEAST = 20
_LARGEST_SHARE = 0.05
"""How much of all rows one lump of nearly equal ones may be: a lump is on one side as a whole."""


def held_out(encoder: Encoder, seed: int, strata: Indices, sequences: Indices | None, progress: Progress) -> Indices:
    """The indices of the rows that are held out, ascending; at least one group of rows.

    `strata` numbers each row's class (-1: none), `sequences` its sequence, both [rows]. Raises DataError (training_rows_too_few).
    """
    same = seen.comparable(seen.row_digests(encoder, progress))
    near = seen.comparable(seen.row_digests(encoder, progress, alike=True))
    keys: list[NDArray[np.generic]] = [same, near] if sequences is None else [same, near, sequences]
    groups = together(keys)
    if _lumped(groups):
        groups = together([same] if sequences is None else [same, sequences])
    count = int(groups.max()) + 1
    if count < 2:
        hint = "Give more rows that differ: some are held out to see how training goes."
        raise DataError("training_rows_too_few", "All training rows say the same, so none can be held out.", hint)
    names, classes = _names(groups, same), np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(classes, groups, strata)
    salt = str(seed).encode() + b" "
    drawn = [hashlib.sha256(salt + bytes(name)).digest() for name in names]
    ranked = sorted(range(count), key=lambda group: (classes[group], drawn[group]))
    chosen = np.zeros(count, dtype=bool)
    chosen[ranked[min(_EVERY, count) - 1 :: _EVERY]] = True
    return np.flatnonzero(chosen[groups]).astype(np.int64)


def together(keys: Sequence[NDArray[Any]]) -> Indices:
    """Numbers the groups of rows that some of the keys join, directly or through others, from 0, [rows]."""
    groups = np.arange(len(keys[0]), dtype=np.int64)
    numbered = [np.unique(key, return_inverse=True)[1] for key in keys]
    while True:
        before = groups
        for numbers in numbered:
            least = np.full(int(numbers.max()) + 1, len(groups), dtype=np.int64)
            np.minimum.at(least, numbers, groups)
            groups = least[numbers]
        if (groups == before).all():
            return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _lumped(groups: Indices) -> bool:
    sizes = np.bincount(groups)
    return len(sizes) < _GROUPS_LEAST or sizes.max() > max(_LARGEST_SHARE * len(groups), 2)


def _names(groups: Indices, digests: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
    """The least digest of each group, by which it is drawn."""
    order = np.argsort(digests, kind="stable")
    return digests[order][np.unique(groups[order], return_index=True)[1]]
