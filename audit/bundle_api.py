"""JSON doors of bundles: what was issued, about a model, one version of it or the whole installation, and its download."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from audit import bundles, downloads, queries, services
from audit.models import Bundle
from registry.access.http import Command, Query, caller_of, keyset_page
from registry.catalog import queries as catalog
from registry.digests import time_text
from registry.events import Caller

_BINARY = {(200, "application/octet-stream"): OpenApiTypes.BINARY}
_JSON = {200: OpenApiTypes.OBJECT}
_CREATED = {201: OpenApiTypes.OBJECT}


def bundle_body(row: Bundle) -> dict[str, Any]:
    """An issued bundle as the API shows it; `version` is the number of the one version that it is about, or null."""
    return {
        "id": str(row.pk),
        "issued_at": time_text(row.issued_at),
        "issued_by": str(row.issued_by_id),
        "scope_digest": row.scope_digest,
        "subject": row.subject,
        "version": row.version.number if row.version else None,
    }


class IssueInstanceBundleInput(serializers.Serializer[Any]):
    checkpoint = serializers.CharField(
        required=False, default="", allow_blank=True, trim_whitespace=False,
        help_text="A checkpoint note that the recipient holds; the bundle will lead on from it.",
    )  # fmt: skip


class IssueBundleInput(IssueInstanceBundleInput):
    version = serializers.IntegerField(
        required=False, default=None, allow_null=True, min_value=1,
        help_text="The number of the one version that the bundle is about; the whole model, if left out.",
    )  # fmt: skip


@extend_schema_view(
    get=extend_schema(operation_id="list_bundles", responses=_JSON),
    post=extend_schema(operation_id="issue_bundle", request=IssueBundleInput, responses=_CREATED),
)
class IssueBundle(Command, Query):
    """The issued bundles about a model and its versions, newest first; a new one."""

    input = IssueBundleInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        model = catalog.get_model(caller, kwargs["team"], kwargs["model"])
        return keyset_page(queries.bundles_of(model), query, bundle_body, newest_first=True)

    def prepare(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> None:
        model, version = catalog.get_model(caller, kwargs["team"], kwargs["model"]), None
        if data["version"] is not None:
            version = catalog.get_version(caller, f"{model}@{data['version']}")
        note = data["checkpoint"].encode() or None
        self.prepared = services.prepare_bundle(actor=caller, model=model, version=version, checkpoint=note)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        return bundle_body(services.seal_bundle(actor=caller, prepared=self.prepared))


@extend_schema_view(
    get=extend_schema(operation_id="list_instance_bundles", responses=_JSON),
    post=extend_schema(operation_id="issue_instance_bundle", request=IssueInstanceBundleInput, responses=_CREATED),
)
class IssueInstanceBundle(Command, Query):
    """The issued bundles of the whole installation, newest first (seen with a role in the whole of it); a new one."""

    input = IssueInstanceBundleInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return keyset_page(queries.bundles_of_instance(caller), query, bundle_body, newest_first=True)

    def prepare(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> None:
        note = data["checkpoint"].encode() or None
        self.prepared = services.prepare_bundle(actor=caller, model=None, checkpoint=note)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        return bundle_body(services.seal_bundle(actor=caller, prepared=self.prepared))


@extend_schema_view(get=extend_schema(operation_id="show_bundle", responses=_JSON))
class ShowBundle(Query):
    """An issued bundle, and whether it can be had: `pending` until a checkpoint covers its entry, then `ready`, or `gone`.

    `tree_size` is the size of that checkpoint. The digest of the zip comes with its download: it is built there, and only there.
    """

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        row = queries.get_bundle(caller, kwargs["bundle_id"])
        now = bundles.readiness(row)
        problem = None if now.problem is None else now.problem.as_dict()
        return {**bundle_body(row), "problem": problem, "state": now.state, "tree_size": now.tree_size}


class DownloadBundle(APIView):
    """The bundle as a zip that a stranger can check, with its digest in `Pressmark-Digest`. 503 `pending`, 410 when it is gone."""

    @extend_schema(operation_id="download_bundle", responses=_BINARY)
    def get(self, request: Request, **kwargs: Any) -> HttpResponseBase:
        return downloads.bundle_file(queries.get_bundle(caller_of(request, "api"), kwargs["bundle_id"]))
