"""The one permission table: which role allows which act. Nothing else decides who may do what.

Rules:
- a membership gives its role in one team, or in the whole instance;
- an act on a thing of a team needs a role there that the table names; the role that allowed it is sealed with the act;
- for acts that may be done in somebody's place (`authority`), a deputy acts under the role that the principal holds at that moment;
  a role that is held as a deputy is never handed on;
- acts by which somebody answers with a name (`PERSONS_ONLY`) are no service account's, whatever role it was given: else whoever
  holds its token would be the second person of their own act;
- a thing that the caller may not read is not found, never forbidden.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass

from django.utils import timezone

from registry.access.models import Actor, ActorKind, Deputyship, Membership, Role
from registry.errors import Forbidden
from registry.events import Caller

_EVERYBODY = frozenset(Role)
_ENGINEERS = frozenset({Role.ENGINEER, Role.SERVICE_ACCOUNT})
_OPERATORS = frozenset({Role.OPERATOR, Role.SERVICE_ACCOUNT})
_OFFICERS = frozenset({Role.COMPLIANCE_OFFICER})
_DECIDERS = frozenset({Role.APPROVER})
_ADMINISTRATORS = frozenset({Role.ADMINISTRATOR})

PERMISSIONS: dict[str, frozenset[Role]] = {
    "team.read": _EVERYBODY,
    "team.create": _ADMINISTRATORS,
    "actor.create": _ADMINISTRATORS,
    "actor.end": _ADMINISTRATORS,
    "actor.erase": _ADMINISTRATORS | _OFFICERS,
    "membership.grant": _ADMINISTRATORS,
    "membership.end": _ADMINISTRATORS,
    "service_token.create": _ADMINISTRATORS,
    "responsibility.give": _ADMINISTRATORS,
    "token.end": _ADMINISTRATORS,
    "text.erase": _ADMINISTRATORS | _OFFICERS,
    "licence.register": _ENGINEERS | _OFFICERS | _ADMINISTRATORS,
    "ruling.author": _OFFICERS,
    "ruling.approve": _OFFICERS | _DECIDERS | _ADMINISTRATORS,
    "version.correct": _ENGINEERS | _OFFICERS,
    "dataset_version.correct": _ENGINEERS | _OFFICERS,
    "dataset.register": _ENGINEERS,
    "dataset_version.register": _ENGINEERS,
    "dataset_version.profile": _ENGINEERS | _OFFICERS,
    "document.attach": _ENGINEERS | _OFFICERS | _DECIDERS,
    "model.register": _ENGINEERS,
    "version.register": _ENGINEERS,
    "version.download": _EVERYBODY - {Role.VIEWER},
    "evidence.attach": _ENGINEERS,
    "target_measurement.record": _OPERATORS,
    "recipe.publish": _ENGINEERS,
    "run.request": _ENGINEERS,
    "run.cancel": _ENGINEERS | _OPERATORS,
    "use_case.register": _ENGINEERS | _OFFICERS,
    "use_case.lower_tier": _OFFICERS,
    "attestation.sign": _OFFICERS | _DECIDERS,
    "review.sign": _OFFICERS | _DECIDERS,
    "hold.place": _OFFICERS,
    "hold.end": _OFFICERS,
    "purge.request": _OFFICERS | _ADMINISTRATORS,
    "purge.confirm": _OFFICERS | _ADMINISTRATORS,
    "finding.open": _OFFICERS | _DECIDERS | _ENGINEERS,
    "finding.work": _ENGINEERS | _OPERATORS | _OFFICERS | _DECIDERS,
    "finding.close": _OFFICERS | _DECIDERS,
    "tier_table.author": _OFFICERS | _ADMINISTRATORS,
    "tier_table.approve": _OFFICERS | _DECIDERS | _ADMINISTRATORS,
    "policy.author": _OFFICERS | _ADMINISTRATORS,
    "policy.approve": _OFFICERS | _DECIDERS | _ADMINISTRATORS,
    "policy.dry_run": _OFFICERS | _DECIDERS | _ADMINISTRATORS | frozenset({Role.AUDITOR}),
    "alias_rule.author": _OFFICERS | _ADMINISTRATORS,
    "alias_rule.approve": _OFFICERS | _DECIDERS | _ADMINISTRATORS,
    "gate.evaluate": _ENGINEERS | _OFFICERS | _DECIDERS,
    "waiver.sign": _OFFICERS | _DECIDERS,
    "approval.request": _ENGINEERS,
    "approval.withdraw": _ENGINEERS,
    "approval.answer": _ENGINEERS,
    "approval.decide": _DECIDERS,
    "approval.decide_as_officer": _OFFICERS,
    "deputy.appoint": _DECIDERS | _OFFICERS,
    "target.register": _ENGINEERS | _OPERATORS,
    "alias.promote": _ENGINEERS | _OPERATORS | _DECIDERS,
    "alias.roll_back": _OPERATORS | _DECIDERS,
    "alias.suspend": _OPERATORS | _DECIDERS,
    "alias.break_glass": _OPERATORS | _DECIDERS | _ADMINISTRATORS,
    "alias.drill": _OPERATORS | _DECIDERS,
    "recall.start": _OFFICERS,
    "recall.end": _OFFICERS,
    "quarantine.request_release": _ENGINEERS,
    "quarantine.decide": _OFFICERS | _DECIDERS,
    "admission.ask": _EVERYBODY,
    "baseline.freeze": _ENGINEERS | _OPERATORS | _DECIDERS,
    "monitor.create": _ENGINEERS | _OPERATORS,
    "window.push": _OPERATORS,
    "incident.acknowledge": _OPERATORS | _DECIDERS,
    "incident.judge": _OPERATORS | _DECIDERS,
    "incident.resolve": _DECIDERS,
    "assessment.issue": _OFFICERS | frozenset({Role.AUDITOR}),
    "report.issue": _OFFICERS | frozenset({Role.AUDITOR}),
    "bundle.issue": _OFFICERS | frozenset({Role.AUDITOR}),
    "webhook.read": _ADMINISTRATORS | _OFFICERS | frozenset({Role.AUDITOR}),
    "webhook.register": _ADMINISTRATORS,
    "webhook.end": _ADMINISTRATORS,
    "key.rotate": _ADMINISTRATORS,
    "key.revoke": _ADMINISTRATORS,
    "ledger.reopen": _ADMINISTRATORS,
    "ledger.correct_clock": _ADMINISTRATORS,
    "ledger.confirm_move": _ADMINISTRATORS,
}

PERSONS_ONLY = frozenset({
    "ruling.author", "ruling.approve", "tier_table.author", "tier_table.approve", "policy.author", "policy.approve",
    "alias_rule.author", "alias_rule.approve", "use_case.lower_tier", "attestation.sign", "review.sign", "waiver.sign",
    "hold.place", "hold.end", "purge.request", "purge.confirm", "finding.close", "recall.start", "recall.end", "deputy.appoint",
    "membership.grant", "actor.create", "service_token.create", "responsibility.give",
})  # fmt: skip


def roles_of(actor_id: uuid.UUID, team_id: uuid.UUID | None) -> set[Role]:
    """The roles in force for an actor in a team, those for the whole instance included."""
    now = timezone.now()
    in_use = Membership.objects.filter(actor_id=actor_id, ended_at=None, actor__ended_at=None)
    memberships = in_use.exclude(actor__kind=ActorKind.SYSTEM)
    return {Role(m.role) for m in memberships if (m.team_id is None or m.team_id == team_id) and m.in_force(now)}


def role_for(held: Collection[Role], action: str) -> Role | None:
    """The one of somebody's roles that allows an act, the first in the order of Role; None where none does."""
    return next((role for role in Role if role in held and role in PERMISSIONS[action]), None)


