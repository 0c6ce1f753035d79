"""`reopen_ledger`: what may not be signed on goes on under a new origin, and seals where the old one ended."""

from __future__ import annotations

import shutil

import pytest
from django.conf import settings

from audit import checkpoints, eras, keys, notes
from audit.models import Entry, Ledger
from audit.services import make_keys, origin_of
from audit.services_interventions import reopen_ledger
from audit.signing import Signer
from audit.verification import replay
from registry.errors import Conflict, Forbidden, Invalid
from registry.storage import read_bytes
from tests.audit.acts import act, files, last_event, lost_checkpoint, receipt_of, rows_of, write_outside
from tests.conftest import INSTANCE
from tests.world import World

pytestmark = pytest.mark.db_guarantee
OLD, NEW = origin_of(INSTANCE, 1), origin_of(INSTANCE, 2)


@pytest.fixture
def cut(world: World) -> World:
    """A ledger as an old backup brings it back: three checkpoints are signed, the last one over entries that are lost."""
    world.checkpoint()
    act(world, "one")
    world.checkpoint()
    act(world, "two")
    write_outside(lost_checkpoint(keys.log_signer(), 40))
    with pytest.raises(checkpoints.LedgerRefused, match="a checkpoint over"):
        checkpoints.sign_next()
    return world


def sealed() -> dict:
    return rows_of(last_event(), "audit.intervention/1")[0]


def test_a_restored_ledger_goes_on_under_the_next_epoch(cut: World) -> None:
    size = Entry.objects.count()
    done = cut.reopen_ledger()
    event = last_event()
    assert (event["kind"], Entry.objects.count()) == ("ledger.reopened", size + 1)
    assert (done.old_origin, done.old_size, done.agreed_size) == (OLD, size + 40, size - 1)
    assert done.old_root == "sha256:" + "07" * 32
    rows = sorted(rows_of(event, "audit.ledger/1"), key=lambda row: row["epoch"])
    assert [(r["origin"], r["epoch"], r["ended_at"] is None) for r in rows] == [(OLD, 1, False), (NEW, 2, True)]
    assert rows[1]["instance"] == str(INSTANCE)
    assert replay.compare() == []


def test_the_reopening_seals_the_last_note_of_the_old_origin(cut: World) -> None:
    last = checkpoints.outside_notes()[-1]
    cut.reopen_ledger()
    refs = [ref for ref in last_event()["refs"] if ref["name"] == "checkpoint"]
    assert [read_bytes(ref["digest"]) for ref in refs] == [last]


def test_the_keys_before_vouch_for_those_of_a_restored_ledger(cut: World) -> None:
    old = [keys.log_signer().public, keys.issuer_signer().public]
    cut.reopen_ledger()
    found = eras.read()
    assert [(era.kind, era.origin, era.vouched) for era in found] == [
        ("ledger.created", OLD, False), ("ledger.reopened", NEW, True),
    ]  # fmt: skip
    notes.parse_note(found[-1].note).require(*old, keys.log_signer().public, keys.issuer_signer().public)


def test_the_keeper_signs_on_under_the_new_origin(cut: World) -> None:
    cut.reopen_ledger()
    receipt = receipt_of(act(cut, "after"))
    assert receipt.origin == NEW
    for number in range(2):
        signed = notes.open_checkpoint(cut.checkpoint().note.encode(), keys.log_signer().public)
        assert (signed.origin, signed.size) == (NEW, Entry.objects.count())
        act(cut, f"more-{number}")


def test_somebody_who_signs_on_under_the_old_origin_is_noticed(cut: World) -> None:
    old = keys.log_signer()
    cut.reopen_ledger()
    write_outside(lost_checkpoint(old, 60))
    with pytest.raises(checkpoints.LedgerRefused, match="this ledger goes on as"):
        checkpoints.sign_next()


def test_a_file_of_checkpoints_that_was_put_back_to_before_the_reopening_is_refused(cut: World) -> None:
    path = settings.PRESSMARK_CHECKPOINTS / checkpoints.FILE
    before = path.read_bytes()
    cut.reopen_ledger()
    cut.checkpoint()
    path.write_bytes(before)
    with pytest.raises(checkpoints.LedgerRefused, match="this ledger goes on as"):
        checkpoints.sign_next()


def test_a_file_of_checkpoints_that_is_lost_after_the_reopening_is_refused(cut: World) -> None:
    cut.reopen_ledger()
    cut.checkpoint()
    (settings.PRESSMARK_CHECKPOINTS / checkpoints.FILE).unlink()
    with pytest.raises(checkpoints.LedgerRefused, match="gone"):
        checkpoints.sign_next()


