"""What was measured about a version, for people: every figure with interval, sample size, spread, limit and plain sentence.

Rules:
- only the newest document of each kind and source is shown as it stands now; older ones are listed by digest;
- declared stands apart from measured;
- counts over bins (kind distribution) are for monitors and are not listed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.safestring import SafeString, mark_safe

from registry.catalog.distributions import KIND as DISTRIBUTION
from registry.catalog.models import Evidence, ModelVersion
from registry.catalog.queries import evidence_documents
from registry.catalog.sentences import sentence
from registry.desk import figures, svg

STRUCTURE = "structure"
Limits = Mapping[tuple[str, str], tuple[str, str]]
"""(kind, metric) -> (comparator, limit), from the policy that judges the version."""


@dataclass(frozen=True)
class FigureView:
    """A row of the table with its drawing."""

    row: figures.Row
    sentence: str
    drawing: SafeString
    limit: str


@dataclass(frozen=True)
class Measured:
    """One evidence document."""

    evidence: Evidence
    name: str
    method: str
    rows: Sequence[FigureView]
    environment: Sequence[Mapping[str, str]]

    @property
    def compares(self) -> bool:
        """Whether a parent stands beside."""
        return any(view.row.parent_shown for view in self.rows)


@dataclass(frozen=True)
class Evidences:
    """All of it: what counts now, what is only declared, what was superseded, and the structure of the files."""

    measured: Sequence[Measured]
    declared: Sequence[Measured]
    earlier: Sequence[Evidence]
    structure: Measured | None
    others: Sequence[Evidence]

    def figure(self, kind: str, metric: str) -> FigureView | None:
        """One measured figure, for the line at the top."""
        found = (v for m in self.measured if m.evidence.kind == kind for v in m.rows if v.row.metric == metric)
        return next(found, None)


def measured_of(version: ModelVersion, limits: Limits) -> Evidences:
    """Everything that is known about a version from its evidence."""
    seen: set[tuple[str, str]] = set()
    newest: list[Measured] = []
    earlier: list[Evidence] = []
    others: list[Evidence] = []
    for row, document in evidence_documents(version):
        if (row.kind, row.source) in seen:
            earlier.append(row)
            continue
        seen.add((row.kind, row.source))
        if row.kind == DISTRIBUTION:
            others.append(row)
        else:
            newest.append(_measured(len(newest), row, document, limits))
    newest.sort(key=lambda m: figures.kind_order(m.evidence.kind))
    shown = [m for m in newest if m.evidence.kind != STRUCTURE]
    return Evidences(
        measured=[m for m in shown if m.evidence.source == "measured"],
        declared=[m for m in shown if m.evidence.source != "measured"],
        earlier=earlier,
        structure=next((m for m in newest if m.evidence.kind == STRUCTURE), None),
        others=others,
    )


def _measured(index: int, row: Evidence, document: Mapping[str, Any], limits: Limits) -> Measured:
    rows = figures.rows_of(document["figures"])
    method = document["method"]
    return Measured(
        evidence=row,
        name=figures.kind_name(row.kind),
        method=f"{method['name']} {method['version']}",
        rows=[_view(f"figure-{index}-{i}", found, row.kind, limits) for i, found in enumerate(rows)],
        environment=document["environment"],
    )


def _view(name: str, row: figures.Row, kind: str, limits: Limits) -> FigureView:
    comparator, limit = limits.get((kind, row.metric), ("", ""))
    said = sentence({**row.figure, "n": None, "low": None, "high": None}, kind)  # those stand in columns of their own
    drawing = _drawing(name, row, said, limit) if row.interval or limit else ""
    words = {"at_least": "at least", "at_most": "at most"}
    written = f"{words[comparator]} {figures.value_text(limit, row.figure['unit'])}" if limit else ""
    return FigureView(row, said, mark_safe(drawing), written)  # noqa: S308  svg escapes everything that came from data


def _drawing(name: str, row: figures.Row, said: str, limit: str) -> str:
    value, low, high = row.figure["value"], row.figure["low"], row.figure["high"]
    if value is None:
        return ""
    return svg.interval(name, said, Decimal(value), _decimal(low), _decimal(high), _decimal(limit or None))


def _decimal(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)
