"""Writes of this room: recipes are published; runs are requested and cancelled. What happens to a run then is `execution`.

Rules:
- a recipe is an immutable document; the same document twice is refused and names the one that is there;
- deriving into another team needs what downloading the parent needs: else a viewer would carry the weights off as a child;
- a run is refused at once when it could not succeed: a recipe that does not fit, bytes that are gone, data without the use;
- what a child is judged on must not be what it was made with.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from compression_engine.errors import RecipeError
from compression_engine.recipe import RECIPE_TYPE
from compression_engine.recipe import Recipe as RecipeDocument
from registry import storage
from registry.access import permissions
from registry.access.models import Team
from registry.access.queries import get_readable
from registry.access.services import check_slug
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.compression import queries, tasks
from registry.compression.models import Recipe, Run, RunKind, RunState
from registry.compression.rules import misfits, needs_calibration
from registry.errors import BytesDiffer, Conflict, Invalid
from registry.events import Caller, Ref, emit, unit
from registry.provenance.models import DatasetVersion, Source

_SEED_LIMIT = 2**31
_ENDED = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


def publish_recipe(*, actor: Caller, team: Team, slug: str, document: Mapping[str, Any]) -> Recipe:
    """The next number of a recipe. `name` and `type` may be left out of the document: they are the slug and the one type."""
    role = permissions.require(actor, "recipe.publish", team.pk)
    check_slug(slug, "recipe")
    parsed = _parse(slug, document)
    stored = storage.store_bytes(parsed.canonical())
    with unit(actor, role=role) as opened:
        # the lock makes numbers gapless when two publish at once
        Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        published = Recipe.objects.filter(team=team, slug=slug)
        same = published.filter(digest=stored.digest).first()
        if same is not None:
            raise Conflict(
                f"This recipe is published already as {team.slug}/{same}.", hint="Use that one.",
                code="recipe-exists", existing=f"{team.slug}/{same}",
            )  # fmt: skip
        newest = published.order_by("-number").first()
        recipe = Recipe.objects.create(
            team=team, slug=slug, number=1 if newest is None else newest.number + 1, digest=stored.digest,
            size_bytes=stored.size_bytes, created_by_id=actor.actor_id, created_at=opened.now,
        )  # fmt: skip
        emit("recipe.published", recipe, team=team.pk, refs=[Ref("recipe", stored.digest, stored.size_bytes)])
        return recipe


def _parse(slug: str, document: Mapping[str, Any]) -> RecipeDocument:
    try:
        parsed = RecipeDocument.parse({"name": slug, "type": RECIPE_TYPE, **document})
    except RecipeError as error:
        raise Invalid(error.message, hint=error.hint, code=error.code.replace("_", "-")) from None
    if parsed.name != slug:
        raise Invalid(
            f"The document calls itself {parsed.name!r}, the recipe is published as {slug!r}.",
            hint="Use one name, or leave 'name' out of the document.",
        )
    return parsed


def request_run(
    *,
    actor: Caller,
    model: RegisteredModel,
    parent: ModelVersion,
    recipe: Recipe,
    evaluation: DatasetVersion,
    calibration: DatasetVersion | None = None,
    baseline: DatasetVersion | None = None,
    seed: int = 0,
) -> Run:
    """Ask for a child of `parent` by `recipe`; it becomes the next version of `model` when the run succeeds.

    `baseline` is the data whose distribution monitors will compare live traffic with; the evaluation data where it is left out.
    """
    role = permissions.require(actor, "run.request", model.team_id)
    _check_version(actor, parent)
    if parent.model.team_id != model.team_id:  # a child is the parent's bytes but for some rounding
        permissions.require(actor, "version.download", parent.model.team_id)
    get_readable(Recipe.objects.all(), actor, pk=recipe.pk)
    parsed = RecipeDocument.parse(queries.recipe_bytes(recipe))
    wrong = misfits(parsed, parent.format)
    if wrong:
        raise Invalid(" ".join(wrong), hint="Use a recipe for this format.", code="recipe-does-not-fit")
    _check_data(actor, evaluation, "evaluation")
    if calibration is not None:
        _check_data(actor, calibration, "calibration")
        if calibration.digest == evaluation.digest:
            raise Invalid(
                "Calibration and evaluation are the same data.",
                hint="A child must be judged on rows that it was not made with; give another dataset.",
                code="evaluation-is-calibration",
            )
    elif needs_calibration(parsed):
        raise Invalid("A step of this recipe needs calibration data.", hint="Give 'calibration'.", code="data-missing")
    if baseline is not None:
        _check_data(actor, baseline, "baseline")
    data = {"evaluation": evaluation, "calibration": calibration, "baseline": baseline}
    return _queue(actor, role, model, parent, RunKind.COMPRESSION, seed, recipe, data)


def request_evaluation(
    *,
    actor: Caller,
    version: ModelVersion,
    evaluation: DatasetVersion,
    baseline: DatasetVersion | None = None,
    seed: int = 0,
) -> Run:
    """Ask for measurements of a version as it is; they become evidence about it."""
    role = permissions.require(actor, "run.request", version.model.team_id)
    _check_version(actor, version)
    _check_data(actor, evaluation, "evaluation")
    if baseline is not None:
        _check_data(actor, baseline, "baseline")
    data = {"evaluation": evaluation, "calibration": None, "baseline": baseline}
    return _queue(actor, role, version.model, version, RunKind.EVALUATION, seed, None, data)


def _queue(
    actor: Caller,
    role: str,
    model: RegisteredModel,
    parent: ModelVersion,
    kind: RunKind,
    seed: int,
    recipe: Recipe | None,
    data: Mapping[str, DatasetVersion | None],
) -> Run:
    if not 0 <= seed < _SEED_LIMIT:
        raise Invalid(f"The seed {seed} is not allowed.", hint=f"Use a whole number from 0 to {_SEED_LIMIT - 1}.")
    with unit(actor, role=role) as opened:
        model = RegisteredModel.objects.select_for_update(no_key=True).get(pk=model.pk)
        if model.ended_at is not None:
            raise Conflict("This model has ended; nothing is added to it.", hint="Use another model.")
        run = Run.objects.create(
            model=model, parent=parent, kind=kind, recipe=recipe, **data,
            state=RunState.QUEUED, seed=seed, requested_by_id=actor.actor_id, requested_at=opened.now,
            heartbeat_at=opened.now,
        )  # fmt: skip
        emit("run.requested", run, team=model.team_id)
        opened.after_commit.append(partial(tasks.wake, run.pk))
        return run


def _check_version(actor: Caller, version: ModelVersion) -> None:
    """The caller may read it, and all its bytes are here."""
    get_readable(ModelVersion.objects.all(), actor, team="model__team", pk=version.pk)
    weights = 0
    for artifact in version.artifacts.all():
        weights += artifact.role == "weights"
        if version.purged_at is not None or not storage.is_stored(artifact.digest):
            raise BytesDiffer(
                f"The bytes of {artifact.path} are not stored here any more.",
                hint="They were purged or lost; restore them, or choose another version.",
            )
    if weights != 1:
        raise Invalid(
            f"The version has {weights} files of weights; the engine takes models of one file.",
            hint="Register the model with its weights in one file.",
            code="weights-not-single",
        )


def _check_data(actor: Caller, dataset: DatasetVersion, use: str) -> None:
    """The caller may read it, it is declared for this use, and its bytes are here."""
    get_readable(DatasetVersion.objects.all(), actor, team="dataset__team", pk=dataset.pk)
    if use not in dataset.uses:
        raise Invalid(
            f"{dataset} is not registered for {use}; its uses are: {', '.join(dataset.uses)}.",
            hint=f"Register a version of the data with the use {use!r}.",
            code="use-not-registered",
        )
    if dataset.source != Source.MEASURED or dataset.purged_at is not None or not storage.is_stored(dataset.digest):
        raise Invalid(
            f"The rows of {dataset} are not stored here.",
            hint="A run needs rows; upload them and register a version of the dataset with their digest.",
            code="data-missing",
        )


def cancel_run(*, actor: Caller, run: Run) -> Run:
    """End a queued run at once, or ask the worker of a running one to stop; the engine is killed and nothing is kept."""
    role = permissions.require(actor, "run.cancel", run.model.team_id)
    with unit(actor, role=role) as opened:
        run = Run.objects.select_for_update(no_key=True).get(pk=run.pk)
        if run.state in _ENDED:
            raise Conflict(f"This run has {run.state} already.", hint="Nothing is left to cancel.")
        if run.cancel_requested_at is not None:
            raise Conflict("Cancelling was asked for already.", hint="The worker stops within seconds.")
        run.cancel_requested_at = opened.now
        changed = ["cancel_requested_at"]
        if run.state == RunState.QUEUED:
            run.state, run.finished_at = RunState.CANCELLED, opened.now
            changed += ["state", "finished_at"]
        run.save(update_fields=changed)
        kind = "run.cancelled" if run.state == RunState.CANCELLED else "run.cancel_requested"
        emit(kind, run, team=run.model.team_id)
        return run
