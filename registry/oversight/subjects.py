"""Finding what a document, review, hold or purge is about, from how people name it, for whoever may read it.

`model:team/model`, `version:team/model@3`, `dataset:team/rows`, `dataset_version:team/rows@3`, `use_case:team/slug`,
`licence:EXPRESSION`. What may not be seen is not found.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable

from registry.access.queries import readable_team_ids
from registry.catalog import queries as catalog
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.errors import Invalid, NotFound
from registry.events import Caller
from registry.oversight import queries
from registry.oversight.models import UseCase
from registry.provenance import queries as provenance
from registry.provenance.models import Dataset, DatasetVersion, Licence
from registry.provenance.subjects import KINDS, Subject

_BATCH = 500
_HINT = "Write for example version:team/model@3, dataset_version:team/rows@1, model:team/model or licence:Apache-2.0."


def find_subject(caller: Caller, about: str) -> Subject:
    """The record that `about` names; Invalid when it names no kind, NotFound when it is not there or not to be seen."""
    kind, colon, name = about.partition(":")
    if not colon or kind not in KINDS or not name:
        raise Invalid(f"{about[:120]!r} names nothing.", hint=_HINT, code="about")
    return _FINDERS[kind](caller, name)


def _parts(name: str) -> tuple[str, str]:
    team, slash, slug = name.partition("/")
    if not slash or not team or not slug:
        raise Invalid(f"{name[:120]!r} names nothing.", hint=_HINT, code="about")
    return team, slug


def of_model(row: RegisteredModel) -> Subject:
    """A model as a subject."""
    return Subject("model", f"model:{row.pk}", row.pk, str(row), row.team_id)


def of_version(row: ModelVersion) -> Subject:
    """One version of a model as a subject."""
    name = f"{row.model}@{row.number}"
    return Subject("version", f"model:{row.model_id}", row.pk, name, row.model.team_id, row.digest, row.created_by_id)


def of_dataset(row: Dataset) -> Subject:
    """A dataset as a subject."""
    return Subject("dataset", f"dataset:{row.pk}", row.pk, f"{row.team.slug}/{row.slug}", row.team_id)


def of_dataset_version(row: DatasetVersion) -> Subject:
    """One version of a dataset as a subject."""
    name = f"{row.dataset.team.slug}/{row.dataset.slug}@{row.number}"
    team_id, digest = row.dataset.team_id, row.bound_digest
    return Subject("dataset_version", f"dataset:{row.dataset_id}", row.pk, name, team_id, digest, row.created_by_id)


def of_use_case(row: UseCase) -> Subject:
    """A use case as a subject."""
    return Subject("use_case", f"use_case:{row.pk}", row.pk, f"{row.team.slug}/{row.slug}", row.team_id)


def of_licence(row: Licence) -> Subject:
    """A licence as a subject: it belongs to the instance."""
    return Subject("licence", f"licence:{row.pk}", row.pk, row.expression, None)


def _licence(caller: Caller, expression: str) -> Subject:
    row = provenance.licence_in_force(provenance.spelling_of(expression))
    if row is None or readable_team_ids(caller.actor_id) == set():
        raise NotFound(f"No licence {expression[:80]!r} is registered.", hint="Register it, or look at the spelling.")
    return of_licence(row)


_FINDERS: dict[str, Callable[[Caller, str], Subject]] = {
    "model": lambda caller, name: of_model(catalog.get_model(caller, *_parts(name))),
    "version": lambda caller, name: of_version(catalog.get_version(caller, name)),
    "dataset": lambda caller, name: of_dataset(provenance.get_dataset(caller, *_parts(name))),
    "dataset_version": lambda caller, name: of_dataset_version(provenance.get_dataset_version(caller, name)),
    "use_case": lambda caller, name: of_use_case(queries.get_use_case(caller, *_parts(name))),
    "licence": _licence,
}


def subject_of(stream: str, about: uuid.UUID) -> Subject:
    """The subject of a row that names it by stream and id; the caller must have been let in already."""
    kind = stream.partition(":")[0]
    if kind == "model":
        version = ModelVersion.objects.select_related("model__team").filter(pk=about).first()
        return (
            of_version(version) if version else of_model(RegisteredModel.objects.select_related("team").get(pk=about))
        )
    if kind == "dataset":
        state = DatasetVersion.objects.select_related("dataset__team").filter(pk=about).first()
        return of_dataset_version(state) if state else of_dataset(Dataset.objects.select_related("team").get(pk=about))
    if kind == "use_case":
        return of_use_case(UseCase.objects.select_related("team").get(pk=about))
    return of_licence(Licence.objects.get(pk=about))


def lock_owner(subject: Subject) -> None:
    """Inside a unit: the row of the model or dataset that the subject is, or is a version of.

    A purge and a hold take it first, so that no hold comes between a purge's question about holds and its end.
    """
    lock_owners([subject.stream])


def lock_owners(streams: Iterable[str]) -> None:
    """Inside a unit: the same for everything that may be held, in the one order; other streams own no such row."""
    tables: dict[str, type[RegisteredModel] | type[Dataset]] = {"dataset": Dataset, "model": RegisteredModel}
    for wanted, table in tables.items():
        keys = sorted(uuid.UUID(key) for kind, _, key in (s.partition(":") for s in streams) if kind == wanted)
        for start in range(0, len(keys), _BATCH):
            rows = table._default_manager.select_for_update(no_key=True, of=("self",)).order_by("pk")
            list(rows.filter(pk__in=keys[start : start + _BATCH]).values_list("pk", flat=True))
