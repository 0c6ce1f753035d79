"""Everything that an approver has to see on one page before deciding: read only, nothing left out, nothing judged anew.

Rules:
- figures are those of the evidence that the approval is bound to, the newest document of each kind; declared is never shown as
  measured; each has its value, interval, n, spread and one sentence, the incumbent's figure beside it;
- counts over bins are summed up by feature, for they are for monitors, not for readers;
- what has changed since the request is said before anything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.catalog import queries as catalog
from registry.catalog.distributions import KIND as DISTRIBUTION
from registry.catalog.distributions import DistributionError, from_document
from registry.catalog.lineage import Lineage, Node, lineage
from registry.catalog.models import Evidence, ModelVersion
from registry.catalog.sentences import sentence
from registry.catalog.stated import Stated, stated
from registry.catalog.terms import EffectiveTerms
from registry.compression.measured_again import evidence_documents
from registry.compression.measured_again import figure as newest_figure
from registry.compression.models import Run
from registry.events import Caller
from registry.release import deciding, drilled
from registry.release import queries as release
from registry.release.gates import short
from registry.release.grounds import Ground, grounds_of
from registry.release.models import AliasAssignment, Approval, DecisionKind, Waiver
from registry.release.serving_models import Drill
from registry.release.status import Status, open_for

KIND_TITLES = {
    "size": "Size",
    "fidelity": "Agreement with the parent",
    "invariance": "Same answers, however asked",
    "timing": "Latency",
    "memory": "Memory",
    "outputs": "Answers on their own",
    "structure": "Structure of the files",
}
_ANSWER_ORDER = ("blocked", "waived", "passed", "not-applicable")
_ORDER = ("size", "fidelity", "invariance", "timing", "memory", "outputs")


@dataclass(frozen=True)
class FigureRow:
    """One figure, as a person reads it."""

    metric: str
    value: str
    interval: str
    n: int | None
    spread: str
    sentence: str
    incumbent: str


@dataclass(frozen=True)
class EvidenceTable:
    """One evidence document."""

    row: Evidence
    title: str
    method: str
    figures: Sequence[FigureRow]
    environment: Sequence[Mapping[str, str]] = field(default_factory=tuple)


@dataclass(frozen=True)
class EdgeRow:
    """One step of the lineage."""

    child: str
    parent: str
    parent_kind: str
    role: str
    operations: str
    grade: str
    licence: str
    digest: str


@dataclass(frozen=True)
class TermRow:
    """One effective term with what decides it."""

    term: str
    answer: str
    sentence: str
    decided_by: str
    path: str
    """How it was reached, where it is not simply allowed."""


@dataclass(frozen=True)
class Page:
    """What stands on the page of one approval."""

    approval: Approval
    status: Status
    why_not: str | None
    verdict: dict[str, Any]
    verdict_counts: Mapping[str, int]
    grounds: Sequence[Ground]
    evidence: Sequence[EvidenceTable]
    distribution: Mapping[str, Any] | None
    waivers: Sequence[Waiver]
    edges: Sequence[EdgeRow]
    terms: Sequence[TermRow]
    notes: Sequence[str]
    run: Run | None
    incumbent: AliasAssignment | None
    stated: Stated
    """What is said about the version now: the newest correction, where there is one."""
    way_back: ModelVersion | None
    drill: Drill | None
    may_revoke: bool


def page_of(caller: Caller, approval: Approval) -> Page:
    """Gather the page; the caller has been allowed to read the approval."""
    version = approval.version
    incumbent = release.incumbent(approval.model, approval.alias)
    verdict = release.verdict_document(approval.verdict)
    results: list[dict[str, Any]] = verdict["results"]  # type: ignore[assignment]
    results.sort(
        key=lambda r: _ANSWER_ORDER.index(r["answer"])
    )  # what needs attention first, else as the policy has it
    answers = [r["answer"] for r in results]
    documents = _newest(caller, version)
    bound = {w["id"] for w in verdict["waivers"]}  # type: ignore[attr-defined]
    terms = catalog.effective_terms(version, caller=caller)
    now = release.status_of(approval)
    revoking = deciding.way_to_decide(caller.actor_id, approval, kind=DecisionKind.REVOKED, now=now)
    return Page(
        approval=approval,
        status=now,
        why_not=release.may_decide(caller, approval),
        verdict=verdict,
        verdict_counts={a: answers.count(a) for a in _ANSWER_ORDER if a in answers},
        grounds=grounds_of(approval.verdict),
        evidence=_tables(documents, incumbent.version if incumbent else None),
        distribution=_distribution(documents),
        waivers=[w for w in release.waivers_of(version) if str(w.pk) in bound],
        edges=_edges(lineage(caller, version)),
        terms=_terms(terms),
        notes=terms.notes,
        run=Run.objects.filter(child=version).select_related("recipe", "requested_by", "evaluation__dataset").first(),
        incumbent=incumbent,
        stated=stated([version.pk])[version.pk],
        way_back=_way_back(approval, incumbent),
        drill=drilled.last_drill(approval.model, approval.alias),
        may_revoke=open_for(DecisionKind.REVOKED, now) and not isinstance(revoking, deciding.Refusal),
    )


def _way_back(approval: Approval, move: AliasAssignment | None) -> ModelVersion | None:
    """What the alias would return to after this release."""
    if move is not None and move.version_id == approval.version_id:
        return drilled.rollback_candidate(approval.model, approval.alias)
    return move.version if move else None


def _newest(caller: Caller, version: ModelVersion) -> list[tuple[Evidence, dict[str, Any]]]:
    """The newest document of each kind and source."""
    seen: set[tuple[str, str]] = set()
    found = []
    for row, document in evidence_documents(version, catalog.EvidenceReader(caller)):
        if (row.kind, row.source) not in seen:
            seen.add((row.kind, row.source))
            found.append((row, document))
    return found


def _tables(documents: Sequence[tuple[Evidence, dict[str, Any]]], other: ModelVersion | None) -> list[EvidenceTable]:
    tables = []
    for row, document in documents:
        if row.kind in (DISTRIBUTION, "structure"):
            continue
        figures = [_figure(f, row.kind, other) for f in document["figures"]]
        method = f"{document['method']['name']} {document['method']['version']}"
        title = KIND_TITLES.get(row.kind, row.kind.replace("_", " ").capitalize())
        tables.append(EvidenceTable(row, title, method, figures, document["environment"]))
    return sorted(tables, key=lambda t: (t.row.source != "measured", _rank(t.row.kind), t.row.kind))


def _rank(kind: str) -> int:
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


def _figure(figure: Mapping[str, Any], kind: str, other: ModelVersion | None) -> FigureRow:
    low, high = figure["low"], figure["high"]
    beside = newest_figure(other, kind, figure["metric"]) if other is not None and not figure["slice"] else None
    where = ", ".join(f"{s['name']} = {s['value']}" for s in figure["slice"])
    return FigureRow(
        metric=figure["metric"].replace("_", " ") + (f" ({where})" if where else ""),
        value=_number(figure["value"]) or "not known",
        interval=f"{_number(low)} to {_number(high)}" if low is not None and high is not None else "",
        n=figure["n"],
        spread=_number(figure["spread"]),
        sentence=sentence(figure, kind),
        incumbent=_number(beside["value"]) if beside else "",
    )


def _number(value: str | None) -> str:
    return "" if value is None else short(value)


def _distribution(documents: Sequence[tuple[Evidence, dict[str, Any]]]) -> Mapping[str, Any] | None:
    for row, document in documents:
        if row.kind == DISTRIBUTION and row.source == "measured":
            try:
                found = from_document(document)
            except DistributionError:
                return None
            return {"n": found["n"], "features": [f["name"] for f in found["features"]], "digest": row.digest}
    return None


def _edges(found: Lineage) -> list[EdgeRow]:
    nodes = {node.key: node for node in found.nodes}
    upwards = [e for e in found.edges if nodes[e.parent].distance < 0]
    upwards.sort(key=lambda e: (-nodes[e.parent].distance, e.role, e.parent))
    return [
        EdgeRow(
            child=_label(nodes[e.child]), parent=_label(nodes[e.parent]), parent_kind=nodes[e.parent].kind, role=e.role,
            operations=", ".join(e.operations), grade=e.grade, licence=nodes[e.parent].licence or "not known",
            digest=nodes[e.parent].digest,
        )
        for e in upwards
    ]  # fmt: skip


def _label(node: Node) -> str:
    return node.label or {"dataset": "data of another team", "outside": "something outside this registry"}.get(
        node.kind, "a version of another team"
    )


def _terms(terms: EffectiveTerms) -> list[TermRow]:
    rows = []
    for term, answer in terms.answers.items():
        proof = terms.because(term)
        first = proof[0] if proof else None
        rows.append(
            TermRow(
                term=term.replace("_", " "),
                answer=answer,
                sentence=first.sentence if first else "",
                decided_by=f"{first.licence}, {first.source}" if first else "",
                path=" → ".join(first.path) if first and answer != "allowed" else "",
            )
        )
    return rows
