"""After every act on the ledger itself, and after every way back from a loss, `verify-ledger` finds nothing wrong."""

from __future__ import annotations

import pytest

from audit import keys
from audit.verification import replay, verify_ledger
from tests.audit.acts import act, lost_checkpoint, write_outside
from tests.world import World

pytestmark = pytest.mark.db_guarantee


def is_whole(world: World, slug: str = "last") -> None:
    act(world, slug)
    world.checkpoint()
    report = verify_ledger.verify(key_lines=[keys.log_signer().key_line])
    assert [str(flaw) for flaw in report.flaws] == []
    assert replay.compare() == []


def test_after_rotations_and_a_revocation(world: World) -> None:
    for number in range(2):
        world.rotate_keys()
        world.checkpoint()
        act(world, f"team-{number}")
    world.revoke_keys()
    is_whole(world)


def test_after_a_restored_backup(world: World) -> None:
    world.checkpoint()
    act(world, "more")
    write_outside(lost_checkpoint(keys.log_signer(), 3))
    write_outside(lost_checkpoint(keys.log_signer(), 7))
    world.reopen_ledger()
    is_whole(world)


def test_after_a_machine_was_lost_with_its_keys(world: World) -> None:
    world.second_administrator()
    world.checkpoint()
    write_outside(lost_checkpoint(keys.log_signer(), 50))
    write_outside(lost_checkpoint(keys.log_signer(), 60))
    for path in keys.folder().iterdir():
        path.unlink()
    keys.forget()
    world.revoke_keys()
    world.reopen_ledger()
    is_whole(world)


def test_after_a_copy_was_made(world: World) -> None:
    world.checkpoint()
    world.reopen_ledger(copied=True)
    is_whole(world)


def test_after_a_copy_of_what_was_never_signed(world: World) -> None:
    world.reopen_ledger(copied=True)
    is_whole(world)


def test_after_a_ledger_was_reopened_twice(world: World) -> None:
    for number in range(2):
        world.checkpoint()
        write_outside(lost_checkpoint(keys.log_signer(), 10))
        world.reopen_ledger()
        act(world, f"team-{number}")
    is_whole(world)
