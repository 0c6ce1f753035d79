"""The file of checkpoints outside the database survives what disks and power do, and what two keepers do to each other."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from audit import checkpoints, notes, outside
from audit.models import Checkpoint, Tile
from audit.verification import verify_ledger
from registry.access import services as access
from tests.worlds.audit import AuditWorld


@pytest.fixture
def signed(house: AuditWorld) -> AuditWorld:
    """Two checkpoints were signed, and there is news."""
    for slug in ("one", "two", "three"):
        assert slug == "one" or checkpoints.sign_next() is not None
        access.create_team(actor=house.cast.root, slug=slug)
    return house


def file() -> Path:
    return outside.folder() / outside.FILE


def sizes() -> list[int]:
    return [notes.parse_checkpoint_body(notes.parse_note(note).text).size for note in outside.every()]


def half_of_the_next_line(length: int) -> None:
    with file().open("ab") as target:
        target.write(file().read_bytes().splitlines()[-1][:length])


@pytest.mark.parametrize("length", [1, 40, 41, 200, 300])
def test_what_a_power_cut_left_of_a_line_counts_as_nothing_and_is_cut_off(signed: AuditWorld, length: int) -> None:
    before = sizes()
    half_of_the_next_line(length)
    assert sizes() == before
    assert verify_ledger.verify().flaws == []
    checkpoints.demand_continuity()
    row = checkpoints.sign_next()
    assert row is not None
    assert sizes() == [*before, row.size]
    assert file().read_bytes().endswith(b"\n")
    assert verify_ledger.verify().flaws == []


def test_a_line_that_lacks_only_its_end_is_taken_for_signed(signed: AuditWorld) -> None:
    before = sizes()
    file().write_bytes(file().read_bytes().rstrip(b"\n"))
    assert sizes() == before
    row = checkpoints.sign_next()
    assert row is not None
    assert sizes() == [*before, row.size]


def test_a_disk_that_is_full_in_the_middle_of_a_line_stops_nothing_for_good(
    signed: AuditWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        data = file().read_bytes()
        file().write_bytes(data[:-100])
        raise OSError(28, "No space left on device")

    before = sizes()
    with monkeypatch.context() as broken:
        broken.setattr("audit.outside.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            checkpoints.sign_next()
    assert sizes() == before
    assert checkpoints.sign_next() is not None
    assert len(sizes()) == len(before) + 1


def test_a_whole_line_that_is_damaged_is_refused_with_a_sentence(signed: AuditWorld) -> None:
    with file().open("ab") as target:
        target.write(b"%%%\n")
    with pytest.raises(
        checkpoints.LedgerRefused, match="The last checkpoint outside the database is not of this ledger"
    ):
        checkpoints.sign_next()


def test_a_keeper_that_slept_while_another_signed_on_writes_nothing_behind_it(
    signed: AuditWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = outside.append

    def after_a_long_sleep(note: bytes) -> bool:
        monkeypatch.setattr(outside, "append", append)
        access.create_team(actor=signed.cast.root, slug="four")
        assert checkpoints.sign_next() is not None
        return append(note)

    monkeypatch.setattr(outside, "append", after_a_long_sleep)
    assert checkpoints.sign_next() is None
    assert sizes() == sorted(set(sizes()))
    latest = notes.parse_checkpoint_body(notes.parse_note(outside.read_latest()).text)
    assert latest.size == checkpoints.ledger_size() == sizes()[-1]


def test_a_file_that_was_set_back_is_signed_on_without_a_fault(signed: AuditWorld) -> None:
    row = checkpoints.sign_next()
    file().write_bytes(file().read_bytes().splitlines(keepends=True)[0])
    again = checkpoints.sign_next()
    assert row is not None
    assert again == row
    assert Checkpoint.objects.filter(size=row.size).count() == 1


def test_a_leaf_that_somebody_wrote_into_the_tiles_is_not_signed(signed: AuditWorld) -> None:
    assert checkpoints.sign_next() is not None
    before = sizes()
    tile = Tile.objects.filter(level=0).order_by("-index")[0]
    Tile.objects.filter(level=0, index=tile.index).update(hashes=bytes(tile.hashes) + b"\x07" * 32)
    with pytest.raises(checkpoints.LedgerRefused, match="The tree holds"):
        checkpoints.sign_next()
    assert sizes() == before


def test_the_newest_is_read_from_the_end_of_a_long_file(signed: AuditWorld) -> None:
    lines = file().read_bytes()
    file().write_bytes(lines * 300)
    assert file().stat().st_size > 2 * 64 * 1024
    assert outside.newest() == base64.b64decode(lines.splitlines()[-1])
    file().write_bytes(b"A" * 200_000 + b"\n")
    assert outside.newest() == outside.every()[-1]
