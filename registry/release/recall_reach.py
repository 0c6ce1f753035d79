"""What a recall reaches, and what it would do: reads for who decides on it, and for what is made later.

Rules:
- a recall of data reaches whatever was made with those rows, under any name; of a licence, whatever is stated to be under an
  expression that names it, or was made with data under it; of a version, that version; and then all descendants, over any edge;
- files with the same weights are the same work: bringing them again under another name takes nothing out of a recall;
- whoever is named a parent, or has the rows, by digest alone is reached as well; but data whose bytes were never here are what
  their team says they are: what another team recorded under the same digest stays out, else whoever knows a digest could stop it;
- names are for readers of a team; who may recall gets the numbers of all teams, everybody else those of his own.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from django.db.models import Exists, OuterRef, Q

from registry.access.queries import readable_team_ids
from registry.catalog import queries as catalog
from registry.catalog.models import Artifact, Correction, Edge, ModelVersion, RegisteredModel
from registry.errors import Invalid
from registry.events import Caller
from registry.oversight.queries import team_of_stream
from registry.provenance.dataset_files import states_holding, states_within
from registry.provenance.licences import parts_of
from registry.provenance.models import DatasetVersion, Licence, Source
from registry.provenance.stated import TEXTS, stated_data, states_under
from registry.provenance.subjects import Subject
from registry.release.models import AliasAssignment
from registry.release.quarantines import may_count
from registry.release.stopping_models import Quarantine, Recall, RecallKind

SHOWN = 200
"""How many versions a page or an answer names; the numbers are of all of them."""
_BATCH = 5000
T = TypeVar("T", str, uuid.UUID)


# --- what a recall reaches ---


def reached_by(kind: str, about: uuid.UUID) -> dict[uuid.UUID, int]:
    """Ids of all versions that a recall stops, each with a number of steps; 0 is what is recalled itself.

    The steps are the fewest over recorded edges; below files with the same weights they are counted from the nearest of these.
    """
    if kind == RecallKind.DATASET_VERSION:
        data = DatasetVersion.objects.select_related("dataset").get(pk=about)
        return _closed({}, same_rows(about)) if data.source == Source.MEASURED else _made_with_declared(data)
    if kind == RecallKind.LICENCE:
        licences = licences_naming(Licence.objects.get(pk=about).expression)
        return _closed(dict.fromkeys(_stated_under(licences), 0), states_under(licences))
    if kind == RecallKind.VERSION:
        return _closed({about: 0}, set())
    raise Invalid(
        "Only a version of a dataset or of a model, or a licence, can be recalled.",
        hint="Write for example dataset_version:team/rows@1, version:team/model@3 or licence:CC-BY-NC-4.0.",
    )


def _made_with_declared(data: DatasetVersion) -> dict[uuid.UUID, int]:
    """What was made with data elsewhere: by whoever named one of its team's records, and by its team where it wrote the digest."""
    team = data.dataset.team_id
    same = DatasetVersion.objects.filter(pk__in=same_rows(data.pk), dataset__team_id=team)
    digests = {digest for digest in (data.digest, data.document_digest) if digest}
    outside = Q(parent=None, dataset_version=None, parent_digest__in=digests, model__team_id=team)
    children = Edge.objects.filter(Q(dataset_version__in=same) | outside).values_list("child_id", flat=True)
    return {key: steps + 1 for key, steps in _closed(dict.fromkeys(children, 0), set()).items()}


