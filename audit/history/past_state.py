"""A model as the ledger alone says it was at a moment: versions, where they came from, aliases, policies, waivers, approvals.

One reason: "what was served on 1 March, and who allowed it?" is answered from what was sealed then, not from today's tables.
Rules:
- every fact is an image in an entry up to the moment's position; tables give only what entries never hold: names of people, texts
  (each held against its commitment) and the names of ancestors in other models, all of them in `history_shapes`;
- status words are those of `registry.release.status`, fed with images in the place of rows;
- policies are those of the whole instance, for they judge every team; a policy whose document is not here leaves status unknown;
- a moment before the model was registered has no model, which is an answer and no error.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from audit.history.moments import Moment
from audit.history.reading import Past
from audit.sealed_approvals import act_of, request_of
from audit.snapshots import Record
from registry.digests import CanonicalError, evidence_set_document, parse_time, sha256, time_text
from registry.errors import Problem
from registry.release import queries as release
from registry.release import status as rules
from registry.release.policy_language import PolicyError, PolicyRules

MODEL_TYPES = frozenset({
    "access.text", "catalog.correction", "catalog.edge", "catalog.evidence", "catalog.model", "catalog.version", "release.alias",
    "release.approval", "release.assignment", "release.broken_glass", "release.decision", "release.quarantine",
    "release.waiver",
})  # fmt: skip
_LICENCE = "provenance.licence"
_CORRECTION = "catalog.correction"
_USE_CASE = "oversight.use_case"
_POLICY = "release.policy"
_TARGET = "release.target"


@dataclass(frozen=True)
class PolicyThen:
    """A policy as it was sealed."""

    record: Record
    rules: PolicyRules | None

    @property
    def pk(self) -> uuid.UUID:
        return uuid.UUID(self.record.id)

    @property
    def digest(self) -> str:
        return str(self.record.row["digest"])

    @property
    def in_force_at(self) -> datetime.datetime | None:
        return _time(self.record.row["in_force_at"])

    @property
    def ended_at(self) -> datetime.datetime | None:
        return _time(self.record.row["ended_at"])

    @property
    def name(self) -> str:
        return f"{self.record.row['slug']}@{self.record.row['number']}"

    def covers(self, tier: str | None) -> bool:
        """Whether it judges releases of a tier to some alias."""
        return tier is not None and self.rules is not None and self.rules.covers(tier)


@dataclass(frozen=True)
class UseCaseThen:
    """The use case of the model as it was sealed."""

    record: Record

    @property
    def pk(self) -> uuid.UUID:
        return uuid.UUID(self.record.id)

    @property
    def tier(self) -> str:
        return str(self.record.row["tier"])

    @property
    def ended_at(self) -> datetime.datetime | None:
        return _time(self.record.row["ended_at"])


@dataclass(frozen=True)
class VersionThen:
    """A version with what was stated about it, the edges to what it came from, and its evidence in the order in which it came."""

    record: Record
    licence: str | None
    training_data: str
    edges: Sequence[Record]
    evidence: Sequence[Record]
    corrections: Sequence[Record]
    quarantines: Sequence[Record]
    """The recalls that stopped it, those that had ended included."""

    @property
    def number(self) -> int:
        return int(self.record.row["number"])

    @property
    def digest(self) -> str:
        return str(self.record.row["digest"])

    @property
    def evidence_set_digest(self) -> str:
        """What an approval asked for at that moment would be bound to."""
        return sha256(evidence_set_document(str(row.row["digest"]) for row in self.evidence))


@dataclass(frozen=True)
class ApprovalThen:
    """A request with its decisions; `status` is None where a policy's document is missing."""

    record: Record
    decisions: Sequence[Record]
    status: rules.Status | None

    @property
    def grants(self) -> list[Record]:
        return [d for d in self.decisions if d.row["kind"] == rules.GRANTED]


@dataclass(frozen=True)
class AliasThen:
    """An alias and its moves, newest first; the newest says what was served."""

    record: Record
    moves: Sequence[Record]

    @property
    def slug(self) -> str:
        return str(self.record.row["slug"])


@dataclass(frozen=True)
class WaiverThen:
    """A waiver and whether it held."""

    record: Record
    state: str


