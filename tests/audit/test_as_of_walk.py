"""As of each moment, the ledger gives what the tables gave at that moment: a random walk, and every stop of it asked again."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from audit.history.answers import model_as_of
from audit.history.changes import changes
from audit.models import Entry
from tests.audit.walking import Stop, Walk, said
from tests.world import World
from tests.worlds.audit import tamper

pytestmark = pytest.mark.db_guarantee
ACTS = 45
"""Of one walk; `tests.battery.as_of` goes ten of 200."""


def ask(walk: Walk, **query: str) -> dict[str, Any]:
    return model_as_of(walk.cast.ada, walk.model, query)


def test_every_stop_of_a_random_walk_is_found_again_from_entries_alone(world: World) -> None:
    walk = Walk(world, 1)
    stops = walk.go(ACTS)
    assert len(Counter(stop.act for stop in stops)) >= 12, "the walk goes too narrow a way"
    for number, stop in enumerate(stops):
        place = f"stop {number} ({stop.act}), position {stop.position}"
        by_time = ask(walk, at=stop.read_at)
        assert by_time["as_of"]["position"] == stop.position, place
        assert said(by_time) == stop.truth, f"{place}, asked by time"
        if stop.timely:
            by_position = ask(walk, position=str(stop.position))
            assert by_position["as_of"]["time"] == stop.sealed_at
            assert said(by_position) == stop.truth, f"{place}, asked by position"
    words = {row["word"] for stop in stops for row in stop.truth["approvals"].values()}
    assert len(words) >= 3, words
    an_act_changes_something_and_no_act_changes_nothing(walk, stops[:20])
    entries_are_all_that_is_read(walk, stops[-1])


def an_act_changes_something_and_no_act_changes_nothing(walk: Walk, stops: Sequence[Stop]) -> None:
    answers = [ask(walk, position=str(stop.position)) for stop in stops]
    for (before, was), (after, now) in itertools.pairwise(zip(stops, answers, strict=True)):
        found = changes(was, now)
        if before.timely and after.timely:
            assert bool(found) == (before.truth != after.truth), f"{after.act}: {found}"
    assert changes(answers[0], answers[0]) == []


def entries_are_all_that_is_read(walk: Walk, stop: Stop) -> None:
    """The tables of the rooms are emptied behind the guards' back, and history still knows."""
    for table in ("release_decision", "release_assignment", "catalog_evidence", "release_waiver"):
        tamper(table, f"DELETE FROM {table}")
    assert said(ask(walk, at=stop.read_at)) == stop.truth
    assert Entry.objects.count() == stop.position + 1
