"""Groups beside each other: the rates of each, and whether the gaps between them grew against the parent.

Which rate ought to be equal is not decided here: they cannot all be.
"""

from __future__ import annotations

from registry.desk import svg_evaluation as svg
from registry.desk.evaluations.against import Drawn, tick_text
from registry.desk.evaluations.curves import Cell, Line, Table, cell
from registry.desk.evaluations.record import Sheet
from registry.desk.figures import Figure, Where, count_text, text_of, where_of, where_text
from registry.desk.metrics import name_of

RATES = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy")
DRAWN = 16
_ALL = "all groups"
_GAP_CHANGE = "_gap_change"


def rates(sheet: Sheet) -> Table:
    """A line for each group, a column for each rate, with interval, n and the parent's beneath."""
    groups = [w for w in (where_of(f) for f in sheet.figures) if len(w) == 1 and w[0][1] != _ALL]
    lines = [
        Line(where_text(where), [_rate(sheet, rate, where) for rate in RATES])
        for where in dict.fromkeys(groups)
        if any(sheet.get(rate, where) for rate in RATES)
    ]
    return Table.of([name_of(rate) for rate in RATES], lines)


def _rate(sheet: Sheet, rate: str, where: Where) -> Cell:
    own, parent = sheet.get(rate, where), sheet.get(f"parent_{rate}", where)
    shown = cell(own)
    if own is None:
        return shown
    n = "" if own["n"] is None else f"n {count_text(own['n'])}"
    theirs = "" if parent is None else f"parent {text_of(parent)}"
    return Cell(shown.shown, "; ".join(part for part in (shown.interval, n, theirs) if part), shown.exact)


def gaps(sheet: Sheet) -> Drawn | None:
    """How the gaps between groups changed against the parent, drawn; None where it is not known."""
    found = [f for f in sheet.figures if f["metric"].endswith(_GAP_CHANGE) and f["value"] is not None][:DRAWN]
    if not found:
        return None
    marks = [_mark(figure) for figure in found]
    ends = [e for m in marks for e in (m.value, m.low, m.high) if e is not None]
    places = [(place, tick_text(place, found[0]["unit"])) for place in svg.ticks([0.0, *ends])]
    grown = [mark.label for mark in marks if mark.state == "lost"]
    finding = f"Gaps that grew: {', '.join(grown)}." if grown else "No gap between groups grew beyond chance."
    axis = svg.Axis("change of the gap against the parent, with 95 % intervals", places)
    forest = svg.Forest(finding, marks, axis, ("wider gap", "narrower gap"), reverse=True)
    return Drawn.of(forest, "gaps")


def _mark(figure: Figure) -> svg.Mark:
    low, high = (None if figure[end] is None else float(figure[end]) for end in ("low", "high"))
    clear = low is not None and high is not None and not low <= 0 <= high
    state = ("lost" if float(figure["value"]) > 0 else "won") if clear else "unclear"
    where = ", ".join(name if value == _ALL else f"{name} {value}" for name, value in where_of(figure))
    name = name_of(figure["metric"].removesuffix(_GAP_CHANGE)).partition(" (")[0]
    n = "n not given" if figure["n"] is None else f"n {count_text(figure['n'])}"
    return svg.Mark(f"{where}: {name}" if where else name, float(figure["value"]), low, high, n, state)
