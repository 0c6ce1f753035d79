"""Cancelling: a queued run ends at once; of a running one the engine is killed, and nothing is kept."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from registry.access.models import Role
from registry.access.services import grant_membership
from registry.catalog.models import ModelVersion
from registry.compression import execution, queries, services
from registry.compression.models import Run
from registry.errors import Conflict, Forbidden
from tests.compression.situations import Beside, big_run, events_of, wait_for
from tests.world import World


@pytest.mark.usefixtures("committed_db")
def test_cancelling_in_the_middle_kills_the_engine_and_keeps_nothing(
    world: World, settings: Any, engines: list[int]
) -> None:
    settings.PRESSMARK_LEASE_SECONDS = 2
    run = big_run(world)
    stored_before = {path.name for path in Path(settings.PRESSMARK_STORE).glob("??/*")}

    def cancel() -> None:
        wait_for(lambda: Run.objects.get(pk=run.pk).progress.get("stage") in {"fidelity", "latency"})
        services.cancel_run(actor=world.cast.otto, run=Run.objects.select_related("model").get(pk=run.pk))

    beside = Beside(cancel)
    began = time.monotonic()
    execution.execute(run.pk)
    beside.join()
    done = Run.objects.get(pk=run.pk)
    assert (done.state, done.child_id, done.failure_code, done.owner_token) == ("cancelled", None, None, None)
    assert time.monotonic() - began < 30
    assert len(engines) == 1
    with pytest.raises(ProcessLookupError):
        os.killpg(engines[0], 0)
    assert ModelVersion.objects.filter(model=run.model).count() == 1
    assert [event["kind"] for event in events_of(run)] == [
        "run.requested", "run.started", "run.cancel_requested", "run.cancelled",
    ]  # fmt: skip
    assert '"cancelled"' in queries.run_log(done)
    added = {path.name for path in Path(settings.PRESSMARK_STORE).glob("??/*")} - stored_before
    assert added == {str(done.log_digest).removeprefix("sha256:")}


@pytest.mark.usefixtures("committed_db")
def test_cancelling_wins_over_success_until_the_last_unit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = world.run()
    original = execution._succeed

    def late(*arguments: Any) -> None:
        services.cancel_run(actor=world.cast.ada, run=Run.objects.select_related("model").get(pk=run.pk))
        original(*arguments)

    monkeypatch.setattr(execution, "_succeed", late)
    execution.execute(run.pk)
    assert Run.objects.get(pk=run.pk).state == "cancelled"
    assert ModelVersion.objects.filter(model=run.model).count() == 1


def test_a_queued_run_ends_at_once_and_is_never_worked_on(world: World) -> None:
    run = world.run()
    done = services.cancel_run(actor=world.cast.ada, run=run)
    assert (done.state, done.finished_at, done.attempt) == ("cancelled", done.cancel_requested_at, 0)
    assert events_of(run)[-1]["kind"] == "run.cancelled"
    assert execution.execute(run.pk) is False


def test_a_run_is_cancelled_once(world: World) -> None:
    run = world.run()
    services.cancel_run(actor=world.cast.ada, run=run)
    with pytest.raises(Conflict, match="cancelled already"):
        services.cancel_run(actor=world.cast.ada, run=run)


def test_cancelling_a_running_run_is_asked_for_once(world: World) -> None:
    run = world.run()
    execution.claim(run.pk, uuid.uuid4())
    asked = services.cancel_run(actor=world.cast.ada, run=run)
    assert (asked.state, asked.finished_at) == ("running", None)
    with pytest.raises(Conflict, match="asked for already"):
        services.cancel_run(actor=world.cast.ada, run=run)


@pytest.mark.parametrize("who", ["omar", "carla", "eve"])
def test_only_engineers_and_operators_cancel(world: World, who: str) -> None:
    run = world.run()
    with pytest.raises(Forbidden):
        services.cancel_run(actor=getattr(world.cast, who), run=run)
    assert Run.objects.get(pk=run.pk).state == "queued"


def test_a_viewer_does_not_cancel(world: World) -> None:
    grant_membership(actor=world.cast.root, person=world.cast.people["eve"], role=Role.VIEWER, team=world.team)
    with pytest.raises(Forbidden):
        services.cancel_run(actor=world.cast.eve, run=world.run())
