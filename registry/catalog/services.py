"""Writes of this room: models, versions, evidence. Keyword-only, the actor first; every act is emitted."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

from django.db import models

from registry import storage
from registry.access import permissions
from registry.access.models import Actor, Team
from registry.access.queries import readable_team_ids
from registry.access.services import check_slug, new_text
from registry.catalog import queries
from registry.catalog.edges import EdgeSpec, check_edges
from registry.catalog.evidence import TARGET_KIND, EvidenceSpec, check_evidence, structure_evidence
from registry.catalog.manifest import FileSpec, Manifest, check_manifest
from registry.catalog.models import (
    Artifact,
    Completeness,
    Edge,
    EdgeRole,
    Evidence,
    Grade,
    ModelVersion,
    RegisteredModel,
    VersionOrigin,
)
from registry.catalog.registering_hooks import run_when_stated
from registry.digests import sha256
from registry.errors import Conflict, Invalid, NotFound
from registry.events import Caller, Ref, Unit, emit, unit
from registry.ids import uuid7
from registry.provenance.models import DatasetVersion, Licence, Source

__all__ = [
    "EdgeSpec", "EvidenceSpec", "FileSpec", "add_derived_version", "add_evidence", "assign_use_case",
    "attach_evidence", "register_model", "register_version",
]  # fmt: skip

RECORDS_PER_EVENT = 80
"""An artifact with the longest path takes about 750 bytes of the 65,000 that an event holds."""
EVIDENCE_PER_EVENT = 40


def register_model(
    *, actor: Caller, team: Team, slug: str, owner: Actor, title: str = "", use_case: models.Model | None = None
) -> RegisteredModel:
    """A named line of models with an owner; a use case may be assigned later."""
    role = permissions.require(actor, "model.register", team.pk)
    check_slug(slug, "model")
    if not permissions.may(owner.pk, "team.read", team.pk):
        raise Invalid("The owner has no role in this team.", hint="Name somebody of the team.", code="owner")
    if use_case is not None:
        _check_use_case(use_case, team.pk)
    with unit(actor, role=role) as opened:
        if RegisteredModel.objects.filter(team=team, slug=slug).exists():
            raise Conflict(f"There is a model {team.slug}/{slug} already.", hint="Register a version of it.")
        key = uuid7()
        text = new_text(stream=f"model:{key}", purpose="title", value=title or slug, now=opened.now)
        model = RegisteredModel.objects.create(
            id=key,
            team=team,
            slug=slug,
            title=text,
            owner=owner,
            use_case_id=use_case.pk if use_case else None,
            created_by_id=actor.actor_id,
            created_at=opened.now,
        )
        emit("model.registered", model, text, team=team.pk)
        return model


def assign_use_case(*, actor: Caller, model: RegisteredModel, use_case: models.Model) -> RegisteredModel:
    """Say what the model is for; its tier decides what a release needs."""
    _check_use_case(use_case, model.team_id)
    action = "use_case.lower_tier" if _asks_less(model, use_case) else "model.register"
    role = permissions.require(actor, action, model.team_id)
    with unit(actor, role=role):
        model = _lock(model)
        if model.use_case_id == use_case.pk:
            raise Conflict("The model serves this use case already.")
        if action == "model.register" and _asks_less(model, use_case):
            raise Conflict("The use case of the model has changed in the meantime.", hint="Look at the model again.")
        model.use_case_id = use_case.pk
        model.save(update_fields=["use_case"])
        emit("model.use_case_assigned", model, team=model.team_id)
        return model


def _asks_less(model: RegisteredModel, use_case: models.Model) -> bool:
    """Whether the new use case has a lower tier than the present one: then who builds does not choose it."""
    if model.use_case_id is None:
        return False
    tiers = [value for value, _ in use_case._meta.get_field("tier").flatchoices]  # type: ignore[union-attr]
    before = type(use_case)._default_manager.get(pk=model.use_case_id)
    return tiers.index(getattr(use_case, "tier")) < tiers.index(getattr(before, "tier"))  # noqa: B009  its table stands above


def _check_use_case(use_case: models.Model, team_id: uuid.UUID) -> None:
    if getattr(use_case, "team_id", None) != team_id:
        raise Invalid("The use case belongs to another team.", hint="Register one in the team of the model.")
    if getattr(use_case, "ended_at", None) is not None:
        raise Conflict("This use case has ended.", hint="Choose another one.")


def register_version(
    *,
    actor: Caller,
    model: RegisteredModel,
    files: Sequence[FileSpec],
    licence: Licence,
    training_data: str,
    note: str = "",
    edges: Sequence[EdgeSpec] = (),
    manifest: Manifest | None = None,
) -> ModelVersion:
    """The next version of a model from uploaded files.

    `manifest` is the answer of `inspect_files` where the caller asked for it before opening a unit.
    """
    role = require_version(actor=actor, model=model)
    if training_data not in Completeness.values:
        raise Invalid(
            f"training_data is {training_data!r}.", hint=f"Say how much is known: {', '.join(Completeness.values)}."
        )
    if licence.ended_at is not None:
        raise Conflict(f"The licence {licence.expression} has ended.", hint="Register it again with its present terms.")
    check_edges(edges, from_outside=True)
    _check_parents_readable(actor, edges)
    manifest = manifest or inspect_files(actor=actor, files=files)
    storage.store_bytes(manifest.document)
    with unit(actor, role=role) as opened:
        version = ModelVersion(
            origin=VersionOrigin.UPLOADED,
            licence=licence,
            training_data=training_data,
            created_by_id=actor.actor_id,
        )
        return _write_version(opened, _lock(model), version, manifest, edges, note)


def require_version(*, actor: Caller, model: RegisteredModel) -> str:
    """The role under which the caller may register a version of this model."""
    return permissions.require(actor, "version.register", model.team_id)


def inspect_files(*, actor: Caller, files: Sequence[FileSpec]) -> Manifest:
    """Every rule of the manifest over files that the caller may name. Long for large files: call it before a unit opens."""
    usable = queries.usable_digests(actor, {file.digest for file in files})
    for file in files:
        if file.digest not in usable:
            raise Invalid(
                f"The bytes of {file.path!r} ({file.digest}) were not uploaded by you.",
                hint="Upload the file first; a digest alone is not enough.",
                code="not-uploaded",
                path=file.path,
            )
    return check_manifest(files)


def add_derived_version(
    opened: Unit,
    *,
    model: RegisteredModel,
    parent: ModelVersion,
    files: Sequence[FileSpec],
    requested_by: Actor,
    operations: Sequence[str],
    data: Sequence[DatasetVersion] = (),
    manifest: Manifest | None = None,
    origins: Sequence[EdgeSpec] = (),
    role: EdgeRole = EdgeRole.BASE,
) -> ModelVersion:
    """Inside the worker's unit: the child that a run made. `data` is what shaped the weights, so not evaluation data.

    `parent` is whose weights the child began as, in its `role`: base, or student-start. `origins`: what else it came from.

    Licence and knowledge of training data are those stated for the parent. `manifest` may be made before by `check_manifest`.
    """
    manifest = manifest or check_manifest(files)
    base = EdgeSpec(role.value, tuple(operations), Grade.EXECUTED.value, parent=parent)
    fed = [EdgeSpec("data", (), Grade.EXECUTED.value, dataset_version=row) for row in data]
    edges = [base, *origins, *fed]
    check_edges(edges, from_outside=False)
    storage.store_bytes(manifest.document)
    known = queries.stated([parent.pk])[parent.pk]
    version = ModelVersion(
        origin=VersionOrigin.DERIVED,
        licence_id=known.licence_id,
        training_data=known.training_data,
        created_by=requested_by,
    )
    return _write_version(opened, _lock(model), version, manifest, edges, "")


def _lock(model: RegisteredModel) -> RegisteredModel:
    return RegisteredModel.objects.select_for_update(no_key=True, of=("self",)).select_related("team").get(pk=model.pk)


def _check_parents_readable(actor: Caller, edges: Sequence[EdgeSpec]) -> None:
    teams = readable_team_ids(actor.actor_id)
    for edge in edges:
        owner = edge.parent.model.team_id if edge.parent else None
        owner = edge.dataset_version.dataset.team_id if edge.dataset_version else owner
        if owner is not None and teams is not None and owner not in teams:
            raise NotFound(
                "There is no such parent, or you may not see it.",
                hint="Name a version that you can open; a role in its team lets you see it.",
            )


def _write_version(
    opened: Unit,
    model: RegisteredModel,
    version: ModelVersion,
    manifest: Manifest,
    edges: Sequence[EdgeSpec],
    note: str,
) -> ModelVersion:
    """Number, write and emit; the model's row is locked, so numbers have no gap."""
    _refuse_duplicate(model, manifest.digest)
    newest = ModelVersion.objects.filter(model=model).order_by("-number").first()
    text = new_text(stream=f"model:{model.pk}", purpose="note", value=note, now=opened.now) if note else None
    version.model, version.note, version.created_at = model, text, opened.now
    version.number = newest.number + 1 if newest else 1
    version.digest, version.format, version.size_bytes = manifest.digest, manifest.format, manifest.size_bytes
    version.save()
    artifacts = Artifact.objects.bulk_create(
        [Artifact(model=model, version=version, **vars(file)) for file in manifest.files], batch_size=500
    )
    lines = [_edge(model, version, edge, opened) for edge in edges]
    first, *rest = _chunks(artifacts, RECORDS_PER_EVENT - len(lines) if len(lines) < RECORDS_PER_EVENT else 1)
    ref = Ref("version", manifest.digest, len(manifest.document))
    texts = [text] if text else []
    emit("version.registered", version, *texts, *lines, *first, team=model.team_id, refs=[ref])
    for chunk in rest:
        emit("artifact.registered", *chunk, team=model.team_id)
    add_evidence(opened, version=version, specs=[structure_evidence(manifest)], created_by=version.created_by)
    run_when_stated(opened, version)
    return version


