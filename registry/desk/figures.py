"""How figures are written for people: units, names of metrics, a child's figure beside its parent's. Pure.

Rules:
- the exact decimal stays available (`exact`); what is shown is rounded, never more precise than the record;
- a value that is null is shown as "not measured" with the reason that the record gives, never as zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from registry.desk.metrics import COLUMNS, PARENT, WHOSE, name_of

Figure = Mapping[str, Any]
Where = tuple[tuple[str, str], ...]
"""A slice: names of columns with their values; empty is the whole."""
MINUS = "−"
DETECTABLE = "smallest_detectable_loss"

_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")
_SUFFIXES = {
    "millisecond": " ms", "ratio": " ×", "second": " s", "per_second": " a second", "joule": " J", "nat": " nats",
    "gram": " g",
}  # fmt: skip
_CURRENCY = "currency:"
_SIGNED = ("_difference", "_difference_change", "_gap_change", "_excess_loss", "overconfidence")
_UNSIGNED = ("max_abs_difference", "mean_abs_difference", "decoded_difference")
"""Distances, not version minus another."""
_LEAST_CHANCE = Decimal("0.0001")


@dataclass(frozen=True)
class Row:
    """One line of the table of figures: what, the parent's, the child's, and how sure."""

    metric: str
    name: str
    shown: str
    exact: str
    interval: str
    others: Mapping[str, Figure]
    """The figures of other models beside it, by the prefix of their metric."""
    n: int | None
    spread: str
    reason: str
    figure: Figure

    @property
    def parent(self) -> Figure | None:
        """The parent's figure."""
        return self.others.get("parent_")


