"""JSON doors of this room: models, versions, evidence, lineage, effective terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access.http import Command, Query, keyset_page
from registry.access.models import Actor
from registry.access.queries import get_readable, get_team
from registry.catalog import queries, sentences, services
from registry.catalog.edges import OPERATIONS, EdgeSpec
from registry.catalog.manifest import FileSpec
from registry.catalog.models import Completeness, EdgeRole, Evidence, ModelVersion, RegisteredModel
from registry.catalog.plain_answers import plain_answers
from registry.catalog.stated import stated_in
from registry.digests import FILE_ROLES
from registry.errors import NotFound
from registry.events import Caller
from registry.provenance import queries as provenance
from registry.provenance.api import jsonable, person_named
from registry.provenance.openapi import PAGE
from registry.provenance.services_licences import register_licence


def model_body(model: RegisteredModel) -> dict[str, Any]:
    """A model as the API shows it."""
    return {
        "id": str(model.pk),
        "team": model.team.slug,
        "slug": model.slug,
        "title": str(model.title) if model.title else "",
        "owner": str(model.owner_id),
        "use_case": model.use_case.slug if model.use_case else None,
        "created_at": model.created_at,
    }


def version_body(version: ModelVersion) -> dict[str, Any]:
    """A version as listings show it: what is stated today, and beside it what was registered."""
    known = stated_in(version)
    return {
        "id": str(version.pk),
        "ref": str(version),
        "number": version.number,
        "digest": version.digest,
        "format": version.format,
        "origin": version.origin,
        "size_bytes": version.size_bytes,
        "licence": known.licence.expression,
        "training_data": known.training_data,
        "corrected": known.number,
        "registered": {"licence": version.licence.expression, "training_data": version.training_data},
        "note": str(version.note) if version.note else "",
        "created_by": str(version.created_by_id),
        "created_at": version.created_at,
        "purged_at": version.purged_at,
    }


class RegisterModelInput(serializers.Serializer[Any]):
    slug = serializers.CharField(max_length=63)
    title = serializers.CharField(required=False, default="", allow_blank=True)
    owner = serializers.CharField(
        required=False, default=None, allow_null=True, help_text="User name; you, if left out."
    )
    use_case = serializers.CharField(required=False, default=None, allow_null=True, help_text="Name in the same team.")


class RegisterModel(Query, Command):
    """A named line of models of a team."""

    input = RegisterModelInput

    @extend_schema(operation_id="models", parameters=PAGE, responses={200: dict})
    def get(self, request: Request, **kwargs: Any) -> Response:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rows = queries.models(caller).filter(team=get_team(caller, kwargs["team"]))
        return keyset_page(rows, query, model_body)

    @extend_schema(operation_id="register_model", request=RegisterModelInput, responses={201: dict})
    def post(self, request: Request, **kwargs: Any) -> Response:
        return super().post(request, **kwargs)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        team = get_team(caller, kwargs["team"])
        owner = person_named(data["owner"]) if data["owner"] else Actor.objects.get(pk=caller.actor_id)
        use_case = _use_case(caller, kwargs["team"], data["use_case"]) if data["use_case"] else None
        model = services.register_model(
            actor=caller, team=team, slug=data["slug"], owner=owner, title=data["title"], use_case=use_case
        )
        return jsonable(model_body(model))


def _use_case(caller: Caller, team: str, slug: str) -> Any:
    """A use case by name. Its table stands in a room above, so it is reached through the foreign key."""
    table: Any = RegisteredModel._meta.get_field("use_case").related_model
    return get_readable(table.objects.all(), caller, team__slug=team, slug=slug)


class ShowModel(Query):
    """One model."""

    @extend_schema(operation_id="model", responses={200: dict})
    def get(self, request: Request, **kwargs: Any) -> Response:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return model_body(queries.get_model(caller, kwargs["team"], kwargs["model"]))


class AssignUseCaseInput(serializers.Serializer[Any]):
    use_case = serializers.CharField(help_text="Name in the same team.")


class AssignUseCase(Command):
    """Say what the model is for."""

    input = AssignUseCaseInput
    success_status = 200

    @extend_schema(operation_id="assign_use_case", request=AssignUseCaseInput, responses={200: dict})
    def post(self, request: Request, **kwargs: Any) -> Response:
        return super().post(request, **kwargs)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        model = queries.get_model(caller, kwargs["team"], kwargs["model"])
        use_case = _use_case(caller, kwargs["team"], data["use_case"])
        model = services.assign_use_case(actor=caller, model=model, use_case=use_case)
        return jsonable(model_body(model))


class FileInput(serializers.Serializer[Any]):
    path = serializers.CharField(max_length=400)
    role = serializers.ChoiceField(choices=FILE_ROLES)
    digest = serializers.CharField()


class EdgeInput(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=EdgeRole.choices)
    operations = serializers.ListField(
        child=serializers.ChoiceField(choices=OPERATIONS), required=False, default=list, max_length=20
    )
    parent = serializers.CharField(  # type: ignore[assignment]  # the name of a field, not the serializer's own parent
        required=False, default=None, allow_null=True, help_text="team/model@7"
    )
    dataset_version = serializers.CharField(required=False, default=None, allow_null=True, help_text="team/dataset@3")
    parent_digest = serializers.CharField(
        required=False, default=None, allow_null=True, help_text="Of what is outside."
    )


class RegisterVersionInput(serializers.Serializer[Any]):
    files = serializers.ListField(child=FileInput(), min_length=1, max_length=10_000)
    licence = serializers.CharField(required=False, default="", allow_blank=True, help_text="SPDX expression.")
    training_data = serializers.ChoiceField(choices=Completeness.choices)
    note = serializers.CharField(required=False, default="", allow_blank=True)
    edges = serializers.ListField(child=EdgeInput(), required=False, default=list, max_length=100)


class RegisterVersion(Query, Command):
    """The next version of a model: a manifest of files that were uploaded, each checked by its structure."""

    input = RegisterVersionInput
    manifest: Any = None

    @extend_schema(operation_id="versions", parameters=PAGE, responses={200: dict})
    def get(self, request: Request, **kwargs: Any) -> Response:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        model = queries.get_model(caller, kwargs["team"], kwargs["model"])
        return keyset_page(queries.versions(caller).filter(model=model), query, version_body, newest_first=True)

    @extend_schema(operation_id="register_version", request=RegisterVersionInput, responses={201: dict})
    def post(self, request: Request, **kwargs: Any) -> Response:
        return super().post(request, **kwargs)

    def prepare(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> None:
        model = queries.get_model(caller, kwargs["team"], kwargs["model"])
        services.require_version(actor=caller, model=model)
        provenance.spelling_of(data["licence"])
        self.manifest = services.inspect_files(actor=caller, files=[FileSpec(**file) for file in data["files"]])

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        model = queries.get_model(caller, kwargs["team"], kwargs["model"])
        version = services.register_version(
            actor=caller,
            model=model,
            files=[FileSpec(**file) for file in data["files"]],
            licence=register_licence(actor=caller, team=model.team, expression=data["licence"]),
            training_data=data["training_data"],
            note=data["note"],
            edges=[_edge_spec(caller, edge) for edge in data["edges"]],
            manifest=self.manifest,
        )
        return jsonable(version_body(version))


def _edge_spec(caller: Caller, edge: Mapping[str, Any]) -> EdgeSpec:
    parent = queries.get_version(caller, edge["parent"]) if edge["parent"] else None
    data = provenance.get_dataset_version(caller, edge["dataset_version"]) if edge["dataset_version"] else None
    return EdgeSpec(
        edge["role"], edge["operations"], parent=parent, dataset_version=data, parent_digest=edge["parent_digest"]
    )


def version_of(caller: Caller, kwargs: Mapping[str, Any]) -> ModelVersion:
    """The version that a URL names."""
    return queries.get_version(caller, f"{kwargs['team']}/{kwargs['model']}@{kwargs['number']}")


class ShowVersion(Query):
    """One version, with its files and where it came from."""

    @extend_schema(operation_id="version", responses={200: dict})
    def get(self, request: Request, **kwargs: Any) -> Response:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        version = version_of(caller, kwargs)
        files = version.artifacts.order_by("path").values("path", "role", "digest", "size_bytes")
        edges = version.parent_edges.order_by("id").values("role", "operations", "grade", "parent_digest")
        return {
            **version_body(version),
            "files": list(files),
            "edges": list(edges),
            "evidence_set": queries.evidence_set(version)[0],
        }


def evidence_body(row: Evidence, reader: queries.EvidenceReader) -> dict[str, Any]:
    """Evidence as the API shows it to a reader: the document, a plain sentence for each figure, and whether groups are named."""
    document = reader.document(row)
    return {
        "id": str(row.pk),
        "kind": row.kind,
        "source": row.source,
        "digest": row.digest,
        "created_by": str(row.created_by_id),
        "created_at": row.created_at,
        "document": document,
        "reduced": not reader.reads(row),
        "sentences": [sentences.sentence(figure, row.kind) for figure in document["figures"]],
    }


class AttachEvidenceInput(serializers.Serializer[Any]):
    document = serializers.DictField(help_text="pressmark/evidence/1 with source 'declared' (FORMATS section 3).")


class AttachEvidence(Query, Command):
    """What is measured and what is declared about a version; attach a declared document."""

    input = AttachEvidenceInput

    @extend_schema(operation_id="evidence", parameters=PAGE, responses={200: dict})
    def get(self, request: Request, **kwargs: Any) -> Response:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rows = version_of(caller, kwargs).evidence.select_related("dataset_version__dataset")
        reader = queries.EvidenceReader(caller)
        return keyset_page(rows, query, lambda row: evidence_body(row, reader), newest_first=True)

    @extend_schema(operation_id="attach_evidence", request=AttachEvidenceInput, responses={201: dict})
    def post(self, request: Request, **kwargs: Any) -> Response:
        return super().post(request, **kwargs)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        version = version_of(caller, kwargs)
        row = services.attach_evidence(actor=caller, version=version, document=data["document"])
        return jsonable(evidence_body(row, queries.EvidenceReader(caller)))


class ShowEvidence(Query):
    """One evidence document by its digest."""

    @extend_schema(operation_id="evidence_document", responses={200: dict})
    def get(self, request: Request, **kwargs: Any) -> Response:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        row = version_of(caller, kwargs).evidence.filter(digest=kwargs["digest"]).first()
        if row is None:
            raise NotFound("This version has no such evidence.", hint="The version's list of evidence has the digests.")
        return evidence_body(row, queries.EvidenceReader(caller))


class ShowLineage(Query):
    """Ancestors and descendants. Ancestors of another team are reduced to digest, licence and grade."""

    @extend_schema(operation_id="lineage", responses={200: dict})
    def get(self, request: Request, **kwargs: Any) -> Response:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        found = queries.lineage(caller, version_of(caller, kwargs))
        return {
            "root": found.root,
            "nodes": [vars(node) for node in found.nodes],
            "edges": [vars(edge) for edge in found.edges],
            "truncated": found.truncated,
        }


class ShowEffectiveTerms(Query):
    """What binds the version, by its licence and all that went into it, with proof; and the usual questions answered from it."""

    @extend_schema(operation_id="effective_terms", responses={200: dict})
    def get(self, request: Request, **kwargs: Any) -> Response:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        found = queries.effective_terms(version_of(caller, kwargs), caller=caller)
        return {**found.document(), "questions": [answer.document() for answer in plain_answers(found)]}
