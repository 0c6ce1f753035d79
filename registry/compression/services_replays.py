"""Asking for a replay: a version that a run of ours made is made again, from the same parent, recipe, rows and seed.

Rules:
- whoever may request runs for the model and may read what the version was made from may have it made again;
- nothing about it is chosen anew: parent, recipe, calibration rows, plan and seed are those of the run that made the version first;
- bytes that are gone are said at once; one replay of a version is under way at a time.
"""

from __future__ import annotations

from registry.access import permissions
from registry.catalog.models import ModelVersion
from registry.compression.material import check_data, check_version
from registry.compression.models import Run, RunKind, RunState
from registry.compression.services import queue
from registry.errors import Conflict, Invalid
from registry.events import Caller


def request_replay(*, actor: Caller, version: ModelVersion) -> Run:
    """Have the version made again; the same bytes, or bytes within the tolerance, raise the grade of its origin to re-derived."""
    role = permissions.require(actor, "run.request", version.model.team_id)
    made_by = maker_of(version)
    if made_by is None:
        raise Invalid(
            f"{version} was not made by a run of this registry.",
            hint="Only what our own engine made can be made again: its parent, recipe and rows are on record.",
            code="not-derived-here",
        )
    check_version(actor, version)
    check_version(actor, made_by.parent)
    if made_by.calibration is not None:
        check_data(actor, made_by.calibration, "calibration")
    going = Run.objects.filter(rederives=version, state__in=(RunState.QUEUED, RunState.RUNNING))
    if going.exists():
        raise Conflict(f"{version} is being made again already.", hint="Wait for that run.", code="replay-waiting")
    run = Run(model=version.model, parent=made_by.parent, kind=RunKind.REPLAY, recipe=made_by.recipe, rederives=version)
    run.seed, run.plan_digest = made_by.seed, made_by.plan_digest
    run.calibration, run.evaluation = made_by.calibration, made_by.evaluation
    return queue(actor, role, run)


def maker_of(version: ModelVersion) -> Run | None:
    """The run that made the version first."""
    runs = Run.objects.filter(child=version, kind=RunKind.COMPRESSION, state=RunState.SUCCEEDED)
    named = runs.select_related("parent__model__team", "recipe", "calibration__dataset", "evaluation__dataset")
    return named.order_by("finished_at", "pk").first()
