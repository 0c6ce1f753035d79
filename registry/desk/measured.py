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
from registry.catalog.queries import EvidenceReader
from registry.catalog.sentences import sentence
from registry.compression.measured_again import evidence_documents
from registry.compression.models import Run
from registry.desk import figures, metrics, svg
from registry.events import Caller

STRUCTURE, STEP = "structure", "step"
WORST_SLICE = "worst_slice_difference"
BRIEF_ROWS = 12
FOLDED = ("fairness", "calibration", "robustness", "out-of-distribution", "energy")
"""Kinds that the page of an evaluation shows at length."""
Limits = Mapping[tuple[str, str], tuple[str, str]]
"""(kind, metric) -> (comparator, limit), from the policy that judges the version."""


@dataclass(frozen=True)
class Beside:
    """Another model's figure."""

    shown: str = ""
    interval: str = ""
    exact: str = ""


@dataclass(frozen=True)
class FigureView:
    """A row of the table with its drawing."""

    row: figures.Row
    sentence: str
    drawing: SafeString
    limit: str
    beside: Sequence[Beside] = ()
    """Other models' figures, in the order of the document's columns."""


@dataclass(frozen=True)
class Measured:
    """One evidence document."""

    evidence: Evidence
    name: str
    method: str
    rows: Sequence[FigureView]
    environment: Sequence[Mapping[str, str]]
    columns: Sequence[str] = ()
    """Heads of the columns of other models."""
    plain: Sequence[str] = ()
    """One sentence for each figure of the document, in its order."""
    run: Run | None = None
    """The run that brought it, where the reader may see it."""
    extra: Sequence[tuple[str, str]] = ()
    """What of the environment only this document says."""

    @property
    def folded(self) -> bool:
        """Whether a page on which this is one of many shows no more than its first line before it is opened."""
        kind = self.evidence.kind
        return self.run is not None and (kind in FOLDED or kind.endswith(("-incumbent", "-first")))

    @property
    def other(self) -> str:
        """With whom it compares."""
        return metrics.other_of(self.evidence.kind)

    @property
    def headline(self) -> FigureView | None:
        """The figure that speaks for the document while it is folded."""
        return next((view for view in self.overall if view.row.figure["value"] is not None), None)

    @property
    def spreads(self) -> bool:
        """Whether a spread is known of any figure."""
        return any(view.row.spread for view in self.rows)

    @property
    def overall(self) -> list[FigureView]:
        """The figures over all rows."""
        return [view for view in self.rows if not view.row.figure["slice"]]

    @property
    def sliced(self) -> list[FigureView]:
        """The figures of parts."""
        return [view for view in self.rows if view.row.figure["slice"]]

    @property
    def brief(self) -> list[FigureView]:
        """What a page on which this is one of many shows: the whole, and the worst part where the document names one."""
        named = [view for view in self.sliced if view.row.metric == WORST_SLICE]
        return [*self.overall, *named] or list(self.rows[:BRIEF_ROWS])

    @property
    def left_out(self) -> int:
        """How many figures `brief` does not show."""
        return len(self.rows) - len(self.brief)


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


def measured_of(caller: Caller, version: ModelVersion, limits: Limits, runs: Sequence[Run] = ()) -> Evidences:
    """Everything that the reader may know about a version from its evidence; `runs` are those that may have brought it."""
    by_moment = {run.finished_at: run for run in runs}  # evidence is written in the unit in which its run ends
    seen: set[tuple[str, str]] = set()
    newest: list[Measured] = []
    earlier: list[Evidence] = []
    others: list[Evidence] = []
    for row, document in evidence_documents(version, EvidenceReader(caller)):
        if row.kind == STEP:  # each is of a state on the way; the page of the run shows them all
            others.append(row)
            continue
        if (row.kind, row.source) in seen:
            earlier.append(row)
            continue
        seen.add((row.kind, row.source))
        if row.kind == DISTRIBUTION:
            others.append(row)
        else:
            newest.append(measured_document(len(newest), row, document, limits, None, by_moment.get(row.created_at)))
    newest.sort(key=lambda m: metrics.kind_order(m.evidence.kind))
    shown = [m for m in newest if m.evidence.kind != STRUCTURE]
    return Evidences(
        measured=[m for m in shown if m.evidence.source == "measured"],
        declared=[m for m in shown if m.evidence.source != "measured"],
        earlier=earlier,
        structure=next((m for m in newest if m.evidence.kind == STRUCTURE), None),
        others=others,
    )


def measured_document(
    index: int, row: Evidence, document: Mapping[str, Any], limits: Limits, common: Sequence[tuple[str, str]] | None = None,
    run: Run | None = None,
) -> Measured:  # fmt: skip
    """One document as a table; `index` is unique on the page. `common` is what of its environment is said elsewhere; None: all."""
    rows = figures.rows_of(document["figures"], metrics.other_of(row.kind))
    method = document["method"]
    whose = [prefix for prefix in metrics.HEADS if any(prefix in row.others for row in rows)]
    said = [(part["name"], part["value"]) for part in document["environment"]]
    return Measured(
        evidence=row,
        name=metrics.kind_name(row.kind),
        method=f"{method['name']} {method['version']}",
        rows=[_view(f"figure-{index}-{i}", found, row.kind, limits, whose) for i, found in enumerate(rows)],
        columns=[metrics.HEADS[prefix] for prefix in whose],
        environment=document["environment"],
        plain=[sentence(figure, row.kind) for figure in document["figures"]],
        run=run,
        extra=[]
        if common is None
        else [part for part in said if part not in common and not part[1].startswith("sha256:")],
    )


def _view(name: str, row: figures.Row, kind: str, limits: Limits, whose: Sequence[str] = ()) -> FigureView:
    comparator, limit = limits.get((kind, row.metric), ("", ""))
    said = sentence({**row.figure, "n": None, "low": None, "high": None}, kind)  # those stand in columns of their own
    whole = not row.figure["slice"]
    drawing = _drawing(name, row, said, limit) if whole and (row.interval or limit) else ""
    words = {"at_least": "at least", "at_most": "at most"}
    written = f"{words[comparator]} {figures.value_text(limit, row.figure['unit'])}" if limit else ""
    beside = [_beside(row.others.get(prefix)) for prefix in whose]
    return FigureView(row, said, mark_safe(drawing), written, beside)  # noqa: S308  svg escapes everything that came from data


def _beside(figure: figures.Figure | None) -> Beside:
    if figure is None:
        return Beside()
    return Beside(figures.text_of(figure), figures.interval_text(figure), figures.exact_text(figure))


def _drawing(name: str, row: figures.Row, said: str, limit: str) -> str:
    value, low, high = row.figure["value"], row.figure["low"], row.figure["high"]
    if value is None:
        return ""
    parent = None if row.parent is None else _decimal(row.parent["value"])
    zero = Decimal(0) if figures.is_difference(row.metric) and not limit else None
    return svg.interval(
        name, said, Decimal(value), _decimal(low), _decimal(high), _decimal(limit or None), parent, zero
    )


def _decimal(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)
