"""Licences that wait for a ruling: something registered depends on them, and a term of theirs is unknown. Most needed first.

Rules:
- what is counted are versions that carry the licence, were made with data under it, or descend from one of these, as far as the
  reader may see them: how much other teams made is theirs to tell;
- a category of the pack (`unknown`, `proprietary`) is no text that could be ruled on: its versions are corrected instead.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from django.db.models import QuerySet

from registry.access.queries import readable_team_ids
from registry.catalog.affected import dependents_of
from registry.catalog.models import ModelVersion
from registry.events import Caller
from registry.provenance import licences
from registry.provenance.models import DatasetVersion, Licence, LicenceRuling
from registry.provenance.queries import terms_in_force
from registry.provenance.stated import states_under
from registry.release.recall_reach import live_moves

_BATCH = 5000


@dataclass(frozen=True)
class Waiting:
    """A licence (its newest row) with what is not known, how much depends on it, and rulings that nobody approved yet."""

    licence: Licence
    unknown: Sequence[str]
    versions: int
    live: int
    data: int
    drafts: int
    is_category: bool


def waiting_licences(caller: Caller) -> list[Waiting]:
    """Every licence in the caller's use with an unknown answer: what something live depends on first, then by how many versions."""
    groups: dict[tuple[str, str | None], list[Licence]] = {}
    for row in Licence.objects.order_by("expression", "number"):
        groups.setdefault((row.expression, row.text_digest), []).append(row)
    terms = terms_in_force(row.pk for rows in groups.values() for row in rows)
    found = []
    teams = cache(partial(readable_team_ids, caller.actor_id))
    for rows in groups.values():
        asked = {row.pk for row in rows}
        names = {name for key in asked for name, a in terms[key]["answers"].items() if a["answer"] == "unknown"}
        if names:
            waiting = _waiting(rows[-1], asked, [term for term in licences.TERMS if term in names], teams())
            found += [waiting] if waiting.versions or waiting.data else []
    return sorted(found, key=lambda item: (-item.live, -item.versions, -item.data, item.licence.expression))


def _waiting(newest: Licence, keys: set[uuid.UUID], unknown: Sequence[str], teams: set[uuid.UUID] | None) -> Waiting:
    versions, data = set(dependents_of(keys)), states_under(keys)
    if teams is not None:
        own = ModelVersion.objects.filter(model__team_id__in=teams)
        versions = _among(versions, own.values_list("pk", flat=True))
        data = _among(data, DatasetVersion.objects.filter(dataset__team_id__in=teams).values_list("pk", flat=True))
    return Waiting(
        licence=newest,
        unknown=unknown,
        versions=len(versions),
        live=len({move.version_id for move in live_moves(versions)}),
        data=len(data),
        drafts=LicenceRuling.objects.filter(licence_id__in=keys, in_force_at=None, ended_at=None).count(),
        is_category=licences.is_category(newest.expression),
    )


def _among(keys: set[uuid.UUID], rows: QuerySet[Any, uuid.UUID]) -> set[uuid.UUID]:
    wanted = sorted(keys)
    found: set[uuid.UUID] = set()
    for start in range(0, len(wanted), _BATCH):
        found.update(rows.filter(pk__in=wanted[start : start + _BATCH]))
    return found
