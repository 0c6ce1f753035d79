"""A comparison as its page and its CSV say it: a line for each recipe, figures as people read them.

Rules:
- a figure that was not measured is said so, never left empty and never zero;
- the table as CSV holds the exact decimals of the evidence with their intervals, in the order of the page.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.catalog.models import ModelVersion
from registry.compression.comparisons import Comparison, Line
from registry.compression.models import Run
from registry.desk import figures, metrics

_NOT_MEASURED = "not measured"
_FIGURES = ("size_ratio", "kept", "quality", "worst", "latency_ratio", "memory_ratio")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Cell:
    """A figure: its value, its interval, and of what it is where that is not the head of its column."""

    value: str
    interval: str = ""
    of: str = ""


HEADS = ("Smaller", "Kept of the parent’s answers", "Quality", "Worst group", "Time", "Memory")


@dataclass(frozen=True)
class ComparedLine:
    """A run of a comparison as the page shows it."""

    run: Run
    child: ModelVersion | None
    cells: Sequence[tuple[str, Cell]]
    """The figures under the heads of their columns."""
    ended_at_step: str
    on_front: bool


def lines_of(comparison: Comparison) -> list[ComparedLine]:
    """One line for each run, in the order of the recipes."""
    heads = heads_of(comparison)
    return [_line(line, heads, on_front=line.run.pk in comparison.front) for line in comparison.lines]


def heads_of(comparison: Comparison) -> list[str]:
    """The columns of figures: those that were measured of any child."""
    found = [_figures_of(line) for line in comparison.lines]
    return [head for place, head in enumerate(HEADS) if any(figures_[place] is not None for figures_ in found)]


def _figures_of(line: Line) -> Sequence[Mapping[str, Any] | None]:
    """In the order of `HEADS`."""
    return (line.size_ratio, line.kept, line.quality, line.worst, line.latency_ratio, line.memory_ratio)


def verdict_of(comparison: Comparison) -> str:
    """What came of it so far, in a sentence."""
    made = [line for line in comparison.lines if line.run.child is not None]
    total = len(comparison.lines)
    if comparison.in_work:
        return f"{total - comparison.in_work} of {total} runs have ended."
    if not made:
        return "No recipe made a child: why stands beside each."
    by = "by labels" if comparison.by_labels else "by what is kept of the parent’s answers"
    count = len(comparison.front)
    if not count:
        return (
            f"{len(made)} of {total} recipes made a child; without their time measured none can be said to be beaten."
        )
    best = "one of them no other beats" if count == 1 else f"{count} of them no other beats"
    return f"{len(made)} of {total} recipes made a child; {best} in size, time and quality together, {by}."


def csv_of(body: Mapping[str, Any]) -> str:
    """The rows of the JSON answer as CSV: exact decimals."""
    ends = [f"{name}_{end}" for name in _FIGURES for end in ("value", "low", "high", "n")]
    heads = [
        "run", "recipe", "recipe_digest", "state", "child", "child_digest", "size_bytes", "kept_metric", "quality_metric",
        "worst_metric", "worst_slice", *ends, "on_front", "ended_at_step", "failure_code", "failure",
    ]  # fmt: skip
    written = io.StringIO()
    writer = csv.DictWriter(written, heads, lineterminator="\r\n")
    writer.writeheader()
    for row in body["rows"]:
        told = {name: row[name] for name in heads if name in row}
        for name in _FIGURES:
            figure = row[name] or {}
            told |= {f"{name}_{end}": figure.get(end) for end in ("value", "low", "high", "n")}
        told |= {f"{name}_metric": (row[name] or {}).get("metric") for name in ("kept", "quality", "worst")}
        told["worst_slice"] = "; ".join(
            f"{part['name']}={part['value']}" for part in (row["worst"] or {}).get("slice", [])
        )
        writer.writerow({name: _plain(value) for name, value in told.items()})
    return written.getvalue()


def _plain(value: object) -> object:
    """Text that a spreadsheet would take for a formula stands behind an apostrophe; decimals are none."""
    if isinstance(value, str) and value.startswith(_FORMULA) and not _is_decimal(value):
        return f"'{value}"
    return value


def _is_decimal(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()


def _line(line: Line, heads: Sequence[str], *, on_front: bool) -> ComparedLine:
    cells = zip(
        HEADS,
        (
            _cell(line.size_ratio),
            _cell(line.kept, named=True),
            _cell(line.quality, named=True, missing="no labels"),
            _worst(line.worst),
            _cell(line.latency_ratio),
            _cell(line.memory_ratio),
        ),
        strict=True,
    )
    shown = [(head, cell) for head, cell in cells if head in heads]
    return ComparedLine(line.run, line.run.child, shown, line.ended_at_step, on_front)


def _cell(figure: Mapping[str, Any] | None, *, named: bool = False, missing: str = _NOT_MEASURED) -> Cell:
    if figure is None:
        return Cell(missing)
    of = metrics.name_of(figure["metric"]) if named else ""
    return Cell(figures.text_of(figure), figures.interval_text(figure), of)


def _worst(figure: Mapping[str, Any] | None) -> Cell:
    if figure is None:
        return Cell("no groups")
    where: Sequence[tuple[str, str]] = tuple((part["name"], part["value"]) for part in figure["slice"])
    return Cell(figures.text_of(figure), figures.interval_text(figure), figures.where_text(tuple(where)))
