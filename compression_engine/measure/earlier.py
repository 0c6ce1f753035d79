"""Figures that an earlier measure found, as intervals to go on computing with.

Rules: what follows from a figure has the interval that follows from that figure's; an end that was open stays open; where
two intervals meet, the result holds for every pair of values in them (cautious, never too narrow).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compression_engine.measure.context import Found


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval; None where an end is not known. `n` observations stand behind it."""

    value: float
    low: float | None
    high: float | None
    n: int = 1

    @classmethod
    def exact(cls, value: float) -> Interval:
        """A value that is known."""
        return cls(value, value, value)

    def scaled(self, factor: float) -> Interval:
        """Times an exact factor."""
        ends = [None if end is None else end * factor for end in (self.low, self.high)]
        low, high = ends if factor >= 0 else reversed(ends)
        return Interval(self.value * factor, low, high, self.n)

    def plus(self, other: Interval) -> Interval:
        """The sum."""
        low = None if self.low is None or other.low is None else self.low + other.low
        high = None if self.high is None or other.high is None else self.high + other.high
        return Interval(self.value + other.value, low, high, max(self.n, other.n))

    def minus(self, other: Interval) -> Interval:
        """The difference."""
        return self.plus(other.scaled(-1))

    def why_open(self, n: int) -> str | None:
        """The reason where an end is open."""
        return None if self.low is not None and self.high is not None else f"{n} rounds do not bound both ends"


def earlier(found: Sequence[Found], kind: str, metric: str) -> Interval | None:
    """A figure over all rows of this kind and name; None where it was not found or has no value."""
    for entry in found:
        for figure in entry.measurements if entry.kind == kind else ():
            if figure.metric == metric and not figure.slice and figure.value is not None:
                return Interval(float(figure.value), figure.low, figure.high, figure.n)
    return None


def why_missing(found: Sequence[Found], kind: str, metric: str) -> str | None:
    """The reason why such a figure has no value, where an earlier measure found that; None where there is none at all."""
    for entry in found:
        for figure in entry.measurements if entry.kind == kind else ():
            if figure.metric == metric and not figure.slice and figure.value is None:
                return figure.reason
    return None
