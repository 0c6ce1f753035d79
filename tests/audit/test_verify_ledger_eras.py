"""verify-ledger on a ledger whose keys changed, that was reopened, or whose clock was set right; one attack per test."""

from __future__ import annotations

import datetime
import uuid

import pytest
from django.conf import settings

from audit import checkpoints, keys, notes
from audit.models import Checkpoint, Entry
from audit.services import make_keys, origin_of
from audit.signing import Signer
from audit.verification import verify_ledger
from audit.verification.ledger_report import LedgerReport
from registry.digests import canonical, parse_canonical, sha256, time_text
from tests.audit.acts import act, lost_checkpoint, write_outside
from tests.conftest import INSTANCE
from tests.worlds.audit import AuditWorld, rewrite_entry, tamper

pytestmark = pytest.mark.db_guarantee
OLD, NEW = origin_of(INSTANCE, 1), origin_of(INSTANCE, 2)


def codes(report: LedgerReport) -> set[str]:
    assert not report.ok
    return {flaw.code for flaw in report.flaws}


def receipt(house: AuditWorld, slug: str) -> bytes:
    opened = act(house, slug)
    assert opened.receipt is not None
    return opened.receipt.encode()


def last() -> int:
    return checkpoints.ledger_size() - 1


def swap_note(position: int, note: bytes) -> None:
    """The entry's ref names another keys note, which lies in the store."""
    from registry import storage

    entry = bytes(Entry.objects.get(position=position).entry)
    begin = entry.index(b'"refs":[{"digest":"sha256:') + len(b'"refs":[{"digest":"')
    stored = storage.store_bytes(note)
    rewrite_entry(position, entry[begin : begin + 71], stored.digest.encode(), leaf=True)
    old_size = entry[begin:].split(b'"size_bytes":')[1].split(b"}")[0]
    rewrite_entry(position, b'"size_bytes":' + old_size, b'"size_bytes":%d' % len(note), leaf=True)


# --- clean ---


def test_rotated_revoked_and_reopened_ledgers_verify(house: AuditWorld) -> None:
    kept, outside = [receipt(house, "zero")], [house.checkpoint().note.encode()]
    for number, change in enumerate((house.rotate_keys, house.revoke_keys, house.rotate_keys)):
        change()
        kept.append(receipt(house, f"act-{number}"))
        outside.append(house.checkpoint().note.encode())
    report = verify_ledger.verify(outside=outside, receipts=kept, key_lines=[keys.log_signer().key_line])
    assert report.ok, report.flaws
    assert (report.receipts_checked, report.notices, report.origin) == (4, [], OLD)


@pytest.mark.parametrize("copied", [False, True])
def test_a_reopened_ledger_verifies_with_what_was_signed_before_and_after(house: AuditWorld, copied: bool) -> None:
    before, outside = receipt(house, "before"), house.checkpoint().note.encode()
    write_outside(lost_checkpoint(keys.log_signer(), 5))
    house.reopen_ledger(copied=copied)
    after = receipt(house, "after")
    newer = house.checkpoint().note.encode()
    report = verify_ledger.verify(outside=[outside, newer], receipts=[before, after])
    assert report.ok, report.flaws
    assert report.receipts_checked == 2
    assert report.origin.endswith("/2")
    assert len(report.notices) == 1
    assert "1 checkpoints and receipts" in report.notices[0]


def test_a_ledger_that_was_reopened_before_anything_was_signed_verifies(house: AuditWorld) -> None:
    house.reopen_ledger(copied=True)
    house.checkpoint()
    report = verify_ledger.verify()
    assert report.ok, report.flaws


def test_an_epoch_that_was_lost_as_a_whole_is_told(house: AuditWorld) -> None:
    house.checkpoint()
    lost, _ = make_keys(NEW, keys.folder(), 900)
    write_outside(lost_checkpoint(lost, 5))
    house.reopen_ledger()
    house.checkpoint()
    report = verify_ledger.verify()
    assert report.ok, report.flaws
    assert [NEW in notice for notice in report.notices] == [True]


def test_a_prefix_before_a_rotation_is_verified_with_the_keys_of_its_time(house: AuditWorld) -> None:
    early = house.checkpoint()
    house.rotate_keys()
    house.checkpoint()
    report = verify_ledger.verify(size=early.size)
    assert report.ok, report.flaws
    assert report.checkpoints_checked == 2


