"""Reads of deputyships: one's own on either side, those of the teams that one may read; all for a member of the instance."""

from __future__ import annotations

import uuid

from django.db.models import Q, QuerySet

from registry.access.models import Actor, ActorKind, Deputyship
from registry.access.queries import readable_team_ids
from registry.errors import NotFound
from registry.events import Caller


def deputyships(caller: Caller) -> QuerySet[Deputyship]:
    """What the caller may see of them, ended ones too."""
    rows = Deputyship.objects.select_related("principal", "deputy", "team", "reason")
    teams = readable_team_ids(caller.actor_id)
    if teams is None:
        return rows
    return rows.filter(Q(principal_id=caller.actor_id) | Q(deputy_id=caller.actor_id) | Q(team_id__in=teams))


def get_deputyship(caller: Caller, key: uuid.UUID) -> Deputyship:
    """One by id, if the caller may see it."""
    found = deputyships(caller).filter(pk=key).first()
    if found is None:
        raise NotFound(
            "There is no such deputyship, or you may not see it.", hint="The list of deputyships has the ids."
        )
    return found


def get_person(username: str) -> Actor:
    """A person with an account in force, by user name."""
    found = Actor.objects.filter(username=username, kind=ActorKind.PERSON, ended_at=None).first()
    if found is None:
        raise NotFound(f"There is no person {username!r} with an account in force.", hint="Look at the spelling.")
    return found
