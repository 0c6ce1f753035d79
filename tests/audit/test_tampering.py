"""A small share of the battery: ten attacks on a growing ledger are caught and named, and clean ledgers are left in peace."""

from __future__ import annotations

import pytest

from tests.battery.tampering_attacks import ATTACKS
from tests.battery.tampering_trials import Trials
from tests.world import World

pytestmark = pytest.mark.db_guarantee
STEPS = 3


def test_ten_attacks_are_caught_and_clean_ledgers_are_not_complained_of(world: World) -> None:
    tally = Trials(world, seed=5).run(STEPS)
    assert tally.faults == []
    assert (tally.clean, tally.false_alarms) == (2 * STEPS, 0)
    assert tally.caught == tally.named == dict.fromkeys(ATTACKS, STEPS)


def test_an_attack_that_changes_nothing_counts_as_not_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The battery can fail: its judge is not content with anything."""
    monkeypatch.setitem(ATTACKS, "two rows swapped", lambda scene: scene.somewhere())
    tally = Trials(world, seed=5).run(1)
    assert tally.caught["two rows swapped"] == 0
    assert len(tally.faults) == 1
