"""JSON doors to evaluations: requested at a version, read whole, and the answers of the models they were computed from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from registry.access.http import Command, Query, caller_of, keyset_page
from registry.catalog.api import version_of
from registry.compression import evaluations, queries, services
from registry.compression.api import ASKED, EvaluationMembers, dataset_of, requested_body, run_body
from registry.events import Caller
from registry.provenance import queries as provenance
from registry.provenance.sending import send_stored

_RANGE_HEADER = OpenApiParameter("Range", OpenApiTypes.STR, OpenApiParameter.HEADER, description="bytes=FIRST-LAST")


class RequestEvaluationInput(EvaluationMembers):
    evaluation = serializers.CharField(help_text="team/dataset@3, registered for evaluation.")
    baseline = serializers.CharField(required=False, allow_null=True, default=None)
    seed = serializers.IntegerField(required=False, default=0, min_value=0)


@extend_schema_view(
    get=extend_schema(operation_id="list_evaluations", responses={200: dict}),
    post=extend_schema(operation_id="request_evaluation", request=RequestEvaluationInput, responses={201: dict}),
)
class RequestEvaluation(Command, Query):
    """The evaluations of a version; a run that measures it as it is, beside its parent and what is served."""

    input = RequestEvaluationInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rows = evaluations.evaluations_of(caller, version_of(caller, kwargs))
        return keyset_page(rows, query, partial(run_body, caller=caller), newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        run = services.request_evaluation(
            actor=caller,
            version=version_of(caller, kwargs),
            evaluation=provenance.get_dataset_version(caller, data["evaluation"]),
            baseline=dataset_of(caller, data["baseline"]),
            out_of_distribution=dataset_of(caller, data["out_of_distribution"]),
            **{name: data[name] for name in ASKED},
        )
        return requested_body(queries.get_run(caller, run.pk), caller)


@extend_schema_view(get=extend_schema(operation_id="show_evaluation", responses={200: dict}))
class ShowEvaluation(Query):
    """One evaluation: every figure with its sentence, what stood beside the version, the rows, the plan."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        run = evaluations.get_evaluation(caller, version_of(caller, kwargs), kwargs["run"])
        return {"run": run_body(run, caller), **evaluations.evaluation_body(run, caller)}


class DownloadOutputs(APIView):
    """What the models answered row by row: any figure can be computed from it again."""

    @extend_schema(
        operation_id="download_outputs",
        parameters=[_RANGE_HEADER],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, **kwargs: Any) -> StreamingHttpResponse:
        caller = caller_of(request, "api")
        run = evaluations.get_evaluation(caller, version_of(caller, kwargs), kwargs["run"])
        digest, size_bytes = evaluations.outputs_of(caller, run)
        asked = request.headers
        return send_stored(digest, size_bytes, "outputs.safetensors", asked.get("Range"), asked.get("If-Range"))