class ModelThen:
    """One model as of a moment. `model` is None where it was not registered yet."""

    def __init__(self, model_id: uuid.UUID, moment: Moment) -> None:
        self.moment = moment
        self.stream = f"model:{model_id}"
        self.past = Past(moment.size)
        self.past.read([self.stream], MODEL_TYPES)
        self.model = self.past.get("catalog.model", model_id)
        self.past.read(self._named_streams(), (_LICENCE, _USE_CASE))
        self.past.read_kind("policy", (_POLICY,))
        if self.model:
            self.past.read([f"team:{self.model.row['team_id']}"], (_TARGET,))

    def _named_streams(self) -> list[str]:
        carriers = [*self.past.all("catalog.version"), *self.past.all(_CORRECTION)]
        licences = {f"licence:{row.row['licence_id']}" for row in carriers if row.row["licence_id"]}
        use_case = self.model.row["use_case_id"] if self.model else None
        return [*licences, *([f"use_case:{use_case}"] if use_case else [])]

    @cached_property
    def now(self) -> datetime.datetime:
        """What is sealed has happened: where the clock of a machine was ahead of the ledger's, its acts still count."""
        return parse_time(max(self.moment.time, self.past.latest_clock))

    @cached_property
    def seen(self) -> int:
        """How many entries of the model's stream count."""
        return self.past.ends.get(self.stream, 0)

    @cached_property
    def use_case(self) -> UseCaseThen | None:
        found = self.past.get(_USE_CASE, self.model.row["use_case_id"]) if self.model else None
        return None if found is None else UseCaseThen(found)

    @property
    def tier(self) -> str | None:
        """How much care the model's use case asked for; None without one, or after its end."""
        return self.use_case.tier if self.use_case and self.use_case.ended_at is None else None

    @cached_property
    def versions(self) -> list[VersionThen]:
        """By number."""
        edges, evidence = self._by("catalog.edge", "child_id"), self._by("catalog.evidence", "version_id")
        corrections, stopped = self._by(_CORRECTION, "version_id"), self._by("release.quarantine", "version_id")
        found = [
            VersionThen(
                record, *self._stated(record, corrections.get(record.id, [])), edges.get(record.id, []),
                evidence.get(record.id, []), corrections.get(record.id, []),
                stopped.get(record.id, []),
            )
            for record in self.past.all("catalog.version")
        ]  # fmt: skip
        return sorted(found, key=lambda version: version.number)

    def version(self, key: object) -> VersionThen | None:
        return self._versions_by_id.get(str(key))

    @cached_property
    def _versions_by_id(self) -> dict[str, VersionThen]:
        return {version.record.id: version for version in self.versions}

    def _stated(self, version: Record, corrections: Sequence[Record]) -> tuple[str | None, str]:
        """Licence and knowledge of training data: as registered, as far as no correction says otherwise."""
        licence_id, known = version.row["licence_id"], str(version.row["training_data"])
        for row in (c.row for c in sorted(corrections, key=lambda c: int(c.row["number"]))):
            licence_id, known = row["licence_id"] or licence_id, str(row["training_data"] or known)
        found = self.past.get(_LICENCE, licence_id)
        return None if found is None else str(found.row["expression"]), known

    def _by(self, type_: str, column: str) -> dict[str, list[Record]]:
        found: dict[str, list[Record]] = {}
        for record in self.past.all(type_):
            found.setdefault(str(record.row[column]), []).append(record)
        return found

    @cached_property
    def aliases(self) -> list[AliasThen]:
        """By name."""
        moves = self._by("release.assignment", "alias_id")
        found = [
            AliasThen(record, _newest_first(moves.get(record.id, []))) for record in self.past.all("release.alias")
        ]
        return sorted(found, key=lambda alias: alias.slug)

    @cached_property
    def policies(self) -> list[PolicyThen]:
        """All policies in force, oldest first."""
        return policies_in_force(self.past, self.now)

    @cached_property
    def approvals(self) -> list[ApprovalThen]:
        """Newest first, each with its status at the moment."""
        decisions = self._by("release.decision", "approval_id")
        return [self._approval(record, decisions) for record in reversed(self.past.all("release.approval"))]

    def approval(self, key: object) -> ApprovalThen | None:
        return self._approvals_by_id.get(str(key))

    @cached_property
    def _approvals_by_id(self) -> dict[str, ApprovalThen]:
        return {approval.record.id: approval for approval in self.approvals}

    def _approval(self, record: Record, decisions: dict[str, list[Record]]) -> ApprovalThen:
        own = sorted(decisions.get(record.id, []), key=lambda d: (d.row["decided_at"], d.id))
        acts = [act_of(d.row) for d in own]
        request, binding = request_of(record.row), self._binding(record.row)
        status = rules.status(request, acts, binding or request.binding, rules.with_all_acts(self.now, acts))
        known = binding is not None or status.word in rules.FINAL | {
            rules.EXPIRED
        }  # these hold whatever it would be bound to
        return ApprovalThen(record, own, status if known else None)

    def _binding(self, row: Any) -> rules.Binding | None:
        """What an approval would be bound to at the moment; None when a policy in force cannot be read."""
        version = self.version(row["version_id"])
        if version is None or any(policy.rules is None for policy in self.policies):
            return None
        return rules.binding(
            version_digest=version.digest,
            evidence=[str(e.row["digest"]) for e in version.evidence],
            use_case=self.use_case,
            policies=self.policies,
            alias=row["alias"],
            rules_of=_rules_of,
            ended_targets=self._ended_targets,
        )

    @cached_property
    def _ended_targets(self) -> list[uuid.UUID]:
        """Places where nothing ran any more."""
        ends = ((t.id, _time(t.row["ended_at"])) for t in self.past.all(_TARGET))
        return [uuid.UUID(key) for key, ended in ends if ended is not None and ended <= self.now]

    @cached_property
    def waivers(self) -> list[WaiverThen]:
        """Newest first."""
        now = time_text(self.now)
        return [
            WaiverThen(w, rules.waiver_state(str(w.row["expires_at"]), w.row["ended_at"], now))
            for w in reversed(self.past.all("release.waiver"))
        ]


def policies_in_force(past: Past, at: datetime.datetime) -> list[PolicyThen]:
    """The policies in force at a moment, oldest first, with what they say."""
    found = [PolicyThen(record, None) for record in past.all(_POLICY)]
    return [PolicyThen(policy.record, _read_rules(policy)) for policy in rules.in_force(found, at)]


def _read_rules(policy: PolicyThen) -> PolicyRules | None:
    try:
        return release.policy_rules(policy)
    except (Problem, CanonicalError, PolicyError):
        return None


def _rules_of(policy: PolicyThen) -> PolicyRules:
    assert policy.rules is not None  # asked for only where every document was read
    return policy.rules


def _newest_first(moves: Sequence[Record]) -> list[Record]:
    return sorted(moves, key=lambda move: -int(move.row["number"]))


def _time(text: str | None) -> datetime.datetime | None:
    return None if text is None else parse_time(text)
