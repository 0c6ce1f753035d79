"""History as JSON: one shape that the API sends, the command line prints, the page draws and two moments are compared by.

Rules: every fact carries the position of the entry that sealed it last; times are UTC texts as they are sealed; what the reader
may not see is left out by `history_names`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.history.moments import Moment
from audit.history.names import Names, Shape
from audit.history.past_state import AliasThen, ApprovalThen, ModelThen, PolicyThen, VersionThen, WaiverThen
from audit.models import Checkpoint
from audit.snapshots import Record
from registry.digests import time_text
from registry.events import Caller

UNKNOWN = "unknown"
_NO_DOCUMENT = "The document of a policy that was in force is not stored here, so nobody can say."
_PERSON_COLUMNS = (
    "assigned_by_id", "approved_by_id", "author_id", "broken_by_id", "created_by_id", "decided_by_id", "on_behalf_of_id",
    "owner_id", "requested_by_id", "signed_by_id",
)  # fmt: skip
_TEXT_COLUMNS = ("note_id", "reason_id", "title_id")


def moment_body(moment: Moment) -> Shape:
    """Which moment an answer is about."""
    checkpoint = Checkpoint.objects.filter(size__gt=moment.position).order_by("size").first()
    return {
        "checkpoint_size": None if checkpoint is None else checkpoint.size,
        "last_position": moment.last,
        "open": moment.is_open,
        "position": moment.position,
        "sealed_at": moment.sealed_at,
        "sentence": moment.sentence,
        "time": moment.time,
    }


def model_body(caller: Caller, then: ModelThen, name: str) -> Shape:
    """A model as it was. `name` is `team/model`, which never changes."""
    return _Shaper(caller, then, name).body()


def load_names(names: Names, records: list[Record]) -> None:
    """Read every person and text that these records name."""
    rows = [record.row for record in records]
    names.load_people(row[column] for row in rows for column in _PERSON_COLUMNS if row.get(column))
    names.load_texts(row[column] for row in rows for column in _TEXT_COLUMNS if row.get(column))


def policy_body(names: Names, policy: PolicyThen, tier: str | None) -> Shape:
    """A policy in force, and whether it judges releases of a tier."""
    row = policy.record.row
    return {
        "aliases": None if policy.rules is None else list(policy.rules.aliases),
        "approved_by": names.person(row["approved_by_id"]),
        "author": names.person(row["author_id"]),
        "digest": policy.digest,
        "id": policy.record.id,
        "in_force_at": row["in_force_at"],
        "judges": policy.covers(tier),
        "policy": policy.name,
        "position": policy.record.position,
        "tiers": None if policy.rules is None else list(policy.rules.tiers),
    }


def emergency_body(names: Names, record: Record | None, now: str) -> Shape | None:
    """By whom and until when an alias was moved without an approval, and whether a policy was in force; why stands at the move."""
    if record is None:
        return None
    row = record.row
    return {
        "by": names.person(row["broken_by_id"], row["role"]),
        "ends_at": row["expires_at"],
        "id": record.id,
        "over": str(row["expires_at"]) <= now,
        "policy_in_force": row["policy_id"] is not None,
    }


class _Shaper:
    """One answer about one model."""

    def __init__(self, caller: Caller, then: ModelThen, name: str) -> None:
        self.then = then
        self.name = name
        self.now = time_text(then.now)
        self.names = Names(caller)
        policies = [policy.record for policy in then.policies]
        types = (
            "catalog.model", "catalog.version", "catalog.evidence", "release.approval", "release.decision",
            "release.assignment", "release.broken_glass", "release.waiver",
        )  # fmt: skip
        load_names(self.names, [*policies, *(record for type_ in types for record in then.past.all(type_))])
        self.names.load_parents(then.past.all("catalog.edge"))

    def body(self) -> Shape:
        then = self.then
        return {
            "aliases": [self.alias(alias) for alias in then.aliases],
            "approvals": [self.approval(approval) for approval in then.approvals],
            "as_of": moment_body(then.moment),
            "entries": then.seen,
            "model": None if then.model is None else self.model(then.model),
            "name": self.name,
            "policies": [policy_body(self.names, policy, then.tier) for policy in then.policies],
            "versions": [self.version(version) for version in then.versions],
            "waivers": [self.waiver(waiver) for waiver in then.waivers],
        }

    def model(self, record: Record) -> Shape:
        row = record.row
        return {
            "ended_at": row["ended_at"],
            "id": record.id,
            "owner": self.names.person(row["owner_id"]),
            "position": record.position,
            "registered_at": row["created_at"],
            "registered_by": self.names.person(row["created_by_id"]),
            "title": self.text(row["title_id"]),
            "use_case": self.use_case(),
        }

    def use_case(self) -> Shape | None:
        found = self.then.use_case
        if found is None:
            return None
        row = found.record.row
        return {
            "ended_at": row["ended_at"],
            "id": found.record.id,
            "name": row["slug"],
            "position": found.record.position,
            "tier": row["tier"],
        }

    def version(self, version: VersionThen) -> Shape:
        row = version.record.row
        return {
            "corrected_at_position": max((c.position for c in version.corrections), default=None),
            "created_at": row["created_at"],
            "created_by": self.names.person(row["created_by_id"]),
            "digest": version.digest,
            "edges": [self.names.edge(edge) for edge in version.edges],
            "evidence": [self.evidence(item) for item in version.evidence],
            "evidence_set_digest": version.evidence_set_digest,
            "format": row["format"],
            "id": version.record.id,
            "licence": version.licence,
            "note": self.text(row["note_id"]),
            "number": version.number,
            "origin": row["origin"],
            "position": version.record.position,
            "purged_at": row["purged_at"],
            "quarantined": any(q.row["ended_at"] is None for q in version.quarantines),
            "quarantines": [self.quarantine(quarantine) for quarantine in version.quarantines],
            "size_bytes": row["size_bytes"],
            "training_data": version.training_data,
        }

    def quarantine(self, record: Record) -> Shape:
        return {
            "ended_at": record.row["ended_at"],
            "id": record.id,
            "position": record.position,
            "recall": record.row["recall_id"],
            "since": record.first_at,
        }

    def evidence(self, record: Record) -> Shape:
        row = record.row
        return {
            "created_at": row["created_at"],
            "digest": row["digest"],
            "kind": row["kind"],
            "position": record.position,
            "source": row["source"],
        }

    def alias(self, alias: AliasThen) -> Shape:
        moves = [self.move(move) for move in alias.moves]
        now = moves[0] if moves and moves[0]["version"] is not None else None
        approval = self.then.approval(alias.moves[0].row["approval_id"]) if now else None
        return {
            "alias": alias.slug,
            "approval": None if approval is None else self.allowed(approval),
            "id": alias.record.id,
            "moves": moves,
            "position": alias.record.position,
            "serves": now,
        }

    def move(self, record: Record) -> Shape:
        row = record.row
        version = self.then.version(row["version_id"])
        return {
            "approval": row["approval_id"],
            "by": self.names.person(row["assigned_by_id"], record.role),
            "digest": row["version_digest"],
            "emergency": emergency_body(
                self.names, self.then.past.get("release.broken_glass", row["broken_glass_id"]), self.now
            ),
            "kind": row["kind"],
            "number": row["number"],
            "position": record.position,
            "reason": self.text(row["reason_id"]),
            "since": row["assigned_at"],
            "version": None if version is None else version.number,
        }

    def allowed(self, approval: ApprovalThen) -> Shape:
        """By whose approval an alias served what it served."""
        return {
            "granted_by": [self._grantor(d.row) for d in approval.grants],
            "id": approval.record.id,
            "requested_by": self.names.person(approval.record.row["requested_by_id"]),
            "status": approval.status.word if approval.status else UNKNOWN,
        }

    def _grantor(self, row: Mapping[str, Any]) -> Shape:
        """Who granted, and in whose place: both answer for it."""
        principal = self.names.person(row["on_behalf_of_id"])
        return {**(self.names.person(row["decided_by_id"], row["role"]) or {}), "on_behalf_of": principal}

    def approval(self, approval: ApprovalThen) -> Shape:
        row, status = approval.record.row, approval.status
        version = self.then.version(row["version_id"])
        return {
            "alias": row["alias"],
            "decisions": [self.decision(decision) for decision in approval.decisions],
            "ends_at": time_text(status.ends_at) if status and status.ends_at else row["expires_at"],
            "evidence_set_digest": row["evidence_set_digest"],
            "expires_at": row["expires_at"],
            "grants": status.grants if status else len({d.row["decided_by_id"] for d in approval.grants}),
            "id": approval.record.id,
            "officers_required": row["officers"],
            "policy_digest": row["policy_digest"],
            "position": approval.record.position,
            "reason": self.text(row["reason_id"]),
            "requested_at": row["requested_at"],
            "requested_by": self.names.person(row["requested_by_id"], approval.record.role),
            "required": row["required"],
            "status": status.word if status else UNKNOWN,
            "status_reasons": status.reasons if status else [_NO_DOCUMENT],
            "target": row["target_id"],
            "tier": row["tier"],
            "version": None if version is None else version.number,
            "version_digest": row["version_digest"],
        }

    def decision(self, record: Record) -> Shape:
        row = record.row
        return {
            "at": row["decided_at"],
            "by": self.names.person(row["decided_by_id"], row["role"]),
            "expires_at": row["expires_at"],
            "kind": row["kind"],
            "on_behalf_of": self.names.person(row["on_behalf_of_id"]) if row["on_behalf_of_id"] else None,
            "position": record.position,
            "reason": self.text(row["reason_id"]),
            "target": row["target_id"],
        }

    def waiver(self, waiver: WaiverThen) -> Shape:
        row = waiver.record.row
        version = self.then.version(row["version_id"])
        return {
            "ended_at": row["ended_at"],
            "expires_at": row["expires_at"],
            "id": waiver.record.id,
            "position": waiver.record.position,
            "reason": self.text(row["reason_id"]),
            "rule": row["rule"],
            "signed_at": row["signed_at"],
            "signed_by": self.names.person(row["signed_by_id"]),
            "state": waiver.state,
            "version": None if version is None else version.number,
        }

    def text(self, key: Any) -> Shape | None:
        return self.names.text(self.then.past.get("access.text", key))
