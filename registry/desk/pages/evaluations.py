"""The page of a finished evaluation, and its JSON with the same facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from registry.access.http import caller_of
from registry.compression import evaluations
from registry.compression import queries as compression
from registry.desk.addresses import reference
from registry.desk.evaluations import Evaluation, evaluation_body, evaluation_of
from registry.desk.http import Context, Page
from registry.events import Caller
from registry.provenance.sending import send_stored
from registry.release import queries as release


def find_evaluation(caller: Caller, kwargs: Mapping[str, Any]) -> Evaluation:
    """The evaluation that an address names; NotFound where version or run may not be seen or do not belong together."""
    version = release.find_version(caller, reference(kwargs))
    return evaluation_of(caller, version, compression.get_run(caller, kwargs["run"]))


class EvaluationPage(Page):
    """What the version lost, for whom, and what it saves."""

    template = "compression/evaluation.html"
    section = "models"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        evaluation = find_evaluation(caller, kwargs)
        record = evaluation.record
        named = {"evaluation": evaluation, "version": record.version, "model": record.version.model, "run": record.run}
        return named | {"may_download_outputs": evaluations.may_download_outputs(caller, record.run)}


class EvaluationJSON(Page):
    """The same, for programs."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        caller = caller_of(request, "page")
        return JsonResponse(evaluation_body(caller, find_evaluation(caller, kwargs)), json_dumps_params={"indent": 1})


class EvaluationOutputs(Page):
    """What the models answered row by row, for those who may download every version and the data in it."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]  # it streams
        caller = caller_of(request, "page")
        run = evaluations.get_evaluation(caller, release.find_version(caller, reference(kwargs)), kwargs["run"])
        digest, size_bytes = evaluations.outputs_of(caller, run)
        return send_stored(digest, size_bytes, "outputs.safetensors", None, None)
