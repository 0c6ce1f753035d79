"""The drawings of an evaluation: differences with their intervals, curves, reliability, where lost rows went.

Pure: same input, same bytes. The rules at the top of `svg` hold here too; besides:
- worse is always to the left or below, whichever sign the metric has;
- what the interval tells apart from no difference is filled, what it does not is hollow: the shape says it, not the colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from registry.desk.svg import drawing, element, number, text

Point = tuple[float, float]


@dataclass(frozen=True)
class Mark:
    """One line of a forest: a difference with its interval and what stands beside it. `state` is lost, won or unclear."""

    label: str
    value: float
    low: float | None
    high: float | None
    beside: str
    state: str = "unclear"


@dataclass(frozen=True)
class Series:
    """One curve: points (x, y), with the interval of each y where there is one. `lead` is the version's own."""

    name: str
    points: Sequence[Point]
    bounds: Sequence[tuple[float, float] | None] = ()
    lead: bool = False


@dataclass(frozen=True)
class Axis:
    """What an axis says: its name, and value and words of each tick."""

    name: str
    ticks: Sequence[tuple[float, str]]


class Scale:
    """A straight scale from the least and greatest of some values to two places; places outside are cut off."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        self._least, self._most = min(values), max(values)
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        share = (value - self._least) / ((self._most - self._least) or 1.0)
        return self._start + min(max(share, 0.0), 1.0) * (self._end - self._start)


# --- forest -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """Where the parts of a forest stand. Stacked: the words above each line instead of beside it, for a small screen."""

    width: int
    row_height: int
    left: int
    right: int
    label_characters: int
    stacked: bool = False


WIDE = Layout(760, 26, 232, 566, 37)
NARROW = Layout(320, 46, 12, 308, 36, stacked=True)
_FOREST_TOP = 30


@dataclass(frozen=True)
class Forest:
    """Differences under each other on one scale with the line of no difference; `reverse` where more is worse."""

    finding: str
    marks: Sequence[Mark]
    axis: Axis
    sides: tuple[str, str]
    reverse: bool = False

    def drawn(self, name: str, layout: Layout = WIDE) -> str:
        """The drawing; `name` is unique on the page."""
        bottom = _FOREST_TOP + layout.row_height * len(self.marks)
        x = self._scale(layout)
        ticks = self.axis.ticks if not layout.stacked else self._sparse()
        parts = [element("line", x1=x(t), x2=x(t), y1=_FOREST_TOP, y2=bottom, class_="d-grid") for t, _ in ticks]
        parts += [text(x(t), bottom + 16, said, "d-soft", "middle") for t, said in ticks]
        parts += [
            element("line", x1=x(0), x2=x(0), y1=_FOREST_TOP - 6, y2=bottom + 4, class_="d-zero"),
            text(layout.left, 15, f"← {self.sides[0]}", "d-soft"),
            text(layout.right, 15, f"{self.sides[1]} →", "d-soft", "end"),
        ]
        if not layout.stacked:
            parts.append(text((layout.left + layout.right) / 2, bottom + 33, self.axis.name, "d-soft", "middle"))
        for index, mark in enumerate(self.marks):
            parts += _row(mark, _FOREST_TOP + layout.row_height * index, x, layout)
        height = bottom + (22 if layout.stacked else 42)
        return drawing(name, "Differences with their intervals", self.finding, (layout.width, height), parts, "img")

    def _scale(self, layout: Layout) -> Scale:
        ends = [0.0, *(e for m in self.marks for e in (m.value, m.low, m.high) if e is not None)]
        places = [*ends, *(t for t, _ in self.axis.ticks)]
        start, end = (layout.right, layout.left) if self.reverse else (layout.left, layout.right)
        return Scale(places, start, end)

    def _sparse(self) -> Sequence[tuple[float, str]]:
        """The ticks at the ends and at no difference."""
        ticks = self.axis.ticks
        return [tick for i, tick in enumerate(ticks) if i in (0, len(ticks) - 1) or tick[0] == 0]


def _row(mark: Mark, top: float, x: Scale, layout: Layout) -> list[str]:
    label = _cut(mark.label, layout.label_characters)
    if layout.stacked:
        y = top + 32
        parts = [
            text(2, top + 16, label, "d-halo"),
            text(layout.width - 2, top + 16, mark.beside, "d-soft d-halo", "end"),
        ]
    else:
        y = top + layout.row_height / 2
        parts = [
            text(layout.left - 12, y + 4, label, "", "end"),
            text(layout.right + 14, y + 4, mark.beside, "d-soft"),
        ]
    if mark.low is not None and mark.high is not None:
        x1, x2 = sorted((x(mark.low), x(mark.high)))
        parts.append(element("line", x1=x1, x2=x2, y1=y, y2=y, class_=f"d-span d-{mark.state}"))
    return [*parts, _dot(x(mark.value), y, mark.state)]


def _dot(x: float, y: float, state: str) -> str:
    """Filled square: lost. Filled circle: won. Hollow circle: cannot be told from none."""
    if state == "lost":
        return element("rect", x=x - 5, y=y - 5, width=10, height=10, class_="d-mark d-lost")
    return element("circle", cx=x, cy=y, r=5, class_=f"d-mark d-{state}")


# --- curves -----------------------------------------------------------------------------------------------------------

CHART_WIDTH, CHART_HEIGHT = 340, 216
_LEFT, _RIGHT, _TOP, _FLOOR = 48, 12, 26, 168


def curves(name: str, title: str, finding: str, series: Sequence[Series], x_axis: Axis, y_axis: Axis) -> str:
    """Curves over one x: the version's solid and filled, the others dashed and hollow; the ticks bound the plot."""
    x_of = Scale([t for t, _ in x_axis.ticks], _LEFT + 10, CHART_WIDTH - _RIGHT - 10)
    y_of = Scale([t for t, _ in y_axis.ticks], _FLOOR, _TOP)
    right = CHART_WIDTH - _RIGHT
    parts = [element("line", x1=_LEFT, x2=right, y1=y_of(t), y2=y_of(t), class_="d-grid") for t, _ in y_axis.ticks]
    parts += [text(_LEFT - 6, y_of(t) + 4, said, "d-soft", "end") for t, said in y_axis.ticks]
    parts += [text(x_of(t), _FLOOR + 16, said, "d-soft", "middle") for t, said in x_axis.ticks]
    parts += [
        element("line", x1=_LEFT, x2=right, y1=_FLOOR, y2=_FLOOR, class_="d-axis"),
        text((_LEFT + right) / 2, _FLOOR + 33, x_axis.name, "d-soft", "middle"),
        text(4, 12, y_axis.name, "d-soft"),
    ]
    for line in sorted(series, key=lambda line: line.lead):
        parts += _curve(line, x_of, y_of)
    return drawing(name, title, finding, (CHART_WIDTH, CHART_HEIGHT), parts, "img")


