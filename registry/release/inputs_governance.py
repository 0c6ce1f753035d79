"""Gathers what people left beside a release for its gate: findings, documents, reviews, recalls. Reads only, judges nothing."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache

from registry.catalog.models import ModelVersion
from registry.oversight.models import Finding, Review, UseCase
from registry.oversight.queries import team_of_stream
from registry.oversight.queries_proofs import last_corrected
from registry.oversight.queries_tiers import standing
from registry.provenance.models import DatasetVersion, Document
from registry.release.gate_facts import DocumentInput, OpenFindingInput, RecallInput, ReviewInput
from registry.release.models import AliasAssignment
from registry.release.serving_models import BrokenGlass
from registry.release.stopping_models import Quarantine


def open_findings(
    model_ids: Collection[uuid.UUID], back_on: str | None = None
) -> dict[uuid.UUID, list[OpenFindingInput]]:
    """By model what has to be mended about it and is not closed, the first due first. `back_on`: the alias that would go back."""
    models = {f"model:{key}": key for key in model_ids}
    found: dict[uuid.UUID, list[OpenFindingInput]] = {key: [] for key in model_ids}
    left: dict[uuid.UUID, frozenset[uuid.UUID]] = {}
    for row in Finding.objects.filter(stream__in=models, closed_at=None).order_by("due_on", "pk"):
        key = models[row.stream]
        if back_on and key not in left:
            left[key] = _left_behind(key, back_on)
        left_behind = row.about in left.get(key, ())
        found[key].append(OpenFindingInput(str(row.pk), row.kind, row.subject, row.due_on, left_behind))
    return found


def _left_behind(model_id: uuid.UUID, alias: str) -> frozenset[uuid.UUID]:
    """The emergencies of an alias, and the quarantines of what it served: findings about these must not bar its way out of them."""
    emergencies = BrokenGlass.objects.filter(model_id=model_id, alias=alias)
    moves = AliasAssignment.objects.filter(alias__model_id=model_id, alias__slug=alias)
    stopped = Quarantine.objects.filter(version_id__in=moves.values("version_id"))
    return frozenset(emergencies.values_list("pk", flat=True)) | frozenset(stopped.values_list("pk", flat=True))


def tier_answered(use_case: UseCase | None, back_on: str | None = None) -> bool:
    """Whether the tier is at least what the answers to the table in force say; on the way back, to any table.

    A new table asks for new answers before the next release; it must not bar the way out of a bad one meanwhile.
    """
    if use_case is None or use_case.tier_table_id is None:
        return False
    found = standing(use_case)
    return found.follows and (found.in_force or back_on is not None)


def documents(about: Iterable[uuid.UUID]) -> dict[uuid.UUID, list[DocumentInput]]:
    """Documents by the record that they are about, newest first."""
    found: dict[uuid.UUID, list[DocumentInput]] = defaultdict(list)
    rows = Document.objects.filter(about__in=set(about)).order_by("-pk")
    for key, kind, digest in rows.values_list("about", "kind", "digest"):
        found[key].append(DocumentInput(kind, digest))
    return found


def reviews(about: Iterable[tuple[uuid.UUID, str | None]]) -> dict[uuid.UUID, list[ReviewInput]]:
    """The newest review of each kind of exactly these states (id and digest), by id."""
    states = dict(about)
    corrected = last_corrected(states)
    newest: dict[tuple[uuid.UUID, str], ReviewInput] = {}
    for row in Review.objects.filter(about__in=states).order_by("reviewed_at", "pk"):
        if row.digest == states[row.about]:
            newest[row.about, row.kind] = ReviewInput(
                row.kind, row.accepted, row.reviewed_at, row.next_on, corrected.get(row.about)
            )
    found: dict[uuid.UUID, list[ReviewInput]] = defaultdict(list)
    for (key, _), review in newest.items():
        found[key].append(review)
    return found


def recalls(version: ModelVersion) -> list[RecallInput]:
    """Open recalls that concern the version, oldest first, by names that its readers may read."""
    return recalls_of([version])[version.pk]


def recalls_of(versions: Iterable[ModelVersion]) -> dict[uuid.UUID, list[RecallInput]]:
    """The same for several versions."""
    asked = {version.pk: version for version in versions}
    found: dict[uuid.UUID, list[RecallInput]] = {key: [] for key in asked}
    rows = Quarantine.objects.filter(version__in=asked, recall__ended_at=None).select_related("recall").order_by("pk")
    owner = cache(team_of_stream)
    for row in rows:
        said = _recalled(row, asked[row.version_id], owner)
        found[row.version_id].append(RecallInput(said, row.recall.recalled_at, row.ended_at is None))
    return found


def _recalled(row: Quarantine, version: ModelVersion, owner: Callable[[str], uuid.UUID | None]) -> str:
    """Readers of the version may not be readers of what it was made from."""
    if row.distance == 0:
        return "The version"
    kind = row.recall.kind.replace("_", " ")
    own = owner(row.recall.stream) in (None, version.model.team_id)
    return f"The {kind} {row.recall.subject}" if own else f"A {kind} of another team that it was made from"


def of_version(version: ModelVersion, use_case_id: uuid.UUID | None) -> tuple[uuid.UUID, ...]:
    """The records whose documents speak for a release of the version."""
    return (version.pk, version.model_id, *([use_case_id] if use_case_id else []))


def of_datasets(rows: Sequence[DatasetVersion]) -> tuple[uuid.UUID, ...]:
    """The records whose documents speak for data: each state, and the dataset that it belongs to."""
    return (*(row.pk for row in rows), *(row.dataset_id for row in rows))
