"""Drawings of the pages: a figure with its interval and limit, a window over its baseline. Pure: same input, same bytes.

Rules:
- a drawing states its finding in <title> and <desc>, and the numbers stand in a table beside it;
- no colour or style stands here: classes take them from the stylesheet, so that drawings follow the theme and the CSP holds;
- everything that came from data is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from html import escape

INTERVAL_WIDTH, INTERVAL_HEIGHT = 190, 26
HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT = 340, 170
_LABEL_CHARACTERS = 8
_LEFT, _RIGHT, _TOP, _FLOOR = 34, 6, 8, 138


def number(x: float) -> str:
    """A coordinate with at most one decimal, without a bare point."""
    return f"{x:.1f}".rstrip("0").rstrip(".")


def element(tag: str, content: str = "", **attributes: object) -> str:
    """One SVG element. `class_` is class; underscores become hyphens; values are escaped, `content` is markup already."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(number(value) if isinstance(value, float) else str(value))}"'
        for name, value in attributes.items()
        if value != ""
    )
    return f"<{tag}{written}>{content}</{tag}>"


def text(x: float, y: float, content: str, class_: str = "", anchor: str = "") -> str:
    """A line of text, escaped."""
    return element("text", escape(content), x=float(x), y=float(y), class_=class_, text_anchor=anchor)


def drawing(name: str, title: str, finding: str, size: tuple[float, float], parts: Sequence[str], role: str) -> str:
    """The outer element: `name` is unique on the page; `title` and `finding` are what a reader of the screen hears."""
    width, height = number(size[0]), number(size[1])
    heading = element("title", escape(title), id=f"{name}-title") + element("desc", escape(finding), id=f"{name}-desc")
    return element(
        "svg", heading + "".join(parts), viewBox=f"0 0 {width} {height}", width=width, height=height, role=role,
        aria_labelledby=f"{name}-title {name}-desc",
    )  # fmt: skip


def interval(
    name: str,
    finding: str,
    value: Decimal,
    low: Decimal | None,
    high: Decimal | None,
    limit: Decimal | None = None,
    parent: Decimal | None = None,
    zero: Decimal | None = None,
) -> str:
    """A value as a dot on its interval, the parent’s as a ring; dashed: the limit that it is held against, or no difference."""
    marks = [m for m in (value, low, high, limit, parent, zero) if m is not None]
    least, most = min(marks), max(marks)
    width = most - least

    def x(mark: Decimal) -> float:
        share = float((mark - least) / width) if width else 0.5
        return 10 + share * (INTERVAL_WIDTH - 20)

    middle = INTERVAL_HEIGHT / 2
    parts = [element("line", x1=4, x2=INTERVAL_WIDTH - 4, y1=middle, y2=middle, class_="d-axis")]
    if low is not None and high is not None:
        parts.append(element("line", x1=x(low), x2=x(high), y1=middle, y2=middle, class_="d-interval"))
        parts += [
            element("line", x1=x(end), x2=x(end), y1=middle - 5, y2=middle + 5, class_="d-axis") for end in (low, high)
        ]
    if limit is not None:
        parts.append(element("line", x1=x(limit), x2=x(limit), y1=2, y2=INTERVAL_HEIGHT - 2, class_="d-limit"))
    if zero is not None:
        parts.append(element("line", x1=x(zero), x2=x(zero), y1=2, y2=INTERVAL_HEIGHT - 2, class_="d-zero"))
    if parent is not None:
        parts.append(element("circle", cx=x(parent), cy=middle, r=4, class_="d-ring"))
    parts.append(element("circle", cx=x(value), cy=middle, r=4, class_="d-value"))
    return drawing(name, "Value with its interval", finding, (INTERVAL_WIDTH, INTERVAL_HEIGHT), parts, "img")


def shares(counts: Sequence[int]) -> list[float]:
    """Counts as parts of one."""
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


def histogram(
    name: str, finding: str, edges: Sequence[str], baseline: Sequence[int], window: Sequence[int], *, moved: bool
) -> str:
    """A window's bins (filled) under the baseline's (outline), as shares. With k edges there are k + 1 open-ended bins."""
    expected, seen = shares(baseline), shares(window)
    highest = max([*expected, *seen, 0.01])
    step = (HISTOGRAM_WIDTH - _LEFT - _RIGHT) / len(expected)

    def y(share: float) -> float:
        return _FLOOR - share / highest * (_FLOOR - _TOP)

    bar_class = "d-window d-moved" if moved else "d-window"
    parts = [
        element("rect", x=_LEFT + i * step + 1, y=y(s), width=step - 2, height=_FLOOR - y(s), class_=bar_class)
        for i, s in enumerate(seen)
    ]
    outline = f"M{_LEFT} {_FLOOR}"
    for i, share in enumerate(expected):
        outline += f"V{number(y(share))}H{number(_LEFT + (i + 1) * step)}"
    parts.append(element("path", d=f"{outline}V{_FLOOR}", class_="d-baseline"))
    parts.append(element("line", x1=_LEFT, x2=HISTOGRAM_WIDTH - _RIGHT, y1=_FLOOR, y2=_FLOOR, class_="d-axis"))
    parts += [text(_LEFT - 5, y(s) + 4, f"{s * 100:.0f}%", "d-soft", "end") for s in (0.0, highest)]
    parts += _edge_labels(edges, step)
    return drawing(name, "Window over its baseline", finding, (HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT - 10), parts, "img")


def _edge_labels(edges: Sequence[str], step: float) -> list[str]:
    """At most four edges, evenly taken, under the boundary that they stand for."""
    if not edges:
        return []
    last = len(edges) - 1
    chosen = sorted({round(part * last / 3) for part in range(4)})
    written = told_apart([edges[i] for i in chosen])
    if max(map(len, written)) > _LABEL_CHARACTERS:  # long ones would run into each other
        chosen, written = [chosen[0], chosen[-1]], [written[0], written[-1]]
    places = [(_LEFT + (i + 1) * step, label) for i, label in zip(chosen, written, strict=True)]
    return [text(x, _FLOOR + 15, label, "d-soft", "middle") for x, label in places]


def told_apart(edges: Sequence[str]) -> list[str]:
    """Decimals with as few significant digits, from three on, as keep them different from each other."""
    for digits in range(3, 17):
        written = [_significant(edge, digits) for edge in edges]
        if len(set(written)) == len(set(edges)):
            return written
    return list(edges)


def _significant(decimal_text: str, digits: int) -> str:
    value = Decimal(decimal_text)
    if value == 0:
        return "0"
    kept = f"{value:.{max(0, digits - 1 - value.adjusted())}f}"
    return kept.rstrip("0").rstrip(".") if "." in kept else kept
