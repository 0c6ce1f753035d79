"""What somebody who decides on an approval wants beside the evidence: the incumbent's figures, terms, findings, way back, people.

Rules:
- figures are the newest measured ones over all rows, of each version for itself; a difference is told only where both have one;
- terms stand in one line, worst first; below it, of each that blocks, what decides it and by which way it was reached;
- the way back is what the alias would return to after this release, with the last drill of the alias, however it ended;
- of everybody who could decide it is said why, and for whom; of the reader above all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from registry.access.models import Actor, ActorKind, Deputyship, Membership, Role
from registry.access.permissions import PERMISSIONS
from registry.catalog import queries as catalog
from registry.catalog.distributions import KIND as DISTRIBUTION
from registry.catalog.models import ModelVersion
from registry.catalog.queries import EvidenceReader
from registry.catalog.terms import EffectiveTerms
from registry.compression.measured_again import evidence_documents
from registry.desk import figures, metrics
from registry.events import Caller
from registry.oversight.models import Finding
from registry.oversight.queries import findings_of
from registry.release import deciding, drilled, queries
from registry.release.models import AliasAssignment, Approval, DecisionKind
from registry.release.serving_models import Drill
from registry.release.status import Status, open_for

_UNSHOWN = (DISTRIBUTION, "structure")
_WORST_FIRST = (
    ("forbidden", "not allowed"),
    ("unknown", "not known"),
    ("conditions", "with conditions"),
    ("allowed", "allowed"),
)
_MOST_PEOPLE = 20


@dataclass(frozen=True)
class Compared:
    """One figure of the version beside the incumbent's."""

    kind: str
    name: str
    shown: str
    interval: str
    n: str
    other: str
    other_interval: str
    other_n: str
    change: str


@dataclass(frozen=True)
class WayBack:
    """Where the alias would return to, and when that was tried last."""

    incumbent: AliasAssignment | None
    returns_to: ModelVersion | None
    drill: Drill | None


@dataclass(frozen=True)
class Blocking:
    """What keeps terms from being allowed: whose licence, what it says, and the way from the version to it."""

    terms: Sequence[str]
    source: str
    licence: str
    sentence: str
    path: Sequence[str]


@dataclass(frozen=True)
class Person:
    """Somebody who holds a role for the decision, or stands for somebody who does."""

    name: str
    role: str
    stands_for: str
    why_not: str


@dataclass(frozen=True)
class Decision:
    """Everything of this file for one page."""

    compared: Sequence[Compared]
    only_here: int
    terms: Sequence[tuple[str, str, str]]
    blocking: Sequence[Blocking]
    findings: Sequence[Finding]
    way_back: WayBack
    people: Sequence[Person]
    why_not: str | None
    may_revoke: bool
    may_answer: bool
    returned: bool


def decision_of(caller: Caller, approval: Approval, now: Status, may_answer: bool) -> Decision:
    """Gather it; the caller has been allowed to read the approval."""
    version, move = approval.version, queries.incumbent(approval.model, approval.alias)
    other = move.version if move is not None and move.version_id != version.pk else None
    compared, only_here = _compared(caller, version, other)
    effective = catalog.effective_terms(version, caller=caller)
    revoking = deciding.way_to_decide(caller.actor_id, approval, kind=DecisionKind.REVOKED, now=now)
    return Decision(
        compared=compared,
        only_here=only_here,
        terms=_terms(effective),
        blocking=_blocking(effective),
        findings=_findings(approval),
        way_back=_way_back(approval, move),
        people=_people(approval, now),
        why_not=queries.may_decide(caller, approval),
        may_revoke=open_for(DecisionKind.REVOKED, now) and not isinstance(revoking, deciding.Refusal),
        may_answer=may_answer,
        returned=now.word == "returned",
    )


# --- figures ---


def _compared(caller: Caller, version: ModelVersion, other: ModelVersion | None) -> tuple[list[Compared], int]:
    """The figures that both have, and how many only the version has."""
    mine, theirs = _overall(caller, version), _overall(caller, other) if other else {}
    both = [_row(kind, figure, theirs[kind, name]) for (kind, name), figure in mine.items() if (kind, name) in theirs]
    return both, len(mine) - len(both)


def _overall(caller: Caller, version: ModelVersion) -> dict[tuple[str, str], Mapping[str, Any]]:
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    seen: set[str] = set()
    for row, document in evidence_documents(version, EvidenceReader(caller)):
        if row.source != "measured" or row.kind in seen or row.kind in _UNSHOWN:
            continue
        seen.add(row.kind)
        whole = [f for f in document["figures"] if not f["slice"] and f["value"] is not None]
        found |= {(row.kind, f["metric"]): f for f in whole if not f["metric"].startswith(tuple(metrics.HEADS))}
    return dict(sorted(found.items(), key=lambda item: metrics.kind_order(item[0][0])))


