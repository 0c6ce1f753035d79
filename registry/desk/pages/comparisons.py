"""The page of a comparison: every recipe that was asked for in one request, side by side; and the same as JSON and CSV."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from registry.access.http import caller_of
from registry.compression import comparisons, queries
from registry.compression.comparison_api import comparison_body
from registry.desk.compared import csv_of, heads_of, lines_of, verdict_of
from registry.desk.http import Context, Page
from registry.events import Caller


class ComparisonPage(Page):
    """All its runs in one table: states, figures, budget, and which children no other beats."""

    template = "compression/comparison.html"
    section = "runs"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        found = comparisons.get_comparison(caller, kwargs["comparison"])
        told = {"comparison": found, "heads": heads_of(found), "lines": lines_of(found), "verdict": verdict_of(found)}
        return (
            told
            | {"times": comparisons.TIMES, "names_parent": queries.Names(caller).shows(found.first.parent)}
            | {"run": found.first, "model": found.first.model, "parent": found.first.parent}
        )


class ComparisonJSON(Page):
    """The same, for programs."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        caller = caller_of(request, "page")
        body = comparison_body(comparisons.get_comparison(caller, kwargs["comparison"]), caller)
        return JsonResponse(body, json_dumps_params={"indent": 1})


class ComparisonCSV(Page):
    """The same, for a spreadsheet."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        caller = caller_of(request, "page")
        found = comparisons.get_comparison(caller, kwargs["comparison"])
        headers = {"Content-Disposition": f'attachment; filename="comparison-{found.pk}.csv"'}
        return HttpResponse(csv_of(comparison_body(found, caller)), "text/csv; charset=utf-8", headers=headers)