def test_a_history_that_grew_again_from_an_old_backup_agrees_with_what_is_below_the_fork(world: World) -> None:
    act(world, "one")
    agreed = world.checkpoint().size
    write_outside(notes.sign_checkpoint(keys.log_signer(), agreed + 2, b"\x09" * 32))  # then a backup was restored
    for number in range(4):
        act(world, f"again-{number}")
    with pytest.raises(checkpoints.LedgerRefused, match="another root"):
        checkpoints.sign_next()
    done = world.reopen_ledger()
    assert (done.old_size, done.agreed_size) == (agreed + 2, agreed)
    assert world.checkpoint().size == Entry.objects.count()


def test_a_ledger_is_reopened_twice(cut: World) -> None:
    cut.reopen_ledger()
    cut.checkpoint()
    write_outside(lost_checkpoint(keys.log_signer(), 10))
    with pytest.raises(checkpoints.LedgerRefused):
        checkpoints.sign_next()
    done = cut.reopen_ledger()
    assert done.old_origin == NEW
    assert cut.checkpoint().note.startswith(origin_of(INSTANCE, 3))
    assert [era.vouched for era in eras.read()] == [False, True, True]
    assert replay.compare() == []


def test_an_epoch_that_was_lost_is_never_used_again(world: World) -> None:
    """The backup is of before a reopening: its epoch 2 has signed already, so the ledger goes on as epoch 3."""
    first = world.checkpoint()
    lost, _ = make_keys(NEW, keys.folder(), 900)
    write_outside(lost_checkpoint(lost, 5))
    with pytest.raises(checkpoints.LedgerRefused, match="not of this ledger"):
        checkpoints.sign_next()
    done = world.reopen_ledger()
    assert Ledger.objects.get(ended_at=None).origin == origin_of(INSTANCE, 3)
    assert (done.old_origin, done.old_size, done.agreed_size) == (OLD, first.size, first.size)
    assert world.checkpoint().note.startswith(origin_of(INSTANCE, 3))


def test_a_rotation_that_was_lost_with_the_backup_still_tells_where_the_old_origin_ended(world: World) -> None:
    world.checkpoint()
    size = Entry.objects.count()
    lost, _ = make_keys(OLD, keys.folder(), size + 3)  # its entry is lost, its key files are still here
    write_outside(lost_checkpoint(lost, 9))
    with pytest.raises(checkpoints.LedgerRefused, match="not of this ledger"):
        checkpoints.sign_next()
    done = world.reopen_ledger()
    assert (done.old_size, done.agreed_size) == (size + 9, size)
    assert world.checkpoint().size == Entry.objects.count()


def test_a_note_by_nobody_is_sealed_but_not_believed(world: World) -> None:
    first = world.checkpoint()
    write_outside(lost_checkpoint(Signer.generate(OLD), 1000))
    done = world.reopen_ledger()
    assert done.old_size == first.size
    refs = [ref for ref in last_event()["refs"] if ref["name"] == "checkpoint"]
    assert len(refs) == 2
    assert world.checkpoint().size == Entry.objects.count()


def test_without_the_file_a_checkpoint_kept_elsewhere_says_where_the_old_origin_ended(world: World) -> None:
    first = world.checkpoint()
    size = Entry.objects.count()
    kept = lost_checkpoint(keys.log_signer(), 12)
    (settings.PRESSMARK_CHECKPOINTS / checkpoints.FILE).unlink()
    with pytest.raises(checkpoints.LedgerRefused, match="gone"):
        checkpoints.sign_next()
    done = world.reopen_ledger(given=[kept])
    assert (done.old_size, done.agreed_size) == (size + 12, first.size)
    assert world.checkpoint().size == Entry.objects.count()


def test_without_the_file_the_database_remembers_what_it_can(world: World) -> None:
    first = world.checkpoint()
    (settings.PRESSMARK_CHECKPOINTS / checkpoints.FILE).unlink()
    done = world.reopen_ledger()
    assert (done.old_size, done.agreed_size) == (first.size, first.size)
    assert world.checkpoint().size == Entry.objects.count()


@pytest.mark.parametrize("note", [b"", b"nothing", b"a\n1\nb\n"])
def test_what_is_no_checkpoint_is_not_taken_for_one(world: World, note: bytes) -> None:
    with pytest.raises(Invalid, match="no checkpoint"):
        world.reopen_ledger(given=[note])


