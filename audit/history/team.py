"""A team as the ledger alone says it was at a moment: its models, what each alias served, and the policies in force.

Rules:
- which models there were is read from the first entries of all model streams, not from a table;
- models come by name, PAGE_MODELS at a time, so that only their streams are read;
- everything else as in `history`.
"""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from audit.history.moments import Moment, broken
from audit.history.names import Names, Shape
from audit.history.past_state import PolicyThen, UseCaseThen, policies_in_force
from audit.history.reading import Past, streams_of_kind
from audit.history.shapes import emergency_body, load_names, moment_body, policy_body
from audit.snapshots import Record
from registry.digests import parse_time, time_text
from registry.events import Caller

PAGE_MODELS = 100
_TYPES = (
    "catalog.model",
    "catalog.version",
    "release.alias",
    "release.approval",
    "release.assignment",
    "release.broken_glass",
    "release.decision",
)


@dataclass(frozen=True)
class TeamThen:
    """Some of a team's models as of a moment; `following` is the name after which the next ones come."""

    moment: Moment
    past: Past
    models: Sequence[Record]
    total: int
    following: str | None

    @property
    def now(self) -> datetime.datetime:
        """As in `history`: what is sealed has happened."""
        return parse_time(max(self.moment.time, self.past.latest_clock))


def team_then(team_id: uuid.UUID, moment: Moment, after: str = "") -> TeamThen:
    """A page of the models that a team had."""
    names = _models_of(team_id, moment.size)
    wanted = sorted(name for name in names if name > after)
    page = wanted[:PAGE_MODELS]
    past = Past(moment.size)
    past.read([f"model:{names[name]}" for name in page], _TYPES)
    models = [found for name in page if (found := past.get("catalog.model", names[name]))]
    use_cases = {str(m.row["use_case_id"]) for m in models if m.row["use_case_id"]}
    past.read([f"use_case:{key}" for key in use_cases], ("oversight.use_case",))
    past.read_kind("policy", ("release.policy",))
    return TeamThen(moment, past, models, len(names), page[-1] if len(wanted) > len(page) else None)


def _models_of(team_id: uuid.UUID, size: int) -> dict[str, str]:
    """The ids of the team's models by name."""
    rows = streams_of_kind("model").filter(stream_seq=1, position__lt=size).values_list("position", "entry")
    owner, found = str(team_id).encode(), {}
    for position, data in rows.iterator(chunk_size=500):
        entry = bytes(data)
        if owner not in entry:
            continue
        try:
            records = json.loads(entry)["event"]["records"]
            models = [
                r for r in records if r["type"].startswith("catalog.model/") and r["row"]["team_id"] == str(team_id)
            ]
            found.update({model["row"]["slug"]: model["id"] for model in models})
        except (ValueError, KeyError, TypeError):
            raise broken(position) from None
    return found


def team_body(caller: Caller, then: TeamThen, slug: str) -> Shape:
    """The answer about a team. `slug` is its name, which never changes."""
    names = Names(caller)
    policies: list[PolicyThen] = policies_in_force(then.past, then.now)
    moves, grants = _by(then.past, "release.assignment", "alias_id"), _grants(then.past)
    load_names(names, [*then.models, *(p.record for p in policies), *(r for rows in moves.values() for r in rows)])
    names.load_people(r.row["decided_by_id"] for rows in grants.values() for r in rows)
    aliases, versions = _by(then.past, "release.alias", "model_id"), _by(then.past, "catalog.version", "model_id")

    def served(alias: Record) -> Shape:
        return _served(then, names, alias, moves.get(alias.id, []), grants)

    def model(record: Record) -> Shape:
        own = versions.get(record.id, [])
        return {
            "aliases": [served(a) for a in sorted(aliases.get(record.id, []), key=lambda a: str(a.row["slug"]))],
            "ended_at": record.row["ended_at"],
            "model": f"{slug}/{record.row['slug']}",
            "newest_version": max((v.row["number"] for v in own), default=None),
            "owner": names.person(record.row["owner_id"]),
            "position": record.position,
            "registered_at": record.row["created_at"],
            "use_case": _use_case(then.past, record),
            "versions": len(own),
        }

    return {
        "as_of": moment_body(then.moment),
        "models": [model(record) for record in then.models],
        "next": then.following,
        "policies": [policy_body(names, policy, None) for policy in policies],
        "team": slug,
        "total": then.total,
    }


def _by(past: Past, type_: str, column: str) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in past.all(type_):
        found.setdefault(str(record.row[column]), []).append(record)
    return found


def _grants(past: Past) -> dict[str, list[Record]]:
    """Who said yes, by approval."""
    every = _by(past, "release.decision", "approval_id")
    return {key: [d for d in decisions if d.row["kind"] == "granted"] for key, decisions in every.items()}


def _use_case(past: Past, model: Record) -> Shape | None:
    found = past.get("oversight.use_case", model.row["use_case_id"])
    if found is None:
        return None
    use_case = UseCaseThen(found)
    return {"ended_at": found.row["ended_at"], "name": found.row["slug"], "tier": use_case.tier}


def _served(
    then: TeamThen, names: Names, alias: Record, moves: Sequence[Record], grants: dict[str, list[Record]]
) -> Shape:
    """What an alias served, since when, by whom it was moved, and who granted the approval, or until when it went without one."""
    past = then.past
    newest = max(moves, key=lambda m: int(m.row["number"]), default=None)
    row = newest.row if newest else None
    version = past.get("catalog.version", row["version_id"]) if row else None
    glass = past.get("release.broken_glass", row["broken_glass_id"]) if row else None
    allowed = grants.get(str(row["approval_id"]), []) if row else []
    return {
        "alias": alias.row["slug"],
        "approval": row["approval_id"] if row else None,
        "by": names.person(row["assigned_by_id"], newest.role) if row and newest else None,
        "digest": row["version_digest"] if row else None,
        "emergency": emergency_body(names, glass, time_text(then.now)),
        "granted_by": [names.person(d.row["decided_by_id"], d.row["role"]) for d in allowed],
        "kind": row["kind"] if row else None,
        "position": newest.position if newest else alias.position,
        "since": row["assigned_at"] if row else None,
        "version": version.row["number"] if version else None,
    }
