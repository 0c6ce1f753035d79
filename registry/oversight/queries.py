"""Reads of this room: use cases, attestations and findings, and which team answers for a stream."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable

from django.db.models import QuerySet

from registry.access.models import Actor, Team
from registry.access.queries import get_readable, readable, unseen
from registry.catalog.models import RegisteredModel
from registry.compression.models import Recipe
from registry.errors import NotFound
from registry.events import Caller
from registry.oversight.models import Attestation, Finding, UseCase
from registry.provenance.models import Dataset

_OWNED: dict[str, type[RegisteredModel | Dataset | Recipe | UseCase]] = {
    "model": RegisteredModel,
    "dataset": Dataset,
    "recipe": Recipe,
    "use_case": UseCase,
}
_UNOWNED = {"licence", "policy"}


def get_use_case(caller: Caller, team_slug: str, slug: str) -> UseCase:
    """A use case by name, if the caller may read it."""
    queryset = UseCase.objects.select_related("team", "owner", "purpose", "users", "prohibited")
    return get_readable(queryset, caller, team__slug=team_slug, slug=slug)


def person(username: str) -> Actor:
    """Somebody who can be named as an owner."""
    row = Actor.objects.filter(username=username, ended_at=None).first()
    if row is None:
        raise NotFound(f"There is no active actor {username!r}.", hint="Give the user name of the owner.")
    return row


def use_cases_of(caller: Caller, team_slug: str) -> QuerySet[UseCase]:
    """The use cases of a team, oldest first."""
    rows = readable(UseCase.objects.filter(team__slug=team_slug), caller)
    return rows.select_related("team", "owner", "purpose", "users", "prohibited").order_by("id")


def attestations_of(stream: str) -> QuerySet[Attestation]:
    """What people signed about the subject of a stream, newest first. The caller must have read the subject already."""
    return Attestation.objects.filter(stream=stream).select_related("statement", "signed_by").order_by("-id")


def findings_of(stream: str) -> QuerySet[Finding]:
    """What has to be mended about the subject of a stream, newest first. The caller must have read the subject already."""
    return Finding.objects.filter(stream=stream).select_related("description", "owner", "closure").order_by("-id")


def get_attestation(caller: Caller, attestation_id: uuid.UUID) -> Attestation:
    """An attestation by id, if the caller may read what it is about."""
    row = Attestation.objects.select_related("statement", "signed_by").filter(pk=attestation_id).first()
    if row is None or not _may_read(caller, row.stream):
        raise unseen("attestation")
    return row


def get_finding(caller: Caller, finding_id: uuid.UUID) -> Finding:
    """A finding by id, if the caller may read what it is about."""
    row = Finding.objects.select_related("description", "owner", "closure").filter(pk=finding_id).first()
    if row is None or not _may_read(caller, row.stream):
        raise unseen("finding")
    return row


def _may_read(caller: Caller, stream: str) -> bool:
    team_id = team_of_stream(stream)
    return team_id is None or readable(Team.objects.filter(pk=team_id), caller, team="pk").exists()


def team_of_stream(stream: str) -> uuid.UUID | None:
    """The team that owns the subject of a stream; None for the instance, licences and policies. NotFound for no stream at all."""
    kind, _, key = stream.partition(":")
    if stream == "instance" or (kind in _UNOWNED and _uuid(key)):
        return None
    identity = _uuid(key)
    if identity is not None and kind == "team" and Team.objects.filter(pk=identity).exists():
        return identity
    if identity is not None and kind in _OWNED:
        found = _OWNED[kind]._default_manager.filter(pk=identity).first()
        if found is not None:
            return found.team_id
    raise NotFound(
        f"There is no stream {stream[:80]!r}.", hint="Name the model, dataset, use case or team by its page."
    )


def teams_of_streams(streams: Iterable[str]) -> dict[str, uuid.UUID]:
    """The team of each stream that is a team's model, dataset, recipe or use case, with one question for each kind of these."""
    wanted: dict[str, dict[uuid.UUID, str]] = defaultdict(dict)
    for stream in set(streams):
        kind, _, key = stream.partition(":")
        identity = _uuid(key)
        if kind in _OWNED and identity is not None:
            wanted[kind][identity] = stream
    found: dict[str, uuid.UUID] = {}
    for kind, named in wanted.items():
        rows = _OWNED[kind]._default_manager.filter(pk__in=list(named))
        found |= {named[key]: team_id for key, team_id in rows.values_list("pk", "team_id")}
    return found


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
