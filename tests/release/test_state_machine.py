"""The whole workflow of releases, at random, against a plain model of it: no illegal transition, and model = tables = ledger."""

from __future__ import annotations

import datetime
import importlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.release.governance_machine import Governance
from tests.release.governance_product import CLOCKS, Clock, Ground
from tests.release.governance_records import NEVER_REFUSED
from tests.world import World

RUNS = int(os.environ.get("PRESSMARK_TEST_MACHINE_RUNS", "100"))
STEPS = int(os.environ.get("PRESSMARK_TEST_MACHINE_STEPS", "30"))
SHRINK = (
    [Phase.shrink] if os.environ.get("PRESSMARK_TEST_MACHINE_SHRINK") else []
)  # one that fails may take minutes to shrink
SEED = int(os.environ.get("PRESSMARK_TEST_MACHINE_SEED", "0"))
REPORT = os.environ.get("PRESSMARK_TEST_MACHINE_REPORT", "")
EVERYDAY = "PRESSMARK_TEST_MACHINE_RUNS" not in os.environ
OFTEN = ("request", "grant", "promote", "roll_back", "correct", "measure", "suspend", "break_glass", "waive")
"""Acts that 100 runs always allow and refuse somewhere; the battery asks that of every act, over all of its runs."""


@pytest.fixture
def hand_moved_clock(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever reads the clock in this process reads one that is moved by hand."""
    Clock.base = datetime.datetime.now(datetime.UTC)
    Clock.begin()
    for name in CLOCKS:
        real = vars(importlib.import_module(name))["datetime"]
        moved = SimpleNamespace(**{k: getattr(real, k) for k in dir(real) if not k.startswith("__")})
        moved.datetime = Clock
        monkeypatch.setattr(f"{name}.datetime", moved)
    monkeypatch.setattr(timezone, "now", Clock.now)
    with _no_bound_ahead():
        yield


def _five_minutes_ahead(form: str, *now: str) -> str:
    return f"{datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5):{form}}"


@contextmanager
def _no_bound_ahead() -> Iterator[None]:
    """The database's clock is not moved by hand: to its guards, days of this process lie ahead as far as one likes."""
    connection.ensure_connection()
    if connection.vendor == "sqlite":
        connection.connection.create_function("strftime", 3, lambda *given: "9999")
        yield
        connection.connection.create_function(
            "strftime", 3, _five_minutes_ahead
        )  # None would not bring SQLite's own back
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE SCHEMA ahead; CREATE FUNCTION ahead.statement_timestamp() RETURNS timestamptz LANGUAGE sql "
            "AS $$ SELECT TIMESTAMPTZ 'infinity' $$; SET LOCAL search_path = ahead, public, pg_catalog"
        )
    yield  # schema and path go with the transaction of the test


@pytest.mark.slow
def test_no_act_is_allowed_that_the_rules_forbid_and_none_is_refused_that_they_allow(
    hand_moved_clock: None, world: World
) -> None:
    Governance.ground = Ground(world)
    Clock.base = Clock.now()  # each run begins after what all of them begin from
    Governance.tried, Governance.done, Governance.words = Counter(), Counter(), Counter()
    every = settings(
        max_examples=RUNS, stateful_step_count=STEPS, deadline=None, database=None, derandomize=not SEED,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, *SHRINK], print_blob=True,
    )  # fmt: skip
    if SEED:
        seed(SEED)(Governance)
    run_state_machine_as_test(Governance, settings=every)
    tried, done = Governance.tried, Governance.done
    if REPORT:
        Path(REPORT).write_text(json.dumps({"tried": tried, "done": done, "words": Governance.words}, indent=1))
    if not EVERYDAY:  # the battery looks at all of its runs together
        return
    assert not [name for name in OFTEN if done[name] == 0], "acts that were never once allowed show nothing"
    assert not [name for name in OFTEN if done[name] == tried[name] and name not in NEVER_REFUSED], (
        "nor those never refused"
    )
