"""Who works on a run: one at a time, by one conditional UPDATE; whoever lost the lease writes nothing."""

from __future__ import annotations

import datetime
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from audit.models import Entry
from registry.catalog.models import Evidence, ModelVersion
from registry.compression import execution, services
from registry.compression.calling import WorkHalted
from registry.compression.heartbeat import Halt, Held
from registry.compression.job import Job
from registry.compression.models import Run
from registry.storage import store_bytes
from tests.compression.situations import Beside, big_run, events_of, lapse, wait_for
from tests.world import World


def test_a_claim_sets_owner_lease_and_attempt_and_is_recorded(world: World, settings: Any) -> None:
    settings.PRESSMARK_LEASE_SECONDS = 17
    run, token = world.run(), uuid.uuid4()
    claimed = execution.claim(run.pk, token)
    assert claimed is not None
    assert (claimed.state, claimed.owner_token, claimed.attempt) == ("running", token, 1)
    assert claimed.started_at is not None
    assert claimed.lease_until == claimed.started_at + datetime.timedelta(seconds=17)
    told = events_of(run)[-1]
    assert told["kind"] == "run.started"
    row = told["records"][0]["row"]
    assert (row["state"], row["attempt"]) == ("running", 1)
    assert not {"owner_token", "lease_until", "heartbeat_at", "progress"} & set(row)


def test_a_run_in_good_hands_is_not_claimed_again(world: World) -> None:
    run = world.run()
    assert execution.claim(run.pk, uuid.uuid4()) is not None
    before = Entry.objects.count()
    assert execution.claim(run.pk, uuid.uuid4()) is None
    assert Entry.objects.count() == before


def test_a_run_whose_lease_is_over_is_claimed_as_the_next_attempt(world: World) -> None:
    run, other = world.run(), uuid.uuid4()
    execution.claim(run.pk, uuid.uuid4())
    lapse(run)
    again = execution.claim(run.pk, other)
    assert again is not None
    assert (again.attempt, again.owner_token) == (2, other)


def test_the_last_attempt_is_not_followed_by_another(world: World) -> None:
    run = world.run()
    for _ in range(run.max_attempts):
        assert execution.claim(run.pk, uuid.uuid4()) is not None
        lapse(run)
    assert execution.claim(run.pk, uuid.uuid4()) is None


def test_a_message_about_a_run_that_is_not_there_is_harmless(world: World) -> None:
    assert execution.execute(uuid.uuid4()) is False


@pytest.mark.usefixtures("committed_db")
@pytest.mark.db_guarantee
def test_of_several_workers_that_claim_at_once_one_gets_the_run(world: World) -> None:
    run, tokens = world.run(), [uuid.uuid4() for _ in range(6)]
    won: list[uuid.UUID] = []
    start = threading.Barrier(len(tokens))

    def claim(token: uuid.UUID) -> None:
        start.wait()
        if execution.claim(run.pk, token) is not None:
            won.append(token)
        connections.close_all()

    threads = [threading.Thread(target=claim, args=(token,)) for token in tokens]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = Run.objects.get(pk=run.pk)
    assert won == [row.owner_token]
    assert row.attempt == 1
    assert [event["kind"] for event in events_of(run)].count("run.started") == 1


@pytest.mark.usefixtures("committed_db")
def test_a_message_delivered_twice_starts_one_engine(world: World, engines: list[int]) -> None:
    run = world.run()
    answers: list[bool] = []

    def second() -> None:
        wait_for(lambda: Run.objects.get(pk=run.pk).state == "running")
        answers.append(execution.execute(run.pk))

    beside = Beside(second)
    answers.append(execution.execute(run.pk))
    beside.join()
    assert sorted(answers) == [False, True]
    assert len(engines) == 2  # compress and observe, once each
    assert ModelVersion.objects.filter(model=run.model).count() == 2
    assert execution.execute(run.pk) is False


@pytest.mark.usefixtures("committed_db")
def test_a_worker_whose_run_was_given_to_another_stops_its_engine_and_writes_nothing(
    world: World, settings: Any, engines: list[int]
) -> None:
    settings.PRESSMARK_LEASE_SECONDS = 2
    run, other = big_run(world), uuid.uuid4()

    def take_over() -> None:
        wait_for(lambda: Run.objects.get(pk=run.pk).progress.get("stage"))
        while Run.objects.get(pk=run.pk).owner_token != other:
            lapse(run)
            execution.claim(run.pk, other)

    beside = Beside(take_over)
    assert execution.execute(run.pk) is True
    beside.join()
    row = Run.objects.get(pk=run.pk)
    assert (row.state, row.owner_token, row.attempt) == ("running", other, 2)
    assert [event["kind"] for event in events_of(run)] == ["run.requested", "run.started", "run.started"]
    assert len(engines) == 1
    assert ModelVersion.objects.filter(model=run.model).count() == 1
    left = [path.name for path in Path(settings.PRESSMARK_RUNS).iterdir()]
    assert left == [f"work-{run.pk}"], "rows that were answered are for whoever has the run now"


@pytest.mark.usefixtures("committed_db")
def test_a_stale_worker_that_has_a_whole_result_in_its_hands_writes_nothing(world: World) -> None:
    run, token = world.run(), uuid.uuid4()
    claimed = execution.claim(run.pk, token)
    assert claimed is not None
    outcome = execution._worked(claimed, token, Job(claimed))
    lapse(run)
    execution.reap(timezone.now())
    other = uuid.uuid4()
    assert execution.claim(run.pk, other) is not None
    before = (Entry.objects.count(), Evidence.objects.count(), ModelVersion.objects.count())
    log = store_bytes(b"log")
    for late in (
        lambda: execution._succeed(claimed, token, outcome, log),
        lambda: execution._fail(claimed, token, execution.Failure("x", "y"), log),
        lambda: execution._cancel(claimed, token, log),
    ):
        with pytest.raises(WorkHalted) as halted:
            late()
        assert halted.value.halt is Halt.LOST
    assert execution.renew(run.pk, token, {"stage": "late"}) is Held.LOST
    assert (Entry.objects.count(), Evidence.objects.count(), ModelVersion.objects.count()) == before
    row = Run.objects.get(pk=run.pk)
    assert (row.state, row.owner_token, row.progress) == ("running", other, {})


def test_a_heartbeat_lengthens_the_lease_and_writes_progress(world: World, settings: Any) -> None:
    run, token = world.run(), uuid.uuid4()
    claimed = execution.claim(run.pk, token)
    assert claimed is not None
    assert execution.renew(run.pk, token, {"stage": "latency", "done": 1, "total": 2, "message": "m"}) is Held.HELD
    row = Run.objects.get(pk=run.pk)
    assert row.lease_until is not None
    assert claimed.lease_until is not None
    assert row.lease_until > claimed.lease_until
    assert row.progress["stage"] == "latency"
    services.cancel_run(actor=world.cast.ada, run=claimed)
    assert execution.renew(run.pk, token, None) is Held.CANCELLED
    assert Run.objects.get(pk=run.pk).progress["stage"] == "latency"
