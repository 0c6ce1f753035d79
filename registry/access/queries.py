"""The one choke point for what may be seen: every read of another room passes through `readable` or `get_readable`."""

from __future__ import annotations

import uuid
from typing import Any, TypeVar

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import models
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone

from registry.access import permissions
from registry.access.models import Actor, ActorKind, Membership, Responsibility, Team, Token
from registry.errors import NotFound
from registry.events import Caller

M = TypeVar("M", bound=models.Model)


def system_actor() -> Actor:
    """The one actor of keeper and worker, born in entry 0."""
    return Actor.objects.get(kind=ActorKind.SYSTEM)


def readable_team_ids(actor_id: uuid.UUID) -> set[uuid.UUID] | None:
    """Teams whose things the actor may read; None means all of them."""
    now = timezone.now()
    memberships = Membership.objects.filter(actor_id=actor_id, ended_at=None, actor__ended_at=None)
    teams = {m.team_id for m in memberships if m.in_force(now)}
    if None in teams:
        return None
    return {t for t in teams if t is not None}


def readable(queryset: QuerySet[M], caller: Caller, *, team: str = "team") -> QuerySet[M]:
    """The rows of teams that the caller may read. `team` is the path from the row to its team."""
    teams = readable_team_ids(caller.actor_id)
    return queryset if teams is None else queryset.filter(**{f"{team}__in": teams})


def get_readable(queryset: QuerySet[M], caller: Caller, *, team: str = "team", **lookup: Any) -> M:
    """One row, or NotFound: absent and not visible are never told apart."""
    try:
        return readable(queryset, caller, team=team).get(**lookup)
    except (ObjectDoesNotExist, ValueError, ValidationError):
        name = queryset.model._meta.verbose_name
        raise unseen(str(name)) from None


def unseen(noun: str) -> NotFound:
    """What is said of what is absent and of what the reader may not see."""
    return NotFound(
        f"There is no such {noun}, or you may not see it.",
        hint="Look at the spelling; what belongs to a team is seen with a role there, which an administrator grants.",
    )


def get_team(caller: Caller, slug: str) -> Team:
    """A team by name, if the caller may read it."""
    return get_readable(Team.objects.all(), caller, team="pk", slug=slug)


# --- who may what, for those who may change it ---


def actors(caller: Caller, username: str = "") -> QuerySet[Actor]:
    """Accounts, ended ones too; for administrators of the instance."""
    permissions.require(caller, "actor.end", None)
    given = Responsibility.objects.filter(account=OuterRef("pk")).order_by("-created_at", "-pk")
    rows = Actor.objects.annotate(responsible_name=Subquery(given.values("person__username")[:1]))
    return rows.filter(username=username) if username else rows


def get_actor(caller: Caller, key: uuid.UUID) -> Actor:
    """An account by id; for administrators of the instance."""
    found = actors(caller).filter(pk=key).first()
    if found is None:
        raise NotFound("There is no such account.", hint="The list of actors has the ids.")
    return found


def memberships(caller: Caller, username: str = "", team: str = "") -> QuerySet[Membership]:
    """Memberships that have not ended, where the caller may end them: everywhere, or in one team."""
    where = get_team(caller, team) if team else None
    permissions.require(caller, "membership.end", where.pk if where else None)
    rows = Membership.objects.filter(ended_at=None).select_related("actor", "team")
    rows = rows.filter(actor__username=username) if username else rows
    return rows.filter(team=where) if where else rows


def get_membership(caller: Caller, key: uuid.UUID) -> Membership:
    """A membership by id, if the caller may read its team; one of the whole instance, if he may end it."""
    found = Membership.objects.select_related("actor", "team").filter(pk=key).first()
    teams = readable_team_ids(caller.actor_id)
    if found is None or (teams is not None and found.team_id not in teams):
        raise NotFound(
            "There is no such membership, or you may not see it.", hint="The list of memberships has the ids."
        )
    return found


def tokens(caller: Caller, username: str = "") -> QuerySet[Token]:
    """The caller's tokens, or somebody's for an administrator."""
    rows = Token.objects.select_related("actor", "issued_by")
    if not username:
        return rows.filter(actor_id=caller.actor_id)
    permissions.require(caller, "token.end", None)
    return rows.filter(actor__username=username)


def get_token(caller: Caller, key: uuid.UUID) -> Token:
    """A token by id: one's own, or any for an administrator."""
    rows = Token.objects.select_related("actor").filter(pk=key)
    if not permissions.may(caller.actor_id, "token.end", None):
        rows = rows.filter(actor_id=caller.actor_id)
    found = rows.first()
    if found is None:
        raise NotFound("There is no such token of yours.", hint="The list of tokens has the ids.")
    return found
