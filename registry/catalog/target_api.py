"""The JSON door for what was measured where a model is served (`pressmark measure --push`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import permissions
from registry.access.http import Command, Query
from registry.catalog import queries
from registry.catalog.api import evidence_body, version_of
from registry.catalog.services_targets import record_target_measurement
from registry.events import Caller
from registry.provenance.api import jsonable


class RecordTargetMeasurement(Query, Command):
    """What was measured on serving hosts, newest first, each with why it is stale; one more, as `pressmark measure` wrote it.

    `may_record` says beforehand whether the caller may add one: measuring takes minutes.
    """

    @extend_schema(operation_id="target_measurements", responses={200: dict})
    def get(self, request: Request, **kwargs: Any) -> Response:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        version, reader = version_of(caller, kwargs), queries.EvidenceReader(caller)
        found = queries.target_measurements(version, reader)
        return {
            "may_record": permissions.may(caller.actor_id, "target_measurement.record", version.model.team_id),
            "items": [{**evidence_body(row, reader), "stale": stale} for row, _, stale in found],
            "next": None,
        }

    @extend_schema(operation_id="record_target_measurement", request=OpenApiTypes.OBJECT, responses={201: dict})
    def post(self, request: Request, **kwargs: Any) -> Response:
        return super().post(request, **kwargs)

    def _read(self, request: Request) -> Mapping[str, Any]:
        return {"document": request.data}  # the body is the document

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        row = record_target_measurement(actor=caller, version=version_of(caller, kwargs), document=data["document"])
        return jsonable(evidence_body(row, queries.EvidenceReader(caller)))
