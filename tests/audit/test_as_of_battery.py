"""A small share of the battery of history: its rows hold, and it counts what it asks."""

from __future__ import annotations

import pytest

from tests.battery import as_of


@pytest.mark.long
@pytest.mark.slow
def test_the_small_share_of_the_battery_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(as_of, "SMALL_WALKS", 1)
    monkeypatch.setattr(as_of, "SMALL_ACTS", 12)
    monkeypatch.setattr(as_of, "SMALL_ENTRIES", 2_000)
    rows = {row.id: row for row in as_of.run(small=True)}
    assert [row.id for row in rows.values() if not row.holds] == []
    assert rows["as-of-walks"].n >= 12
    assert {"as-of-model-p50", "as-of-model-p99", "as-of-team-p50", "as-of-team-p99"} <= set(rows)
