"""Reads of targets: the places where versions run."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet

from registry.access.models import Team
from registry.access.queries import readable
from registry.errors import NotFound
from registry.events import Caller
from registry.release.serving_models import Target


def get_target(caller: Caller, reference: str) -> Target:
    """`team/target@3`, `team/target` for the newest number, or its id, if the caller may read its team."""
    name, at, number = reference.partition("@")
    team, slash, slug = name.partition("/")
    rows = readable(Target.objects.select_related("team", "safeguards"), caller).order_by("-number")
    if slash and (not at or number.isdecimal()):
        rows = rows.filter(team__slug=team, slug=slug, **({"number": int(number)} if at else {}))
    else:
        key = _uuid(reference)
        rows = rows.filter(pk=key) if key else rows.none()
    row = rows.first()
    if row is None:
        raise NotFound(f"There is no target {reference!r}, or you may not see it.", hint="It looks like team/edge@1.")
    return row


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def targets_of(team: Team) -> QuerySet[Target]:
    """The targets of a team, newest first, ended ones too. The caller must have read the team already."""
    return Target.objects.filter(team=team).select_related("team", "safeguards", "created_by").order_by("-pk")
