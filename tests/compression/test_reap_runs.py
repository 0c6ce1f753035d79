"""Runs whose worker is gone come back, as often as they may; runs that nobody picked up are spoken of again."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest
from django.utils import timezone

from audit.models import Entry
from registry.compression import execution, services, tasks
from registry.compression.models import Run
from tests.compression.situations import events_of, lapse
from tests.world import World


def running(world: World) -> Run:
    run = world.run()
    claimed = execution.claim(run.pk, uuid.uuid4())
    assert claimed is not None
    return claimed


def test_a_run_whose_lease_is_over_goes_back_to_the_queue(world: World) -> None:
    run = running(world)
    lapse(run)
    assert execution.reap(timezone.now()) == 1
    row = Run.objects.get(pk=run.pk)
    assert (row.state, row.attempt, row.owner_token, row.lease_until) == ("queued", 1, None, None)
    told = events_of(run)[-1]
    assert (told["kind"], told["actor"]["via"], told["actor"]["role"]) == ("run.requeued", "keeper", "system")
    assert told["actor"]["on_behalf_of"] == str(world.cast.ada.actor_id)


def test_reaping_twice_changes_nothing_more(world: World) -> None:
    lapse(running(world))
    execution.reap(timezone.now())
    before = Entry.objects.count()
    assert execution.reap(timezone.now()) == 0
    assert Entry.objects.count() == before


def test_a_run_whose_lease_lasts_is_left_alone(world: World) -> None:
    run = running(world)
    assert execution.reap(timezone.now()) == 0
    assert Run.objects.get(pk=run.pk).state == "running"


def test_a_lease_renewed_between_the_look_and_the_act_is_left_alone(world: World) -> None:
    run = running(world)
    later = timezone.now() + datetime.timedelta(hours=1)
    assert execution._take_back(run.pk, run.requested_by_id, timezone.now()) is False
    assert execution._take_back(run.pk, run.requested_by_id, later) is True


def test_after_the_last_attempt_the_run_fails_with_the_reason(world: World) -> None:
    run = world.run()
    for _ in range(run.max_attempts):
        execution.claim(run.pk, uuid.uuid4())
        lapse(run)
        execution.reap(timezone.now())
    row = Run.objects.get(pk=run.pk)
    assert (row.state, row.attempt, row.failure_code) == ("failed", 3, "worker_lost")
    assert "attempt 3" in str(row.failure)
    kinds = [event["kind"] for event in events_of(run)]
    assert kinds == ["run.requested", *["run.started", "run.requeued"] * 2, "run.started", "run.failed"]


def test_a_run_that_was_to_be_cancelled_is_not_tried_again(world: World) -> None:
    run = running(world)
    services.cancel_run(actor=world.cast.ada, run=run)
    lapse(run)
    execution.reap(timezone.now())
    row = Run.objects.get(pk=run.pk)
    assert (row.state, row.owner_token) == ("cancelled", None)
    assert row.finished_at is not None
    assert events_of(run)[-1]["kind"] == "run.cancelled"


@pytest.mark.usefixtures("committed_db")
def test_a_request_wakes_a_worker_after_commit(world: World, woken: list[str]) -> None:
    run = world.run()
    assert woken == [str(run.pk)]
    assert tasks.resend() == 0


def test_a_queue_that_is_away_does_not_fail_the_request(world: World, settings: Any, monkeypatch: Any) -> None:
    def away(*args: Any, **options: Any) -> None:
        raise ConnectionError("no queue")

    monkeypatch.setattr(tasks.execute_run, "apply_async", away)
    assert world.run().state == "queued"


def test_a_run_that_went_back_is_spoken_of_at_once(world: World, woken: list[str]) -> None:
    run = running(world)
    lapse(run)
    execution.reap(timezone.now())
    woken.clear()
    assert tasks.resend() == 1
    assert woken == [str(run.pk)]
    assert tasks.resend() == 0


def test_a_run_that_nobody_picked_up_is_spoken_of_again_after_a_while(world: World, woken: list[str]) -> None:
    run = world.run()
    woken.clear()
    old = timezone.now() - datetime.timedelta(seconds=31)
    Run.objects.filter(pk=run.pk).update(heartbeat_at=old)
    assert tasks.resend() == 1
    assert woken == [str(run.pk)]
    assert tasks.resend() == 0


def test_of_two_keepers_one_wakes(world: World) -> None:
    run = world.run()
    seen, same = Run.objects.get(pk=run.pk), Run.objects.get(pk=run.pk)
    now = timezone.now() + datetime.timedelta(seconds=40)
    assert [execution.note_wake(seen, now), execution.note_wake(same, now)] == [True, False]


def test_the_task_looks_at_the_run_that_the_message_names(world: World, monkeypatch: Any) -> None:
    looked: list[uuid.UUID] = []
    monkeypatch.setattr(execution, "execute", looked.append)
    run = world.run()
    tasks.execute_run(str(run.pk))
    assert looked == [run.pk]
