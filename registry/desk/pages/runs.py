"""Pages about runs: all of them, one with its live progress, asking for one and cancelling it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse

from registry import storage
from registry.access import permissions
from registry.access.http import caller_of, keyset_page
from registry.compression import queries as compression
from registry.compression import replays, services
from registry.compression.models import Run, RunState
from registry.desk import queries
from registry.desk.downloads import download
from registry.desk.http import Act, Context, Page
from registry.desk.trained import trained
from registry.events import Caller

STAGES = {
    "read": "Reading the parent", "compress": "Compressing", "train": "Training", "resume": "Going on where it ended",
    "step": "Judging a step", "check": "Checking the output", "size": "Measuring size",
    "fidelity": "Comparing answers", "latency": "Measuring speed", "timing": "Measuring speed",
    "memory": "Measuring memory", "answer": "Asking the models", "quality": "Scoring answers",
    "comparison": "Comparing row by row", "fairness": "Comparing groups", "calibration": "Holding confidence against truth",
    "robustness": "Corrupting inputs", "adversarial": "Moving rows against the models",
    "out-of-distribution": "Asking about other data", "energy": "Measuring energy", "cost": "Reckoning the cost",
    "seen": "Looking for rows that it was made with", "observe": "Counting the baseline", "write": "Writing the output",
}  # fmt: skip


class Runs(Page):
    """Every run of the reader's teams."""

    template = "compression/runs.html"
    section = "runs"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        page = keyset_page(queries.runs(caller), query, lambda run: run, newest_first=True)
        return {"runs": page["items"], "next": page["next"]}


def progress_of(run: Run) -> dict[str, Any]:
    """How far a run is, in words and numbers."""
    told = run.progress or {}
    stage, done, total = str(told.get("stage", "")), int(told.get("done") or 0), int(told.get("total") or 0)
    waiting = "Waiting for a worker" if run.state == RunState.QUEUED else "Starting the engine"
    return {
        "stage": STAGES.get(stage, stage) or waiting,
        "done": done,
        "total": total,
        "count": f"{done} of {total}" if total else "",
        "message": str(told.get("message", "")),
        "heartbeat": run.heartbeat_at.strftime("%H:%M:%S UTC") if run.heartbeat_at else "none yet",
    }


class RunPage(Page):
    """One run: what was asked for, how far it is, what came of it."""

    template = "compression/run.html"
    section = "runs"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        run = compression.get_run(caller, kwargs["run"])
        return {
            "run": run,
            "in_work": run.state in queries.IN_WORK,
            "progress": progress_of(run),
            "steps": recipe_steps(run),
            "trained": trained(run, compression.Names(caller)),
            "measured": (run.child or run.parent) if run.state == RunState.SUCCEEDED and not run.rederives else None,
            "replayed": replays.said_of(run) if run.rederives else "",
            "may_cancel": permissions.may(caller.actor_id, "run.cancel", run.model.team_id),
        }


def recipe_steps(run: Run) -> list[Any]:
    """The steps of the recipe document; none for an evaluation."""
    if run.recipe is None or not storage.is_stored(run.recipe.digest):
        return []
    return list(compression.recipe_document(run.recipe)["steps"])


class RunProgress(Page):
    """For the script of the run page: where the run stands now."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        run = compression.get_run(caller_of(request, "page"), kwargs["run"])
        body = {"state": run.state, "finished": run.state not in queries.IN_WORK, **progress_of(run)}
        return JsonResponse(body, headers={"Cache-Control": "no-store"})


class RunLog(Page):
    """The log of a run as a download, never shown inline."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        caller = caller_of(request, "page")
        run = compression.get_run(caller, kwargs["run"])
        compression.require_log(caller, run)
        return download(run.log_digest, f"run-{run.pk}.log", "text/plain; charset=utf-8")


class CancelRun(Act):
    """Stops a run; the worker kills the engine."""

    page = RunPage

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        run = services.cancel_run(actor=caller, run=compression.get_run(caller, kwargs["run"]))
        return reverse("desk:run", args=[run.pk]), "The run is being cancelled."
