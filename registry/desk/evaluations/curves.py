"""What changes along something: calibration by confidence, robustness by severity, latency by batch; each curve with its numbers.

Rules:
- the version's curve is solid, the parent's dashed; the table beneath has every point with n and interval;
- a corruption without graded severities has no curve, but stands in the table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.utils.safestring import SafeString, mark_safe

from registry.desk import svg_evaluation as svg
from registry.desk.evaluations.record import Sheet
from registry.desk.figures import Figure, Where, row_of, where_of
from registry.desk.metrics import lower_is_better, name_of

DRAWN_CORRUPTIONS = 12
CONFIDENCE_BIN = "confidence_bin"
CORRUPTION, SEVERITY = "corruption", "severity"
BATCH, THREADS = "batch", "threads"
_DERIVED = ("_difference", "_excess_loss")
_SERIES = ("", "parent_")
_NAMES = {"": "this version", "parent_": "its parent"}


@dataclass(frozen=True)
class Cell:
    """One number of a table."""

    shown: str
    interval: str = ""
    exact: str = ""


@dataclass(frozen=True)
class Line:
    """One line of a table: what it is about, its numbers in the order of the heads, and how many rows it rests on."""

    name: str
    cells: Sequence[Cell]
    n: int | None = None


@dataclass(frozen=True)
class Table:
    """Heads and lines; columns that no line has anything in are left out."""

    heads: Sequence[str]
    lines: Sequence[Line]

    @classmethod
    def of(cls, heads: Sequence[str], lines: Sequence[Line]) -> Table:
        kept = [i for i in range(len(heads)) if any(line.cells[i].shown for line in lines)]
        cut = [Line(line.name, [line.cells[i] for i in kept], line.n) for line in lines]
        return cls([heads[i] for i in kept], cut)


@dataclass(frozen=True)
class Curves:
    """Drawings of one question, each with its caption, and the one table beneath them."""

    drawings: Sequence[tuple[str, SafeString]]
    table: Table
    more: int = 0
    """How many could have been drawn beside."""


def cell(figure: Figure | None) -> Cell:
    """A figure as a cell; an empty one where there is none."""
    if figure is None:
        return Cell("")
    row = row_of(figure)
    return Cell(row.shown, row.interval, row.exact)


# --- calibration ------------------------------------------------------------------------------------------------------


def reliability(sheet: Sheet) -> Curves | None:
    """Accuracy by confidence; None where there are no bins."""
    bins = [
        *_places(sheet, "bin_accuracy"),
        *_places(sheet, "parent_bin_accuracy"),
    ]  # a bin may be empty for one of them
    places = sorted({w for w in bins if dict(w).keys() == {CONFIDENCE_BIN}})
    if not places:
        return None
    series = [line for prefix in _SERIES if (line := _bins(sheet, prefix, places)) is not None]
    lines = [_bin_line(sheet, where) for where in places]
    heads = ["Confidence", "Accuracy", "Parent’s confidence", "Parent’s accuracy", "Parent’s n"]
    return Curves([("", _safe(svg.reliability("reliability", _boast(series), series)))], Table.of(heads, lines))


def _bins(sheet: Sheet, prefix: str, places: Sequence[Where]) -> svg.Series | None:
    found = [(sheet.get(f"{prefix}bin_confidence", w), sheet.get(f"{prefix}bin_accuracy", w)) for w in places]
    pairs = [(c, a) for c, a in found if c is not None and a is not None and a["n"] != 0]
    if not pairs:
        return None
    pairs.sort(key=lambda pair: Decimal(pair[0]["value"]))
    points = [(float(c["value"]), float(a["value"])) for c, a in pairs]
    return svg.Series(_NAMES[prefix], points, [_bounds(a) for _, a in pairs], lead=prefix == "")


def _bin_line(sheet: Sheet, where: Where) -> Line:
    metrics = ("bin_confidence", "bin_accuracy", "parent_bin_confidence", "parent_bin_accuracy")
    figures = [sheet.get(metric, where) for metric in metrics]
    theirs = "" if figures[3] is None or figures[3]["n"] is None else f"{figures[3]['n']:,}"
    n = figures[1]["n"] if figures[1] is not None else None
    return Line(dict(where)[CONFIDENCE_BIN], [*map(cell, figures), Cell(theirs)], n)


def _boast(series: Sequence[svg.Series]) -> str:
    own = next((line for line in series if line.lead), None)
    if own is None:
        return "Only the parent's reliability is known."
    gap = sum(x - y for x, y in own.points) / len(own.points)
    word = "more" if gap > 0 else "less"
    return f"On average over the bins this version is {abs(gap) * 100:.1f} points {word} confident than it is right."


# --- robustness -------------------------------------------------------------------------------------------------------


def severities(sheet: Sheet) -> Curves | None:
    """The leading metric by severity, one drawing for each corruption; None where nothing was corrupted."""
    metrics = (f["metric"] for f in sheet.figures if [part["name"] for part in f["slice"]] == [CORRUPTION, SEVERITY])
    metric = next((m for m in metrics if not m.startswith("parent_") and not m.endswith(_DERIVED)), None)
    if metric is None or not sheet.sliced(metric, CORRUPTION, SEVERITY):
        return None
    by_corruption: dict[str, list[Where]] = defaultdict(list)
    for figure in sheet.sliced(metric, CORRUPTION, SEVERITY):
        by_corruption[dict(where_of(figure))[CORRUPTION]].append(where_of(figure))
    values = [float(f["value"]) for p in _SERIES for f in sheet.sliced(p + metric, CORRUPTION, SEVERITY)]
    scale = _axis(metric, [*values, 1.0] if _unit(sheet, metric) == "share" else values, _unit(sheet, metric))
    clean = {p: sheet.get(f"{p}clean_{metric}") or sheet.get(p + metric, ((SEVERITY, "0"),)) for p in _SERIES}
    ranked = sorted(by_corruption, key=lambda name: (_greatest_loss(sheet, metric, by_corruption[name]), name))
    drawings = [
        (n, _severity_drawing(i, n, sheet, metric, by_corruption[n], scale, clean)) for i, n in enumerate(ranked)
    ]
    lines = [_severity_line(sheet, metric, where) for name in ranked for where in _graded(by_corruption[name])]
    heads = ["This version", "Parent", "Difference", "Lost beyond the parent"]
    return Curves(drawings[:DRAWN_CORRUPTIONS], Table.of(heads, lines), max(0, len(drawings) - DRAWN_CORRUPTIONS))


def _severity_drawing(
    index: int, name: str, sheet: Sheet, metric: str, places: Sequence[Where], scale: svg.Axis,
    clean: Mapping[str, Figure | None],
) -> SafeString:  # fmt: skip
    series = []
    for prefix in _SERIES:
        found = [(float(dict(w)[SEVERITY]), sheet.get(prefix + metric, w)) for w in _graded(places)]
        start = clean[prefix]
        points = [(0.0, start)] if start is not None else []
        points += [(x, f) for x, f in found if f is not None]
        if points:
            xy = [(x, float(f["value"])) for x, f in points]
            series.append(svg.Series(_NAMES[prefix], xy, [_bounds(f) for _, f in points], lead=prefix == ""))
    xs = sorted({x for line in series for x, _ in line.points})
    x_axis = svg.Axis("severity", [(x, "clean" if x == 0 else f"{x:g}") for x in xs])
    finding = "; ".join(f"{line.name}: {_spoken(line.points[-1][1], scale)} at the worst severity" for line in series)
    return _safe(svg.curves(f"severity-{index}", f"{name} by severity", finding, series, x_axis, scale))


def _spoken(value: float, axis: svg.Axis) -> str:
    return f"{value * 100:.1f} %" if any(said.endswith("%") for _, said in axis.ticks) else f"{value:g}"


def _greatest_loss(sheet: Sheet, metric: str, places: Sequence[Where]) -> Decimal:
    """The difference at its worst, most lost first when sorted."""
    found = [f for w in places if (f := sheet.get(f"{metric}_difference", w)) is not None]
    sign = -1 if lower_is_better(metric) else 1
    return min((sign * Decimal(f["value"]) for f in found), default=Decimal(0))


def _graded(places: Sequence[Where]) -> list[Where]:
    return sorted(places, key=lambda where: Decimal(dict(where)[SEVERITY]))


def _severity_line(sheet: Sheet, metric: str, where: Where) -> Line:
    own = sheet.get(metric, where)
    others = (f"parent_{metric}", f"{metric}_difference", f"{metric}_excess_loss")
    cells = [cell(own), *(cell(sheet.get(name, where)) for name in others)]
    place = dict(where)
    return Line(f"{place[CORRUPTION].replace('_', ' ')}, severity {place[SEVERITY]}", cells, own["n"] if own else None)


# --- latency by batch and threads -------------------------------------------------------------------------------------


def latencies(sheet: Sheet, first: Where) -> Curves | None:
    """Median latency by batch size, one drawing for each number of threads; None where only one setting was timed.

    `first` is the setting of the figures without a slice.
    """
    settings = [w for w in _places(sheet, "latency_p50_ms") if {BATCH, THREADS} == dict(w).keys()]
    if not settings:
        return None
    if first not in settings:
        sheet = Sheet([*sheet.figures, *(_sliced_as(f, first) for f in sheet.figures if not f["slice"])])
        settings.append(first)
    by_threads: dict[str, list[Where]] = defaultdict(list)
    for where in sorted(settings, key=lambda w: (Decimal(dict(w)[THREADS]), Decimal(dict(w)[BATCH]))):
        by_threads[dict(where)[THREADS]].append(where)
    drawings = [
        (f"{threads} thread{'' if threads == '1' else 's'}", drawn)
        for index, (threads, group) in enumerate(by_threads.items())
        if (drawn := _latency_drawing(index, threads, sheet, group)) is not None
    ]
    lines = [_latency_line(sheet, where) for group in by_threads.values() for where in group]
    heads = ["Median", "95th", "99th", "Parent’s median", "Against the parent’s", "Throughput"]
    return Curves(drawings, Table.of(heads, lines))


def _sliced_as(figure: Figure, where: Where) -> Figure:
    return {**figure, "slice": [{"name": name, "value": value} for name, value in where]}


def _latency_drawing(index: int, threads: str, sheet: Sheet, places: Sequence[Where]) -> SafeString | None:
    if len(places) < 2:
        return None
    series = []
    for prefix in _SERIES:
        found = [(dict(w)[BATCH], sheet.get(f"{prefix}latency_p50_ms", w)) for w in places]
        kept = [(i, f) for i, (_, f) in enumerate(found) if f is not None]
        if kept:
            xy = [(float(i), float(f["value"])) for i, f in kept]
            series.append(svg.Series(_NAMES[prefix], xy, [_bounds(f) for _, f in kept], lead=prefix == ""))
    values = [y for line in series for _, y in line.points]
    x_axis = svg.Axis("rows in a batch", [(float(i), dict(w)[BATCH]) for i, w in enumerate(places)])
    y_axis = svg.Axis("milliseconds a batch", [(t, f"{t:g}") for t in svg.ticks([0.0, *values])])
    finding = "; ".join(f"{line.name}: {line.points[-1][1]:.4g} ms for the largest batch" for line in series)
    return _safe(svg.curves(f"latency-{index}", f"Latency with {threads} threads", finding, series, x_axis, y_axis))


def _latency_line(sheet: Sheet, where: Where) -> Line:
    metrics = (
        "latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "parent_latency_p50_ms", "latency_ratio",
        "throughput_per_second",
    )  # fmt: skip
    figures = [sheet.get(metric, where) for metric in metrics]
    n = next((f["n"] for f in figures if f is not None), None)
    place = dict(where)
    return Line(f"batch {place[BATCH]}, threads {place[THREADS]}", [cell(f) for f in figures], n)


# --- all of them ------------------------------------------------------------------------------------------------------


def _places(sheet: Sheet, metric: str) -> list[Where]:
    """The slices of a metric, in the order of the document."""
    return list(dict.fromkeys(where_of(figure) for figure in sheet.sliced(metric)))


def _unit(sheet: Sheet, metric: str) -> str:
    return str(sheet.sliced(metric)[0]["unit"])


def _axis(metric: str, values: Sequence[float], unit: str) -> svg.Axis:
    places = svg.ticks(values, 4)
    if unit == "share":
        places = [p for p in places if p <= 1.0]
        return svg.Axis(name_of(metric).lower(), [(p, f"{p * 100:.0f}%") for p in places])
    return svg.Axis(name_of(metric).lower(), [(p, f"{p:g}") for p in places])


def _bounds(figure: Figure) -> tuple[float, float] | None:
    low, high = figure["low"], figure["high"]
    return None if low is None or high is None else (float(low), float(high))


def _safe(drawn: str) -> SafeString:
    return mark_safe(drawn)  # noqa: S308  svg_evaluation escapes everything that came from data
