"""What a classifier's scores say of each class, computed from the answers where it is asked for.

Rules:
- no table of all rows and all classes is made in float64: with 100,000 classes and 10,000 rows it would take 8 GB. What is asked of
  every row is worked out block by block, of a few classes column by column;
- a row's figures do not depend on the block that it is in.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import Array
from compression_engine.measure.statistics.intervals import Floats

_BLOCK_ENTRIES = 2_000_000
_SUM_TOLERANCE = 1e-2
Rows = slice | NDArray[np.intp]


def row_blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices of so many rows that a block has about 2 million entries, 16 MB in float64."""
    size = max(1, _BLOCK_ENTRIES // max(1, width))
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


class Probabilities:
    """Of every row [rows, classes], made of scores [rows, classes]: the scores themselves, or the softmax of logits.

    One column of scores is that of class 1 of two.
    """

    def __init__(self, scores: Array, *, given: bool) -> None:
        """`given`: whether the scores are probabilities already."""
        self._scores, self._given = scores, given
        self.shape = (len(scores), max(2, scores.shape[1]))

    def rows(self, which: Rows) -> Floats:
        """Those of some rows, [some, classes] in float64."""
        scores = self._scores[which].astype(np.float64)
        if scores.shape[1] == 1:
            one = scores[:, 0] if self._given else sigmoid(scores[:, 0])
            return np.stack([1 - one, one], axis=1)
        return scores if self._given else softmax(scores)

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """All rows, some at a time, each with its place."""
        return ((part, self.rows(part)) for part in row_blocks(*self.shape))

    def of(self, classes: NDArray[np.intp]) -> Floats:
        """Of each row that of one class, [rows]."""
        found = np.empty(self.shape[0])
        for part, block in self.blocks():
            found[part] = block[np.arange(len(block)), classes[part]]
        return found

    def largest(self) -> Floats:
        """Of each row the largest, [rows]."""
        return np.concatenate([block.max(axis=1) for _, block in self.blocks()])

    def columns(self, classes: NDArray[np.intp]) -> Iterator[tuple[int, Floats]]:
        """Those of some classes, one class [rows] after the other."""
        step = max(1, _BLOCK_ENTRIES // max(1, self.shape[0]))
        for start in range(0, len(classes), step):
            some = classes[start : start + step]
            block = self._of_classes(some)
            yield from ((int(index), block[place]) for place, index in enumerate(some))

    def _of_classes(self, classes: NDArray[np.intp]) -> Floats:
        """[classes, rows]."""
        if self._scores.shape[1] == 1:
            return self.rows(slice(None))[:, classes].T
        scores = np.ascontiguousarray(self._scores[:, classes].T, dtype=np.float64)
        if self._given:
            return scores
        largest, total = self._ends
        found: Floats = np.exp(scores - largest) / total
        return found

    @cached_property
    def _ends(self) -> tuple[Floats, Floats]:
        """Of logits: each row's largest, and the sum of all exponentials less that one."""
        largest, total = np.empty(self.shape[0]), np.empty(self.shape[0])
        for part in row_blocks(*self.shape):
            scores = self._scores[part].astype(np.float64)
            largest[part] = scores.max(axis=1)
            total[part] = np.exp(scores - largest[part][:, None]).sum(axis=1)
        return largest, total


class Logits:
    """Scores of rows [rows, classes] whose softmax are the probabilities; one column as a pair."""

    def __init__(self, scores: Array, *, given: bool) -> None:
        """`given`: whether the scores are probabilities, of which logarithms are taken."""
        self._scores, self._given = scores, given
        self.shape = (len(scores), max(2, scores.shape[1]))

    def rows(self, which: Rows) -> Floats:
        """Those of some rows, [some, classes] in float64."""
        if self._given:
            shares = Probabilities(self._scores, given=True).rows(which)
            logarithms: Floats = np.log(np.maximum(shares, self._least))
            return logarithms
        scores = self._scores[which].astype(np.float64)
        return scores if scores.shape[1] > 1 else np.hstack([np.zeros_like(scores), scores])

    def log_sums(self) -> Floats:
        """Of each row the logarithm of the sum of exponentials, [rows]."""
        found = np.empty(self.shape[0])
        for part in row_blocks(*self.shape):
            scores = self.rows(part)
            largest = scores.max(axis=1)
            found[part] = largest + np.log(np.exp(scores - largest[:, None]).sum(axis=1))
        return found

    @cached_property
    def _least(self) -> float:
        """The least probability above zero that the model gives anywhere: a zero, which only rounding makes, counts as that."""
        found = 1.0
        for _, block in Probabilities(self._scores, given=True).blocks():
            found = min(found, float(block.min(initial=1.0, where=block > 0)))
        return found


def look_like_probabilities(scores: Array) -> bool:
    """Whether all entries lie in 0..1 and, with several columns, each row sums to 1 within a hundredth."""
    return bool(len(scores)) and all(_are_shares(scores[part]) for part in row_blocks(*scores.shape))


def _are_shares(scores: Array) -> bool:
    if not bool(((scores >= 0) & (scores <= 1)).all()):
        return False
    return scores.shape[1] == 1 or bool((np.abs(scores.sum(axis=1, dtype=np.float64) - 1) <= _SUM_TOLERANCE).all())


def softmax(scores: Floats) -> Floats:
    """Along the last axis, in float64, without overflow."""
    raised: Floats = scores - scores.max(axis=-1, keepdims=True)
    np.exp(raised, out=raised)
    raised /= raised.sum(axis=-1, keepdims=True)
    return raised


def sigmoid(scores: Floats) -> Floats:
    """1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(scores))
    return np.where(scores >= 0, 1 / (1 + small), small / (1 + small))
