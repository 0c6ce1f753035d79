"""What both databases promise: a notice lives and dies with the act that it tells, and one process alone sends it."""

from __future__ import annotations

import datetime
import threading
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections

from audit import ledger
from audit.positions import position_of
from registry.access.models import Actor
from registry.events import unit
from registry.notices import sending
from registry.notices.models import Outgoing
from registry.oversight import services as oversight
from tests.notices.servers import Mailbox
from tests.world import Cast, World

settled: list[None] = []
pytestmark = pytest.mark.db_guarantee
NOTICES = 40


@pytest.fixture
def world(committed_db: None, mailbox: Mailbox) -> World:
    """A world whose commits are real; ada has an address of mail."""
    made = World(Cast.assemble())
    made.policy()
    Actor.objects.filter(username="ada").update(email="ada@example.org")
    Outgoing.objects.all().delete()
    return made


def tell_ada(world: World, model: Any) -> None:
    oversight.open_finding(
        actor=world.cast.carla, stream=f"model:{model.pk}", team_id=world.team.pk, subject="s", description="d",
        owner=world.cast.people["ada"], due_on=datetime.date(2999, 1, 1),
    )  # fmt: skip


def test_nothing_is_told_of_an_act_that_the_database_refused(world: World) -> None:
    model = world.model()
    with pytest.raises(IntegrityError), unit(world.cast.carla):
        tell_ada(world, model)
        with connection.cursor() as cursor:  # what only COMMIT notices, or the check just before it
            cursor.execute("UPDATE oversight_finding SET owner_id = %s", ["01890a5dac96774bbcceb302099a8057"])
    assert Outgoing.objects.count() == 0
    tell_ada(world, model)
    assert Outgoing.objects.count() == 1


def test_what_is_told_is_seen_with_the_act_and_not_before(world: World) -> None:
    model = world.model()
    seen: list[int] = []

    def look() -> None:
        seen.append(Outgoing.objects.count())
        connections.close_all()

    with unit(world.cast.carla) as opened:
        tell_ada(world, model)
        opened.after_commit.append(lambda: seen.append(Outgoing.objects.count()))
        if connection.vendor == "postgresql":  # on SQLite a reader would see the same, from a file of its own
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
    assert seen[-1] == 1
    assert set(seen[:-1]) <= {0}


def test_of_several_senders_each_notice_is_claimed_by_one(world: World, mailbox: Mailbox) -> None:
    for _ in range(NOTICES):
        tell_ada(world, world.model())
    assert Outgoing.objects.count() == NOTICES
    begin = threading.Barrier(4)
    claimed: list[list[str]] = []

    def claim() -> None:
        begin.wait()
        claimed.append([row.pk for row in sending.claim(datetime.datetime.now(datetime.UTC))])
        connections.close_all()

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = [key for some in claimed for key in some]
    assert sorted(together) == sorted(Outgoing.objects.values_list("pk", flat=True))


def test_the_loop_of_the_keeper_sends_in_a_thread_of_its_own(world: World, mailbox: Mailbox) -> None:
    tell_ada(world, world.model())
    mailbox.holds_after_data = True
    sender = sending.Sender(position_of, lambda: settled.append(ledger.settle(connection)))
    settled.clear()
    began = datetime.datetime.now()
    sender.start()
    sender.start()  # one turn at a time
    assert (datetime.datetime.now() - began).total_seconds() < 1
    mailbox.release.set()
    assert sender._thread is not None
    sender._thread.join(20)
    assert Outgoing.objects.get().sent_at is not None
    assert len(mailbox.mails) == 1
    assert len(settled) == 1, "what is told is on disk"


def test_what_a_turn_failed_with_is_raised_by_the_next_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tell_ada(world, world.model())

    def broken(*args: object) -> int:
        raise RuntimeError("no room")

    monkeypatch.setattr(sending, "send_due", broken)
    sender = sending.Sender(position_of, lambda: settled.append(ledger.settle(connection)))
    sender.start()
    assert sender._thread is not None
    sender._thread.join(20)
    with pytest.raises(RuntimeError, match="no room"):
        sender.start()
