"""Whose effective terms change when the terms of a licence do, or what is stated about a version: across all teams.

Rules:
- every version that carries the licence, was made with data under it, or was made from one of these, over any number of steps;
- what changes is computed twice over the same lineage, with the terms before and after, by the one set of rules of `terms`;
- of teams that the reader may not see nothing is said, no number either; the owners of what is live there are told by findings.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from django.db.models import Q

from registry.access.queries import readable_team_ids
from registry.catalog.closure import EVERYTHING, id_of, raw_of
from registry.catalog.descendants import Starts, descendants_of, descendants_of_each
from registry.catalog.models import Correction, ModelVersion
from registry.catalog.stated import stated
from registry.catalog.terms_along import Made, read_answers, read_sources
from registry.catalog.terms_levels import Source, assess
from registry.events import Caller
from registry.provenance.licences import TERMS, TermsDocument
from registry.provenance.models import DatasetVersion, Licence, LicenceRuling
from registry.provenance.queries import affected_licences, terms_in_force
from registry.provenance.stated import StatedData, licences_of_states, states_under

_BATCH = 5000
K = TypeVar("K", bound=Hashable)


class Change(NamedTuple):
    """One term of one version, or one answer about the data that it was made with, before and after."""

    term: str
    before: str
    after: str


@dataclass(frozen=True)
class Affected:
    """A version whose effective terms change; `changes` is empty where only its lineage is touched."""

    version: ModelVersion
    distance: int
    changes: tuple[Change, ...]


def affected_by_terms(
    before: Mapping[uuid.UUID, TermsDocument], after: Mapping[uuid.UUID, TermsDocument]
) -> list[Affected]:
    """The versions whose effective terms differ when these licences have the terms `after` in place of those `before`."""
    changed = {key for key in before if before[key]["answers"] != after[key]["answers"]}
    return _differing(dependents_of(changed), _with_terms(before, changed), _with_terms(after, changed))


def affected_by_ruling(ruling: LicenceRuling) -> list[Affected]:
    """The versions whose effective terms would differ if a ruling were in force."""
    keys = [licence.pk for licence in affected_licences(ruling.licence)]
    return affected_by_terms(terms_in_force(keys), terms_in_force(keys, supposing=ruling))


def dependents_of(licence_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Every version that a licence reaches, with its smallest number of steps: 0 where it carries it itself."""
    carriers = _carriers(licence_ids)
    data = states_under(licence_ids)
    return dict(descendants_of(version_ids=carriers, dataset_version_ids=data)) | dict.fromkeys(carriers, 0)


class Dependents(NamedTuple):
    """What a licence reaches: versions, and states of data that are under it."""

    versions: set[uuid.UUID]
    data: set[uuid.UUID]


def dependents_of_each(groups: Mapping[K, Collection[uuid.UUID]]) -> dict[K, Dependents]:
    """`dependents_of` for several groups of licences at once: the lineage is walked one time for all of them."""
    every = {key for keys in groups.values() for key in keys}
    carriers, states = _carriers(every), licences_of_states(every)
    starts = {
        name: Starts({v for v, key in carriers.items() if key in keys}, {s for s, key in states.items() if key in keys})
        for name, keys in groups.items()
    }
    below = descendants_of_each(starts)
    return {name: Dependents(below[name] | set(each.versions), set(each.data)) for name, each in starts.items()}


def affected_by_correction(version: ModelVersion, licence: Licence) -> list[Affected]:
    """The versions whose effective terms differ when a version is stated to be under another licence."""
    known = stated([version.pk])[version.pk].licence_id
    terms = terms_in_force({known, licence.pk})
    distances = dict(descendants_of(version_ids=[version.pk])) | {version.pk: 0}
    expressions = dict(Licence.objects.filter(pk__in=terms).values_list("pk", "expression"))
    world = {
        key: _Replacement({raw_of(version.pk): (expressions[key], terms[key])}, by_licence=False)
        for key in (known, licence.pk)
    }
    return _differing(distances, world[known], world[licence.pk])


def affected_by_data_correction(
    dataset_version: DatasetVersion, before: StatedData, after: StatedData
) -> list[Affected]:
    """The versions made with a state of data for which something differs: their effective terms, or what is answered about it."""
    distances = dict(descendants_of(dataset_version_ids=[dataset_version.pk]))
    answers = tuple(Change(name, was, after.answers[name]) for name, was in before.answers.items())
    differing = tuple(change for change in answers if change.before != change.after)
    found: dict[uuid.UUID, tuple[Change, ...]] = dict.fromkeys(distances, differing) if differing else {}
    if before.licence.pk != after.licence.pk or set(before.uses) != set(after.uses):
        terms = terms_in_force({before.licence.pk, after.licence.pk})
        raw = raw_of(dataset_version.pk)
        worlds = [
            _Replacement({raw: (one.licence.expression, terms[one.licence.pk])}, by_licence=False, uses=tuple(one.uses))
            for one in (before, after)
        ]
        for item in _differing(distances, *worlds):
            found[item.version.pk] = (*item.changes, *differing)
    return _rows(distances, found)


