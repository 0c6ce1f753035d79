"""JSON doors of datasets and their versions; what is corrected about them stands in `dataset_corrections_api`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access.http import Command, Query, keyset_page
from registry.access.queries import get_team, readable
from registry.events import Caller
from registry.provenance import queries, services, services_licences
from registry.provenance.api import jsonable, person_named
from registry.provenance.dataset_documents import require_one_way
from registry.provenance.dataset_files import files_of
from registry.provenance.models import Dataset, DatasetVersion, Knowledge
from registry.provenance.openapi import PAGE
from registry.provenance.stated import DAYS, TEXTS, StatedData, registered, stated_in


def dataset_body(dataset: Dataset) -> dict[str, Any]:
    """A dataset as the API shows it."""
    return {
        "id": str(dataset.pk),
        "team": dataset.team.slug,
        "slug": dataset.slug,
        "title": str(dataset.title) if dataset.title else "",
        "steward": str(dataset.steward_id),
        "created_at": dataset.created_at,
    }


class RegisterDatasetInput(serializers.Serializer[Any]):
    slug = serializers.CharField(max_length=63)
    title = serializers.CharField(required=False, default="", allow_blank=True)
    steward = serializers.CharField(
        required=False, default=None, allow_null=True, help_text="User name; you, if left out."
    )


class RegisterDataset(Query, Command):
    """A named line of data of a team."""

    input = RegisterDatasetInput

    @extend_schema(operation_id="datasets", parameters=PAGE, responses={200: dict})
    def get(self, request: Request, **kwargs: Any) -> Response:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        team = get_team(caller, kwargs["team"])
        rows = readable(Dataset.objects.select_related("team", "title"), caller).filter(team=team)
        return keyset_page(rows, query, dataset_body)

    @extend_schema(operation_id="register_dataset", request=RegisterDatasetInput, responses={201: dict})
    def post(self, request: Request, **kwargs: Any) -> Response:
        return super().post(request, **kwargs)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        steward = person_named(data["steward"]) if data["steward"] else None
        dataset = services.register_dataset(
            actor=caller,
            team=get_team(caller, kwargs["team"]),
            slug=data["slug"],
            title=data["title"],
            steward=steward,
        )
        return jsonable(dataset_body(dataset))


class ShowDataset(Query):
    """One dataset."""

    @extend_schema(operation_id="dataset", responses={200: dict})
    def get(self, request: Request, **kwargs: Any) -> Response:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return dataset_body(queries.get_dataset(caller, kwargs["team"], kwargs["dataset"]))


def dataset_version_body(version: DatasetVersion) -> dict[str, Any]:
    """A dataset version as the API shows it: what is stated today, and beside it what was registered where that was corrected."""
    known = stated_in(version)
    return {
        "id": str(version.pk),
        "ref": f"{version.dataset.team.slug}/{version}",
        "number": version.number,
        "digest": version.digest,
        "document_digest": version.document_digest,
        "source": version.source,
        "size_bytes": version.size_bytes,
        "row_count": version.row_count,
        **statements(known),
        "corrected": known.correction,
        "registered": statements(registered(version)) if known.correction else None,
        "created_by": str(version.created_by_id),
        "created_at": version.created_at,
        "purged_at": version.purged_at,
    }


def whole_body(version: DatasetVersion) -> dict[str, Any]:
    """A dataset version with its uploaded files; none are named where its bytes are elsewhere."""
    return {**dataset_version_body(version), "files": [vars(file) for file in files_of(version)]}


def statements(known: StatedData) -> dict[str, Any]:
    """What people said about a state, column by column."""
    return {
        "licence": known.licence.expression,
        "uses": known.uses,
        **known.answers,
        **{name: known.said(name) for name in TEXTS},
        **{name: known.values[name] for name in DAYS},
    }


# a pattern, not an enum: three fields with one list of values would get one generated name in the OpenAPI document
@extend_schema_field({"type": "string", "pattern": f"^({'|'.join(Knowledge.values)})$"})
class KnowledgeField(serializers.ChoiceField):
    """yes, no or unknown; what is not said is unknown."""

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=Knowledge.choices, default="unknown", **options)


class DayField(serializers.DateField):
    """A day as YYYY-MM-DD, where somebody knows it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, default=None, allow_null=True, **options)