def _curve(line: Series, x_of: Scale, y_of: Scale) -> list[str]:
    kind = "d-lead" if line.lead else "d-other"
    parts = []
    for (x, _), bound in zip(line.points, line.bounds or [None] * len(line.points), strict=True):
        if bound is not None:
            parts.append(
                element(
                    "line", x1=x_of(x), x2=x_of(x), y1=y_of(bound[0]), y2=y_of(bound[1]), class_=f"d-whisker {kind}"
                )
            )
    path = "".join(f"{'L' if i else 'M'}{number(x_of(x))} {number(y_of(y))}" for i, (x, y) in enumerate(line.points))
    parts.append(element("path", d=path, class_=f"d-curve {kind}"))
    return parts + [element("circle", cx=x_of(x), cy=y_of(y), r=3.5, class_=f"d-point {kind}") for x, y in line.points]


# --- reliability ------------------------------------------------------------------------------------------------------

SQUARE = 300


def reliability(name: str, finding: str, series: Sequence[Series]) -> str:
    """Accuracy over confidence in shares of one: on the diagonal, confidence tells the truth; below, it boasts."""
    left, floor, top = 48, SQUARE - 42, 26
    x_of, y_of = Scale([0, 1], left, SQUARE - 18), Scale([0, 1], floor, top)
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    parts = [element("line", x1=left, x2=SQUARE - 18, y1=y_of(t), y2=y_of(t), class_="d-grid") for t in ticks]
    parts += [text(left - 6, y_of(t) + 4, f"{t * 100:.0f}%", "d-soft", "end") for t in ticks]
    parts += [text(x_of(t), floor + 16, f"{t * 100:.0f}%", "d-soft", "middle") for t in ticks]
    parts += [
        element("line", x1=x_of(0), y1=y_of(0), x2=x_of(1), y2=y_of(1), class_="d-zero"),
        text((left + SQUARE - 18) / 2, floor + 33, "confidence", "d-soft", "middle"),
        text(4, 12, "accuracy", "d-soft"),
    ]
    for line in sorted(series, key=lambda line: line.lead):
        parts += _curve(line, x_of, y_of)
    return drawing(name, "Reliability", finding, (SQUARE, SQUARE), parts, "img")