def affected_by_data(dataset_version: DatasetVersion) -> list[Affected]:
    """Every version that was made with a state of data, over any number of steps: its lineage is touched, whatever its terms."""
    distances = dict(descendants_of(dataset_version_ids=[dataset_version.pk]))
    return _rows(distances, dict.fromkeys(distances, ()))


def _carriers(licences: Collection[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    """The versions that are stated to be under one of the licences, each with that licence."""
    corrected = Correction.objects.filter(licence_id__in=licences).values("version_id")
    found = set(
        ModelVersion.objects.filter(Q(licence_id__in=licences) | Q(pk__in=corrected)).values_list("pk", flat=True)
    )
    known = stated(found)
    return {key: known[key].licence_id for key in found if known[key].licence_id in licences}


@dataclass(frozen=True)
class _Replacement:
    """What stands in the place of the terms that were read: by licence, or by version together with the expression."""

    terms: Mapping[str, tuple[str | None, TermsDocument]]
    by_licence: bool
    uses: tuple[str, ...] | None = None
    """What the replaced data are for, where that is replaced too."""

    def applied(self, made: Made) -> dict[str, Source]:
        known = read_answers({id_of(raw): terms for raw, (_, terms) in self.terms.items()})
        sources = dict(made.sources)
        for raw, licence in made.licences.items():
            key = licence if self.by_licence else raw
            if key in known:
                answers, notes = known[key]
                expression = self.terms[key][0] or sources[raw].licence
                uses = sources[raw].uses if self.uses is None else self.uses
                sources[raw] = sources[raw]._replace(licence=expression, answers=answers, notes=notes, uses=uses)
        return sources


def _with_terms(terms: Mapping[uuid.UUID, TermsDocument], changed: Collection[uuid.UUID]) -> _Replacement:
    return _Replacement({raw_of(key): (None, terms[key]) for key in changed}, by_licence=True)


def _differing(distances: Mapping[uuid.UUID, int], before: _Replacement, after: _Replacement) -> list[Affected]:
    changes: dict[uuid.UUID, tuple[Change, ...]] = {}
    for batch in _batches(distances):
        made = read_sources(batch, limit=EVERYTHING)
        roots = [raw_of(key) for key in batch]
        one = assess(roots, before.applied(made), made.links)
        other = assess(roots, after.applied(made), made.links)
        for key in batch:
            was, will_be = one.answers(raw_of(key)), other.answers(raw_of(key))
            changes[key] = tuple(Change(t, was[t], will_be[t]) for t in TERMS if was[t] != will_be[t])
    return _rows(distances, {key: found for key, found in changes.items() if found})


def _rows(distances: Mapping[uuid.UUID, int], changes: Mapping[uuid.UUID, tuple[Change, ...]]) -> list[Affected]:
    """Nearest first."""
    found = []
    for batch in _batches(changes):
        for row in ModelVersion.objects.select_related("model__team", "model__owner").filter(pk__in=batch):
            found.append(Affected(row, distances[row.pk], changes[row.pk]))
    return sorted(found, key=lambda item: (item.distance, item.version.pk))


def _batches(ids: Collection[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    wanted = sorted(ids)
    for start in range(0, len(wanted), _BATCH):
        yield wanted[start : start + _BATCH]


# --- for a reader -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reach:
    """What a change reaches, as one reader may know it: `whole` where they read every team, else only what is theirs to read."""

    whole: bool
    shown: Sequence[Affected]
    terms: Mapping[str, int]
    """For each term of how many of them the answer changes."""

    @property
    def versions(self) -> int:
        """How many versions."""
        return len(self.shown)

    @property
    def teams(self) -> int:
        """Of how many teams."""
        return len({item.version.model.team_id for item in self.shown})


def reach_for(caller: Caller, affected: Sequence[Affected]) -> Reach:
    """Names and numbers of what the caller reads: how much other teams made of something is theirs to tell."""
    teams = readable_team_ids(caller.actor_id)
    shown = [item for item in affected if teams is None or item.version.model.team_id in teams]
    terms: dict[str, int] = {}
    for item in shown:
        for change in item.changes:
            terms[change.term] = terms.get(change.term, 0) + 1
    return Reach(teams is None, shown, {term: terms[term] for term in TERMS if term in terms})
