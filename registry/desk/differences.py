"""Two versions side by side, line by line: what differs first, what is the same after it. Pure.

Rules:
- a line is the same only if both sides say the same; what one side does not have is a difference, shown as nothing;
- the difference of two figures is right minus left, in exact decimals, with whether their intervals overlap; it is said only
  where both were measured with the same method on the same rows, else the reason why it would say nothing;
- intervals that overlap are not called equal: each was made for its own version, not for the difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from registry.desk import figures
from registry.desk.metrics import kind_name, name_of

LINES_SHOWN = 200
"""Of one part and one sort; the rest is counted."""
APART, OVERLAP, ONE = "apart", "overlap", "one"
_INTERVALS = {APART: "intervals do not overlap", OVERLAP: "intervals overlap", ONE: "only one has an interval"}


@dataclass(frozen=True)
class Line:
    """One thing, on both sides. `difference`: of two figures, exact; `intervals`: apart, overlap, one (only one has any)."""

    what: str
    left: str | None
    right: str | None
    note: str = ""
    same: bool = False
    difference: str | None = None
    intervals: str | None = None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return dict(vars(self))


@dataclass(frozen=True)
class Part:
    """One side of what a version is, such as its files."""

    name: str
    title: str
    about: str
    lines: Sequence[Line]

    @property
    def differing(self) -> list[Line]:
        """What differs."""
        return [line for line in self.lines if not line.same]

    @property
    def equal(self) -> list[Line]:
        """What is the same."""
        return [line for line in self.lines if line.same]

    @property
    def first(self) -> list[Line]:
        """As many of the differences as a page shows."""
        return self.differing[:LINES_SHOWN]

    @property
    def noted(self) -> bool:
        """Whether anything is said about a difference beside the two sides."""
        return any(line.note for line in self.differing)

    @property
    def left_out(self) -> int:
        """How many of the differences a page does not show."""
        return max(0, len(self.differing) - LINES_SHOWN)

    def document(self) -> dict[str, Any]:
        """As JSON, what differs first."""
        lines = [line.document() for line in [*self.differing, *self.equal]]
        return {"name": self.name, "title": self.title, "differing": len(self.differing), "lines": lines}


def side_by_side(left: Mapping[str, str], right: Mapping[str, str]) -> list[Line]:
    """Lines by name, in the order of the left and then of what only the right has."""
    names = [*left, *(name for name in right if name not in left)]
    return [Line(name, left.get(name), right.get(name), same=left.get(name) == right.get(name)) for name in names]


# --- files ---


@dataclass(frozen=True)
class FileSide:
    """A file of a version."""

    path: str
    role: str
    size_bytes: int
    digest: str


def files(left: Iterable[FileSide], right: Iterable[FileSide]) -> list[Line]:
    """Files by path; the same bytes under another path are said."""
    here, there = {file.path: file for file in left}, {file.path: file for file in right}
    lines = side_by_side(*({path: _file_text(file) for path, file in side.items()} for side in (here, there)))
    return [_moved(line, here, there) for line in lines]


def _file_text(file: FileSide) -> str:
    return f"{file.role}, {figures.size_text(file.size_bytes)}, {file.digest[7:19]}"


def _moved(line: Line, left: Mapping[str, FileSide], right: Mapping[str, FileSide]) -> Line:
    here, others = (left.get(line.what), right) if line.right is None else (right.get(line.what), left)
    if here is None or (line.left is not None and line.right is not None):
        return line
    twin = next((file.path for file in others.values() if file.digest == here.digest), None)
    return line if twin is None else Line(line.what, line.left, line.right, note=f"the same bytes as {twin} there")


# --- figures ---

Figure = Mapping[str, Any]
Key = tuple[str, str, str, figures.Where]
"""Kind and source of the evidence, metric, slice."""


@dataclass(frozen=True)
class FigureSide:
    """A figure with what it was measured by: method, rows, and what stood beside the version."""

    figure: Figure
    method: str
    rows: frozenset[str]
    beside: frozenset[str]


def compare_figures(left: Mapping[Key, FigureSide], right: Mapping[Key, FigureSide]) -> list[Line]:
    """Figures by kind, metric and slice; those over all rows before those of parts."""
    keys = sorted({*left, *right}, key=lambda key: (bool(key[3]), key))
    return [_figure_line(key, left.get(key), right.get(key)) for key in keys]


def _figure_line(key: Key, left: FigureSide | None, right: FigureSide | None) -> Line:
    what = _what(key)
    if left is None or right is None:
        return Line(what, _value(left), _value(right), note="only one of the two has it")
    same = left.figure == right.figure and left.rows == right.rows and left.method == right.method
    if same:
        return Line(what, _value(left), _value(right), same=True)
    why_not = _not_comparable(left, right)
    if why_not:
        return Line(what, _value(left), _value(right), note=f"no difference is said: {why_not}")
    difference = Decimal(right.figure["value"]) - Decimal(left.figure["value"])
    exact = format(difference, "f")
    intervals = _intervals(left.figure, right.figure)
    shown = figures.difference_text(exact, _unit(right.figure))
    note = shown if intervals is None else f"{shown}; {_INTERVALS[intervals]}"
    return Line(what, _value(left), _value(right), note, False, exact, intervals)


def _what(key: Key) -> str:
    kind, source, metric, where = key
    part = f" ({figures.where_text(where)})" if where else ""
    declared = "" if source == "measured" else f", {source}"
    return f"{kind_name(kind)}: {name_of(metric)}{part}{declared}"


def _unit(figure: Figure) -> str:
    return str(figure["unit"])


def _value(side: FigureSide | None) -> str | None:
    if side is None:
        return None
    interval = figures.interval_text(side.figure)
    return f"{figures.text_of(side.figure)} ({interval})" if interval else figures.text_of(side.figure)


def _not_comparable(left: FigureSide, right: FigureSide) -> str:
    if left.figure["value"] is None or right.figure["value"] is None:
        return "one of them was not measured"
    if left.figure["unit"] != right.figure["unit"]:
        return "they have different units"
    if left.rows != right.rows:
        return "they were measured on different rows"
    if left.method != right.method:
        return "they were measured by different methods"
    if left.beside != right.beside:
        return "each was measured beside another version"
    return ""


def _intervals(left: Figure, right: Figure) -> str | None:
    ends = [side[end] for side in (left, right) for end in ("low", "high")]
    if any(end is None for end in ends):
        return None if all(end is None for end in ends) else ONE
    left_low, left_high, right_low, right_high = (Decimal(end) for end in ends)
    return APART if left_high < right_low or right_high < left_low else OVERLAP