def _refuse_duplicate(model: RegisteredModel, digest: str) -> None:
    if model.ended_at is not None:
        raise Conflict(f"The model {model} has ended.", hint="Register another model.")
    same = ModelVersion.objects.filter(model=model, digest=digest).first()
    if same is not None:
        raise Conflict(
            f"The same files are {model}@{same.number} already.",
            hint="Use that version; register the files in another model if their terms differ.",
            code="duplicate",
            existing=f"{model}@{same.number}",
        )


def _edge(model: RegisteredModel, version: ModelVersion, spec: EdgeSpec, opened: Unit) -> Edge:
    return Edge.objects.create(
        model=model,
        child=version,
        parent=spec.parent,
        dataset_version=spec.dataset_version,
        parent_digest=spec.digest,
        role=spec.role,
        operations=list(spec.operations),
        grade=spec.grade,
        created_at=opened.now,
    )


def _chunks(rows: list[Artifact], size: int) -> Iterator[list[Artifact]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def add_evidence(
    opened: Unit, *, version: ModelVersion, specs: Sequence[EvidenceSpec], created_by: Actor
) -> list[Evidence]:
    """Inside an open unit: attach documents to a version. One that is attached already is returned as it stands."""
    found: list[Evidence] = []
    new: list[tuple[Evidence, Ref]] = []
    for spec in specs:
        data = check_evidence(spec, version.digest)
        digest = sha256(data)
        same = next((row for row in found if row.digest == digest), None)
        same = same or Evidence.objects.filter(version=version, digest=digest).first()
        if same is None:
            stored = storage.store_bytes(data)
            same = _evidence(opened, version, spec, stored, created_by)
            new.append((same, Ref("evidence", stored.digest, stored.size_bytes)))
        found.append(same)
    for start in range(0, len(new), EVIDENCE_PER_EVENT):
        rows, refs = zip(*new[start : start + EVIDENCE_PER_EVENT], strict=True)
        emit("evidence.attached", *rows, team=version.model.team_id, refs=refs)
    return found


def _evidence(
    opened: Unit, version: ModelVersion, spec: EvidenceSpec, stored: storage.Stored, created_by: Actor
) -> Evidence:
    return Evidence.objects.create(
        model_id=version.model_id,
        version=version,
        version_digest=version.digest,
        kind=spec.kind,
        source=spec.source,
        digest=stored.digest,
        size_bytes=stored.size_bytes,
        parent=spec.parent,
        dataset_version=spec.dataset_version,
        created_by=created_by,
        created_at=opened.now,
    )


def attach_evidence(*, actor: Caller, version: ModelVersion, document: dict[str, object]) -> Evidence:
    """Attach what somebody states about a version. It is declared, and never shown as measured."""
    role = permissions.require(actor, "evidence.attach", version.model.team_id)
    if document.get("source") != Source.DECLARED:
        raise Invalid(
            "Evidence from outside is declared; measured is what our own engine measured.",
            hint="Set 'source' to 'declared', or request an evaluation run.",
            code="evidence-measured",
        )
    if document.get("kind") == TARGET_KIND:
        raise Invalid(
            f"Evidence of kind '{TARGET_KIND}' is what `pressmark measure` measured on a serving host.",
            hint="Measure there and push it, or declare it under another kind.",
            code="evidence-target",
        )
    spec = EvidenceSpec(str(document.get("kind")), Source.DECLARED.value, document)
    digest = sha256(check_evidence(spec, version.digest))
    with unit(actor, role=role) as opened:
        _lock(version.model)
        if Evidence.objects.filter(version=version, digest=digest).exists():
            raise Conflict("This evidence is attached already.", hint=f"It is {digest}.", code="duplicate")
        creator = Actor.objects.get(pk=actor.actor_id)
        return add_evidence(opened, version=version, specs=[spec], created_by=creator)[0]
