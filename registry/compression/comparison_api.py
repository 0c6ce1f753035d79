"""JSON doors of comparisons: several recipes on one parent, asked for at once, and the table of their runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access.http import Command, Query
from registry.compression import comparisons, queries
from registry.compression.api import RunMembers, asked_of, run_body
from registry.compression.at_stake import makes_stale
from registry.compression.comparisons import Comparison, Line, get_comparison
from registry.compression.services_comparisons import RECIPES_MOST, request_comparison
from registry.digests import time_text
from registry.events import Caller

_FIGURES = ("kept", "latency_ratio", "memory_ratio", "quality", "size_ratio", "worst")


def line_body(line: Line, comparison: Comparison, caller: Caller) -> dict[str, Any]:
    """A run of a comparison with the figures of its child."""
    run = run_body(line.run, caller)
    names = ("state", "recipe", "child", "attempt", "progress", "failure_code", "failure", "at_least", "loses_at_most")
    return {
        "run": run["id"],
        **{name: run[name] for name in names},
        "recipe_digest": None if line.run.recipe is None else line.run.recipe.digest,
        "child_digest": None if line.run.child is None else line.run.child.digest,
        "size_bytes": line.size_bytes,
        **{name: _figure(getattr(line, name)) for name in _FIGURES},
        "ended_at_step": line.ended_at_step or None,
        "on_front": line.run.pk in comparison.front,
    }


def comparison_body(comparison: Comparison, caller: Caller) -> dict[str, Any]:
    """The table: what was asked for, and a row for each recipe."""
    names, first = queries.Names(caller), comparison.first
    return {
        "id": str(comparison.pk),
        "model": str(first.model),
        "parent": names.reference(first.parent),
        "parent_digest": first.parent.digest,
        "parent_size_bytes": first.parent.size_bytes,
        "evaluation": names.reference(first.evaluation),
        "plan_digest": first.plan_digest,
        "requested_by": str(first.requested_by_id),
        "requested_at": time_text(first.requested_at),
        "in_work": comparison.in_work,
        "better_by": "labels" if comparison.by_labels else "answers",
        "times": comparisons.TIMES,
        "rows": [line_body(line, comparison, caller) for line in comparison.lines],
    }


def _figure(figure: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if figure is None:
        return None
    return {name: figure[name] for name in ("high", "low", "metric", "n", "slice", "unit", "value")}


class RequestComparisonInput(RunMembers):
    recipes = serializers.ListField(
        child=serializers.CharField(), min_length=2, max_length=RECIPES_MOST,
        help_text="team/recipe@2, one for each child; each is handed only what its steps ask for.",
    )  # fmt: skip


@extend_schema_view(
    post=extend_schema(operation_id="request_comparison", request=RequestComparisonInput, responses={201: dict})
)
class RequestComparison(Command):
    """A run for each of several recipes on one parent, all of them or none."""

    input = RequestComparisonInput

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        asked = asked_of(caller, data, **kwargs)
        recipes = [queries.get_recipe(caller, reference) for reference in data["recipes"]]
        runs = request_comparison(actor=caller, recipes=recipes, asked=asked)
        assert runs[0].comparison is not None
        body = comparison_body(get_comparison(caller, runs[0].comparison), caller)
        return body | {"makes_stale": list(dict.fromkeys(said for run in runs for said in makes_stale(run)))}


@extend_schema_view(get=extend_schema(operation_id="show_comparison", responses={200: dict}))
class ShowComparison(Query):
    """The runs that were requested together, with the figures of their children side by side."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return comparison_body(get_comparison(caller, kwargs["comparison"]), caller)
