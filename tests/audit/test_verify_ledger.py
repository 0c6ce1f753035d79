"""verify-ledger finds every way in which somebody who owns the database can change history; one attack per test."""

from __future__ import annotations

import base64
import uuid
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from audit import checkpoints, erasure, keys, merkle, notes
from audit.ledger import entry_bytes
from audit.models import Checkpoint, Entry
from audit.signing import Signer
from audit.verification import raw_entries, verify_ledger
from audit.verification.claims import Claims
from registry import storage
from registry.access import services as access
from registry.access.models import Text
from registry.digests import canonical, parse_canonical
from registry.events import Ref, emit, unit
from tests.worlds.audit import AuditWorld, restore_keys_note, rewrite_entry, tamper

pytestmark = pytest.mark.db_guarantee


def codes(**options: object) -> set[str]:
    report = verify_ledger.verify(**options)  # type: ignore[arg-type]
    assert not report.ok
    return {flaw.code for flaw in report.flaws}


def last() -> int:
    return checkpoints.ledger_size() - 1


def append_raw(event: dict, stream: str, *, at: str | None = None, seq: int | None = None) -> int:
    """An entry that fits the tree but was not written by the product."""
    previous = Entry.objects.get(position=last())
    number = Entry.objects.filter(stream=stream).count() + 1 if seq is None else seq
    at = at or previous.at
    data = entry_bytes(at, canonical(event), stream, number)
    Entry.objects.create(
        position=previous.position + 1, stream=stream, stream_seq=number, at=at, entry=data,
        leaf=merkle.leaf_hash(data),
    )  # fmt: skip
    return previous.position + 1


def event_of(position: int) -> dict:
    entry = parse_canonical(bytes(Entry.objects.get(position=position).entry))
    return entry["event"]  # type: ignore[index,call-overload,return-value]


def fresh(position: int, **changes: object) -> dict:
    """The event at a position under a new id and unit."""
    return {**event_of(position), "id": str(uuid.uuid4()), "unit": str(uuid.uuid4()), **changes}


def test_an_untouched_ledger_verifies_and_says_what_was_looked_at(house: AuditWorld) -> None:
    house.checkpoint()
    house.teams(3)
    signed = house.checkpoint()
    report = verify_ledger.verify(hash_documents=True, key_lines=[keys.log_signer().key_line])
    assert report.ok, report.flaws
    assert report.size == signed.size
    assert report.root == "sha256:" + bytes(signed.root).hex()
    assert report.checkpoints_checked == 4  # two in the database, two in the file
    assert report.documents_checked == 1


def test_a_prefix_can_be_verified_by_itself(house: AuditWorld) -> None:
    early = house.checkpoint()
    house.teams(2)
    report = verify_ledger.verify(size=early.size)
    assert report.ok
    assert report.root == "sha256:" + bytes(early.root).hex()


def test_changed_bytes_of_an_entry_are_found_at_their_position(house: AuditWorld) -> None:
    house.teams(2)
    rewrite_entry(last(), b'"via":"cli"', b'"via":"api"')
    report = verify_ledger.verify()
    assert report.first_bad_position == last()
    assert {flaw.code for flaw in report.flaws} == {"leaf"}


def test_the_root_is_computed_from_the_bytes_never_from_the_stored_leaves(house: AuditWorld) -> None:
    house.checkpoint()
    rewrite_entry(last(), b'"via":"cli"', b'"via":"api"')
    assert {"leaf", "root", "tile"} == codes()


def test_changed_bytes_with_a_fitting_leaf_are_found_by_the_checkpoint(house: AuditWorld) -> None:
    house.teams(2)
    house.checkpoint()
    rewrite_entry(last() - 1, b'"via":"cli"', b'"via":"api"', leaf=True)
    assert {"root", "tile"} <= codes()


def test_a_rewritten_history_without_database_checkpoints_is_found_by_the_file_outside(house: AuditWorld) -> None:
    house.checkpoint()
    tamper("audit_checkpoint", "DELETE FROM audit_checkpoint")
    tamper("audit_tile", "DELETE FROM audit_tile")
    rewrite_entry(last(), b'"via":"cli"', b'"via":"api"', leaf=True)
    assert codes() == {"root"}


def test_a_rewritten_history_is_found_by_a_checkpoint_that_somebody_else_kept(house: AuditWorld) -> None:
    note = house.checkpoint().note.encode()
    tamper("audit_checkpoint", "DELETE FROM audit_checkpoint")
    tamper("audit_tile", "DELETE FROM audit_tile")
    (settings.PRESSMARK_CHECKPOINTS / checkpoints.FILE).unlink()
    rewrite_entry(last(), b'"via":"cli"', b'"via":"api"', leaf=True)
    assert verify_ledger.verify().ok
    assert codes(outside=[note]) == {"root"}


def test_a_cut_tail_is_found(house: AuditWorld) -> None:
    house.teams(2)
    house.checkpoint()
    tamper("audit_entry", "DELETE FROM audit_entry WHERE position = %s", [last()])
    assert "shorter" in codes()