def _closed(starts: dict[uuid.UUID, int], data: Collection[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Descendants, those with the same weights, their descendants, and so on, until nothing is added."""
    reached = dict(starts)
    _nearer(reached, catalog.descendants_of(version_ids=starts, dataset_version_ids=data))
    fresh: Collection[uuid.UUID] = set(reached)
    while twins := {key: reached[of] for key, of in _same_weights(fresh) if key not in reached}:
        reached |= twins
        before = set(reached)
        steps = min(twins.values())
        _nearer(reached, [(key, steps + n) for key, n in catalog.descendants_of(version_ids=twins)])
        fresh = {*twins, *(set(reached) - before)}
    return reached


def _nearer(reached: dict[uuid.UUID, int], found: Iterable[tuple[uuid.UUID, int]]) -> None:
    for key, distance in found:
        reached[key] = min(distance, reached.get(key, distance))


def _same_weights(versions: Collection[uuid.UUID]) -> Iterator[tuple[uuid.UUID, uuid.UUID]]:
    """(other version, version) for every version elsewhere that has a file of weights in common with one of these."""
    for batch in batches(versions):
        own = Artifact.objects.filter(version_id__in=batch, role="weights").values_list("digest", "version_id")
        by_digest = dict(own)
        for digests in batches(by_digest):
            rows = Artifact.objects.filter(digest__in=digests, role="weights").values_list("version_id", "digest")
            yield from ((version, by_digest[digest]) for version, digest in rows)


def same_rows(dataset_version: uuid.UUID) -> set[uuid.UUID]:
    """States of data that hold all of its rows, under whatever name; the given one is among them."""
    return states_holding([DatasetVersion.objects.get(pk=dataset_version)])


def licences_naming(expression: str) -> set[uuid.UUID]:
    """Registered licences of that expression, or of one that joins it to others; a choice of several names each of them."""
    return {key for key, text in Licence.objects.values_list("pk", "expression") if _names(expression, text)}


def _names(expression: str, other: str) -> bool:
    """Whether another expression names this one: the same, or one licence among several."""
    parts = set(parts_of(expression))
    return other == expression or (len(parts) == 1 and bool(parts & set(parts_of(other))))


def _stated_under(licences: Collection[uuid.UUID]) -> set[uuid.UUID]:
    corrected = Correction.objects.filter(licence_id__in=licences).values("version_id")
    rows = ModelVersion.objects.filter(Q(licence_id__in=licences) | Q(pk__in=corrected)).values_list("pk", flat=True)
    known = catalog.stated(set(rows))
    return {key for key, stated in known.items() if stated.licence_id in licences}


def live_moves(version_ids: Collection[uuid.UUID]) -> list[AliasAssignment]:
    """The moves by which aliases serve these versions now, oldest model first."""
    later = AliasAssignment.objects.filter(alias=OuterRef("alias"), number__gt=OuterRef("number"))
    serving = AliasAssignment.objects.filter(~Exists(later))
    found: list[AliasAssignment] = []
    for batch in batches(version_ids):
        rows = serving.filter(version__in=batch).order_by("pk")
        found += rows.select_related("alias", "model__team", "model__owner", "version")
    return sorted(found, key=lambda move: move.pk.int)


# --- what a recall would do, for who decides on it ---


@dataclass(frozen=True)
class Reached:
    """A version that a recall stops, and the aliases that serve it now."""

    version: ModelVersion
    distance: int
    aliases: tuple[str, ...]


@dataclass(frozen=True)
class Preview:
    """What a recall would stop: names of what the reader may see, live ones first, and numbers.

    `whole`: the numbers are of all teams; else of those that the reader may see, and `hidden` is 0.
    """

    subject: Subject
    whole: bool
    versions: int
    models: int
    teams: int
    live: int
    shown: Sequence[Reached]
    hidden: int
    """How many of the versions belong to teams that the reader may not see."""


def preview(caller: Caller, subject: Subject) -> Preview:
    """What `start_recall` would do now. The caller must have read the subject; nothing is written."""
    whole = may_count(caller, subject.team_id)
    return _told(caller, subject, reached_by(subject.kind, subject.about), whole)


def stopped_by(caller: Caller, recall: Recall, subject: Subject) -> Preview:
    """What a recall stopped, in the same shape: also what was made later, and what was released since."""
    rows = Quarantine.objects.filter(recall=recall).values_list("version_id", "distance")
    return _told(caller, subject, dict(rows), may_count(caller, team_of_stream(recall.stream)))


def _told(caller: Caller, subject: Subject, reached: dict[uuid.UUID, int], whole: bool) -> Preview:
    teams = readable_team_ids(caller.actor_id)
    owners = {key: (model, team) for key, model, team in _owners(reached)}
    visible = [key for key, (_, team) in owners.items() if teams is None or team in teams]
    if not whole:
        owners = {key: owners[key] for key in visible}
    aliases: dict[uuid.UUID, list[str]] = {}
    for move in live_moves(owners):
        assert move.version_id is not None
        aliases.setdefault(move.version_id, []).append(move.alias.slug)
    first = sorted(visible, key=lambda key: (key not in aliases, reached[key], key.int))[:SHOWN]
    rows = ModelVersion.objects.select_related("model__team").in_bulk(first)
    shown = [Reached(rows[key], reached[key], tuple(sorted(aliases.get(key, ())))) for key in first]
    return Preview(
        subject=subject,
        whole=whole,
        versions=len(owners),
        models=len({model for model, _ in owners.values()}),
        teams=len({team for _, team in owners.values()}),
        live=len(aliases),
        shown=shown,
        hidden=len(owners) - len(visible),
    )


def _owners(versions: Collection[uuid.UUID]) -> Iterator[tuple[uuid.UUID, uuid.UUID, uuid.UUID]]:
    teams: dict[uuid.UUID, uuid.UUID] = {}
    for batch in batches(versions):
        rows = list(ModelVersion.objects.filter(pk__in=batch).values_list("pk", "model_id"))
        new = {model for _, model in rows} - set(teams)
        teams |= dict(RegisteredModel.objects.filter(pk__in=new).values_list("pk", "team_id"))
        yield from ((key, model, teams[model]) for key, model in rows)


def batches(keys: Iterable[T]) -> Iterator[list[T]]:
    """In parts that a database takes as one list."""
    wanted = list(keys)
    for start in range(0, len(wanted), _BATCH):
        yield wanted[start : start + _BATCH]


# --- what is made later ---


def recalls_met_by(version: ModelVersion) -> dict[uuid.UUID, int]:
    """Open recalls (by id) that a version falls under by what is stated about it now, each with its number of steps."""
    if not Recall.objects.filter(ended_at=None).exists():
        return {}
    edges = list(Edge.objects.filter(child=version).values_list("parent_id", "dataset_version_id", "parent_digest"))
    digests = {digest for _, _, digest in edges}
    open_rows = Quarantine.objects.filter(recall__ended_at=None)
    parents = open_rows.filter(Q(version_id__in={p for p, _, _ in edges if p}) | Q(version_digest__in=digests))
    weights = Artifact.objects.filter(version=version, role="weights").values("digest")
    twins = open_rows.filter(version__artifacts__role="weights", version__artifacts__digest__in=weights)
    met: dict[uuid.UUID, int] = {}
    _nearer(met, ((row, steps + 1) for row, steps in parents.values_list("recall_id", "distance")))
    _nearer(met, twins.exclude(version=version).values_list("recall_id", "distance"))
    by_id = {d for _, d, _ in edges if d}
    data = DatasetVersion.objects.select_related("dataset", "licence", *TEXTS).filter(
        Q(pk__in=by_id) | Q(digest__in=digests) | Q(document_digest__in=digests)
    )
    said_by: dict[uuid.UUID, list[DatasetVersion]] = {}
    for state in data:
        team = state.dataset.team_id if state.pk in by_id else version.model.team_id
        said_by.setdefault(team, []).append(state)
    for team, states in said_by.items():
        _nearer(met, ((key, 1) for key in _of_data(states, team)))
    _nearer(met, ((key, 0) for key in _of_licences({catalog.stated([version.pk])[version.pk].licence_id})))
    return met


def _of_data(states: Sequence[DatasetVersion], team: uuid.UUID) -> set[uuid.UUID]:
    """Recalls of these states, or of rows in them; of what was declared only those of the team whose word is counted."""
    open_rows = Recall.objects.filter(kind=RecallKind.DATASET_VERSION, about__in=states_within(states), ended_at=None)
    about = dict(open_rows.values_list("pk", "about"))
    counted = DatasetVersion.objects.filter(Q(source=Source.MEASURED) | Q(dataset__team_id=team), pk__in=about.values())
    recalled = set(counted.values_list("pk", flat=True))
    found = {key for key, state in about.items() if state in recalled}
    return found | _of_licences({said.licence.pk for said in stated_data(states).values()})


def _of_licences(licences: set[uuid.UUID]) -> set[uuid.UUID]:
    found = dict(Recall.objects.filter(kind=RecallKind.LICENCE, ended_at=None).values_list("pk", "about"))
    if not found:
        return set()
    stated = Licence.objects.filter(pk__in={*licences, *found.values()})
    expressions = dict(stated.values_list("pk", "expression"))
    own = [expressions[key] for key in licences if key in expressions]
    return {key for key, about in found.items() if any(_names(expressions[about], text) for text in own)}
