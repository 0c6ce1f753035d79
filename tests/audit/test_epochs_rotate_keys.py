"""`rotate_keys`: new keys from a position on, vouched for by the old ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from audit import checkpoints, eras, keys, notes
from audit.models import Entry, Intervention, Key
from audit.services_interventions import rotate_keys
from audit.signing import Signer, issuer_name
from audit.verification import replay
from registry.errors import Forbidden, Invalid, Unavailable
from registry.events import Unit, unit
from registry.storage import read_bytes
from tests.audit.acts import act, files, last_event, receipt_of, rows_of
from tests.world import World

pytestmark = pytest.mark.db_guarantee


def test_a_rotation_is_one_entry_that_names_old_and_new_keys_and_its_own_position(world: World) -> None:
    size = Entry.objects.count()
    done = world.rotate_keys()
    assert Entry.objects.count() == size + 1
    event = last_event()
    assert (event["kind"], event["actor"]["role"]) == ("key.rotated", "administrator")
    rows = rows_of(event, "audit.key/1")
    assert sorted((r["use"], r["first_position"], r["last_position"] or -1) for r in rows) == [
        ("issuer", 0, size - 1), ("issuer", size, -1), ("log", 0, size - 1), ("log", size, -1),
    ]  # fmt: skip
    assert all(r["revoked_at"] is None for r in rows)
    sealed = rows_of(event, "audit.intervention/1")[0]
    assert (sealed["kind"], sealed["done_by_id"]) == ("keys_rotated", str(world.cast.root.actor_id))
    assert done.reason.value == "It is time."
    assert replay.compare() == []


def test_the_keys_note_is_signed_by_the_old_and_the_new_keys(world: World) -> None:
    old = [keys.log_signer().public, keys.issuer_signer().public]
    world.rotate_keys()
    ref = next(ref for ref in last_event()["refs"] if ref["name"] == "keys")
    new = [keys.log_signer().public, keys.issuer_signer().public]
    assert {key.raw for key in old}.isdisjoint({key.raw for key in new})
    notes.parse_note(read_bytes(ref["digest"])).require(*old, *new)
    first, second = eras.read()
    assert (first.vouched, second.vouched, second.first) == (False, True, Entry.objects.count() - 1)


def test_the_next_receipt_is_signed_by_the_new_key_and_the_old_ones_still_hold(world: World) -> None:
    before = act(world, "before")
    old = keys.issuer_signer().public
    world.rotate_keys()
    after = act(world, "after")
    assert receipt_of(before).first == before.positions[0]
    assert receipt_of(after).first == after.positions[0]
    notes.open_receipt(str(before.receipt).encode(), old)
    with pytest.raises(notes.NoteError):
        notes.open_receipt(str(after.receipt).encode(), old)


def test_the_receipt_of_the_rotation_itself_is_signed_by_the_new_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Unit] = []

    @contextmanager
    def kept(*arguments: Any, **options: Any) -> Iterator[Unit]:
        with unit(*arguments, **options) as one:
            opened.append(one)
            yield one

    monkeypatch.setattr("audit.services_interventions.unit", kept)
    world.rotate_keys()
    receipt = notes.open_receipt(str(opened[0].receipt).encode(), keys.issuer_signer().public)
    assert receipt.first == Entry.objects.count() - 1


def test_the_next_checkpoint_is_signed_by_the_new_log_key(world: World) -> None:
    old = keys.log_signer().public
    first = world.checkpoint()
    world.rotate_keys()
    second = world.checkpoint()
    notes.open_checkpoint(first.note.encode(), old)
    notes.open_checkpoint(second.note.encode(), keys.log_signer().public)
    with pytest.raises(notes.NoteError):
        notes.open_checkpoint(second.note.encode(), old)
    act(world, "more")
    third = world.checkpoint()  # and the keeper goes on from what the new key signed
    assert eras.open_checkpoint(eras.read(), third.note.encode()).size == third.size


def test_a_checkpoint_over_entries_before_the_rotation_is_still_signed_by_the_old_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = keys.log_signer().public
    size = checkpoints.grow()
    world.rotate_keys()
    monkeypatch.setattr(checkpoints, "grow", lambda: size)  # a keeper that had read the ledger just before
    note = world.checkpoint().note.encode()
    assert notes.open_checkpoint(note, old).size == size
    assert eras.open_checkpoint(eras.read(), note).size == size


def test_keys_can_be_rotated_again_and_again(world: World) -> None:
    for number in range(3):
        world.rotate_keys()
        receipt_of(act(world, f"team-{number}"))
        world.checkpoint()
    found = eras.read()
    assert [era.kind for era in found] == ["ledger.created"] + ["key.rotated"] * 3
    assert all(era.vouched for era in found[1:])
    assert Key.objects.filter(last_position=None).count() == 2
    assert replay.compare() == []


@pytest.mark.parametrize("name", ["ada", "omar", "carla", "otto", "eve"])
def test_only_an_administrator_rotates_keys(world: World, name: str) -> None:
    with pytest.raises(Forbidden):
        rotate_keys(actor=getattr(world.cast, name), reason="Mine now.")
    assert files() == ["issuer.key", "log.key"]


def test_a_rotation_without_a_reason_is_refused_and_leaves_nothing(world: World) -> None:
    size = Entry.objects.count()
    with pytest.raises(Invalid, match="reason"):
        rotate_keys(actor=world.cast.root, reason="  ")
    assert (Entry.objects.count(), files()) == (size, ["issuer.key", "log.key"])
    assert not Intervention.objects.exists()


def test_a_rotation_that_fails_before_its_commit_leaves_the_old_keys_in_force(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = keys.issuer_signer().public
    position = Entry.objects.count()
    with monkeypatch.context() as broken:
        broken.setattr("audit.ledger._append_sqlite", _fail)
        broken.setattr("audit.ledger._append_postgres", _fail)
        with pytest.raises(RuntimeError):
            world.rotate_keys()
    assert f"log-{position}.key" in files()  # it was written, and signs nothing
    assert keys.issuer_signer().public == old
    opened = act(world, "after")
    assert opened.positions[0] == position
    notes.open_receipt(str(opened.receipt).encode(), old)
    notes.open_checkpoint(world.checkpoint().note.encode(), keys.log_signer(0).public)


def _fail(*arguments: Any) -> None:
    raise RuntimeError("the machine falls over")


def test_what_a_failed_attempt_left_at_the_same_position_is_no_obstacle(world: World) -> None:
    position = Entry.objects.count()
    origin = keys.log_signer().name
    Signer.generate(origin).save(keys.folder() / f"log-{position}.key")  # it died between its two files
    world.rotate_keys()
    assert [name for name in files() if "set-aside" in name] == [f"log-{position}.key.set-aside-1"]
    receipt_of(act(world, "after"))
    notes.open_checkpoint(world.checkpoint().note.encode(), eras.read()[-1].keys.log)


def test_a_key_file_that_no_entry_names_signs_nothing(world: World) -> None:
    old = keys.issuer_signer().public
    size = Entry.objects.count()
    for first in (size - 2, size + 1, 10**9):
        Signer.generate(issuer_name(keys.log_signer(0).name)).save(keys.folder() / f"issuer-{first}.key")
    for number in range(3):
        notes.open_receipt(str(act(world, f"team-{number}").receipt).encode(), old)
    assert keys.issuer_signer().public == old


def test_a_process_whose_folder_lacks_the_new_keys_signs_nothing_rather_than_wrongly(world: World) -> None:
    world.rotate_keys()
    first = eras.read()[-1].first
    (keys.folder() / f"issuer-{first}.key").rename(keys.folder() / "elsewhere")
    keys.forget()
    assert act(world, "unsigned").receipt is None
    with pytest.raises(Unavailable, match="cannot read key file"):
        keys.issuer_signer()


def test_a_process_that_never_sees_the_folder_change_notices_within_seconds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host with a copy of the folder: the new files never come, only the rows do."""
    seen = keys.folder()
    copy = seen.with_name("copy")
    copy.mkdir(mode=0o700)
    for name in files():
        (copy / name).write_bytes((seen / name).read_bytes())
        (copy / name).chmod(0o600)
    world.rotate_keys()
    monkeypatch.setattr(keys, "_TRUST_SECONDS", 0.0)
    monkeypatch.setattr(keys, "folder", lambda: copy)
    assert act(world, "unsigned").receipt is None


def test_a_key_file_that_was_exchanged_signs_nothing(world: World) -> None:
    path: Path = keys.folder() / "issuer.key"
    name = keys.issuer_signer().name
    path.unlink()
    Signer.generate(name).save(path)
    keys.forget()
    assert act(world, "unsigned").receipt is None
    with pytest.raises(Unavailable, match="is not the issuer key that the ledger names"):
        keys.issuer_signer()


def test_keys_of_a_ledger_that_is_refused_are_not_rotated(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.checkpoint()
    monkeypatch.setattr(checkpoints, "ledger_size", lambda: 2)
    with pytest.raises(checkpoints.LedgerRefused):
        world.rotate_keys()
    assert files() == ["issuer.key", "log.key"]


def test_a_rotation_without_the_old_key_names_the_way_out(world: World) -> None:
    (keys.folder() / "log.key").unlink()
    with pytest.raises(Unavailable) as refused:
        world.rotate_keys()
    assert "revoke-keys" in refused.value.hint
