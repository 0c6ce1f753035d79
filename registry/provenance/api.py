"""JSON doors of this room: uploads, licences, datasets and their versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from registry.access.http import Command, Query, caller_of, keyset_page
from registry.access.models import Actor
from registry.access.queries import get_team, readable
from registry.errors import NotFound
from registry.events import Caller
from registry.provenance import licences, queries, services, services_licences
from registry.provenance.models import Dataset, DatasetVersion, Knowledge, Licence
from registry.provenance.openapi import PAGE, UPLOAD
from registry.provenance.streams import received_chunks


class StoreUpload(APIView):
    """Send the bytes of one file as the body. `Pressmark-Digest: sha256:...` has them compared; a cut upload leaves nothing."""

    @extend_schema(operation_id="store_upload", request=OpenApiTypes.BINARY, parameters=UPLOAD, responses={201: dict})
    def post(self, request: Request) -> Response:
        caller = caller_of(request, "api")
        services.require_uploader(caller)
        expected = request.headers.get("Pressmark-Digest")
        upload = services.store_upload(actor=caller, chunks=received_chunks(request._request), expected=expected)
        return Response({"digest": upload.digest, "size_bytes": upload.size_bytes}, status=201)


class Licences(Query):
    """The licences whose terms the pack knows, in our own words."""

    @extend_schema(operation_id="licences", responses={200: dict})
    def get(self, request: Request, **kwargs: Any) -> Response:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        pack = licences.pack()
        items = [
            {"expression": name, "source": entry.source, **licences.terms_of(name).document()}
            for name, entry in pack.entries.items()
        ]
        return {"pack": pack.id, "items": items, "next": None}


def licence_body(licence: Licence) -> dict[str, Any]:
    """A licence as the API shows it."""
    return {
        "id": str(licence.pk),
        "expression": licence.expression,
        "number": licence.number,
        "pack": licence.pack,
        "text_digest": licence.text_digest,
        **queries.terms_in_force([licence.pk])[licence.pk],
    }


class RegisterLicenceInput(serializers.Serializer[Any]):
    expression = serializers.CharField(allow_blank=True)
    text_digest = serializers.CharField(
        required=False, default=None, allow_null=True, help_text="Of the uploaded text of your own LicenseRef-NAME."
    )
    title = serializers.CharField(required=False, default="", allow_blank=True, max_length=200)


class RegisterLicence(Query, Command):
    """The row of an SPDX expression with its terms; the same row again while the terms stay the same."""

    input = RegisterLicenceInput

    @extend_schema(operation_id="registered_licences", parameters=PAGE, responses={200: dict})
    def get(self, request: Request, **kwargs: Any) -> Response:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        get_team(caller, kwargs["team"])
        return keyset_page(Licence.objects.filter(ended_at=None), query, licence_body)

    @extend_schema(operation_id="register_licence", request=RegisterLicenceInput, responses={201: dict})
    def post(self, request: Request, **kwargs: Any) -> Response:
        return super().post(request, **kwargs)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        team = get_team(caller, kwargs["team"])
        return licence_body(services_licences.register_licence(actor=caller, team=team, **data))


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


def person_named(username: str) -> Actor:
    """An active actor by user name."""
    person = Actor.objects.filter(username=username, ended_at=None).first()
    if person is None or not person.is_active:
        raise NotFound(f"There is no active actor {username!r}.")
    return person


def jsonable(body: dict[str, Any]) -> dict[str, Any]:
    """A body whose times are text, so that it can be stored as the answer to an idempotency key."""
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in body.items()}


class ShowDataset(Query):
    """One dataset."""

    @extend_schema(operation_id="dataset", responses={200: dict})
    def get(self, request: Request, **kwargs: Any) -> Response:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return dataset_body(queries.get_dataset(caller, kwargs["team"], kwargs["dataset"]))


def dataset_version_body(version: DatasetVersion) -> dict[str, Any]:
    """A dataset version as the API shows it."""
    dataset = version.dataset
    return {
        "id": str(version.pk),
        "ref": f"{dataset.team.slug}/{dataset.slug}@{version.number}",
        "number": version.number,
        "digest": version.digest,
        "document_digest": version.document_digest,
        "source": version.source,
        "uses": version.uses,
        "size_bytes": version.size_bytes,
        "row_count": version.row_count,
        "licence": version.licence.expression,
        "origin": str(version.origin),
        "collection": str(version.collection) if version.collection else "",
        "personal_data": version.personal_data,
        "consent": version.consent,
        "third_party_works": version.third_party_works,
        "third_party_basis": str(version.third_party_basis or ""),
        "opt_out_honoured": version.opt_out_honoured,
        "owner": str(version.owner or ""),
        "known_biases": str(version.known_biases or ""),
        "collected_from": version.collected_from,
        "collected_until": version.collected_until,
        "retain_until": version.retain_until,
        "created_by": str(version.created_by_id),
        "created_at": version.created_at,
        "purged_at": version.purged_at,
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
        if data["digest"] and not data["declared_digest"] and not data["declared_files"]:
            self.measured = services.measure_upload(actor=caller, digest=data["digest"])

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        dataset = queries.get_dataset(caller, kwargs["team"], kwargs["dataset"])
        licence = services_licences.register_licence(actor=caller, team=dataset.team, expression=data["licence"])
        given = {name: value for name, value in data.items() if name != "licence"}
        version = services.register_dataset_version(
            actor=caller, dataset=dataset, licence=licence, measured=self.measured, **given
        )
        return jsonable(dataset_version_body(version))


class ShowDatasetVersion(Query):
    """One dataset version."""

    @extend_schema(operation_id="dataset_version", responses={200: dict})
    def get(self, request: Request, **kwargs: Any) -> Response:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        ref = f"{kwargs['team']}/{kwargs['dataset']}@{kwargs['number']}"
        return dataset_version_body(queries.get_dataset_version(caller, ref))
