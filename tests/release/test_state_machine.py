"""The whole workflow of releases, at random, against a plain model of it: no illegal transition, and model = tables = ledger."""

from __future__ import annotations

import datetime
import importlib
import json
import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.release.governance_machine import Governance
from tests.release.governance_product import CLOCKS, Clock, Ground
from tests.world import World

RUNS = int(os.environ.get("PRESSMARK_TEST_MACHINE_RUNS", "14"))
STEPS = int(os.environ.get("PRESSMARK_TEST_MACHINE_STEPS", "30"))
SHRINK = (
    [Phase.shrink] if os.environ.get("PRESSMARK_TEST_MACHINE_SHRINK") else []
)  # one that fails may take minutes to shrink
REPORT = os.environ.get("PRESSMARK_TEST_MACHINE_REPORT", "")
EVERYDAY = "PRESSMARK_TEST_MACHINE_RUNS" not in os.environ


@pytest.fixture
def hand_moved_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever reads the clock in this process reads one that is moved by hand."""
    Clock.base = datetime.datetime.now(datetime.UTC)
    Clock.begin()
    for name in CLOCKS:
        real = vars(importlib.import_module(name))["datetime"]
        moved = SimpleNamespace(**{k: getattr(real, k) for k in dir(real) if not k.startswith("__")})
        moved.datetime = Clock
        monkeypatch.setattr(f"{name}.datetime", moved)
    monkeypatch.setattr(timezone, "now", Clock.now)


def test_no_act_is_allowed_that_the_rules_forbid_and_none_is_refused_that_they_allow(
    hand_moved_clock: None, world: World
) -> None:
    Governance.ground = Ground(world)
    Clock.base = Clock.now()  # each run begins after what all of them begin from
    Governance.tried, Governance.done, Governance.words = Counter(), Counter(), Counter()
    every = settings(
        max_examples=RUNS, stateful_step_count=STEPS, deadline=None, database=None, derandomize=EVERYDAY,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, *SHRINK], print_blob=True,
    )  # fmt: skip
    run_state_machine_as_test(Governance, settings=every)
    tried, done = Governance.tried, Governance.done
    if REPORT:
        Path(REPORT).write_text(json.dumps({"tried": tried, "done": done, "words": Governance.words}, indent=1))
    if not EVERYDAY:  # the battery looks at all of its runs together
        return
    usual = {"register", "request", "grant", "promote", "suspend", "roll_back", "break_glass", "waive", "change_policy"}
    assert not [name for name in usual if done[name] == 0], "acts that were never once allowed show nothing"
    assert set(Governance.words) >= {"requested", "granted", "stale"}