def test_a_missing_entry_is_named_by_its_position(house: AuditWorld) -> None:
    house.teams(3)
    tamper("audit_entry", "DELETE FROM audit_entry WHERE position = %s", [last() - 1])
    report = verify_ledger.verify()
    assert report.first_bad_position == last() - 1
    assert report.flaws[0].code == "position"


def test_a_gap_in_the_numbers_of_a_stream_is_found(house: AuditWorld) -> None:
    house.teams(1)
    append_raw(fresh(last(), records=[]), f"team:{uuid.uuid4()}", seq=2)
    assert codes() == {"stream"}


def test_time_that_goes_back_is_found(house: AuditWorld) -> None:
    house.teams(1)
    append_raw(fresh(last(), records=[]), f"team:{uuid.uuid4()}", at="2020-01-01T00:00:00.000000Z")
    assert codes() == {"time"}


def test_a_repeated_event_id_is_found(house: AuditWorld) -> None:
    house.teams(1)
    append_raw(fresh(last(), records=[], id=event_of(last())["id"]), f"team:{uuid.uuid4()}")
    assert codes() == {"event"}


def test_a_torn_unit_is_found(house: AuditWorld) -> None:
    house.teams(2)
    append_raw(fresh(last(), records=[], unit=event_of(last() - 1)["unit"]), f"team:{uuid.uuid4()}")
    assert codes() == {"unit"}


def test_a_unit_with_two_actors_is_found(house: AuditWorld) -> None:
    house.teams(1)
    event = event_of(last())
    actor = {**event["actor"], "role": "engineer"}
    append_raw(fresh(last(), records=[], unit=event["unit"], actor=actor), f"team:{uuid.uuid4()}")
    assert codes() == {"unit"}


def test_a_record_in_the_stream_of_another_row_is_found(house: AuditWorld) -> None:
    house.teams(1)
    append_raw(fresh(last()), f"team:{uuid.uuid4()}")
    assert codes() == {"record"}


def test_a_record_of_an_unknown_type_is_found(house: AuditWorld) -> None:
    house.teams(1)
    record = {"id": str(uuid.uuid4()), "row": {}, "type": "access.ghost/1"}
    append_raw(fresh(last(), records=[record]), f"team:{uuid.uuid4()}")
    assert codes() == {"record"}


def test_bytes_that_are_not_canonical_are_found(house: AuditWorld) -> None:
    house.teams(1)
    rewrite_entry(last(), b'"v":1}', b'"v": 1}', leaf=True)
    assert codes() == {"entry"}


def test_columns_that_differ_from_the_bytes_are_found(house: AuditWorld) -> None:
    house.teams(1)
    tamper("audit_entry", "UPDATE audit_entry SET stream = 'team:other' WHERE position = %s", [last()])
    assert codes() == {"columns"}


def sealed_document(house: AuditWorld, data: bytes) -> storage.Stored:
    stored = storage.store_bytes(data)
    with unit(house.cast.root, role="administrator") as opened:
        text = access.new_text(stream="instance", purpose="note", value="about it", now=opened.now)
        emit("text.written", text, team=None, refs=[Ref("note", stored.digest, stored.size_bytes)])
    return stored


def test_a_lost_document_is_found(house: AuditWorld) -> None:
    stored = sealed_document(house, b"a document")
    storage.path_of(stored.digest).unlink()
    assert codes() == {"document"}


def test_a_changed_document_is_found_when_bytes_are_hashed(house: AuditWorld) -> None:
    stored = sealed_document(house, b"a document")
    path = storage.path_of(stored.digest)
    path.chmod(0o644)
    path.write_bytes(b"A document")
    assert verify_ledger.verify().ok
    assert codes(hash_documents=True) == {"document"}


def test_a_document_of_another_size_is_found_without_hashing(house: AuditWorld) -> None:
    stored = sealed_document(house, b"a document")
    path = storage.path_of(stored.digest)
    path.chmod(0o644)
    path.write_bytes(b"longer than before")
    assert codes() == {"document"}


def test_a_checkpoint_signed_by_another_key_is_found(house: AuditWorld) -> None:
    signed = house.checkpoint()
    forger = Signer.from_seed(keys.log_signer().name, b"\x09" * 32)
    note = notes.sign_checkpoint(forger, signed.size, bytes(signed.root)).decode()
    tamper("audit_checkpoint", "UPDATE audit_checkpoint SET note = %s", [note])
    assert codes() == {"checkpoint"}


def test_a_checkpoint_row_that_differs_from_its_note_is_found(house: AuditWorld) -> None:
    house.checkpoint()
    tamper("audit_checkpoint", "UPDATE audit_checkpoint SET root = %s", [b"\x00" * 32])
    assert codes() == {"checkpoint"}


def test_a_damaged_checkpoint_file_is_found(house: AuditWorld) -> None:
    house.checkpoint()
    (settings.PRESSMARK_CHECKPOINTS / checkpoints.FILE).write_bytes(base64.b64encode(b"nothing") + b"\n")
    assert codes() == {"checkpoint"}


def test_a_changed_tile_is_found(house: AuditWorld) -> None:
    house.checkpoint()
    tamper("audit_tile", "UPDATE audit_tile SET hashes = %s", [b"\x00" * 32 * checkpoints.built_size()])
    assert codes() == {"tile"}