# --- where lost rows went ---------------------------------------------------------------------------------------------

_CELL, _HEAD = 34, 92
_CLASS_CHARACTERS = 11


def bubbles(
    name: str, finding: str, rows: Sequence[str], columns: Sequence[str], cells: Sequence[tuple[int, int, float]]
) -> str:
    """A small matrix, right answer by row and given answer by column: the area of a dot is its share of the greatest."""
    greatest = max([share for _, _, share in cells] or [1.0]) or 1.0
    width, height = _HEAD + _CELL * len(columns) + 8, 62 + _CELL * len(rows)
    parts = [text(4, 14, "↓ right answer, → now given", "d-soft")]
    for index, column in enumerate(columns):
        parts.append(text(_HEAD + _CELL * (index + 0.5), 44, _cut(column, 5), "d-soft", "middle"))
    for index, row in enumerate(rows):
        y = 54 + _CELL * index
        parts.append(text(_HEAD - 8, y + _CELL / 2 + 4, _cut(row, _CLASS_CHARACTERS), "", "end"))
        parts += [
            element("rect", x=_HEAD + _CELL * c, y=y, width=_CELL, height=_CELL, class_="d-cell")
            for c in range(len(columns))
        ]
    for r, c, share in cells:
        radius = max(1.5, (_CELL / 2 - 3) * (share / greatest) ** 0.5)
        parts.append(
            element("circle", cx=_HEAD + _CELL * (c + 0.5), cy=54 + _CELL * (r + 0.5), r=radius, class_="d-bubble")
        )
    return drawing(name, "Where lost rows went", finding, (max(width, 210), height), parts, "img")


def _cut(content: str, limit: int) -> str:
    return content if len(content) <= limit else content[: limit - 1] + "…"


# --- ticks ------------------------------------------------------------------------------------------------------------


def ticks(values: Sequence[float], most: int = 5) -> list[float]:
    """Round places, 1, 2 or 5 of a power of ten apart, that bound the values; about `most` steps."""
    least, greatest = Decimal(repr(min(values))), Decimal(repr(max(values)))
    span = (greatest - least) or abs(greatest) or Decimal(1)
    unit = Decimal(1).scaleb((span / most).adjusted())
    step = next(unit * times for times in (1, 2, 5, 10) if span / (unit * times) <= most)
    first = int((least / step).to_integral_value("ROUND_FLOOR"))
    last = int((greatest / step).to_integral_value("ROUND_CEILING"))
    return [float(step * i) for i in range(first, max(last, first + 1) + 1)]
