"""As of each moment, the ledger gives what the tables gave at that moment: a random walk, and every stop of it asked again."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from audit.history.answers import model_as_of
from audit.history.changes import changes
from audit.models import Entry
from tests.audit.walking import Walk, said
from tests.world import World

pytestmark = pytest.mark.db_guarantee
ACTS = 45


def ask(walk: Walk, **query: str) -> dict[str, Any]:
    return model_as_of(walk.cast.ada, walk.model, query)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_stop_of_a_random_walk_is_found_again(world: World, seed: int) -> None:
    walk = Walk(world, seed)
    stops = walk.go(ACTS)
    assert len(Counter(stop.act for stop in stops)) >= 12, "the walk goes too narrow a way"
    for number, stop in enumerate(stops):
        place = f"seed {seed}, stop {number} ({stop.act}), position {stop.position}"
        by_time = ask(walk, at=stop.read_at)
        assert by_time["as_of"]["position"] == stop.position, place
        assert said(by_time) == stop.truth, f"{place}, asked by time"
        if stop.timely:
            by_position = ask(walk, position=str(stop.position))
            assert by_position["as_of"]["time"] == stop.sealed_at
            assert said(by_position) == stop.truth, f"{place}, asked by position"
    words = {row["word"] for stop in stops for row in stop.truth["approvals"].values()}
    assert len(words) >= 3, words


def test_an_act_changes_something_and_no_act_changes_nothing(world: World) -> None:
    walk = Walk(world, 4)
    stops = walk.go(30)
    first = ask(walk, position=str(stops[0].position))
    for before, after in itertools.pairwise(stops):
        found = changes(ask(walk, position=str(before.position)), ask(walk, position=str(after.position)))
        same = before.truth == after.truth
        if before.timely and after.timely:
            assert bool(found) == (not same), f"{after.act}: {found}"
    assert changes(first, first) == []


def test_entries_are_all_that_is_read(world: World) -> None:
    """The tables of the rooms are emptied behind the guards' back, and history still knows."""
    from tests.worlds.audit import tamper

    walk = Walk(world, 5)
    stop = walk.go(12)[-1]
    for table in ("release_decision", "release_assignment", "catalog_evidence", "release_waiver"):
        tamper(table, f"DELETE FROM {table}")
    assert said(ask(walk, at=stop.read_at)) == stop.truth
    assert Entry.objects.count() == stop.position + 1
