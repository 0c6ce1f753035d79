"""A decision and a move of an alias are answered once a signed checkpoint covers them, or as pending; they never fail for it."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit import checkpoints
from audit.models import Tick
from registry.access import services as access
from registry.events import Unit, covering, last_unit
from registry.release import services
from registry.release.models import Decision
from tests.world import World
from tests.worlds.http import api


@pytest.fixture
def keeper_nearby(db: None, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A keeper that signed a moment ago, and signs again while somebody waits; the waits that it saw."""
    Tick.objects.create(name=checkpoints.TICK, last_run_at=timezone.now(), last_error="")
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) % 3 == 0:
            checkpoints.sign_next()

    monkeypatch.setattr(checkpoints.time, "sleep", sleep)
    return waits


def grant(world: World) -> Any:
    approval = world.approval(world.parent_version())
    return api("omar").post(f"/api/v1/approvals/{approval.pk}/grant", {"reason": "Good."}, format="json")


def covered() -> int | None:
    """The size of the checkpoint that the last unit was told, if it asked for one."""
    unit = last_unit()
    assert unit is not None
    assert unit.awaited
    return unit.checkpoint


def test_a_granted_approval_is_answered_with_the_checkpoint_that_covers_it(
    world: World, keeper_nearby: list[float]
) -> None:
    answer = grant(world)
    assert answer.status_code == 201
    assert len(keeper_nearby) == 3
    assert int(answer["Pressmark-Checkpoint"]) == checkpoints.ledger_size()
    assert "Pressmark-Receipt" in answer


def test_promotion_roll_back_and_suspension_wait_too(world: World, keeper_nearby: list[float]) -> None:
    parent, _ = world.released_pair()
    assert covered() == checkpoints.ledger_size()
    services.roll_back(actor=world.cast.otto, model=parent.model, alias="production", reason="Answers moved.")
    assert covered() == checkpoints.ledger_size()
    services.suspend(actor=world.cast.otto, model=parent.model, alias="production", reason="Harm was reported.")
    assert covered() == checkpoints.ledger_size()


@pytest.mark.parametrize("trouble", ["never ran", "silent", "failing"])
def test_without_a_keeper_that_signs_nobody_waits_and_the_act_is_pending(
    world: World, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trouble != "never ran":
        last = timezone.now() - datetime.timedelta(seconds=60 if trouble == "silent" else 0)
        Tick.objects.create(name=checkpoints.TICK, last_run_at=last, last_error="refused" * (trouble == "failing"))
    monkeypatch.setattr(checkpoints.time, "sleep", lambda seconds: pytest.fail("it waits for nobody"))
    answer = grant(world)
    assert answer.status_code == 201
    assert answer["Pressmark-Checkpoint"] == "pending"


def test_a_keeper_that_is_too_slow_makes_it_pending_after_five_seconds(
    world: World, keeper_nearby: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(checkpoints.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    assert grant(world)["Pressmark-Checkpoint"] == "pending"
    assert checkpoints.WAIT_SECONDS <= clock[0] < checkpoints.WAIT_SECONDS + 1


def test_whatever_goes_wrong_while_waiting_never_fails_the_committed_act(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**kwargs: Any) -> int:
        raise RuntimeError("the network is gone")

    covering.connect(broken, sender=Unit)
    try:
        answer = grant(world)
    finally:
        covering.disconnect(broken, sender=Unit)
    assert answer["Pressmark-Checkpoint"] == "pending"
    assert Decision.objects.filter(kind="granted").count() == 1
    assert "waiting for its checkpoint failed" in caplog.text


def test_other_acts_wait_for_nobody(world: World, keeper_nearby: list[float]) -> None:
    keeper_nearby.clear()
    access.create_team(actor=world.cast.root, slug="vision")
    unit = last_unit()
    assert unit is not None
    assert not unit.awaited
    assert keeper_nearby == []


def test_a_page_says_which_checkpoint_covers_the_act_or_that_it_is_pending(
    world: World, keeper_nearby: list[float]
) -> None:
    parent, _ = world.released_pair()
    client = Client()
    client.force_login(world.cast.people["otto"])
    address = f"/models/{parent.model.team.slug}/{parent.model.slug}/aliases/production/suspend/"
    shown = client.post(address, {"reason": "Harm was reported."}, follow=True).content.decode()
    assert f"The signed checkpoint over {checkpoints.ledger_size()} entries covers it." in shown


def test_a_page_says_that_the_checkpoint_is_pending(world: World) -> None:
    parent, _ = world.released_pair()
    client = Client()
    client.force_login(world.cast.people["otto"])
    address = f"/models/{parent.model.team.slug}/{parent.model.slug}/aliases/production/suspend/"
    shown = client.post(address, {"reason": "Harm was reported."}, follow=True).content.decode()
    assert "Its checkpoint is pending." in shown
