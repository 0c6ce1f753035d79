"""The one choke point for what may be seen: every read of another room passes through `readable` or `get_readable`."""

from __future__ import annotations

import uuid
from typing import Any, TypeVar

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import models
from django.db.models import QuerySet
from django.utils import timezone

from registry.access.models import Actor, ActorKind, Membership, Team
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
        raise NotFound(
            f"There is no such {name}, or you may not see it.",
            hint="Look at the spelling; what belongs to a team is seen with a role there, which an administrator grants.",
        ) from None


def get_team(caller: Caller, slug: str) -> Team:
    """A team by name, if the caller may read it."""
    return get_readable(Team.objects.all(), caller, team="pk", slug=slug)
