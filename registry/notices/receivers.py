"""Who is told, and why: the people of a rule, without whoever did it and without whoever may not read the team.

The memberships of a team are read once for all happenings of a unit.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.db.models import Q

from registry.access.models import Actor, ActorKind, Deputyship, Membership, Role
from registry.images import record_types
from registry.notices.happenings import Happening
from registry.notices.rules import OF_FINDINGS, Receiver, Rule, Who
from registry.notices.subjects import Things
from registry.provenance.models import Dataset
from registry.release.models import Decision

Reasons = dict[uuid.UUID, str]


@dataclass
class People:
    """Who holds which role where, for the happenings of one unit."""

    at: datetime.datetime
    things: Things
    _roles: dict[uuid.UUID | None, dict[uuid.UUID, set[str]]] = field(default_factory=dict)

    def of(self, happening: Happening, rule: Rule) -> Reasons:
        """Actor -> why he is told; accounts that have ended are sorted out where notices are written."""
        found: Reasons = {}
        for receiver in (*rule.to, *_of_the_finding(happening)):
            reason = receiver.value if isinstance(receiver, Who) else f"you are {receiver.label.lower()} there"
            for key in self._whom(happening, receiver):
                found.setdefault(key, reason)
        found.pop(happening.by or uuid.UUID(int=0), None)
        if rule.personal:
            return found
        readers = self.readers(happening.team, found)
        return {key: reason for key, reason in found.items() if key in readers}

    def readers(self, team: uuid.UUID | None, asked: Iterable[uuid.UUID]) -> set[uuid.UUID]:
        """Those of the asked who may read what belongs to the team; what belongs to no team is open to whoever has a role."""
        if team is not None:
            return set(self._held(team)) & set(asked)
        rows = Membership.objects.filter(self._in_force(), actor_id__in=list(asked))
        return set(rows.values_list("actor_id", flat=True))

    def _whom(self, happening: Happening, receiver: Who | Role) -> Iterable[uuid.UUID]:
        if isinstance(receiver, Role):
            return [key for key, roles in self._held(happening.team).items() if receiver in roles]
        if receiver is Who.NAMED:
            return named(happening)
        if receiver is Who.OWNER:
            model = self.things.model(happening)
            return [model.owner_id] if model else []
        if receiver is Who.STEWARD:
            dataset = happening.identity_of("dataset")
            return Dataset.objects.filter(pk=dataset).values_list("steward_id", flat=True) if dataset else []
        approval = self.things.approval(happening)
        if approval is None:
            return []
        if receiver is Who.OFFICERS:
            return self._whom(happening, Role.COMPLIANCE_OFFICER) if approval.officers else []
        if receiver is Who.REQUESTER:
            return [approval.requested_by_id]
        acts = Decision.objects.filter(approval=approval)
        return [key for pair in acts.values_list("decided_by_id", "on_behalf_of_id") for key in pair if key]

    def _held(self, team: uuid.UUID | None) -> dict[uuid.UUID, set[str]]:
        """Actor -> roles in force in the team, those of the whole instance and of whom a reader is deputy included."""
        if team not in self._roles:
            here = Q(team=None) if team is None else Q(team=None) | Q(team_id=team)
            held: dict[uuid.UUID, set[str]] = {}
            rows = Membership.objects.filter(self._in_force(), here)
            for actor, role in rows.values_list("actor_id", "role"):
                held.setdefault(actor, set()).add(role)
            away = Deputyship.objects.filter(here, ended_at=None, begins_at__lte=self.at, ends_at__gt=self.at)
            for principal, deputy, role in away.values_list("principal_id", "deputy_id", "role"):
                if deputy in held and role in held.get(principal, ()):
                    held[deputy].add(role)
            self._roles[team] = held
        return self._roles[team]

    def _in_force(self) -> Q:
        return Q(ended_at=None) & (Q(expires_at=None) | Q(expires_at__gt=self.at))


def _of_the_finding(happening: Happening) -> tuple[Receiver, ...]:
    opened = happening.rows("oversight.finding") if happening.kind == "finding.opened" else iter(())
    return tuple(receiver for _, row in opened for receiver in OF_FINDINGS.get(row["kind"], ()))


def named(happening: Happening) -> set[uuid.UUID]:
    """Everybody who stands in the sealed rows, and whoever was added by hand."""
    found = set(happening.extra)
    for type_, _, row in happening.records:
        found |= {uuid.UUID(row[column]) for column in _columns_of_people(type_) if row.get(column)}
    return found


@cache
def _columns_of_people(type_: str) -> tuple[str, ...]:
    model = next(t.model for t in record_types() if t.name == type_)
    columns: Any = model._meta.concrete_fields
    return tuple(c.attname for c in columns if c.is_relation and c.related_model is Actor)


def active_people(keys: Iterable[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Actor -> address of mail, for accounts of people that have not ended."""
    rows = Actor.objects.filter(pk__in=list(keys), ended_at=None, kind=ActorKind.PERSON)
    return dict(rows.values_list("pk", "email"))
