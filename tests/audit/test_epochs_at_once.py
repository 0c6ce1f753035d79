"""Keys are rotated while others write: every receipt is signed by the key of its own position, and nothing is lost."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from audit import checkpoints, eras
from audit.models import Entry
from audit.verification import replay
from registry.access.models import Team
from registry.events import emit, unit
from tests.world import Cast, World
from tests.worlds.audit import restore_keys_note

pytestmark = pytest.mark.db_guarantee
WRITERS, UNITS, ROTATIONS = 4, 12, 4


class Hand(threading.Thread):
    """Does something several times, and keeps what it got or what went wrong."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(name=name)
        self.world = world
        self.receipts: list[str | None] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:
            self.failure = error
        finally:
            connections["default"].close()

    def work(self) -> None:
        for number in range(UNITS):
            with unit(self.world.cast.root, role="administrator") as opened:
                team = Team.objects.create(slug=f"{self.name}-{number}", created_at=opened.now)
                emit("team.created", team, team=team.pk)
            self.receipts.append(opened.receipt)


class Administrator(Hand):
    def work(self) -> None:
        for _ in range(ROTATIONS):
            self.world.rotate_keys()


@pytest.mark.usefixtures("committed_db")
def test_every_receipt_is_signed_by_the_key_of_its_position_while_keys_are_rotated() -> None:
    world = World(Cast.assemble())
    restore_keys_note()
    hands = [Hand(world, f"writer{number}") for number in range(WRITERS)] + [Administrator(world, "administrator")]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    assert [hand.failure for hand in hands if hand.failure] == []
    found = eras.read()
    assert [era.kind for era in found] == ["ledger.created"] + ["key.rotated"] * ROTATIONS
    receipts = [receipt for hand in hands for receipt in hand.receipts]
    assert len(receipts) == WRITERS * UNITS
    opened = [eras.open_receipt(found, str(receipt).encode()) for receipt in receipts]
    assert len({receipt.first for receipt in opened}) == WRITERS * UNITS
    positions = Entry.objects.order_by("position").values_list("position", flat=True)
    assert list(positions) == list(range(Entry.objects.count()))
    signed = checkpoints.sign_next()
    assert signed is not None
    assert eras.open_checkpoint(found, signed.note.encode()).size == Entry.objects.count()
    assert replay.compare() == []


@pytest.mark.usefixtures("committed_db")
def test_two_administrators_who_rotate_at_the_same_moment_both_succeed() -> None:
    world = World(Cast.assemble())
    restore_keys_note()
    hands = [Administrator(world, "one"), Administrator(world, "two")]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    assert [hand.failure for hand in hands if hand.failure] == []
    found = eras.read()
    assert len(found) == 1 + 2 * ROTATIONS
    assert all(era.vouched for era in found[1:])
