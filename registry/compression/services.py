"""Writes of this room: recipes are published; runs are requested and cancelled. What happens to a run then is `execution`.

Rules:
- a recipe is an immutable document; the same document twice is refused and names the one that is there;
- deriving into another team needs what downloading the parent needs: else a viewer would carry the weights off as a child;
- a run is refused at once when it could not succeed: a recipe that does not fit, bytes that are gone, data without the use;
- what a version is judged on must not be what it was made with, unless it is said; then every figure says so;
- a plan is an immutable document; what a version is compared with is fixed when it is asked for, not when a worker gets to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from compression_engine.errors import EngineError, RecipeError
from compression_engine.plan import Plan
from compression_engine.price_sheet import PriceSheet
from compression_engine.recipe import RECIPE_TYPE
from compression_engine.recipe import Recipe as RecipeDocument
from registry import storage
from registry.access import permissions
from registry.access.models import Team
from registry.access.queries import get_readable
from registry.access.services import check_slug
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.compression import queries, tasks
from registry.compression.material import (
    base_of,
    check_data,
    check_version,
    first_of,
    incumbent_of,
    judging_file,
    refuse_seen,
    rows_file,
    taken_as,
)
from registry.compression.models import Recipe, Run, RunKind, RunState
from registry.compression.rules import check_measurable, misfits, needs_calibration, parsed_recipe
from registry.compression.training import TrainingAsked, set_training
from registry.digests import canonical
from registry.errors import Conflict, Invalid
from registry.events import Caller, Ref, emit, unit
from registry.provenance.models import DatasetVersion

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
    evaluation_file: str | None = None,
    calibration: DatasetVersion | None = None,
    baseline: DatasetVersion | None = None,
    seed: int = 0,
    plan: Mapping[str, Any] | None = None,
    incumbent: str | None = None,
    out_of_distribution: DatasetVersion | None = None,
    allow_seen: bool = False,
    price_sheet: Mapping[str, Any] | None = None,
    training: TrainingAsked | None = None,
) -> Run:
    """Ask for a child of `parent` by `recipe`; it becomes the next version of `model` when the run succeeds.

    `baseline` is the data whose distribution monitors will compare live traffic with; the evaluation data where it is left out.
    `training` says what steps that train are handed, and what every step must keep (see `training`). The child is evaluated as
    `request_evaluation` says: by the `plan`, beside its parent, what `model` serves and the first version of it that was approved.
    """
    asked = RunAsked(
        model, parent, evaluation, evaluation_file, calibration, baseline, seed, plan, incumbent, out_of_distribution,
        allow_seen, price_sheet, training or TrainingAsked(),
    )  # fmt: skip
    return queue(actor, *checked_run(actor, recipe, asked))


@dataclass(frozen=True)
class RunAsked:
    """What a request for a child says beside the recipe (see `request_run`)."""

    model: RegisteredModel
    parent: ModelVersion
    evaluation: DatasetVersion
    evaluation_file: str | None = None
    calibration: DatasetVersion | None = None
    baseline: DatasetVersion | None = None
    seed: int = 0
    plan: Mapping[str, Any] | None = None
    incumbent: str | None = None
    out_of_distribution: DatasetVersion | None = None
    allow_seen: bool = False
    price_sheet: Mapping[str, Any] | None = None
    training: TrainingAsked = field(default_factory=TrainingAsked)


def checked_run(actor: Caller, recipe: Recipe, asked: RunAsked) -> tuple[str, Run]:
    """The role under which it is asked for, and a run that could succeed, not yet written down; raises a Problem."""
    model, parent = asked.model, asked.parent
    role = permissions.require(actor, "run.request", model.team_id)
    check_version(actor, parent)
    if parent.model.team_id != model.team_id:  # a child is the parent's bytes but for some rounding
        permissions.require(actor, "version.download", parent.model.team_id)
    get_readable(Recipe.objects.all(), actor, pk=recipe.pk)
    parsed = parsed_recipe(queries.recipe_bytes(recipe))
    form = taken_as(parent)
    wrong = misfits(parsed, form)
    if wrong:
        raise Invalid(" ".join(wrong), hint="Use a recipe for this format.", code="recipe-does-not-fit")
    check_measurable(form)
    uses = {"evaluation": asked.evaluation, "calibration": asked.calibration, "baseline": asked.baseline}
    _check_uses(actor, uses, asked.evaluation_file)
    if asked.calibration is None and needs_calibration(parsed):
        raise Invalid(
            "A step of this recipe needs calibration data.",
            hint="Give 'calibration': a dataset version for it, TEAM/DATASET@N.",
            code="data-missing",
        )
    run = Run(model=model, parent=parent, kind=RunKind.COMPRESSION, recipe=recipe)
    run.seed, run.allow_seen = asked.seed, asked.allow_seen
    run.evaluation, run.calibration, run.baseline = asked.evaluation, asked.calibration, asked.baseline
    run.evaluation_file, run.out_of_distribution = asked.evaluation_file, asked.out_of_distribution
    set_training(actor, run, parsed, asked.training)
    _check_unseen(actor, run)
    run.price_sheet_digest = None if asked.price_sheet is None else _store_price_sheet(asked.price_sheet)
    _set_beside(actor, run, asked.plan, asked.incumbent)
    return role, run


def request_evaluation(
    *,
    actor: Caller,
    version: ModelVersion,
    evaluation: DatasetVersion,
    evaluation_file: str | None = None,
    baseline: DatasetVersion | None = None,
    seed: int = 0,
    plan: Mapping[str, Any] | None = None,
    incumbent: str | None = None,
    out_of_distribution: DatasetVersion | None = None,
    allow_seen: bool = False,
    price_sheet: Mapping[str, Any] | None = None,
) -> Run:
    """Ask for measurements of a version as it is; they become evidence about it.

    It is compared with what it was derived from, with what the alias `incumbent` serves (`production`, where none is named), and
    with the first approved version of its line: each where there is one that can be run. `plan` is a `pressmark/evaluation_plan/1`;
    with a `price_sheet` (`pressmark/price_sheet/1`) energy, cost and net benefit are said as well.
    """
    role = permissions.require(actor, "run.request", version.model.team_id)
    check_version(actor, version)
    _check_uses(actor, {"evaluation": evaluation, "baseline": baseline}, evaluation_file)
    model = version.model
    run = Run(model=model, parent=version, kind=RunKind.EVALUATION, seed=seed, allow_seen=allow_seen)
    run.evaluation, run.baseline, run.out_of_distribution = evaluation, baseline, out_of_distribution
    run.evaluation_file = evaluation_file
    _check_unseen(actor, run)
    run.base = base_of(actor, version)
    run.price_sheet_digest = None if price_sheet is None else _store_price_sheet(price_sheet)
    _set_beside(actor, run, plan, incumbent)
    return queue(actor, role, run)


def _check_unseen(actor: Caller, run: Run) -> None:
    """The rows to judge by are none that the version, or what it is made from, was made with."""
    strange = run.out_of_distribution
    if strange is not None:
        check_data(actor, strange, "evaluation")
        if strange.digest == run.judging_data.digest:
            raise Invalid(
                "The data out of distribution are the evaluation data.",
                hint="Give rows of another kind than those that the model is made for.",
                code="out-of-distribution-is-evaluation",
            )
    if not run.allow_seen:
        judged = [(run.judging_data, judging_file(run))] + ([] if strange is None else [(strange, rows_file(strange))])
        refuse_seen(run, judged)


def _set_beside(actor: Caller, run: Run, plan: Mapping[str, Any] | None, alias: str | None) -> None:
    """Plan, incumbent and first version. Without a plan a version that stands beside already is not run a second time."""
    judged = run.parent if run.kind == RunKind.EVALUATION else None
    run.plan_digest = None if plan is None else store_plan(plan)
    run.incumbent = incumbent_of(actor, run.model, judged, alias)
    run.first = first_of(actor, run.model, judged)
    if plan is None:
        if alias is None and run.incumbent == run.original:
            run.incumbent = None
        if run.first in (run.original, run.incumbent):
            run.first = None


def store_plan(document: Mapping[str, Any]) -> str:
    """The digest of a plan that was checked and stored."""
    try:
        parsed = Plan.parse(document)
    except EngineError as error:
        raise Invalid(error.message, hint=error.hint, code=error.code.replace("_", "-")) from None
    return storage.store_bytes(parsed.canonical()).digest


def _store_price_sheet(document: Mapping[str, Any]) -> str:
    try:
        parsed = PriceSheet.parse(json.dumps(document).encode())
    except EngineError as error:
        raise Invalid(error.message, hint=error.hint, code=error.code.replace("_", "-")) from None
    return storage.store_bytes(canonical(parsed.document())).digest


def _check_uses(actor: Caller, data: Mapping[str, DatasetVersion | None], evaluation_file: str | None) -> None:
    for use, dataset in data.items():
        if dataset is not None:
            check_data(actor, dataset, use, evaluation_file if use == "evaluation" else None)
    evaluation, calibration = data["evaluation"], data.get("calibration")
    if evaluation is not None and calibration is not None and calibration.digest == evaluation.digest:
        raise Invalid(
            "Calibration and evaluation are the same data.",
            hint="A child must be judged on rows that it was not made with; give another dataset.",
            code="evaluation-is-calibration",
        )


def queue(actor: Caller, role: str, run: Run) -> Run:
    """Write down a run that was checked, in the queue."""
    if not 0 <= run.seed < _SEED_LIMIT:
        raise Invalid(f"The seed {run.seed} is not allowed.", hint=f"Use a whole number from 0 to {_SEED_LIMIT - 1}.")
    with unit(actor, role=role) as opened:
        model = RegisteredModel.objects.select_for_update(no_key=True).get(pk=run.model_id)
        if model.ended_at is not None:
            raise Conflict("This model has ended; nothing is added to it.", hint="Use another model.")
        if run.rederives is not None:
            refuse_second_replay(run.rederives)
        run.state, run.requested_by_id = RunState.QUEUED, actor.actor_id
        run.requested_at = run.heartbeat_at = opened.now
        run.save(force_insert=True)
        given = {"plan": run.plan_digest, "price_sheet": run.price_sheet_digest}
        refs = [Ref(name, kept, storage.path_of(kept).stat().st_size) for name, kept in given.items() if kept]
        emit("run.requested", run, team=model.team_id, refs=refs)
        opened.after_commit.append(partial(tasks.wake, run.pk))
        return run


def refuse_second_replay(version: ModelVersion) -> None:
    """Conflict while a replay of the version is under way."""
    if Run.objects.filter(rederives=version, state__in=(RunState.QUEUED, RunState.RUNNING)).exists():
        raise Conflict(f"{version} is being made again already.", hint="Wait for that run.", code="replay-waiting")


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
