"""The health page says in words what is wrong, and never what is stored."""

from __future__ import annotations

import datetime
import uuid

import pytest
from django.db import connection
from django.test import Client

from audit import checkpoints, keeper
from audit.models import Tick
from registry import guards
from tests.world import Cast


@pytest.fixture
def keeper_ran(cast: Cast) -> None:
    keeper.prepare()
    for spec in keeper.TICKS:
        assert keeper.turn(spec, uuid.uuid4())


def test_an_installation_in_order_is_ok(keeper_ran: None) -> None:
    answer = Client().get("/health/")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "troubles": [], "warnings": []})


def test_a_keeper_that_never_ran_is_said(cast: Cast) -> None:
    answer = Client().get("/health/")
    assert answer.status_code == 503
    assert "sign-checkpoint has never run" in " ".join(answer.json()["troubles"])


def test_a_keeper_that_stands_still_is_said(keeper_ran: None) -> None:
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
    Tick.objects.filter(name="reap-runs").update(last_run_at=then)
    assert "stood still" in Client().get("/health/").json()["troubles"][0]


def test_a_refused_ledger_is_said_and_the_other_loops_go_on(keeper_ran: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "ledger_size", lambda: 1)
    Tick.objects.update(last_run_at=None)
    for spec in keeper.TICKS:
        assert keeper.turn(spec, uuid.uuid4())
    answer = Client().get("/health/")
    assert answer.status_code == 503
    assert "LedgerRefused" in answer.json()["troubles"][0]
    assert len(answer.json()["troubles"]) == 1


def test_a_missing_guard_is_said(keeper_ran: None) -> None:
    on = " ON access_team" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER pressmark_guard_access_team_delete{on}")
    assert "1 guards" in Client().get("/health/").json()["troubles"][0]
    guards.install()


def test_two_keepers_do_not_take_the_same_turn(cast: Cast) -> None:
    keeper.prepare()
    spec = keeper.TICKS[0]
    assert keeper.turn(spec, uuid.uuid4())
    assert not keeper.turn(spec, uuid.uuid4())
