"""Licences that wait for a ruling: something registered depends on them, and a term of theirs is unknown. Most needed first.

Rules:
- what is counted are versions that carry the licence, were made with data under it, or descend from one of these, as far as the
  reader may see them: how much other teams made is theirs to tell;
- the lineage is walked once for all of them, however many licences wait;
- a category of the pack (`unknown`, `proprietary`) is no text that could be ruled on: its versions are corrected instead.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from registry.access.queries import readable_team_ids
from registry.catalog.affected import Dependents, dependents_of_each
from registry.catalog.models import ModelVersion
from registry.events import Caller
from registry.provenance import licences
from registry.provenance.licences import TermsDocument
from registry.provenance.models import DatasetVersion, Licence, LicenceRuling
from registry.provenance.queries import terms_in_force
from registry.release.recall_reach import live_moves

_BATCH = 5000
Name = tuple[str, str | None]
"""A licence by what is ruled on: its expression, and the digest of a text of its own."""


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
    groups: dict[Name, list[Licence]] = {}
    for row in Licence.objects.order_by("expression", "number"):
        groups.setdefault((row.expression, row.text_digest), []).append(row)
    terms = terms_in_force(row.pk for rows in groups.values() for row in rows)
    asked = {name: {row.pk for row in rows} for name, rows in groups.items()}
    unknown = {
        name: [term for term in licences.TERMS if _is_unknown(terms, keys, term)] for name, keys in asked.items()
    }
    asked = {name: keys for name, keys in asked.items() if unknown[name]}
    reached = _visible(caller, dependents_of_each(asked))
    live = {move.version_id for move in live_moves({key for each in reached.values() for key in each.versions})}
    drafts = LicenceRuling.objects.filter(in_force_at=None, ended_at=None).values_list("licence_id", flat=True)
    waits = Counter(drafts)
    found = [
        Waiting(
            licence=groups[name][-1],
            unknown=unknown[name],
            versions=len(each.versions),
            live=len(each.versions & live),
            data=len(each.data),
            drafts=sum(waits[key] for key in asked[name]),
            is_category=licences.is_category(groups[name][-1].expression),
        )
        for name, each in reached.items()
        if each.versions or each.data
    ]
    return sorted(found, key=lambda item: (-item.live, -item.versions, -item.data, item.licence.expression))


def _is_unknown(terms: Mapping[uuid.UUID, TermsDocument], keys: Collection[uuid.UUID], term: str) -> bool:
    return any(terms[key]["answers"][term]["answer"] == "unknown" for key in keys)


def _visible(caller: Caller, reached: Mapping[Name, Dependents]) -> dict[Name, Dependents]:
    """What of it the caller may read."""
    teams = readable_team_ids(caller.actor_id)
    if teams is None:
        return dict(reached)
    own = ModelVersion.objects.filter(model__team_id__in=teams).values_list("pk", flat=True)
    owned = DatasetVersion.objects.filter(dataset__team_id__in=teams).values_list("pk", flat=True)
    versions = _among({key for each in reached.values() for key in each.versions}, own)
    data = _among({key for each in reached.values() for key in each.data}, owned)
    return {name: Dependents(each.versions & versions, each.data & data) for name, each in reached.items()}


def _among(keys: set[uuid.UUID], rows: QuerySet[Any, uuid.UUID]) -> set[uuid.UUID]:
    wanted = sorted(keys)
    found: set[uuid.UUID] = set()
    for start in range(0, len(wanted), _BATCH):
        found.update(rows.filter(pk__in=wanted[start : start + _BATCH]))
    return found
