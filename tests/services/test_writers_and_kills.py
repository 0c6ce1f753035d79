"""A small share of the batteries `writers` and `kills`: real processes and real kills on both databases."""

from __future__ import annotations

import pytest

from tests.battery import kills, writers
from tests.bench.harness import Row

pytestmark = pytest.mark.slow


def failed(rows: list[Row]) -> list[str]:
    assert rows
    return [f"{row.what}: {row.value}, must be {row.target}" for row in rows if row.holds is not True]


@pytest.mark.long
def test_eight_writers_that_wait_for_each_other_lose_nothing() -> None:
    assert failed(writers.run(small=True)) == []


@pytest.mark.long
def test_writers_and_keepers_that_are_killed_lose_nothing_that_was_told() -> None:
    assert failed(kills.killed(kills.SMALL)) == []


def test_a_server_that_crashes_loses_nothing_that_was_told() -> None:
    assert failed(kills.server_stopped(kills.SMALL)) == []