def size_text(size_bytes: int | Decimal | None) -> str:
    """Bytes in the largest unit of 1000 that leaves at least one before the point."""
    if size_bytes is None:
        return "unknown"
    value, unit = Decimal(size_bytes), 0
    while abs(value) >= 1000 and unit < len(_BYTE_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 0 if unit == 0 else 1
    return f"{value:.{digits}f} {_BYTE_UNITS[unit]}"


def value_text(value: str | None, unit: str) -> str:
    """A decimal of a record, as people read it."""
    if value is None:
        return "not measured"
    exact = Decimal(value)
    if unit == "byte":
        return size_text(exact)
    if unit == "share":
        return f"{exact * 100:.1f} %"
    if unit == "cosine":
        return _cosine(exact)
    if unit == "probability":
        return "below 0.0001" if exact < _LEAST_CHANCE else rounded(exact)
    if unit.startswith(_CURRENCY):
        amount = f"{exact:,.2f}" if abs(exact) >= 1 or exact == 0 else rounded(exact)
        return f"{amount} {unit.removeprefix(_CURRENCY)}"
    if unit == "per_second" and exact >= 1000:
        return f"{exact:,.0f} a second"
    return rounded(exact) + _SUFFIXES.get(unit, "")


def difference_text(value: str | None, unit: str, *, bare: bool = False) -> str:
    """A difference with its sign; shares in points of a hundred. `bare` leaves the sign out."""
    if value is None:
        return "not measured"
    exact = Decimal(value)
    sign = "" if bare or exact == 0 else ("+" if exact > 0 else MINUS)
    if unit == "ratio":
        return sign + rounded(abs(exact))
    if unit in ("share", "probability"):
        return f"{sign}{abs(exact) * 100:.1f} points"
    return sign + value_text(format(abs(exact), "f"), unit)


def count_text(n: int | None) -> str:
    """A number of rows, in groups of three."""
    return "" if n is None else f"{n:,}"


def is_difference(metric: str) -> bool:
    """Whether a metric is version minus another, or how a gap between groups changed: its sign speaks."""
    return metric.endswith(_SIGNED) and metric not in _UNSIGNED


def text_of(figure: Figure) -> str:
    """The value of a figure, as people read it."""
    return end_text(figure, figure["value"])


def end_text(figure: Figure, value: str | None) -> str:
    """A value in the unit of a figure: its own, or an end of its interval."""
    metric, unit = figure["metric"], figure["unit"]
    if metric.endswith(DETECTABLE):
        return difference_text(value, unit, bare=True)
    if is_difference(metric):
        return difference_text(value, unit)
    if unit == "probability" and not metric.endswith("_p"):  # how sure a model is, in hundredths as shares are
        return value_text(value, "share")
    plain = unit == "ratio" and not metric.endswith("ratio")  # a number of its own, and no multiple of another
    return value_text(value, "" if plain else unit)


def where_of(figure: Figure) -> Where:
    """The slice of a figure."""
    return tuple((part["name"], part["value"]) for part in figure["slice"])


def where_text(where: Where) -> str:
    """A slice in words: a slice that was found names its own rule."""
    return ", ".join(f"{COLUMNS.get(name, name)} {value}".strip() for name, value in where)


def _cosine(value: Decimal) -> str:
    """Near 1 it is the distance to 1 that matters: that keeps two significant digits."""
    distance = 1 - value
    places = 1 - distance.adjusted() if distance else 0
    written = f"{value:.{min(max(places, 4), 12)}f}"
    return written.rstrip("0").rstrip(".")


def rounded(value: Decimal) -> str:
    """Four significant digits, without an exponent."""
    if value == 0:
        return "0"
    places = max(0, 3 - value.adjusted())
    text = f"{value:.{min(places, 12)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def interval_text(figure: Figure) -> str:
    """The 95 % interval, or nothing where the record holds none."""
    low, high = figure["low"], figure["high"]
    if low is None or high is None:
        return ""
    return _span(end_text(figure, low), end_text(figure, high), " to " if is_difference(figure["metric"]) else " – ")


def _span(least: str, most: str, between: str) -> str:
    """Two ends that name their unit once."""
    number, _, unit = least.partition(" ")
    once = unit and most.partition(" ")[2] == unit and number[-1:].isdigit()
    return f"{number if once else least}{between}{most}"


def rows_of(figures: Sequence[Figure], other: str = PARENT) -> list[Row]:
    """The figures of one document as rows; those of other models stand beside the child's instead of in rows of their own.

    `other` is who the document compares the version with.
    """
    known = {(f["metric"], where_of(f)): f for f in figures}
    rows = []
    for figure in figures:
        metric, where = figure["metric"], where_of(figure)
        if any((own, where) in known for own in _own_metrics(metric)):
            continue
        others = {p: known[p + metric, where] for p in WHOSE if _folds(p, metric) and (p + metric, where) in known}
        rows.append(row_of(figure, others, other))
    return rows


def _own_metrics(metric: str) -> list[str]:
    """The version's metric that another model's belongs beside; none for the version's own."""
    return [own for p in WHOSE if metric.startswith(p) and _folds(p, own := metric.removeprefix(p))]


def _folds(prefix: str, metric: str) -> bool:
    """A figure that compares with another model is the version's, and stands in a row of its own."""
    return prefix == "parent_" or not (metric.endswith("ratio") or "_saved_" in metric or is_difference(metric))


def row_of(figure: Figure, others: Mapping[str, Figure] | None = None, other: str = PARENT) -> Row:
    """One figure; `others` are those of other models, by the prefix of their metric."""
    where = where_text(where_of(figure))
    return Row(
        metric=figure["metric"],
        name=name_of(figure["metric"], other) + (f" ({where})" if where else ""),
        shown=text_of(figure),
        exact=exact_text(figure),
        interval=interval_text(figure),
        others=others or {},
        n=figure["n"],
        spread=_spread_text(figure),
        reason=figure["reason"] or "",
        figure=figure,
    )


def exact_text(figure: Figure) -> str:
    """The decimal of the record with its unit; empty where there is none."""
    return "" if figure["value"] is None else f"{figure['value']} {figure['unit']}"


def _spread_text(figure: Figure) -> str:
    """How far single values lie apart; for differences of shares in points, for what has no unit bare."""
    spread, unit = figure["spread"], figure["unit"]
    if spread is None:
        return ""
    if is_difference(figure["metric"]):
        return difference_text(spread, unit, bare=True)
    return value_text(spread, "" if unit in ("cosine", "probability") else unit)