def _row(kind: str, figure: Mapping[str, Any], other: Mapping[str, Any]) -> Compared:
    row, beside = figures.row_of(figure), figures.row_of(other)
    difference = Decimal(figure["value"]) - Decimal(other["value"])
    same_unit = figure["unit"] == other["unit"]
    change = figures.difference_text(f"{difference.normalize():f}", figure["unit"]) if same_unit else ""
    return Compared(
        kind=metrics.kind_name(kind),
        name=row.name,
        shown=row.shown,
        interval=row.interval,
        n=figures.count_text(figure["n"]),
        other=beside.shown,
        other_interval=beside.interval,
        other_n=figures.count_text(other["n"]),
        change="the same" if difference == 0 else change,
    )


# --- what else ---


def _terms(effective: EffectiveTerms) -> list[tuple[str, str, str]]:
    """(status word, what it means, the terms that have it), worst first."""
    answers, found = effective.answers, []
    for word, meaning in _WORST_FIRST:
        named = [term.replace("_", " ") for term, answer in answers.items() if answer == word]
        if named:
            found.append((word, meaning, ", ".join(named)))
    return found


def _blocking(effective: EffectiveTerms) -> list[Blocking]:
    """What decides each term that is forbidden or not known; what decides several stands once."""
    found: dict[tuple[str, str, str, tuple[str, ...]], list[str]] = {}
    for term, answer in effective.answers.items():
        if answer in ("forbidden", "unknown"):
            for step in effective.because(term)[:1]:
                key = (step.source, step.licence, step.sentence, step.path)
                found.setdefault(key, []).append(term.replace("_", " "))
    return [Blocking(terms, *key) for key, terms in found.items()]


def _findings(approval: Approval) -> list[Finding]:
    rows = findings_of(f"model:{approval.model_id}")
    return [row for row in rows if row.closed_at is None]


def _way_back(approval: Approval, move: AliasAssignment | None) -> WayBack:
    serves_it = move is not None and move.version_id == approval.version_id
    back = drilled.rollback_candidate(approval.model, approval.alias) if serves_it else move.version if move else None
    return WayBack(move, back, drilled.last_drill(approval.model, approval.alias))


# --- people ---


def _people(approval: Approval, now: Status) -> list[Person]:
    """Who holds a role for the decision in the team, then who stands for them, each with what is against it."""
    found, known = [], deciding.doers(approval.version, approval)
    for actor, role, principal in list(dict.fromkeys(_holders(approval)))[:_MOST_PEOPLE]:
        way = deciding.way_to_decide(actor.pk, approval, kind=DecisionKind.GRANTED, now=now, known=known)
        why = _told_of(actor, way.sentence) if isinstance(way, deciding.Refusal) else ""
        found.append(Person(str(actor), Role(role).label.lower(), str(principal) if principal else "", why))
    return sorted(found, key=lambda person: (bool(person.why_not), bool(person.stands_for), person.name))


def _told_of(actor: Actor, sentence: str) -> str:
    """What somebody is told, told of them."""
    for theirs, of_them in (
        ("You or whom you stand for", f"{actor} or whom {actor} stands for"),
        ("You stand for", f"{actor} stands for"),
        ("You ", f"{actor} "),
    ):
        if sentence.startswith(theirs):
            return of_them + sentence.removeprefix(theirs)
    return sentence


def _holders(approval: Approval) -> list[tuple[Actor, str, Actor | None]]:
    team = approval.model.team_id
    roles = {role for action in deciding.actions_on(approval) for role in PERMISSIONS[action]}
    members = Membership.objects.select_related("actor").filter(role__in=roles, ended_at=None, actor__ended_at=None)
    deputies = Deputyship.objects.select_related("deputy", "principal").filter(role__in=roles, ended_at=None)
    found: list[tuple[Actor, str, Actor | None]] = [
        (row.actor, row.role, None)
        for row in members.filter(actor__kind=ActorKind.PERSON).order_by("pk")
        if row.team_id in (None, team) and row.in_force()
    ]
    found += [
        (row.deputy, row.role, row.principal)
        for row in deputies.filter(deputy__ended_at=None).order_by("pk")
        if row.team_id in (None, team) and row.in_force()
    ]
    return found