def test_a_checkpoint_of_another_instance_is_not_taken(world: World) -> None:
    stranger = Signer.generate("pressmark/01890a5d-ac96-774b-bcce-b302099a8999/1")
    with pytest.raises(Invalid, match="is of pressmark/"):
        world.reopen_ledger(given=[lost_checkpoint(stranger, 1)])
    assert files() == ["issuer.key", "log.key"]


def test_a_checkpoint_of_an_origin_that_ended_says_nothing_about_the_present_one(world: World) -> None:
    early = world.checkpoint()
    world.reopen_ledger()
    world.checkpoint()
    with pytest.raises(Invalid, match=r"which ended when the ledger was reopened as .*/2") as refused:
        world.reopen_ledger(given=[early.note.encode()])
    assert "verify-ledger --checkpoint" in refused.value.hint
    assert eras.read()[-1].origin.endswith("/2")


def test_a_copy_takes_a_new_instance_and_nobody_vouches_for_its_keys(world: World) -> None:
    signed = world.checkpoint()
    old = {keys.log_signer().public.key_id, keys.issuer_signer().public.key_id}
    done = world.reopen_ledger(copied=True)
    row = Ledger.objects.get(ended_at=None)
    assert (done.kind, done.old_origin, done.agreed_size) == ("ledger_copied", OLD, signed.size)
    assert row.instance != INSTANCE
    assert row.origin == origin_of(row.instance, 2)
    last = eras.read()[-1]
    assert (last.vouched, last.origin) == (False, row.origin)
    assert not {s.key_id for s in notes.parse_note(last.note).signatures} & old
    assert receipt_of(act(world, "after")).origin == row.origin
    assert world.checkpoint().note.startswith(row.origin)
    assert replay.compare() == []


def test_a_copy_can_no_longer_sign_as_the_one_it_was_copied_from(world: World) -> None:
    world.reopen_ledger(copied=True)
    first = eras.read()[-1].first
    assert files() == [
        f"issuer-{first}.key", "issuer.key.set-aside-1", f"log-{first}.key", "log.key.set-aside-1",
    ]  # fmt: skip


def test_a_copy_without_any_key_can_be_reopened(world: World) -> None:
    for name in files():
        (keys.folder() / name).unlink()
    keys.forget()
    world.reopen_ledger(copied=True)
    assert receipt_of(act(world, "after")).origin == Ledger.objects.get(ended_at=None).origin


def test_a_ledger_that_was_never_signed_has_no_end_to_seal(world: World) -> None:
    done = world.reopen_ledger()
    assert (done.old_origin, done.old_size, done.old_root, done.agreed_size) == (None,) * 4
    assert world.checkpoint().note.startswith(NEW)


def test_a_healthy_ledger_may_be_reopened_while_the_keeper_signs_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything was restored from one old backup: nothing here notices. The keeper signs once more just before COMMIT."""
    world.checkpoint()
    act(world, "one")
    store = reopen_ledger.__globals__["storage"].store_bytes
    done: list[bool] = []

    def keeper_in_between(note: bytes) -> object:
        if not done:
            done.append(True)
            world.checkpoint()
        return store(note)

    monkeypatch.setattr("audit.services_interventions.storage.store_bytes", keeper_in_between)
    world.reopen_ledger()
    assert world.checkpoint().note.startswith(NEW)


def test_a_ledger_that_somebody_else_reopened_a_moment_ago_is_not_reopened_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = reopen_ledger.__globals__["past"].read
    done: list[bool] = []

    def somebody_else_first(ledger: Ledger, given: object) -> object:
        if not done:
            done.append(True)
            world.reopen_ledger()
        return read(ledger, given)

    monkeypatch.setattr("audit.services_interventions.past.read", somebody_else_first)
    size = Entry.objects.count()
    with pytest.raises(Conflict, match="somebody else"):
        world.reopen_ledger()
    assert Entry.objects.count() == size + 1


@pytest.mark.parametrize("name", ["ada", "carla", "otto", "eve"])
def test_only_an_administrator_reopens_a_ledger(world: World, name: str) -> None:
    with pytest.raises(Forbidden):
        reopen_ledger(actor=getattr(world.cast, name), reason="Because.")


def test_a_store_that_lost_the_keys_note_is_refused_in_words(world: World) -> None:
    world.checkpoint()
    shutil.rmtree(settings.PRESSMARK_STORE)
    with pytest.raises(checkpoints.LedgerRefused, match="keys of this ledger cannot be known") as refused:
        checkpoints.sign_next()
    assert "Restore database and store/" in refused.value.hint
