"""The fingerprint of a weight: the signs of its numbers at places that its shape alone decides; and how alike two of them are.

Why signs: rounding to 8 or 4 bits, scales of any granularity, zero points, 16-bit floats and the error feedback of GPTQ keep the
sign of nearly every number that does not become zero; positive scaling of rows and columns (equalisation, folded normalisation)
keeps it too. Networks that were trained apart have signs that are as good as independent, also where architecture and data are
the same; a little further training turns few of them.

How two are compared (`alike`): up to 64 rows cross up to 64 columns, drawn by a fixed seed and the shape. The Gram matrix of the
two tables of signs holds, on its diagonal, how often rows agree less how often they differ, and beside it the same for rows that
have nothing to do with each other: that is what chance gives to these very tables, whatever their marginals and their structure.
- agreement = (diagonal - chance) / (1 - chance), 1 for the same signs and about 0 for strangers; zeros in either are left out;
- rows, or columns, whose signs were turned as a whole (a negative scale folded into them) are met by taking magnitudes of both;
- the chance of a false match is Hoeffding's bound for n signs, n divided by how much more the rows beside the diagonal vary than
  independent signs would: exp(-n (diagonal - chance)^2 / 2); times the number of comparisons that were made (Bonferroni).
- where all numbers have one sign, those of the numbers less their median are taken.
Rules: matrices of the same two sizes are compared, in either orientation; a square one as it is and turned; gates of recurrent
cells also in the order of the other exporters (ONNX iofc, zrh; PyTorch ifgo, rzn).
Sources: Hoeffding, "Probability inequalities for sums of bounded random variables", 1963; signs of projections as fingerprints:
Charikar, "Similarity estimation techniques from rounding algorithms", 2002.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from compression_engine.identifying.weights import Weight

Signs = NDArray[np.float32]
SIDE = 64
_SEED = 20231
_FEW = 16
_PLAINLY_ALIKE = 0.5
_LEAST_HIDDEN = 2
_ORDERS = ((4, (0, 3, 1, 2)), (4, (0, 2, 3, 1)), (3, (1, 0, 2)))
"""Gates of a cell, and where each is found in the other order: i o f c in i f g o, the reverse; z r h in r z n, its own reverse."""

Key = tuple[int, int]


@dataclass(frozen=True)
class Print:
    """A weight with its signs [rows, columns] where the places of its shape cross; the shorter side of the matrix comes first."""

    weight: Weight
    signs: Signs


@dataclass(frozen=True)
class Likeness:
    """How alike two weights are: 1 is the same, 0 what chance gives; and the natural logarithm of the chance to see that much."""

    agreement: float
    log_chance: float


def key_of(weight: Weight) -> Key:
    """Under which weights are compared with each other: the two sizes, the smaller one first."""
    return min(weight.rows, weight.width), max(weight.rows, weight.width)


def print_of(weight: Weight) -> Print:
    """The fingerprint; reads at most 4,096 numbers."""
    return Print(weight, _signs(weight, turned=weight.rows > weight.width))


def views_of(weight: Weight) -> Iterator[Signs]:
    """The signs in the other ways in which another exporter may have written the same weight."""
    turned = weight.rows > weight.width
    if weight.rows == weight.width:
        yield _signs(weight, turned=True)
    for gates, order in _ORDERS:
        for axis, size in enumerate((weight.rows, weight.width)):
            if size % gates == 0 and size // gates >= _LEAST_HIDDEN:
                for way in (turned, not turned) if weight.rows == weight.width else (turned,):
                    yield _signs(weight, turned=way, moved=Moved(axis, size // gates, order))


def alike(one: Signs, other: Signs) -> Likeness:
    """How alike two tables of signs are; both of the same places."""
    gram, counts = one @ other.T, np.abs(one) @ np.abs(other).T
    likeness = _likeness(gram, counts)
    if likeness.agreement >= _PLAINLY_ALIKE:
        return likeness
    columns = _likeness(np.abs(one.T @ other), np.abs(one.T) @ np.abs(other))
    return max(likeness, _likeness(np.abs(gram), counts), columns, key=lambda found: found.agreement)


def _likeness(gram: Signs, counts: Signs) -> Likeness:
    n = float(np.trace(counts))
    if n < _FEW:
        return Likeness(0.0, 0.0)
    rows = len(gram)
    shifted = [np.roll(np.arange(rows), shift) for shift in range(1, rows)]
    beside = np.array(
        [gram[np.arange(rows), other].sum() / max(1.0, counts[np.arange(rows), other].sum()) for other in shifted]
    )
    found, chance = float(np.trace(gram)) / n, float(beside.mean())
    # independent signs of zero mean vary by 1/n; what varies more is worth fewer of them
    excess = max(1.0, float(beside.var()) * n)
    apart = max(0.0, found - chance)
    return Likeness((found - chance) / max(1e-9, 1 - chance), -(n / excess) * apart * apart / 2)


@dataclass(frozen=True)
class Moved:
    """Gates of `size` rows (axis 0) or columns, looked for in the order in which another exporter writes them."""

    axis: int
    size: int
    order: tuple[int, ...]

    def places(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where these places are found."""
        found: NDArray[np.int64] = np.asarray(self.order, dtype=np.int64)[places // self.size] * self.size
        return found + places % self.size


def _signs(weight: Weight, *, turned: bool, moved: Moved | None = None) -> Signs:
    short, long = places_of(key_of(weight))
    rows, columns = (long, short) if turned else (short, long)
    if moved is not None:
        rows, columns = (moved.places(rows), columns) if moved.axis == 0 else (rows, moved.places(columns))
    numbers = weight.at(rows, columns)
    if (numbers >= 0).all() or (numbers <= 0).all():
        numbers = numbers - np.median(
            numbers
        )  # integers whose zero point nobody told, or a weight without negative numbers
    signs = np.nan_to_num(np.sign(numbers).astype(np.float32))
    return signs.T if turned else signs


@lru_cache(maxsize=4096)
def places_of(key: Key) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns where a matrix of these sizes is looked at, in order."""
    generator = np.random.default_rng([_SEED, *key])
    short, long = (np.sort(generator.choice(size, min(size, SIDE), replace=False)).astype(np.int64) for size in key)
    return short, long


def chance_text(log_chance: float, comparisons: int) -> str:
    """A chance after so many comparisons, as a power of ten that it is below."""
    log10 = (log_chance + math.log(max(1, comparisons))) / math.log(10)
    return "1" if log10 >= 0 else f"1e{math.ceil(log10)}"
