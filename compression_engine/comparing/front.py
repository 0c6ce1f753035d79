"""Which of several children none of the others beats: the front (Pareto) of size, speed and quality. Standard library only.

Rules:
- a child is beaten by another that is nowhere worse, and somewhere better: in bytes, in what is lost, in time beside the original;
- times are known within an interval: one child is faster or slower than another only where the intervals do not meet, so that
  noise beats nobody;
- who knows one of the three of a child not at all leaves it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """Time for a row in the original's (less is faster), and between which ends it lies with 95 % confidence."""

    ratio: float
    low: float | None = None
    high: float | None = None

    def is_faster_than(self, other: Pace) -> bool:
        """Whether it surely is."""
        ours = self.ratio if self.high is None else self.high
        theirs = other.ratio if other.low is None else other.low
        return ours < theirs


@dataclass(frozen=True)
class Point:
    """A child: `lost` is a number of which less is better."""

    name: str
    size_bytes: int
    lost: float
    pace: Pace


def front(points: Sequence[Point]) -> list[str]:
    """The names of those that none of the others beats, in their order."""
    return [point.name for point in points if not any(_beats(other, point) for other in points)]


def _beats(other: Point, point: Point) -> bool:
    if other.size_bytes > point.size_bytes or other.lost > point.lost or point.pace.is_faster_than(other.pace):
        return False
    better = other.size_bytes < point.size_bytes or other.lost < point.lost
    return better or other.pace.is_faster_than(point.pace)
