"""JSON doors of this room: uploads and licences; those of datasets stand in `dataset_api`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from registry.access.http import Command, Query, caller_of, keyset_page
from registry.access.models import Actor
from registry.access.queries import get_team
from registry.errors import NotFound
from registry.events import Caller
from registry.provenance import licences, queries, services, services_licences
from registry.provenance.models import Licence
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


def person_named(username: str) -> Actor:
    """An active actor by user name."""
    person = Actor.objects.filter(username=username, ended_at=None).first()
    if person is None or not person.is_active:
        raise NotFound(f"There is no active actor {username!r}.")
    return person


def jsonable(body: dict[str, Any]) -> dict[str, Any]:
    """A body whose times are text, so that it can be stored as the answer to an idempotency key."""
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in body.items()}
