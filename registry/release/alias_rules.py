"""Who may do what with which alias: rules of a team narrow the permission table, act by act and alias by alias.

Rules:
- the permission table decides first; a rule takes roles away and never gives one;
- where a team has rules in force for an act on an alias, only the roles that they name may do it, each under the table's word;
- a rule is in force from its approval by somebody other than its author until it is ended;
- deputies decide on approvals; what narrows moves asks for a role of one's own.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q, QuerySet
from django.utils import timezone

from registry.access import permissions
from registry.access.models import Actor, Membership, Role, Team
from registry.access.permissions import PERMISSIONS
from registry.errors import Forbidden
from registry.events import Caller
from registry.release.models import Alias
from registry.release.serving_models import AliasAction, AliasRule

ACTS: dict[str, str] = {
    AliasAction.REQUEST.value: "approval.request",
    AliasAction.PROMOTE.value: "alias.promote",
    AliasAction.ROLL_BACK.value: "alias.roll_back",
    AliasAction.SUSPEND.value: "alias.suspend",
}
"""Act on an alias -> the line of the permission table that it narrows."""


def require_alias(caller: Caller, action: str, team_id: uuid.UUID, alias: str) -> str:
    """The role that lets the caller do `action` (request, promote, roll-back, suspend) with an alias of a team.

    Forbidden where the permission table refuses it, or a rule in force keeps it for other roles.
    """
    act = ACTS[action]
    first = permissions.require(caller, act, team_id)
    kept_for = roles_in_force(team_id, action, alias)
    if kept_for is None:
        return first
    allowed = permissions.roles_of(caller.actor_id, team_id) & PERMISSIONS[act] & kept_for
    for role in Role:
        if role in allowed:
            return role.value
    needed = _named(kept_for)
    raise Forbidden(
        f"In this team '{action}' of the alias '{alias}' is for {needed} only.",
        hint="Ask somebody with that role; the page of the team's rights says who it is.",
        code="alias-rule",
    )


def roles_in_force(team_id: uuid.UUID, action: str, alias: str) -> set[Role] | None:
    """The roles that rules keep an act on an alias for; None where no rule narrows it."""
    rows = AliasRule.objects.filter(
        team_id=team_id, action=action, alias=alias, in_force_at__isnull=False, ended_at=None
    )
    roles = {Role(role) for role in rows.values_list("role", flat=True)}
    return roles or None


def _named(roles: Iterable[Role]) -> str:
    return " or ".join(sorted(role.label.lower() for role in roles))


# --- for people ---


@dataclass(frozen=True)
class Right:
    """Who may do one act with one alias. `alias` is empty for aliases that no rule names."""

    alias: str
    action: str
    roles: frozenset[Role]
    narrowed: bool
    people: tuple[Actor, ...]


def rules_of(team: Team) -> QuerySet[AliasRule]:
    """Every rule of a team, newest first. The caller must have read the team already."""
    return AliasRule.objects.filter(team=team).select_related("team", "author", "approved_by").order_by("-pk")


def rights_of(team: Team) -> list[Right]:
    """Who may do what with each alias that the team has, or has rules for; first what holds for any other alias."""
    rules = [rule for rule in rules_of(team) if rule.in_force_at is not None and rule.ended_at is None]
    named = {rule.alias for rule in rules} | set(Alias.objects.filter(model__team=team).values_list("slug", flat=True))
    holders = _holders(team)
    found = []
    for alias in ["", *sorted(named)]:
        for action, act in ACTS.items():
            kept = {Role(rule.role) for rule in rules if (rule.alias, rule.action) == (alias, action)}
            roles = frozenset(PERMISSIONS[act] & kept if kept else PERMISSIONS[act])
            people = {person.pk: person for role in roles for person in holders.get(role, ())}
            found.append(Right(alias, action, roles, bool(kept), tuple(sorted(people.values(), key=str))))
    return found


def _holders(team: Team) -> dict[Role, list[Actor]]:
    """Who has which role in the team now, those for the whole instance included."""
    now = timezone.now()
    rows = Membership.objects.filter(Q(team=team) | Q(team=None), ended_at=None).select_related("actor").order_by("pk")
    found: dict[Role, list[Actor]] = {}
    for row in rows:
        if row.in_force(now) and row.actor.is_active:
            found.setdefault(Role(row.role), []).append(row.actor)
    return found
