"""The append when things go wrong around it: clocks, sizes, characters, a second birth, an older snapshot."""

from __future__ import annotations

import datetime
import json

import pytest
from django.db import connection

from audit.models import Entry
from registry.access.models import Team
from registry.access.services import new_text
from registry.digests import canonical, parse_canonical, time_text
from registry.errors import Conflict
from registry.events import MAX_EVENTS_PER_UNIT, UnitError, emit, unit
from tests.world import Cast

pytestmark = pytest.mark.db_guarantee
FUTURE = time_text(datetime.datetime(2999, 1, 1, tzinfo=datetime.UTC))


def last() -> Entry:
    return Entry.objects.order_by("-position")[0]


def change_team(cast: Cast) -> Entry:
    with unit(cast.root, role="administrator"):
        emit("team.changed", cast.team, team=cast.team.pk)
    return last()


def test_a_clock_that_went_back_stamps_the_time_of_the_entry_before(cast: Cast) -> None:
    before = last()
    Entry.objects.create(
        position=before.position + 1, stream="instance", stream_seq=10_000, at=FUTURE, entry=b"{}", leaf=b"\0" * 32
    )
    after = change_team(cast)
    assert (after.position, after.at) == (before.position + 2, FUTURE)
    assert json.loads(bytes(after.entry))["at"] == FUTURE


def test_a_unit_of_ten_thousand_events_stands_whole_and_in_order(cast: Cast) -> None:
    first = last().position + 1
    with unit(cast.root, role="administrator") as opened:
        ids = [emit("team.changed", cast.team, team=cast.team.pk) for _ in range(MAX_EVENTS_PER_UNIT)]
        with pytest.raises(UnitError, match="at most 10000 events"):
            emit("team.changed", cast.team, team=cast.team.pk)
        opened.events.pop()
    assert list(opened.positions) == list(range(first, first + MAX_EVENTS_PER_UNIT))
    rows = list(Entry.objects.filter(position__gte=first).order_by("position"))
    assert [row.stream_seq for row in rows] == list(range(rows[0].stream_seq, rows[0].stream_seq + len(rows)))
    assert [json.loads(bytes(row.entry))["event"]["id"] for row in rows] == [str(event_id) for event_id in ids]
    assert opened.receipt is not None


def test_quotes_percent_signs_and_backslashes_are_sealed_as_they_are(cast: Cast) -> None:
    odd = "it's \\ \\x00 \"100%\" %s {x} $1 E'\\n'"
    with unit(cast.root, role="administrator") as opened:
        text = new_text(stream=f"team:{cast.team.pk}", purpose=odd, value="v", now=opened.now)
        emit("text.written", text, team=None)
        sealed = opened.events[0].payload
    data = bytes(last().entry)
    assert sealed in data
    assert canonical(parse_canonical(data)) == data
    assert json.loads(data)["event"]["records"][0]["row"]["purpose"] == odd


def test_a_ledger_is_born_once(cast: Cast) -> None:
    size = last().position
    with pytest.raises(Conflict, match="a ledger already"), unit(cast.root, role="administrator"):
        emit("ledger.created", cast.team, team=None)
    assert last().position == size


def test_an_act_that_fails_after_its_events_leaves_the_numbers_as_they_were(cast: Cast) -> None:
    before = last()
    for _ in range(3):
        with pytest.raises(RuntimeError), unit(cast.root, role="administrator") as opened:
            emit("team.changed", cast.team, team=cast.team.pk)
            opened.must_begin_at = before.position + 100
        assert opened.receipt is None
    after = change_team(cast)
    assert after.position == before.position + 1


@pytest.mark.skipif("connection.vendor != 'sqlite'")
def test_on_sqlite_an_append_is_one_look_and_one_insert_for_each_event(cast: Cast) -> None:
    said: list[str] = []
    with unit(cast.root, role="administrator"):
        for _ in range(3):
            emit("team.changed", cast.team, team=cast.team.pk)
        connection.connection.set_trace_callback(said.append)
    connection.connection.set_trace_callback(None)
    said = list(dict.fromkeys(said))  # a table with a trigger reports each row twice
    statements = [s.split()[0] for s in said if not s.startswith(("--", "RELEASE", "COMMIT", "SAVEPOINT"))]
    assert statements == ["SELECT", "INSERT", "INSERT", "INSERT"]


def test_a_team_is_what_it_was_when_its_unit_is_refused(cast: Cast) -> None:
    with pytest.raises(UnitError), unit(cast.root, role="administrator") as opened:
        Team.objects.create(slug="unsealed", created_at=opened.now)
        emit("team.created", cast.team, cast.team, team=None)
    assert not Team.objects.filter(slug="unsealed").exists()
