"""JSON doors of this room: recipes as published and as shipped, runs requested, watched and cancelled."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from compression_engine.recipe import shipped_recipes
from registry.access.http import Command, Query, keyset_page
from registry.access.queries import get_team
from registry.catalog import queries as catalog
from registry.catalog.models import Evidence, ModelVersion
from registry.compression import queries, services
from registry.compression.at_stake import makes_stale
from registry.compression.models import Recipe, Run, RunState
from registry.compression.training import TrainingAsked
from registry.digests import time_text
from registry.events import Caller
from registry.provenance import queries as provenance
from registry.provenance.models import DatasetVersion


def recipe_body(row: Recipe) -> dict[str, Any]:
    """A recipe as listings show it."""
    return {
        "id": str(row.pk),
        "recipe": f"{row.team.slug}/{row}",
        "digest": row.digest,
        "size_bytes": row.size_bytes,
        "created_by": str(row.created_by_id),
        "created_at": time_text(row.created_at),
    }


def run_body(row: Run, caller: Caller) -> dict[str, Any]:
    """A run as listings show it: whose it is, how far it is, how it ended. What is of another team stands there by its digest."""
    names = queries.Names(caller)
    return {
        "id": str(row.pk),
        "kind": row.kind,
        "comparison": str(row.comparison) if row.comparison else None,
        "state": row.state,
        "model": str(row.model),
        "parent": names.reference(row.parent),
        "recipe": names.reference(row.recipe),
        "evaluation": names.reference(row.evaluation),
        "evaluation_file": names.evaluation_file(row),
        "calibration": names.reference(row.calibration),
        "training": names.reference(row.training),
        "teacher": names.reference(row.teacher),
        "student": names.reference(row.student),
        "at_least": row.at_least,
        "loses_at_most": row.loses_at_most,
        "baseline": names.reference(row.baseline),
        "out_of_distribution": names.reference(row.out_of_distribution),
        "base": names.reference(row.base),
        "incumbent": names.reference(row.incumbent),
        "first": names.reference(row.first),
        "rederives": names.reference(row.rederives),
        "plan_digest": row.plan_digest,
        "price_sheet_digest": row.price_sheet_digest,
        "allow_seen": row.allow_seen,
        "seed": row.seed,
        "attempt": row.attempt,
        "max_attempts": row.max_attempts,
        "progress": (row.progress or None) if row.state == RunState.RUNNING else None,
        "child": str(row.child) if row.child else None,
        "failure_code": row.failure_code,
        "failure": str(row.failure) if row.failure else None,
        "requested_by": str(row.requested_by_id),
        "requested_at": time_text(row.requested_at),
        "started_at": time_text(row.started_at) if row.started_at else None,
        "cancel_requested_at": time_text(row.cancel_requested_at) if row.cancel_requested_at else None,
        "finished_at": time_text(row.finished_at) if row.finished_at else None,
        "engine_version": row.engine_version,
        "log_digest": row.log_digest,
        "result_digest": row.result_digest,
        "outputs_digest": row.outputs_digest,
    }


def requested_body(row: Run, caller: Caller) -> dict[str, Any]:
    """The answer to a request: the run, and whose approval its evidence will make stale."""
    return run_body(row, caller) | {"makes_stale": makes_stale(row)}


def evidence_body(row: Evidence, reader: catalog.EvidenceReader) -> dict[str, Any]:
    """Evidence that a run brought, with its document as the reader may see it."""
    members = {"document": reader.document(row), "reduced": not reader.reads(row)}
    return {"id": str(row.pk), "kind": row.kind, "digest": row.digest, **members}


def dataset_of(caller: Caller, ref: str | None) -> DatasetVersion | None:
    return provenance.get_dataset_version(caller, ref) if ref else None


def version_of(caller: Caller, ref: str | None) -> ModelVersion | None:
    return catalog.get_version(caller, ref) if ref else None


def _ended_at_step(run: Run, caller: Caller) -> str | None:
    result = queries.result_of(run)
    return None if result is None else queries.ended_at_step(run, result, queries.Names(caller)) or None


class PublishRecipeInput(serializers.Serializer[Any]):
    slug = serializers.CharField(max_length=63)
    document = serializers.DictField(help_text="pressmark/recipe/1; 'name' and 'type' may be left out.")


@extend_schema_view(
    get=extend_schema(operation_id="list_recipes", responses={200: dict}),
    post=extend_schema(operation_id="publish_recipe", request=PublishRecipeInput, responses={201: dict}),
)
class PublishRecipe(Command, Query):
    """The recipes of a team; the next number of one."""

    input = PublishRecipeInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rows = queries.recipes_of_team(caller, get_team(caller, kwargs["team"]))
        return keyset_page(rows, query, recipe_body, newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        team = get_team(caller, kwargs["team"])
        return recipe_body(services.publish_recipe(actor=caller, team=team, **data))


@extend_schema_view(get=extend_schema(operation_id="show_recipe", responses={200: dict}))
class ShowRecipe(Query):
    """One recipe with its document."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        row = queries.get_recipe(caller, f"{kwargs['team']}/{kwargs['recipe']}")
        return recipe_body(row) | {"document": queries.recipe_document(row)}


