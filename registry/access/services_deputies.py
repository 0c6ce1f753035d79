"""Deputies: one person decides in the place of another, under that one's role, from a day to a day.

Rules:
- who appoints holds the role then, in that team or in the whole instance, by a membership of their own: what somebody holds as a
  deputy is never handed on;
- only roles that decide on releases are lent; a deputy is another person with an account in force, and may read what there is to
  decide on;
- a deputyship lasts a year at most, and counts only while the principal holds the role;
- the principal, the deputy and whoever may take roles away end it before its time.
"""

from __future__ import annotations

import datetime
from dataclasses import replace

from registry.access import permissions
from registry.access.models import Actor, ActorKind, Deputyship, Role, Team
from registry.access.services import new_text
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller, emit, unit

LONGEST_DAYS = 366


def appoint_deputy(
    *,
    actor: Caller,
    deputy: Actor,
    role: str,
    team: Team | None,
    begins_at: datetime.datetime | None = None,
    ends_at: datetime.datetime,
    reason: str,
) -> Deputyship:
    """Let somebody decide in the caller's place. Without `begins_at` it begins at once."""
    team_id = team.pk if team else None
    permissions.require(actor, "deputy.appoint", team_id)
    _check_role(actor, role, team)
    _check_deputy(actor, deputy, team)
    if not reason.strip():
        raise Invalid("The reason is empty.", hint="Say in a sentence why; auditors read it.")
    with unit(actor, role=role) as opened:
        begins = begins_at or opened.now
        _check_dates(begins, ends_at, opened.now)
        _refuse_second(actor, deputy, role, team, begins, ends_at)
        stream = f"team:{team_id}" if team_id else "instance"
        text = new_text(stream=stream, purpose="reason", value=reason, now=opened.now)
        row = Deputyship.objects.create(
            principal_id=actor.actor_id, deputy=deputy, team=team, role=role, reason=text, created_at=opened.now,
            begins_at=begins, ends_at=ends_at,
        )  # fmt: skip
        emit("deputyship.appointed", row, text, team=team_id)
        return row


def _check_role(actor: Caller, role: str, team: Team | None) -> None:
    lent = permissions.PERMISSIONS["deputy.appoint"]
    if role not in lent:
        raise Invalid(f"The role {role!r} has no deputies.", hint=f"Roles that have: {', '.join(sorted(lent))}.")
    if Role(role) not in permissions.roles_of(actor.actor_id, team.pk if team else None):
        raise Forbidden(
            f"You do not hold the role {Role(role).label.lower()} {f'in {team}' if team else 'of the whole instance'} yourself.",
            hint="What is held as a deputy is not handed on; whoever holds the role appoints.",
        )


def _check_deputy(actor: Caller, deputy: Actor, team: Team | None) -> None:
    if deputy.pk == actor.actor_id:
        raise Invalid("Nobody is their own deputy.", hint="Name somebody else.")
    if deputy.kind != ActorKind.PERSON or not deputy.is_active:
        raise Invalid(f"{deputy} is no person with an account in force.", hint="A deputy decides, so it is a person.")
    if not permissions.roles_of(deputy.pk, team.pk if team else None):
        where = f"team {team}" if team else "whole instance"
        raise Invalid(
            f"{deputy} may not see what there is to decide in the {where}.",
            hint="An administrator gives a role there first; viewer is enough.",
        )


def _check_dates(begins: datetime.datetime, ends: datetime.datetime, now: datetime.datetime) -> None:
    if not (begins < ends and now < ends):
        raise Invalid("A deputyship ends after it begins, and after now.", hint="Correct 'begins_at' and 'ends_at'.")
    if ends - begins > datetime.timedelta(days=LONGEST_DAYS):
        raise Invalid(f"A deputyship lasts at most {LONGEST_DAYS} days.", hint="Give a nearer end; it can be renewed.")


def _refuse_second(
    actor: Caller, deputy: Actor, role: str, team: Team | None, begins: datetime.datetime, ends: datetime.datetime
) -> None:
    rows = Deputyship.objects.filter(principal_id=actor.actor_id, deputy=deputy, role=role, team=team, ended_at=None)
    if rows.filter(begins_at__lt=ends, ends_at__gt=begins).exists():
        raise Conflict(f"{deputy} stands for you in these days already.", hint="End that deputyship first.")


def end_deputyship(*, actor: Caller, deputyship: Deputyship) -> Deputyship:
    """End it before its time; what was decided under it stays decided."""
    acting = _role_to_end(actor, deputyship)
    with unit(replace(actor, on_behalf_of=None), role=acting) as opened:
        row = Deputyship.objects.select_for_update(no_key=True).get(pk=deputyship.pk)
        if row.ended_at is not None or row.ends_at <= opened.now:
            raise Conflict("This deputyship has ended already.")
        row.ended_at = opened.now
        row.save(update_fields=["ended_at"])
        emit("deputyship.ended", row, team=row.team_id)
        return row


def _role_to_end(actor: Caller, row: Deputyship) -> str:
    if actor.actor_id not in (row.principal_id, row.deputy_id):
        return permissions.require(actor, "membership.end", row.team_id)
    held = permissions.roles_of(actor.actor_id, row.team_id)
    if not held:
        raise Forbidden("Without any role there you end nothing.", hint="Ask an administrator of the installation.")
    return next(role.value for role in Role if role in held)