def test_tiles_of_a_tree_over_several_levels_are_compared(house: AuditWorld) -> None:
    base = last()
    stream = f"team:{uuid.uuid4()}"
    for _ in range(260):
        append_raw(fresh(base, records=[]), stream)
    house.checkpoint()
    assert verify_ledger.verify().ok
    tamper("audit_tile", "UPDATE audit_tile SET hashes = %s WHERE level = 1", [b"\x00" * 32])
    assert codes() == {"tile"}


def test_another_key_than_the_known_one_is_found(house: AuditWorld) -> None:
    other = Signer.from_seed(keys.log_signer().name, b"\x09" * 32)
    assert codes(key_lines=[other.key_line]) == {"keys"}


def test_a_changed_key_row_is_found(house: AuditWorld) -> None:
    tamper("audit_key", "UPDATE audit_key SET key_line = 'x'")
    assert codes() == {"keys"}


def test_verification_reads_a_ledger_of_several_batches(house: AuditWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    house.teams(3)
    monkeypatch.setattr(raw_entries, "BATCH", 2)
    assert verify_ledger.verify().ok


def test_a_ledger_that_grows_meanwhile_is_not_called_shorter(
    house: AuditWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Claims.add_file

    def grown(claims: Claims, path: Path) -> None:
        house.teams(2)
        house.checkpoint()
        read(claims, path)

    monkeypatch.setattr(Claims, "add_file", grown)
    report = verify_ledger.verify()
    assert report.ok, report.flaws


def test_the_keys_note_missing_from_the_store_is_said(house: AuditWorld) -> None:
    storage.path_of(restore_keys_note()).unlink()
    assert codes() == {"keys", "document"}


def test_texts_are_not_needed_to_verify(house: AuditWorld) -> None:
    erasure.erase(actor=house.cast.root, texts=[Text.objects.all()[0]], reason="Asked for.")
    house.checkpoint()
    assert verify_ledger.verify().ok
    assert Checkpoint.objects.count() == 1


def test_an_entry_before_the_first_is_found(house: AuditWorld) -> None:
    row = Entry.objects.get(position=last())
    Entry.objects.create(
        position=-1, stream="team:x", stream_seq=1, at=row.at, entry=bytes(row.entry), leaf=bytes(row.leaf)
    )
    report = verify_ledger.verify()
    assert report.first_bad_position == -1


def test_entries_missing_in_a_row_are_one_flaw_over_all_of_them(house: AuditWorld) -> None:
    house.teams(5)
    tamper("audit_entry", "DELETE FROM audit_entry WHERE position IN (%s, %s)", [last() - 2, last() - 1])
    report = verify_ledger.verify()
    assert [(flaw.position, flaw.until) for flaw in report.flaws] == [(last() - 2, last() - 1)]
    assert str(report.flaws[0]).startswith(f"positions {last() - 2} to {last() - 1}: ")


def test_more_than_the_ledger_has_cannot_be_verified(house: AuditWorld) -> None:
    size = checkpoints.ledger_size()
    report = verify_ledger.verify(size=size + 5)
    assert [(flaw.code, flaw.position, flaw.until) for flaw in report.flaws] == [("shorter", size, size + 4)]


def test_a_document_that_an_entry_states_with_another_size_is_found_at_that_entry(house: AuditWorld) -> None:
    stored = sealed_document(house, b"a document")
    false = {"digest": stored.digest, "name": "note", "size_bytes": 11}
    position = append_raw(fresh(last(), records=[], refs=[false]), f"team:{uuid.uuid4()}")
    report = verify_ledger.verify()
    assert [(flaw.code, flaw.position) for flaw in report.flaws] == [("document", position)]
    assert report.documents_checked == 2


def test_a_tile_names_the_first_entry_that_it_does_not_hold(house: AuditWorld) -> None:
    house.teams(3)
    house.checkpoint()
    rewrite_entry(last() - 1, b'"via":"cli"', b'"via":"api"', leaf=True)
    report = verify_ledger.verify()
    assert [flaw.position for flaw in report.flaws if flaw.code == "tile"] == [last() - 1]


def test_of_very_many_flaws_those_of_the_lowest_positions_are_kept(house: AuditWorld) -> None:
    base = last()
    stream = f"team:{uuid.uuid4()}"
    for _ in range(260):
        append_raw(fresh(base, records=[], unit=str(uuid.uuid4())), stream)
    tamper("audit_entry", "UPDATE audit_entry SET leaf = %s WHERE position > %s", [b"\x00" * 32, base])
    report = verify_ledger.verify()
    assert report.flaw_count == 260
    assert [flaw.position for flaw in report.flaws] == list(range(base + 1, base + 101))


def test_text_where_bytes_belong_is_a_flaw_and_no_crash(house: AuditWorld) -> None:
    if connection.vendor == "sqlite":
        house.teams(1)
        tamper("audit_entry", "UPDATE audit_entry SET leaf = 'no bytes', entry = '{}' WHERE position = %s", [last()])
        assert codes() == {"leaf", "entry"}