@extend_schema_view(get=extend_schema(operation_id="list_shipped_recipes", responses={200: dict}))
class ListShippedRecipes(Query):
    """The recipes that come with the engine, ready to be published."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        items = [
            {
                "name": name,
                "description": shipped.description,
                "digest": shipped.recipe.digest(),
                "document": shipped.recipe.document(),
            }
            for name, shipped in shipped_recipes().items()
        ]
        return {"items": items, "next": None}


ASKED = ("evaluation_file", "seed", "plan", "incumbent", "allow_seen", "price_sheet")
"""The members of a request that go to the service as they are."""


class EvaluationMembers(serializers.Serializer[Any]):
    """What an evaluation may be asked for, beside a version and its rows."""

    evaluation_file = serializers.CharField(
        required=False, allow_null=True, default=None, max_length=400,
        help_text="The path of the file to judge by, where the evaluation data has several.",
    )  # fmt: skip
    plan = serializers.DictField(
        required=False,
        allow_null=True,
        default=None,
        help_text="pressmark/evaluation_plan/1; all but 'type' may be left out.",
    )
    incumbent = serializers.CharField(
        required=False,
        allow_null=True,
        default=None,
        max_length=63,
        help_text="The alias whose version stands beside this one; 'production' where nothing is said.",
    )
    price_sheet = serializers.DictField(
        required=False, allow_null=True, default=None, help_text="pressmark/price_sheet/1: what computing costs you."
    )
    out_of_distribution = serializers.CharField(
        required=False, allow_null=True, default=None, help_text="Rows of another kind: team/dataset@3"
    )
    allow_seen = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Judge also on rows that the version was made with; every figure says so.",
    )


class RunMembers(EvaluationMembers):
    """What a child may be asked for, beside a recipe."""

    parent = serializers.CharField(  # type: ignore[assignment]  # a field, not the attribute
        help_text="The version to compress: team/model@7, or @sha256: and 12 to 64 hex."
    )
    evaluation = serializers.CharField(help_text="team/dataset@3, registered for evaluation.")
    calibration = serializers.CharField(required=False, allow_null=True, default=None)
    baseline = serializers.CharField(
        required=False,
        allow_null=True,
        default=None,
        help_text="Rows that monitors compare with; the evaluation's if left out.",
    )
    training = serializers.CharField(
        required=False,
        allow_null=True,
        default=None,
        help_text="team/dataset@3, registered for training: rows for steps that train.",
    )
    teacher = serializers.CharField(
        required=False,
        allow_null=True,
        default=None,
        help_text="The version whose answers are learned; the parent, if left out.",
    )
    student = serializers.CharField(
        required=False,
        allow_null=True,
        default=None,
        help_text="The version that the child begins as, where a step asks for it.",
    )
    at_least = serializers.CharField(
        required=False, allow_null=True, default=None, max_length=20,
        help_text="Share of the parent's answers that every step must keep: 0.99. One that does not ends the run before it.",
    )  # fmt: skip
    loses_at_most = serializers.CharField(
        required=False, allow_null=True, default=None, max_length=20,
        help_text="Share of quality by labels that every step may lose: 0.01 is one point.",
    )  # fmt: skip
    seed = serializers.IntegerField(required=False, default=0, min_value=0)


class RequestRunInput(RunMembers):
    recipe = serializers.CharField(help_text="team/recipe@2")


def asked_of(caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> services.RunAsked:
    """What a request says beside its recipe."""
    return services.RunAsked(
        model=catalog.get_model(caller, kwargs["team"], kwargs["model"]),
        parent=catalog.get_version(caller, data["parent"]),
        evaluation=provenance.get_dataset_version(caller, data["evaluation"]),
        calibration=dataset_of(caller, data["calibration"]),
        baseline=dataset_of(caller, data["baseline"]),
        out_of_distribution=dataset_of(caller, data["out_of_distribution"]),
        training=TrainingAsked(
            training=dataset_of(caller, data["training"]),
            teacher=version_of(caller, data["teacher"]),
            student=version_of(caller, data["student"]),
            at_least=data["at_least"],
            loses_at_most=data["loses_at_most"],
        ),
        **{name: data[name] for name in ASKED},
    )


@extend_schema_view(
    get=extend_schema(operation_id="list_runs", responses={200: dict}),
    post=extend_schema(operation_id="request_run", request=RequestRunInput, responses={201: dict}),
)
class RequestRun(Command, Query):
    """The runs of a model; a run that will add its next version."""

    input = RequestRunInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rows = queries.runs_of_model(caller, catalog.get_model(caller, kwargs["team"], kwargs["model"]))
        return keyset_page(rows, query, partial(run_body, caller=caller), newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        asked = asked_of(caller, data, **kwargs)
        run = services.request_run(actor=caller, recipe=queries.get_recipe(caller, data["recipe"]), **vars(asked))
        return requested_body(queries.get_run(caller, run.pk), caller)


@extend_schema_view(get=extend_schema(operation_id="show_run", responses={200: dict}))
class ShowRun(Query):
    """One run: state, progress, attempt, the evidence that it brought, and how the tensors of what it made are stored."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        row = queries.get_run(caller, kwargs["run"])
        reader = catalog.EvidenceReader(caller)
        return run_body(row, caller) | {
            "evidence": [evidence_body(e, reader) for e in queries.evidence_of_run(row)],
            "quantization_map": queries.map_in([row]),
            "ended_at_step": _ended_at_step(row, caller),
        }


@extend_schema_view(get=extend_schema(operation_id="show_run_log", responses={200: dict}))
class ShowRunLog(Query):
    """What the engine said in the attempt that ended the run."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        row = queries.get_run(caller, kwargs["run"])
        queries.require_log(caller, row)
        return {"run": str(row.pk), "log_digest": row.log_digest, "log": queries.run_log(row)}


@extend_schema_view(post=extend_schema(operation_id="cancel_run", request=None, responses={200: dict}))
class CancelRun(Command):
    """End a queued run, or have the engine of a running one stopped."""

    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        run = services.cancel_run(actor=caller, run=queries.get_run(caller, kwargs["run"]))
        return run_body(queries.get_run(caller, run.pk), caller)