def may(actor_id: uuid.UUID, action: str, team_id: uuid.UUID | None) -> bool:
    """Whether some role of the actor allows the act."""
    allowing = role_for(roles_of(actor_id, team_id), action)
    return allowing is not None and not _needs_a_person(actor_id, action)


def require(caller: Caller, action: str, team_id: uuid.UUID | None) -> str:
    """The role that allows the act (the first in the order of Role); Forbidden when there is none."""
    role = role_for(roles_of(caller.actor_id, team_id), action)
    if role is None:
        raise refused(action, team_id)
    if _needs_a_person(caller.actor_id, action):
        raise Forbidden(
            f"'{action}' is an act of a person, not of a service account.",
            hint="Log in under your own name.",
            code="not-a-person",
        )
    return role.value


def _needs_a_person(actor_id: uuid.UUID, action: str) -> bool:
    return action in PERSONS_ONLY and not Actor.objects.filter(pk=actor_id, kind=ActorKind.PERSON).exists()


def refused(action: str, team_id: uuid.UUID | None) -> Forbidden:
    """What somebody without any of the roles is told; a role in a team alone does not count for what is of no team."""
    needed = ", ".join(sorted(r.label for r in PERMISSIONS[action]))
    where = " for the whole instance, not in one team alone" if team_id is None else ""
    return Forbidden(
        f"'{action}' needs one of these roles{where}: {needed}.",
        hint="Ask an administrator for the role, or ask somebody who has it.",
    )


@dataclass(frozen=True)
class Authority:
    """Under which role somebody acts, and in whose place; `on_behalf_of` is None for one's own role."""

    role: str
    on_behalf_of: uuid.UUID | None = None


def authorities(actor_id: uuid.UUID, action: str, team_id: uuid.UUID | None) -> list[Authority]:
    """Every way in which somebody may do an act: own roles first, then those of whom they stand for, oldest deputyship first.

    Nobody without an account in force stands for anybody, and nobody stands for somebody who stands for another.
    """
    held, now = roles_of(actor_id, team_id) & PERMISSIONS[action], timezone.now()
    found = [Authority(role.value) for role in Role if role in held]
    lent = Deputyship.objects.filter(deputy_id=actor_id, deputy__ended_at=None, ended_at=None)
    for row in lent.filter(role__in=PERMISSIONS[action]).order_by("pk"):
        covers = row.team_id is None or row.team_id == team_id
        if covers and row.in_force(now) and Role(row.role) in roles_of(row.principal_id, team_id):
            found.append(Authority(row.role, row.principal_id))
    return found


def hold_still(actor_id: uuid.UUID, way: Authority) -> None:
    """Inside an open unit: the roles and the deputyship that an authority rests on end only after the unit does.

    Ask for the authority again afterwards: what ended while this waited is seen then.
    """
    people = [actor_id] if way.on_behalf_of is None else [actor_id, way.on_behalf_of]
    memberships = Membership.objects.select_for_update(no_key=True).filter(actor_id__in=people, ended_at=None)
    deputyships = Deputyship.objects.select_for_update(no_key=True).filter(
        deputy_id=actor_id, principal_id=way.on_behalf_of, ended_at=None
    )
    for rows in (memberships, deputyships):
        list(rows.order_by("pk").values_list("pk"))


def authority(caller: Caller, action: str, team_id: uuid.UUID | None) -> Authority:
    """The first way in which the caller may do the act; Forbidden when there is none."""
    found = authorities(caller.actor_id, action, team_id)
    if not found:
        raise refused(action, team_id)
    return found[0]
