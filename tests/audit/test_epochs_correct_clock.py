"""`correct_clock`: the one entry whose time may be before that of the entry before it, on both databases."""

from __future__ import annotations

import datetime
import uuid

import pytest
from django.db import connection

from audit import keeper, ledger
from audit.models import Entry, Tick
from audit.services_interventions import correct_clock
from audit.verification import replay
from registry.digests import canonical, parse_canonical, time_text
from registry.errors import Conflict, Forbidden
from registry.events import emit, unit
from tests.audit.acts import act, last_event, rows_of
from tests.world import World
from tests.worlds.audit import rewrite_entry, tamper

pytestmark = pytest.mark.db_guarantee
AHEAD = datetime.timedelta(days=365)


@pytest.fixture
def stuck(world: World) -> World:
    """The clock was a year ahead for one act; since then every entry carries that time."""
    world.second_administrator()
    act(world, "ahead")
    row = Entry.objects.order_by("-position")[0]
    wrong = time_text(datetime.datetime.now(datetime.UTC) + AHEAD)
    rewrite_entry(row.position, row.at.encode(), wrong.encode(), leaf=True)
    tamper("audit_entry", "UPDATE audit_entry SET at = %s WHERE position = %s", [wrong, row.position])
    return world


def at_of(position: int) -> str:
    return Entry.objects.get(position=position).at


def now_text() -> str:
    return time_text(datetime.datetime.now(datetime.UTC))


def test_entries_are_stuck_at_the_time_that_the_clock_once_had(stuck: World) -> None:
    first, second = act(stuck, "one").positions[0], act(stuck, "two").positions[0]
    assert at_of(first) == at_of(second) > now_text()
    assert ledger.seconds_ahead() > 300 * 24 * 3600


def test_the_correction_is_one_entry_with_both_times_and_both_administrators(stuck: World) -> None:
    old = at_of(Entry.objects.count() - 1)
    done = stuck.correct_clock()
    event = last_event()
    assert (event["kind"], len(event["records"])) == ("ledger.clock_corrected", 2)
    row = rows_of(event, "audit.intervention/1")[0]
    assert (row["old_at"], row["agreed_by_id"]) == (old, str(stuck.second_administrator().pk))
    assert row["new_at"] <= at_of(Entry.objects.count() - 1) <= now_text()
    assert done.kind == "clock_corrected"
    assert replay.compare() == []


def test_after_the_correction_time_goes_on_from_there(stuck: World) -> None:
    stuck.correct_clock()
    corrected = at_of(Entry.objects.count() - 1)
    following = [at_of(act(stuck, f"team-{number}").positions[0]) for number in range(3)]
    assert [corrected, *following] == sorted([corrected, *following])
    assert following[-1] <= now_text()
    assert ledger.seconds_ahead() == 0


def test_no_other_event_takes_time_back(stuck: World) -> None:
    stuck.rotate_keys()
    assert at_of(Entry.objects.count() - 1) > now_text()


def test_a_correction_beside_another_event_takes_no_time_back(stuck: World) -> None:
    from registry.access.models import Team

    team = stuck.cast.team
    with unit(stuck.cast.root, role="administrator") as opened:
        emit("ledger.clock_corrected", team, team=team.pk)
        other = Team.objects.create(slug="beside", created_at=opened.now)
        emit("team.created", other, team=other.pk)
    assert {at_of(position) > now_text() for position in opened.positions} == {True}


def test_a_word_in_an_event_is_not_its_kind(stuck: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may call the append with bytes of their own gets no other time: the kind is read where the kind stands."""
    event = parse_canonical(bytes(Entry.objects.get(position=1).entry))["event"]
    event["refs"] = [{"digest": "sha256:" + "0" * 64, "name": '"kind":"ledger.clock_corrected"', "size_bytes": 1}]
    before = at_of(Entry.objects.count() - 1)
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no function of its own to call")
    with connection.cursor() as cursor:
        for payload in (canonical(event), canonical({"v": 1})):
            cursor.execute(
                "SELECT out_at FROM pressmark_append(%s::text[], %s::text[])", [["instance"], [payload.decode()]]
            )
            assert cursor.fetchone()[0] == before


def test_a_clock_that_is_not_behind_is_not_corrected(world: World) -> None:
    size = Entry.objects.count()
    with pytest.raises(Conflict, match="nothing to set right"):
        world.correct_clock()
    assert Entry.objects.count() == size + 2  # the second administrator, and nothing else


def test_one_administrator_is_not_enough(stuck: World) -> None:
    with pytest.raises(Forbidden, match="different"):
        correct_clock(actor=stuck.cast.root, agreed_by=stuck.cast.people["root"], reason="It was wrong.")
    with pytest.raises(Forbidden, match="no administrator"):
        correct_clock(actor=stuck.cast.root, agreed_by=stuck.cast.people["ada"], reason="It was wrong.")


def test_the_health_page_says_that_entries_are_ahead(stuck: World) -> None:
    from django.test import Client

    said = " ".join(Client().get("/health/").json()["troubles"])
    assert "ahead of the clock" in said
    assert "correct-clock" in said
    stuck.correct_clock()
    assert "ahead of the clock" not in " ".join(Client().get("/health/").json()["troubles"])


def test_loops_of_the_keeper_that_ran_in_the_future_run_on_once_the_clock_is_right(world: World) -> None:
    keeper.prepare()
    future = datetime.datetime.now(datetime.UTC) + AHEAD
    Tick.objects.update(last_run_at=future, locked_until=future)
    for spec in keeper.TICKS:
        assert keeper.turn(spec, uuid.uuid4())
        assert not keeper.turn(spec, uuid.uuid4())  # and its next turn is not due yet
