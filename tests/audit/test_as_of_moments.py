"""Which entry was the last one at a moment: by time, by position, across a clock that was set back, and what is no moment."""

from __future__ import annotations

import datetime
import random

import pytest
from django.utils import timezone

from audit.history import moments
from audit.history import steps as history_steps
from audit.models import Entry
from registry.digests import parse_time, time_text
from registry.errors import Conflict, Invalid
from tests.world import World
from tests.worlds.audit import rewrite_entry, tamper

pytestmark = pytest.mark.db_guarantee
MICROSECOND = datetime.timedelta(microseconds=1)


def by_reading_all(time: str) -> int:
    """The rule of FORMATS section 4, word for word."""
    return max(position for position, at in Entry.objects.values_list("position", "at") if at <= time)


def test_as_of_a_time_is_the_highest_position_whose_time_is_not_later(world: World) -> None:
    world.teams(20)
    times = sorted(Entry.objects.values_list("at", flat=True))
    for time in times:
        for shift in (-MICROSECOND, datetime.timedelta(0), MICROSECOND):
            asked = parse_time(time) + shift
            if asked >= parse_time(times[0]):
                assert moments.as_of_time(asked).position == by_reading_all(time_text(asked))


def test_a_clock_that_was_set_back_does_not_hide_entries(world: World) -> None:
    """Times as they stand after a year ahead, and a correction; then everything asked again, entry by entry."""
    world.second_administrator()
    world.teams(3)
    last = Entry.objects.order_by("-position")[0]
    wrong = time_text(timezone.now() + datetime.timedelta(days=365))
    rewrite_entry(last.position, last.at.encode(), wrong.encode(), leaf=True)
    tamper("audit_entry", "UPDATE audit_entry SET at = %s WHERE position = %s", [wrong, last.position])
    stuck = [world.person(name) for name in ("anna", "berta")]
    world.correct_clock()
    corrected = Entry.objects.order_by("-position")[0]
    world.person("after")
    assert Entry.objects.filter(at=wrong).count() == 1 + len(stuck)
    now = time_text(timezone.now())
    for time in [*Entry.objects.filter(at__lte=now).values_list("at", flat=True), now]:
        assert moments.as_of_time(parse_time(time)).position == by_reading_all(time)
    just_before = parse_time(corrected.at) - MICROSECOND
    assert moments.as_of_time(just_before).position < last.position


def test_random_times_agree_with_reading_all(world: World) -> None:
    world.story()
    begin, end = (parse_time(t) for t in (Entry.objects.get(position=0).at, Entry.objects.order_by("-position")[0].at))
    dice = random.Random(3)
    for _ in range(200):
        asked = begin + (end - begin) * dice.random()
        assert moments.as_of_time(asked).position == by_reading_all(time_text(asked))


def test_a_position_inside_an_act_stands_for_the_whole_act(world: World) -> None:
    parent = world.parent_version()
    world.promoted(parent)
    unit = list(Entry.objects.order_by("-position")[:3])  # the verdict, the alias and the promotion are one act
    last = unit[0].position
    for entry in unit:
        found = moments.resolve(position=str(entry.position))
        assert (found.position, found.time) == (last, unit[0].at)
        inside = f" Position {entry.position} stands inside an act that ends at {last}; acts count whole."
        assert found.sentence.endswith(inside) is (entry.position < last)
    assert moments.before_act(last) == last - 3
    assert moments.resolve(position=str(last - 3)).position == last - 3
    assert moments.before_act(0) is None


def test_the_answer_says_that_the_last_moment_is_open(world: World) -> None:
    now = moments.resolve()
    assert now.is_open
    assert "open" in now.sentence
    earlier = moments.resolve(position=str(now.last - 1))
    assert not earlier.is_open
    assert earlier.sentence == (
        f"As of position {now.last - 1} of {now.last}, {moments.readable(earlier.time)}, read from the ledger."
    )


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-03-01", "2026-03-01T00:00:00.000000Z"),
        ("2026-03-01T12:30", "2026-03-01T12:30:00.000000Z"),
        ("2026-03-01 12:30:05", "2026-03-01T12:30:05.000000Z"),
        ("2026-03-01T12:30:05.25Z", "2026-03-01T12:30:05.250000Z"),
        ("2026-03-01T12:30:05+02:00", "2026-03-01T10:30:05.000000Z"),
        ("2026-03-01T00:30-01:30", "2026-03-01T02:00:00.000000Z"),
    ],
)
def test_times_are_utc_whatever_zone_they_are_written_in(text: str, meant: str) -> None:
    assert time_text(moments.parse_moment(text)) == meant


@pytest.mark.parametrize(
    "text",
    ["yesterday", "01.03.2026", "2026-13-01", "2026-03-01T25:00", "2026-03-01T12", "2026-03-01T12:00+99:00", "20260301",
     "2026-03-01T12:00 +02:00", "0001-01-01T00:00+14:00", "1e9", "2026-03-01T12:00:00.1234567", "٢٠٢٦-٠٣-٠١", "\x00"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        moments.parse_moment(text)
    assert "is no time" in refused.value.detail
    assert "2026-03-01T12:00:00Z" in refused.value.hint


def test_the_future_and_what_was_before_the_ledger_are_refused_with_the_reason(world: World) -> None:
    with pytest.raises(Invalid, match="lies in the future"):
        moments.resolve(at=time_text(timezone.now() + datetime.timedelta(minutes=1)))
    with pytest.raises(Invalid, match="The ledger begins at "):
        moments.resolve(at="1999-12-31")
    with pytest.raises(Invalid, match="not by both"):
        moments.resolve(at="2026-01-01", position="3")


@pytest.mark.parametrize("text", ["-1", "1.5", "x", "0x10", "१", "1" * 19])
def test_what_is_no_position_is_refused(world: World, text: str) -> None:
    with pytest.raises(Invalid, match="is no position"):
        moments.resolve(position=text)


def test_a_position_past_the_end_names_the_end(world: World) -> None:
    last = Entry.objects.count() - 1
    with pytest.raises(Invalid, match=f"The ledger ends at position {last}"):
        moments.resolve(position=str(last + 1))


def test_a_missing_entry_is_said_and_no_fault(world: World) -> None:
    world.teams(4)
    last = Entry.objects.count() - 1
    tamper("audit_entry", "DELETE FROM audit_entry WHERE position = %s", [last - 2])
    with pytest.raises(Conflict, match=f"position {last - 2} is missing"):
        moments.resolve(position=str(last - 2))


def test_steps_lead_through_every_act_of_a_stream_and_back(world: World) -> None:
    parent, _ = world.story()
    stream = f"model:{parent.model_id}"
    positions = list(Entry.objects.filter(stream=stream).order_by("position").values_list("position", flat=True))

    def seen(position: int) -> int:
        return sum(p <= position for p in positions)

    here: int | None = 0
    forth = []
    while here is not None:
        step = history_steps.around(stream, seen(here))
        here = None if step.forward is None else moments.resolve(position=str(step.forward)).position
        forth.append(here)
    ends = {moments.resolve(position=str(p)).position for p in positions}
    assert [p for p in forth if p is not None] == sorted(ends)
    here, back = Entry.objects.count() - 1, []
    while here is not None and seen(here):
        here = history_steps.around(stream, seen(here)).back
        back.append(here)
    assert back == sorted((moments.before_act(p) for p in ends), key=lambda p: -(p or 0))
