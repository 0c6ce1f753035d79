"""Reads of this room: datasets and their versions, licences, uploads. What may not be seen is not found."""

from __future__ import annotations

import re
import uuid

from django.db.models import Q, QuerySet

from registry.access.permissions import PERMISSIONS, roles_of
from registry.access.queries import get_readable, readable, unseen
from registry.errors import Conflict, Invalid, NotFound
from registry.events import Caller
from registry.provenance import licences
from registry.provenance.models import Dataset, DatasetVersion, Licence, LicenceRuling, Upload
from registry.provenance.ruled_terms import terms_in_force
from registry.provenance.stated import TEXTS, with_corrections

__all__ = [
    "affected_licences", "dataset_versions", "get_dataset", "get_dataset_version", "get_licence", "get_ruling",
    "licence_in_force", "parse_reference", "roles_allow", "same_licence", "spelling_of", "terms_in_force",
    "usable_digests",
]  # fmt: skip

MIN_DIGEST_DIGITS = 12
_REFERENCE = re.compile(
    r"(?P<team>[^/@]+)/(?P<name>[^/@]+)@(?:(?P<number>[1-9][0-9]{0,8})|sha256:(?P<hex>[0-9a-f]{0,64}))"
)


def parse_reference(ref: str) -> tuple[str, str, int | None, str]:
    """Team, name, number and digest prefix of `team/name@3` or `team/name@sha256:<12 to 64 hex>`."""
    match = _REFERENCE.fullmatch(ref)
    if match is None or (match["hex"] is not None and len(match["hex"]) < MIN_DIGEST_DIGITS):
        raise Invalid(
            f"{ref!r} is no reference.",
            hint=f"Write team/name@NUMBER, or team/name@sha256: and at least {MIN_DIGEST_DIGITS} hexadecimal digits.",
            code="reference",
        )
    return match["team"], match["name"], int(match["number"]) if match["number"] else None, match["hex"] or ""


def get_dataset(caller: Caller, team_slug: str, slug: str) -> Dataset:
    """A dataset by team and name."""
    rows = Dataset.objects.select_related("team", "title", "steward")
    return get_readable(rows, caller, team__slug=team_slug, slug=slug)


def dataset_versions(caller: Caller) -> QuerySet[DatasetVersion]:
    """All dataset versions that the caller may read."""
    rows = DatasetVersion.objects.select_related("dataset__team", "licence", *TEXTS)
    return with_corrections(readable(rows, caller, team="dataset__team"))


def get_dataset_version(caller: Caller, ref: str) -> DatasetVersion:
    """A dataset version by reference: `team/dataset@3` or `team/dataset@sha256:<12 to 64 hex>`."""
    team, name, number, digits = parse_reference(ref)
    rows = dataset_versions(caller).filter(dataset__team__slug=team, dataset__slug=name)
    if number is not None:
        found = list(rows.filter(number=number))
    else:
        found = list(rows.filter(digest__startswith=f"sha256:{digits}")[:2])
    if not found:
        raise unseen("dataset version")
    if len(found) > 1:
        raise Conflict(f"{ref} fits several versions.", hint="Give more digits of the digest.", code="ambiguous")
    return found[0]


def licence_in_force(expression: str) -> Licence | None:
    """The newest registered row of an expression, in its normalised spelling."""
    return Licence.objects.filter(expression=expression, ended_at=None).order_by("-number").first()


def spelling_of(expression: str) -> str:
    """The one spelling of an expression; ids of teams' own count once they are registered. Invalid where one is not known."""
    written = licences.names_of_teams(expression)
    known = Licence.objects.filter(ended_at=None, text_digest__isnull=False)
    wanted = Q(pk=None)
    for name in written:
        wanted |= Q(expression__iexact=name)
    return licences.normalise(expression, set(known.filter(wanted).values_list("expression", flat=True)))


def get_licence(expression: str) -> Licence:
    """The newest row of an expression, however it is spelled."""
    found = licence_in_force(spelling_of(expression))
    if found is None:
        raise NotFound(f"No licence {expression[:80]!r} is registered.", hint="Register it, or look at the spelling.")
    return found


def get_ruling(key: uuid.UUID) -> LicenceRuling:
    """A ruling by id; rulings belong to the instance, so everybody who may sign in reads them."""
    rows = LicenceRuling.objects.select_related("licence", "document", "reason", "authored_by", "approved_by")
    found = rows.filter(pk=key).first()
    if found is None:
        raise NotFound("There is no such ruling.", hint="The page of the licence lists its rulings.")
    return found


def same_licence(licence: Licence) -> QuerySet[Licence]:
    """Every row that a ruling about a licence is about: its expression and, where it has one, its text."""
    return Licence.objects.filter(expression=licence.expression, text_digest=licence.text_digest)


def affected_licences(licence: Licence) -> list[Licence]:
    """Every row whose terms a ruling about a licence may change: its own, and expressions that it is part of."""
    rows = Licence.objects.filter(expression__contains=licence.expression).order_by("pk")
    return [
        row for row in rows
        if (row.expression == licence.expression and row.text_digest == licence.text_digest)
        or (" " in row.expression and licence.expression in licences.parts_of(row.expression))
    ]  # fmt: skip


def roles_allow(actor_id: uuid.UUID, action: str, team_ids: set[uuid.UUID]) -> set[uuid.UUID]:
    """Those of the teams in which a role of the actor allows the act."""
    return {team for team in team_ids if roles_of(actor_id, team) & PERMISSIONS[action]}


def usable_digests(caller: Caller, digests: set[str]) -> set[str]:
    """Those of the digests that the caller brought, or that are the bytes of a dataset version open to the caller.

    Knowing a digest is not enough: else somebody could register, and then download, what another team keeps to itself.
    """
    uploaded = set(Upload.objects.filter(actor_id=caller.actor_id, digest__in=digests).values_list("digest", flat=True))
    asked = digests - uploaded
    held = readable(DatasetVersion.objects.filter(purged_at=None, source="measured"), caller, team="dataset__team")
    owners = set(held.filter(digest__in=asked).values_list("digest", "dataset__team_id"))
    owners |= set(held.filter(files__digest__in=asked).values_list("files__digest", "dataset__team_id"))
    open_teams = roles_allow(caller.actor_id, "version.download", {team for _, team in owners})
    return uploaded | {digest for digest, team in owners if digest and team in open_teams}