class UploadedFileInput(serializers.Serializer[Any]):
    path = serializers.CharField(max_length=400)
    digest = serializers.CharField(max_length=71)


class DeclaredFileInput(serializers.Serializer[Any]):
    path = serializers.CharField(max_length=400)
    digest = serializers.CharField(max_length=71)
    size_bytes = serializers.IntegerField(min_value=0)


class RegisterDatasetVersionInput(serializers.Serializer[Any]):
    licence = serializers.CharField(required=False, default="", allow_blank=True, help_text="SPDX expression.")
    origin = serializers.CharField(help_text="Where the data comes from, in a sentence.")
    uses = serializers.ListField(child=serializers.ChoiceField(choices=services.USES), max_length=4)
    digest = serializers.CharField(
        required=False, default=None, allow_null=True, help_text="Of bytes that you uploaded."
    )
    files = UploadedFileInput(
        many=True, required=False, default=None, allow_null=True, help_text="Several files that you uploaded, by path."
    )
    declared_digest = serializers.CharField(
        required=False, default=None, allow_null=True, help_text="Of bytes that are elsewhere."
    )
    state_unknown = serializers.BooleanField(
        required=False, default=False, help_text="Nobody knows the exact state of the declared data; then no digest."
    )
    declared_files = DeclaredFileInput(
        many=True, required=False, default=None, allow_null=True, help_text="Of data of several files elsewhere."
    )
    collection = serializers.CharField(required=False, default="", allow_blank=True, help_text="How it was collected.")
    personal_data = KnowledgeField()
    consent = KnowledgeField()
    third_party_works = KnowledgeField()
    third_party_basis = serializers.CharField(
        required=False, default="", allow_blank=True, help_text="On what ground works of others are used."
    )
    opt_out_honoured = KnowledgeField()
    owner = serializers.CharField(
        required=False, default="", allow_blank=True, help_text="Who owns the data outside of this registry."
    )
    known_biases = serializers.CharField(required=False, default="", allow_blank=True)
    collected_from = DayField()
    collected_until = DayField()
    retain_until = DayField()


class RegisterDatasetVersion(Query, Command):
    """The next state of a dataset: uploaded bytes, which are walked and counted, or bytes elsewhere by declaration."""

    input = RegisterDatasetVersionInput
    measured: Any = None

    @extend_schema(operation_id="dataset_versions", parameters=PAGE, responses={200: dict})
    def get(self, request: Request, **kwargs: Any) -> Response:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        dataset = queries.get_dataset(caller, kwargs["team"], kwargs["dataset"])
        rows = queries.dataset_versions(caller).filter(dataset=dataset)
        return keyset_page(rows, query, dataset_version_body, newest_first=True)

    @extend_schema(operation_id="register_dataset_version", request=RegisterDatasetVersionInput, responses={201: dict})
    def post(self, request: Request, **kwargs: Any) -> Response:
        return super().post(request, **kwargs)

    def prepare(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> None:
        dataset = queries.get_dataset(caller, kwargs["team"], kwargs["dataset"])
        services.require_dataset_version(actor=caller, dataset=dataset)
        queries.spelling_of(data["licence"])
        named = [data[name] for name in ("digest", "files", "declared_digest", "declared_files", "state_unknown")]
        require_one_way(*named)
        self.measured = services.measure_uploads(
            actor=caller, files=services.uploaded_files(data["digest"], data["files"])
        )

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        dataset = queries.get_dataset(caller, kwargs["team"], kwargs["dataset"])
        licence = services_licences.register_licence(actor=caller, team=dataset.team, expression=data["licence"])
        given = {name: value for name, value in data.items() if name != "licence"}
        version = services.register_dataset_version(
            actor=caller, dataset=dataset, licence=licence, measured=self.measured, **given
        )
        return jsonable(whole_body(version))


class ShowDatasetVersion(Query):
    """One dataset version."""

    @extend_schema(operation_id="dataset_version", responses={200: dict})
    def get(self, request: Request, **kwargs: Any) -> Response:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        ref = f"{kwargs['team']}/{kwargs['dataset']}@{kwargs['number']}"
        version = queries.get_dataset_version(caller, ref)
        return whole_body(version)