def test_a_clock_that_two_people_set_right_is_no_flaw(house: AuditWorld) -> None:
    house.second_administrator()
    act(house, "ahead")
    set_ahead(last())
    house.correct_clock()
    act(house, "after")
    report = verify_ledger.verify()
    assert report.ok, report.flaws


def set_ahead(position: int) -> None:
    row = Entry.objects.get(position=position)
    wrong = time_text(datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=365))
    rewrite_entry(position, row.at.encode(), wrong.encode(), leaf=True)
    tamper("audit_entry", "UPDATE audit_entry SET at = %s WHERE position = %s", [wrong, position])


# --- keys ---


def test_a_checkpoint_signed_with_the_key_before_its_era_is_found(house: AuditWorld) -> None:
    old = keys.log_signer()
    house.rotate_keys()
    signed = house.checkpoint()
    note = notes.sign_checkpoint(old, signed.size, bytes(signed.root)).decode()
    tamper("audit_checkpoint", "UPDATE audit_checkpoint SET note = %s WHERE size = %s", [note, signed.size])
    assert codes(verify_ledger.verify()) == {"checkpoint"}


def test_a_receipt_signed_with_a_revoked_key_is_found(house: AuditWorld) -> None:
    old = keys.issuer_signer()
    house.revoke_keys()
    act(house, "after")
    row = Entry.objects.get(position=last())
    false = notes.sign_receipt(old, last(), 1, bytes(row.leaf), row.at)
    assert codes(verify_ledger.verify(receipts=[false])) == {"receipt"}


def test_keys_slipped_into_the_table_are_found(house: AuditWorld) -> None:
    house.rotate_keys()
    stranger = Signer.generate(OLD).key_line
    tamper("audit_key", "UPDATE audit_key SET key_line = %s WHERE first_position > 0 AND use = 'log'", [stranger])
    report = verify_ledger.verify()
    assert codes(report) == {"keys"}
    assert report.first_bad_position == last()


def test_an_era_that_is_hidden_from_the_table_of_keys_is_found(house: AuditWorld) -> None:
    house.rotate_keys()
    position = last()
    house.checkpoint()
    tamper("audit_key", "DELETE FROM audit_key WHERE first_position > 0")
    report = verify_ledger.verify()
    assert "keys" in codes(report)
    assert position in {flaw.position for flaw in report.flaws if flaw.code == "keys"}


def test_a_rotation_whose_keys_the_old_ones_do_not_vouch_for_is_found(house: AuditWorld) -> None:
    house.rotate_keys()
    log, issuer = keys.log_signer(), keys.issuer_signer()
    swap_note(last(), notes.sign_keys(notes.KeysNote(OLD, last(), log.public, issuer.public), log, issuer))
    report = verify_ledger.verify()
    assert codes(report) == {"keys"}
    assert "not signed by the keys before" in report.flaws[0].sentence


def test_a_restored_ledger_whose_keys_the_old_ones_do_not_vouch_for_is_found(house: AuditWorld) -> None:
    house.checkpoint()
    house.reopen_ledger()
    log, issuer = keys.log_signer(), keys.issuer_signer()
    swap_note(last(), notes.sign_keys(notes.KeysNote(NEW, last(), log.public, issuer.public), log, issuer))
    report = verify_ledger.verify()
    assert codes(report) == {"keys"}
    assert "restored" in report.flaws[0].sentence


def test_an_intervention_that_is_missing_or_of_another_kind_is_found(house: AuditWorld) -> None:
    house.rotate_keys()
    rewrite_entry(last(), b'"kind":"keys_rotated"', b'"kind":"keys_revoked"', leaf=True)
    assert codes(verify_ledger.verify()) == {"intervention"}


def test_a_revocation_by_one_person_is_found(house: AuditWorld) -> None:
    house.revoke_keys()
    second = str(house.second_administrator().pk).encode()
    rewrite_entry(
        last(), b'"agreed_by_id":"' + second, b'"agreed_by_id":"' + str(house.cast.root.actor_id).encode(), leaf=True
    )
    report = verify_ledger.verify()
    assert codes(report) == {"intervention"}
    assert "two people" in report.flaws[0].sentence


