"""Asking for a replay: a version is made again from its parent by its recipe, to see whether the same comes out.

Rules:
- whoever may request runs for the model and may read what the version was made from may have it made again;
- what a run of ours made: nothing is chosen anew; parent, recipe, rows and plan are those of the run that made it first;
- what was made elsewhere: its lineage names one version here as its base and nothing else that weights came from; who asks states
  the recipe, and the rows that its steps look at, which stand in the lineage too; the operations are those that the lineage says;
- once a replay has shown by which recipe that was, no other is taken: it would differ, and say nothing about the version;
- how far tensors are apart tells something of the parent's weights: to compare what was brought with them needs the right to
  download the parent;
- bytes that are gone are said at once; one replay of a version is under way at a time (`queue` looks again under its lock).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compression_engine.recipe import Recipe as RecipeDocument
from registry.access import permissions
from registry.access.queries import get_readable
from registry.catalog.models import Edge, EdgeRole, Grade, ModelVersion, VersionOrigin
from registry.compression import taken
from registry.compression.material import check_data, check_version, declaring_file, taken_as
from registry.compression.models import Recipe, Run, RunKind, RunState
from registry.compression.queries import maker_of, recipe_bytes, result_of
from registry.compression.rules import misfits, needs_calibration, operations, parsed_recipe
from registry.compression.services import queue, refuse_second_replay, store_plan
from registry.compression.training import trains
from registry.errors import Invalid
from registry.events import Caller
from registry.provenance.models import DatasetVersion

MADE_AGAIN = ("bit-exact", "within-tolerance")
"""Outcomes of replays that show by what a version was made."""


def request_replay(
    *,
    actor: Caller,
    version: ModelVersion,
    recipe: Recipe | None = None,
    calibration: DatasetVersion | None = None,
    plan: Mapping[str, Any] | None = None,
) -> Run:
    """Have the version made again; the same bytes, or bytes within the tolerance, raise the grade of its origin to re-derived.

    `recipe`, `calibration` and `plan` (how the rows are read) are stated for a version that was made elsewhere, and only then.
    """
    role = permissions.require(actor, "run.request", version.model.team_id)
    run = Run(model=version.model, kind=RunKind.REPLAY, rederives=version)
    made_by = maker_of(version)
    if made_by is None:
        _state(actor, run, version, recipe, calibration)
        run.plan_digest = None if plan is None else store_plan(plan)
    else:
        if recipe is not None or calibration is not None or plan is not None:
            raise Invalid(
                f"A run of this registry made {version}; its recipe, rows and plan are on record.",
                hint="Ask without them: a replay chooses nothing anew.",
                code="replay-chosen",
            )
        _take_over(run, made_by)
    check_version(actor, version, shards=True)
    check_version(actor, run.parent, shards=True)
    if run.calibration is not None:
        check_data(actor, run.calibration, "calibration")
    if run.training is not None:
        check_data(actor, run.training, "training")
    for version_beside in (run.teacher, run.student):
        if version_beside is not None:
            check_version(actor, version_beside)
    refuse_second_replay(version)
    return queue(actor, role, run)


def _take_over(run: Run, made_by: Run) -> None:
    assert made_by.recipe is not None
    run.parent, run.recipe = made_by.parent, made_by.recipe
    run.seed, run.plan_digest = made_by.seed, made_by.plan_digest
    parsed = parsed_recipe(recipe_bytes(made_by.recipe))
    _refuse_cut(made_by, parsed)
    run.calibration = made_by.calibration if needs_calibration(parsed) else None
    run.training, run.teacher, run.student = made_by.training, made_by.teacher, made_by.student


def _refuse_cut(made_by: Run, asked: RecipeDocument) -> None:
    """Invalid where a budget ended the run that made the version: its recipe as published makes another one."""
    result = result_of(made_by)
    if result is not None and len((result.done or asked.document())["steps"]) != len(asked.steps):
        raise Invalid(
            f"A budget ended the run that made {made_by.child} before its recipe was done; the whole recipe makes another version.",
            hint="Make it again in a shell (`python -m compression_engine replay`), or run a recipe of the steps that were done.",
            code="replay-cut",
        )


def _state(
    actor: Caller, run: Run, version: ModelVersion, recipe: Recipe | None, calibration: DatasetVersion | None
) -> None:
    """Parent from the declared lineage, recipe and rows as stated; Invalid where they do not fit together."""
    base = base_for_replay(version)
    if base is None:
        raise Invalid(
            f"{version} was not made by a run of this registry, and its lineage does not name one version here as its base.",
            hint="Register what it was made from, then the version again with that one parent in its lineage.",
            code="not-derived-here",
        )
    if recipe is None:
        raise Invalid(
            f"{version} was made elsewhere; by which recipe is not on record.",
            hint="State it: publish the recipe, and give it as 'recipe' (`pressmark replay-version --recipe TEAM/RECIPE@N`).",
            code="recipe-not-stated",
        )
    assert base.parent is not None
    permissions.require(actor, "version.download", base.parent.model.team_id)
    get_readable(Recipe.objects.all(), actor, pk=recipe.pk)
    parsed = parsed_recipe(recipe_bytes(recipe))
    _check_shown(version, base, recipe)
    _check_recipe(parsed, base, version.format)
    _check_rows(parsed, version, calibration)
    run.parent, run.recipe, run.calibration = base.parent, recipe, calibration


def base_for_replay(version: ModelVersion) -> Edge | None:
    """The one edge by which a version that was made elsewhere came from a version here; None where it cannot be made again."""
    if version.origin != VersionOrigin.UPLOADED:
        return None
    edges = list(version.parent_edges.exclude(role=EdgeRole.DATA).select_related("parent__model__team")[:2])
    alone = len(edges) == 1 and edges[0].role == EdgeRole.BASE and edges[0].parent is not None
    return edges[0] if alone else None


def _check_shown(version: ModelVersion, base: Edge, recipe: Recipe) -> None:
    """Invalid where another recipe has been shown to make the version."""
    if base.grade != Grade.REDERIVED:
        return
    for run in version.replays.filter(state=RunState.SUCCEEDED).select_related("recipe").order_by("pk"):
        result = result_of(run)
        if run.recipe is None or result is None or result.document["outcome"] not in MADE_AGAIN:
            continue
        if run.recipe.digest != recipe.digest:
            raise Invalid(
                f"A replay has shown that the recipe {run.recipe} makes {version}; {recipe} is another one.",
                hint=f"Ask with {run.recipe}, or register a version that {recipe} made.",
                code="recipe-on-record",
            )
        return


def _check_recipe(parsed: RecipeDocument, base: Edge, made: str) -> None:
    """`made`: the format of what was made; ONNX is made of a model of torch, whose tensors alone stay tensors."""
    assert base.parent is not None
    carried = made == taken.ONNX
    if trains(parsed):
        raise Invalid(
            "A step of this recipe trains, and what was trained elsewhere is not made again here.",
            hint="Make it again in a shell, where its rows and its teacher can be named: python -m compression_engine replay.",
            code="replay-trained",
        )
    wrong = misfits(parsed, taken_as(base.parent) if carried else base.parent.format)
    if wrong:
        raise Invalid(" ".join(wrong), hint="Use a recipe for this format.", code="recipe-does-not-fit")
    before = taken.first_operations(base.parent.format, declaring_file(base.parent)) if carried else []
    does = [*before, *operations(parsed)]
    if base.operations and list(base.operations) != does:
        raise Invalid(
            f"The lineage says {', '.join(base.operations)}; the recipe does {', '.join(does)}.",
            hint="State the recipe that really made it, or register the version again with what was done.",
            code="operations-differ",
        )


def _check_rows(parsed: RecipeDocument, version: ModelVersion, calibration: DatasetVersion | None) -> None:
    if needs_calibration(parsed) != (calibration is not None):
        raise Invalid(
            "A step of this recipe needs calibration data."
            if calibration is None
            else "No step of this recipe looks at data.",
            hint="Give 'calibration'." if calibration is None else "Leave 'calibration' out.",
            code="calibration",
        )
    if calibration is None:
        return
    if not version.parent_edges.filter(role=EdgeRole.DATA, dataset_version=calibration).exists():
        raise Invalid(
            f"{calibration} does not stand in the lineage of {version}.",
            hint="Register the version again with these rows in its lineage: what shaped it has to be on record.",
            code="calibration-not-in-lineage",
        )
