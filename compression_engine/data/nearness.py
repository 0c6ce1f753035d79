"""Rows of numbers that lie nearer to a row that was seen than rows of this kind lie to one another: noise, rounding, brightness.

Rules:
- a row is taken as a point. Wide rows of one unit (pictures, signals) are scaled as a whole, and looked at a second time with
  their mean and their length taken away, so that brightness and contrast do not hide a copy; columns of a table are scaled
  by their own spread;
- how near is too near is learned from the rows that are judged by: the distances from each to its nearest neighbour among 2,000 of
  them, whose lower tail (a power of the distance, as in any space) is followed down to where one row in 1,000 would have such a
  neighbour by chance among as many rows as were seen; half of that is the bound. So a table whose rows crowd has a narrow one, and
  rows that repeat each other have none;
- candidates come from a k-d tree over 12 random directions (Johnson and Lindenstrauss 1984), each is held against the bound in all
  numbers; memory is that of a block of 50,000 rows. Where rows fill all directions evenly a tree parts them badly: of noisy digits
  (64 numbers, half of the rows against the other half) 5,000 took 0.2 s of a processor, 20,000 1.1 s, 80,000 15 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from compression_engine.data.mapped import temporary

Numbers = NDArray[np.float64]
_SAMPLE_ROWS, _SAMPLE_ROWS_LEAST = 2000, 50
_WIDE, _ONE_UNIT = 32, 20.0
_DIRECTIONS, _SLACK = 12, 1.7
"""Of a difference at the bound, its length along so many random directions is below 1.7 times it but once in 1,000 times."""
_CANDIDATES = 4
_LOW, _HIGH = 0.05, 0.25
_CHANCE, _SAFETY, _MOST = 0.001, 0.5, 0.5
_BLOCK_ROWS = 50_000
_ROWS_AT_ONCE = 1024
_NUMBERS_AT_ONCE = 1 << 22
_NUMBERS_MOST = 1 << 18
"""Of one row; of wider ones nothing is told."""


class Points(Protocol):
    """Rows as points; float64 [rows, numbers], the same numbers in the same order in every file."""

    def __len__(self) -> int: ...
    @property
    def width(self) -> int: ...
    def taken(self, indices: Sequence[int]) -> Numbers: ...


@dataclass(frozen=True)
class _Space:
    """How rows become points that can be held against each other, and how near is too near."""

    middle: Numbers
    scale: Numbers
    bare: bool
    directions: Numbers
    bound: float = 0.0

    def of(self, numbers: Numbers) -> Numbers:
        """Points of rows, [rows, numbers]."""
        if self.bare:
            moved = numbers - numbers.mean(axis=1, keepdims=True)
            length = np.linalg.norm(moved, axis=1, keepdims=True)
            unit: Numbers = np.divide(moved, length, out=np.zeros_like(moved), where=length > 0)
            return unit
        found: Numbers = (numbers - self.middle) / self.scale
        return found


def near_rows(ours: Points, others: Sequence[Points], told: Callable[[int, int], None]) -> NDArray[np.bool_]:
    """Which of our rows have a row of the others nearer than chance brings them, [rows]; none where too few can tell."""
    found = np.zeros(len(ours), dtype=bool)
    others = [other for other in others if other.width == ours.width]
    for space in _spaces(ours, sum(len(other) for other in others)):
        for other in others:
            found |= _near(ours, other, space, told)
    return found


def _spaces(ours: Points, seen: int) -> Iterator[_Space]:
    """The ways to look at the rows that have a bound above zero."""
    width = ours.width
    if len(ours) < _SAMPLE_ROWS_LEAST or not seen or not 0 < width <= _NUMBERS_MOST:
        return
    most = max(_SAMPLE_ROWS_LEAST, min(_SAMPLE_ROWS, 2 * _NUMBERS_AT_ONCE // width))
    sample = ours.taken(np.linspace(0, len(ours) - 1, min(len(ours), most)).astype(np.int64).tolist())
    middle, spread = sample.mean(axis=0), sample.std(axis=0)
    usual = float(np.median(spread[spread > 0])) if (spread > 0).any() else 0.0
    if usual == 0:
        return
    one_unit = width >= _WIDE and float(spread.max()) < _ONE_UNIT * usual
    scale = np.full(width, np.sqrt((spread**2).mean())) if one_unit else np.maximum(spread, 1e-3 * usual)
    directions = np.random.default_rng(0).normal(size=(width, _DIRECTIONS)) / np.sqrt(_DIRECTIONS)
    for bare in (False, True) if one_unit else (False,):
        space = _Space(middle, scale, bare, directions)
        bound = _bound(space.of(sample), seen)
        if bound > 0:
            yield replace(space, bound=bound)


def _bound(points: Numbers, seen: int) -> float:
    """How near rows come by chance; 0 where the nearest of them are the same."""
    nearest = np.empty(len(points))
    squares = (points**2).sum(axis=1)
    for start in range(0, len(points), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        apart = squares[part, None] + squares[None] - 2 * points[part] @ points.T
        apart[np.arange(len(apart)), np.arange(start, start + len(apart))] = np.inf
        # of the same row twice rounding leaves a little
        nearest[part] = np.sqrt(np.where(apart.min(axis=1) < 1e-10 * squares.mean(), 0, apart.min(axis=1)))
    low, high, middle = (float(np.quantile(nearest, share)) for share in (_LOW, _HIGH, 0.5))
    if low <= 0 or high <= low:
        return 0.0
    power = np.log(_HIGH / _LOW) / np.log(high / low)
    share = _CHANCE * len(points) / seen / _LOW
    return float(min(_SAFETY * low * min(1.0, share ** (1 / power)), _MOST * middle))


def _near(ours: Points, other: Points, space: _Space, told: Callable[[int, int], None]) -> NDArray[np.bool_]:
    from scipy.spatial import cKDTree

    sketches = _sketched(ours, space)
    found = np.zeros(len(ours), dtype=bool)
    for start in range(0, len(other), _BLOCK_ROWS):
        told(start, len(other))
        held = range(start, min(start + _BLOCK_ROWS, len(other)))
        tree = cKDTree(np.concatenate([_along(other, part, space) for part in _parts(held, other.width)]))
        for part in _parts(range(len(ours)), ours.width):
            near, places = tree.query(
                sketches[part.start : part.stop],
                k=min(_CANDIDATES, len(held)),
                distance_upper_bound=_SLACK * space.bound,
            )
            near, places = near.reshape(len(part), -1), places.reshape(len(part), -1)
            rows, columns = np.nonzero(np.isfinite(near))
            for cut in _parts(range(len(rows)), ours.width):
                mine, theirs = rows[cut.start : cut.stop], places[rows, columns][cut.start : cut.stop]
                apart = space.of(ours.taken((mine + part.start).tolist())) - space.of(
                    other.taken((theirs + start).tolist())
                )
                found[mine[np.linalg.norm(apart, axis=1) <= space.bound] + part.start] = True
    return found


def _sketched(points: Points, space: _Space) -> NDArray[np.float32]:
    """Rows along the directions, [rows, directions], on disk where they are many."""
    found = temporary((len(points), _DIRECTIONS), np.dtype(np.float32))
    for part in _parts(range(len(points)), points.width):
        found[part.start : part.stop] = _along(points, part, space)
    return found


def _along(points: Points, part: range, space: _Space) -> Numbers:
    found: Numbers = space.of(points.taken(part)) @ space.directions
    return found


def _parts(rows: range, width: int) -> Iterator[range]:
    many = _at_once(width)
    for start in range(rows.start, rows.stop, many):
        yield range(start, min(start + many, rows.stop))


def _at_once(width: int) -> int:
    return max(1, min(_ROWS_AT_ONCE, _NUMBERS_AT_ONCE // width))