def test_a_clock_set_back_by_one_person_is_found(house: AuditWorld) -> None:
    house.second_administrator()
    act(house, "ahead")
    set_ahead(last())
    house.correct_clock()
    second = str(house.second_administrator().pk).encode()
    rewrite_entry(last(), b'"agreed_by_id":"' + second + b'"', b'"agreed_by_id":null', leaf=True)
    assert codes(verify_ledger.verify()) == {"intervention"}


# --- keys from outside ---


def test_a_key_of_before_a_rotation_is_known(house: AuditWorld) -> None:
    old = keys.log_signer().key_line
    house.rotate_keys()
    report = verify_ledger.verify(key_lines=[old])
    assert report.ok
    assert report.notices == []


def test_a_key_of_before_a_revocation_is_told_and_no_flaw(house: AuditWorld) -> None:
    old = keys.log_signer().key_line
    house.revoke_keys()
    position = last()
    house.rotate_keys()
    report = verify_ledger.verify(key_lines=[old])
    assert report.ok
    assert f"position {position}" in report.notices[0]
    assert verify_ledger.verify(key_lines=[old, keys.issuer_signer().key_line]).notices == []


def test_a_strangers_key_is_a_flaw_in_any_era(house: AuditWorld) -> None:
    house.rotate_keys()
    stranger = Signer.from_seed(OLD, b"\x09" * 32)
    assert codes(verify_ledger.verify(key_lines=[stranger.key_line])) == {"keys"}


def test_what_a_ledger_lost_the_keys_of_still_counts_when_the_key_is_known(house: AuditWorld) -> None:
    """The tail is cut below a rotation: nothing inside names the keys any more that signed what was kept."""
    act(house, "before")
    position = checkpoints.ledger_size()
    house.rotate_keys()
    kept, outside = receipt(house, "after"), house.checkpoint().note.encode()
    lines = [keys.log_signer().key_line, keys.issuer_signer().key_line, keys.log_signer(0).key_line]
    tamper("audit_checkpoint", "DELETE FROM audit_checkpoint")
    tamper("audit_tile", "DELETE FROM audit_tile")
    tamper("audit_key", "DELETE FROM audit_key WHERE first_position > 0")
    tamper("audit_entry", "DELETE FROM audit_entry WHERE position >= %s", [position])
    (settings.PRESSMARK_CHECKPOINTS / checkpoints.FILE).unlink()
    without = verify_ledger.verify(outside=[outside], receipts=[kept])
    assert codes(without) == {"checkpoint", "receipt"}
    assert without.first_bad_position is None
    known = verify_ledger.verify(outside=[outside], receipts=[kept], key_lines=lines)
    assert codes(known) == {"shorter"}
    assert known.first_bad_position == position


def test_an_epoch_that_this_ledger_has_not_come_to_counts_when_its_key_is_known(house: AuditWorld) -> None:
    house.checkpoint()
    later = Signer.from_seed(NEW, b"\x09" * 32)
    note = notes.sign_checkpoint(later, 400, b"\x01" * 32)
    report = verify_ledger.verify(outside=[note], key_lines=[later.key_line, keys.log_signer().key_line])
    assert codes(report) == {"shorter"}
    assert report.first_bad_position == checkpoints.ledger_size()


# --- reopened ---


def test_below_what_a_reopening_agrees_with_old_checkpoints_must_fit(house: AuditWorld) -> None:
    early = house.checkpoint()
    act(house, "one")
    house.checkpoint()
    write_outside(lost_checkpoint(keys.log_signer(), 5))
    house.reopen_ledger()
    false = notes.sign_checkpoint(keys.log_signer(0), early.size, b"\x01" * 32)
    report = verify_ledger.verify(outside=[false])
    assert codes(report) == {"root"}


def test_below_what_a_reopening_agrees_with_old_receipts_must_fit(house: AuditWorld) -> None:
    kept = receipt(house, "one")
    position = last()
    house.checkpoint()
    house.reopen_ledger()
    rewrite_entry(position, b'"via":"cli"', b'"via":"api"', leaf=True)
    (settings.PRESSMARK_CHECKPOINTS / checkpoints.FILE).unlink()
    tamper("audit_checkpoint", "DELETE FROM audit_checkpoint")
    tamper("audit_tile", "DELETE FROM audit_tile")
    report = verify_ledger.verify(receipts=[kept])
    assert codes(report) == {"receipt"}
    assert report.first_bad_position == position


def test_receipts_of_what_was_lost_are_told(house: AuditWorld) -> None:
    agreed = house.checkpoint().size
    kept = [receipt(house, "lost-one"), receipt(house, "lost-two")]
    note = notes.sign_checkpoint(keys.log_signer(), agreed + 2, b"\x09" * 32)
    write_outside(note)
    tamper("audit_entry", "DELETE FROM audit_entry WHERE position >= %s", [agreed])
    house.reopen_ledger()
    act(house, "again")
    house.checkpoint()
    report = verify_ledger.verify(receipts=kept, outside=[note])
    assert report.ok, report.flaws
    assert "4 checkpoints and receipts" in report.notices[0]  # two receipts, and the checkpoint from two places


def test_somebody_who_signed_on_under_the_old_origin_is_found(house: AuditWorld) -> None:
    house.checkpoint()
    old = keys.log_signer()
    house.reopen_ledger()
    note = lost_checkpoint(old, 60)
    report = verify_ledger.verify(outside=[note])
    assert codes(report) == {"fork"}
    assert "signed on" in report.flaws[0].sentence


def test_another_root_for_the_last_size_of_the_old_origin_is_found(house: AuditWorld) -> None:
    house.checkpoint()
    ended = lost_checkpoint(keys.log_signer(), 5)
    write_outside(ended)
    house.reopen_ledger()
    size = notes.parse_checkpoint_body(notes.parse_note(ended).text).size
    report = verify_ledger.verify(outside=[notes.sign_checkpoint(keys.log_signer(0), size, b"\x01" * 32)])
    assert codes(report) == {"fork"}
    assert "two histories" in report.flaws[0].sentence


def test_a_checkpoint_of_an_epoch_that_this_ledger_has_not_come_to_is_found(house: AuditWorld) -> None:
    house.checkpoint()
    later = Signer.from_seed(NEW, b"\x09" * 32)
    report = verify_ledger.verify(outside=[notes.sign_checkpoint(later, 400, b"\x01" * 32)])
    assert codes(report) == {"shorter"}
    assert "old copy" in report.flaws[0].sentence


def reseal(position: int, **changes: object) -> None:
    """Other values in the intervention of an entry, with a leaf that fits."""
    entry = bytes(Entry.objects.get(position=position).entry)
    document = parse_canonical(entry)
    for record in document["event"]["records"]:  # type: ignore[index,call-overload,union-attr]
        if record["type"].startswith("audit.intervention/"):  # type: ignore[index,union-attr,call-overload]
            record["row"].update(changes)  # type: ignore[index,union-attr,call-overload]
    rewrite_entry(position, entry, canonical(document), leaf=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"old_size": None}, {"old_size": "7"}, {"old_size": True}, {"old_size": 3}, {"old_root": None}, {"old_root": "x"},
        {"old_origin": "pressmark/x/1"}, {"old_origin": None}, {"agreed_size": 999_999}, {"agreed_size": -1},
    ],
)  # fmt: skip
def test_a_reopening_that_does_not_say_what_it_went_on_from_is_found(
    house: AuditWorld, changes: dict[str, object]
) -> None:
    house.checkpoint()
    write_outside(lost_checkpoint(keys.log_signer(), 5))
    house.reopen_ledger()
    assert verify_ledger.verify().ok
    reseal(last(), **changes)
    assert "reopened" in codes(verify_ledger.verify())


def test_the_tables_ledger_and_origin_are_no_authority(house: AuditWorld) -> None:
    """What the entries say counts, not the table of ledgers: replay compares that one."""
    signed = house.checkpoint()
    tamper("audit_ledger", "UPDATE audit_ledger SET origin = %s", [f"pressmark/{uuid.uuid4()}/1"])
    report = verify_ledger.verify()
    assert report.ok
    assert report.origin == OLD
    assert Checkpoint.objects.get().size == signed.size
    assert sha256(signed.note.encode())
