"""What was signed and kept elsewhere, against a ledger that was changed since: checkpoints and receipts, one attack per test."""

from __future__ import annotations

import uuid

import pytest
from django.conf import settings

from audit import checkpoints, keys, merkle, notes, receipts
from audit.models import Entry
from audit.signing import Signer
from audit.verification import verify_ledger
from audit.verification.ledger_report import LedgerReport
from registry.access.models import Team
from registry.events import emit, unit
from tests.audit.acts import act, write_outside
from tests.worlds.audit import AuditWorld, rewrite_entry, tamper

pytestmark = pytest.mark.db_guarantee


def codes(report: LedgerReport) -> set[str]:
    return {flaw.code for flaw in report.flaws}


def receipt(house: AuditWorld, slug: str) -> bytes:
    """One act of one entry; its receipt."""
    opened = act(house, slug)
    assert opened.receipt is not None
    return opened.receipt.encode()


def long_receipt(house: AuditWorld, count: int) -> bytes:
    """One act of several entries."""
    with unit(house.cast.root, role="administrator") as opened:
        for number in range(count):
            team = Team.objects.create(slug=f"many-{number}", created_at=opened.now)
            emit("team.created", team, team=team.pk)
    assert opened.receipt is not None
    return opened.receipt.encode()


def last() -> int:
    return checkpoints.ledger_size() - 1


def forge_everything() -> None:
    """What the owner of the machine can take away: the database's checkpoints and tiles, and our own file."""
    tamper("audit_checkpoint", "DELETE FROM audit_checkpoint")
    tamper("audit_tile", "DELETE FROM audit_tile")
    (settings.PRESSMARK_CHECKPOINTS / checkpoints.FILE).unlink(missing_ok=True)


def cut(position: int) -> None:
    """The tail goes, and PostgreSQL's head with it."""
    tamper("audit_entry", "DELETE FROM audit_entry WHERE position >= %s", [position])


def test_receipts_of_an_untouched_ledger_hold(house: AuditWorld) -> None:
    kept = [receipt(house, "one"), long_receipt(house, 3), receipt(house, "two")]
    report = verify_ledger.verify(receipts=kept)
    assert report.ok, report.flaws
    assert report.receipts_checked == 3


def test_a_receipt_names_the_entry_that_was_rewritten(house: AuditWorld) -> None:
    kept = [receipt(house, name) for name in ("one", "two", "three")]
    rewrite_entry(last() - 1, b'"via":"cli"', b'"via":"api"', leaf=True)
    assert verify_ledger.verify().ok
    report = verify_ledger.verify(receipts=kept)
    assert codes(report) == {"receipt"}
    assert report.first_bad_position == last() - 1


def test_a_receipt_of_several_entries_names_all_of_them(house: AuditWorld) -> None:
    kept = long_receipt(house, 3)
    first = last() - 2
    rewrite_entry(first + 1, b'"slug":"many-1"', b'"slug":"many-9"', leaf=True)
    report = verify_ledger.verify(receipts=[kept])
    assert [(flaw.code, flaw.position, flaw.until) for flaw in report.flaws] == [("receipt", first, first + 2)]
    assert report.first_bad_position == first


def test_of_several_entries_the_one_whose_own_bytes_are_wrong_is_named(house: AuditWorld) -> None:
    kept = long_receipt(house, 3)
    rewrite_entry(last() - 1, b'"slug":"many-1"', b'"slug":"many-9"')
    report = verify_ledger.verify(receipts=[kept])
    assert codes(report) == {"leaf", "receipt"}
    assert report.first_bad_position == last() - 1


def test_a_tail_cut_after_the_last_checkpoint_is_found_by_a_receipt(house: AuditWorld) -> None:
    house.checkpoint()
    kept = [receipt(house, name) for name in ("one", "two", "three")]
    cut(last() - 1)
    assert verify_ledger.verify().ok
    report = verify_ledger.verify(receipts=kept)
    assert codes(report) == {"shorter"}
    assert report.first_bad_position == last() + 1


def test_a_tail_cut_inside_what_a_receipt_covers_is_found(house: AuditWorld) -> None:
    kept = long_receipt(house, 3)
    cut(last())
    report = verify_ledger.verify(receipts=[kept])
    assert codes(report) == {"shorter"}
    assert report.first_bad_position == last() + 1


def test_an_entry_that_was_taken_out_is_found_by_a_receipt_though_positions_are_closed_up(house: AuditWorld) -> None:
    kept = [receipt(house, name) for name in ("one", "two", "three")]
    gone = last() - 1
    tamper("audit_entry", "DELETE FROM audit_entry WHERE position = %s", [gone])
    tamper("audit_entry", "UPDATE audit_entry SET position = position - 1 WHERE position > %s", [gone])
    assert verify_ledger.verify().ok  # each of these entries is the first of its stream
    report = verify_ledger.verify(receipts=kept)
    assert codes(report) == {"receipt", "shorter"}
    assert report.first_bad_position == gone


def test_an_entry_that_is_missing_where_a_receipt_begins_is_named_once_by_each(house: AuditWorld) -> None:
    kept = [receipt(house, name) for name in ("one", "two")]
    gone = last() - 1
    tamper("audit_entry", "DELETE FROM audit_entry WHERE position = %s", [gone])
    report = verify_ledger.verify(receipts=kept)
    assert codes(report) == {"position", "receipt"}
    assert report.first_bad_position == gone


def test_a_receipt_with_another_time_than_its_entry_is_found(house: AuditWorld) -> None:
    receipt(house, "one")
    leaf = bytes(Entry.objects.get(position=last()).leaf)
    false = receipts.sign(last(), [leaf], "2020-01-01T00:00:00.000000Z").encode()
    assert codes(verify_ledger.verify(receipts=[false])) == {"receipt"}


def test_a_receipt_signed_by_somebody_else_is_refused(house: AuditWorld) -> None:
    receipt(house, "one")
    forger = Signer.from_seed(keys.issuer_signer().name, b"\x09" * 32)
    leaf = Entry.objects.get(position=last())
    false = notes.sign_receipt(forger, last(), 1, bytes(leaf.leaf), leaf.at)
    report = verify_ledger.verify(receipts=[false])
    assert codes(report) == {"receipt"}
    assert "signature" in report.flaws[0].sentence


def test_what_is_no_receipt_is_refused(house: AuditWorld) -> None:
    assert codes(verify_ledger.verify(receipts=[b"nothing", house.checkpoint().note.encode()])) == {"receipt"}


def test_the_same_receipt_twice_is_judged_once(house: AuditWorld) -> None:
    kept = receipt(house, "one")
    assert verify_ledger.verify(receipts=[kept, kept]).receipts_checked == 1


def test_receipts_past_a_prefix_are_left_out_of_its_verification(house: AuditWorld) -> None:
    size = checkpoints.ledger_size()
    kept = [receipt(house, "one"), long_receipt(house, 3)]
    report = verify_ledger.verify(size=size + 2, receipts=kept)
    assert report.ok, report.flaws
    assert report.receipts_checked == 1


def test_a_forged_receipt_over_more_entries_than_there_can_be_is_no_burden(house: AuditWorld) -> None:
    false = notes.sign_receipt(keys.issuer_signer(), 1, 2**52, b"\x01" * 32, Entry.objects.get(position=1).at)
    report = verify_ledger.verify(receipts=[false])
    assert codes(report) == {"receipt"}  # the second of them is of another time


def test_a_checkpoint_kept_outside_says_from_where_on_history_is_not_vouched_for(house: AuditWorld) -> None:
    early = house.checkpoint().note.encode()
    agreed = checkpoints.ledger_size()
    house.teams(4)
    late = house.checkpoint().note.encode()
    forge_everything()
    rewrite_entry(agreed + 2, b'"via":"cli"', b'"via":"api"', leaf=True)
    assert verify_ledger.verify().ok
    report = verify_ledger.verify(outside=[early, late])
    assert [(flaw.code, flaw.position, flaw.until) for flaw in report.flaws] == [("root", agreed, agreed + 3)]


def test_receipts_and_checkpoint_together_name_the_first_bad_entry(house: AuditWorld) -> None:
    kept = [receipt(house, f"act-{number}") for number in range(6)]
    early = house.checkpoint().note.encode()
    forge_everything()
    bad = checkpoints.ledger_size() - 3
    rewrite_entry(bad, b'"via":"cli"', b'"via":"api"', leaf=True)
    report = verify_ledger.verify(outside=[early], receipts=kept)
    assert codes(report) == {"root", "receipt"}
    assert report.first_bad_position == bad


@pytest.mark.parametrize("exact_first", [True, False])
def test_among_very_many_checkpoints_that_disagree_the_receipt_still_names_the_entry(exact_first: bool) -> None:
    report = LedgerReport()
    acts = [lambda: report.add("receipt", "of other entries", 62, 64), lambda: report.add("leaf", "not the hash", 63)]
    acts += [lambda n=n: report.add("root", f"at {n}", 0, n) for n in range(100, 450)]
    for do in acts if exact_first else acts[::-1]:
        do()
    report.close()
    assert report.first_bad_position == 63
    assert (report.flaw_count, len(report.flaws)) == (352, 100)


def test_a_history_signed_anew_with_the_stolen_log_key_is_found_by_what_was_kept_outside(house: AuditWorld) -> None:
    kept = [receipt(house, f"act-{number}") for number in range(4)]
    outside = house.checkpoint().note.encode()
    forge_everything()
    bad = checkpoints.ledger_size() - 2
    rewrite_entry(bad, b'"via":"cli"', b'"via":"api"', leaf=True)
    house.checkpoint()  # with the real key: inside, everything agrees
    assert verify_ledger.verify().ok
    report = verify_ledger.verify(outside=[outside], receipts=kept)
    assert codes(report) == {"root", "receipt"}
    assert report.first_bad_position == bad
    assert "signed with the same key" in next(flaw.sentence for flaw in report.flaws if flaw.code == "root")


def test_our_own_checkpoints_do_not_excuse_what_was_handed_in(house: AuditWorld) -> None:
    """The thief signs the rewritten history at a smaller size, too: that vouches for nothing."""
    house.teams(3)
    outside = house.checkpoint().note.encode()
    size = checkpoints.ledger_size()
    forge_everything()
    rewrite_entry(last() - 2, b'"via":"cli"', b'"via":"api"', leaf=True)
    checkpoints.grow()
    write_outside(notes.sign_checkpoint(keys.log_signer(), size - 1, checkpoints.root_at(size - 1)))
    assert verify_ledger.verify().checkpoints_checked == 1
    report = verify_ledger.verify(outside=[outside])
    assert [(flaw.code, flaw.position, flaw.until) for flaw in report.flaws] == [("root", 0, size - 1)]


def test_a_checkpoint_kept_outside_over_more_entries_than_there_are_names_the_first_missing(house: AuditWorld) -> None:
    house.teams(3)
    outside = house.checkpoint().note.encode()
    forge_everything()
    cut(last() - 1)
    report = verify_ledger.verify(outside=[outside])
    assert codes(report) == {"shorter"}
    assert report.first_bad_position == last() + 1


def test_a_checkpoint_of_another_ledger_is_refused(house: AuditWorld) -> None:
    stranger = Signer.from_seed(f"pressmark/{uuid.uuid4()}/1", b"\x09" * 32)
    report = verify_ledger.verify(outside=[notes.sign_checkpoint(stranger, 1, b"\x01" * 32)])
    assert codes(report) == {"checkpoint"}
    assert "no origin of this ledger" in report.flaws[0].sentence


def test_the_same_note_in_database_and_file_and_hand_is_judged_once_and_counted_each_time(house: AuditWorld) -> None:
    note = house.checkpoint().note.encode()
    report = verify_ledger.verify(outside=[note])
    assert report.ok
    assert report.checkpoints_checked == 3


def test_a_checkpoint_is_compared_at_any_size_of_a_tree_over_several_levels(house: AuditWorld) -> None:
    base = checkpoints.ledger_size()
    leaves = [bytes(leaf) for leaf in Entry.objects.order_by("position").values_list("leaf", flat=True)]
    row = Entry.objects.get(position=last())
    stream = f"team:{uuid.uuid4()}"
    signer, made = keys.log_signer(), []
    for number in range(700):
        ids = {b'"id":"': uuid.uuid4(), b'"unit":"': uuid.uuid4()}
        data = _numbered(bytes(row.entry), row.stream, row.stream_seq, stream, number + 1, ids)
        leaves.append(merkle.leaf_hash(data))
        made.append(
            Entry(position=base + number, stream=stream, stream_seq=number + 1, at=row.at, entry=data, leaf=leaves[-1])
        )
        if number % 37 == 0:
            made[-1].note = notes.sign_checkpoint(signer, len(leaves), merkle.root(leaves))
    Entry.objects.bulk_create(made)
    kept = [item.note for item in made if hasattr(item, "note")]
    report = verify_ledger.verify(outside=kept)
    assert report.ok, report.flaws[:3]
    assert report.checkpoints_checked == len(kept) == 19
    rewrite_entry(base + 500, b'"via":"cli"', b'"via":"api"', leaf=True)
    report = verify_ledger.verify(outside=kept)
    assert codes(report) == {"root"}
    assert report.first_bad_position == base + 481 + 1  # the last size that was signed below the changed entry


def _numbered(data: bytes, old_stream: str, old_seq: int, stream: str, seq: int, ids: dict[bytes, uuid.UUID]) -> bytes:
    """The entry with no records, in another stream, under new ids."""
    begin, end = data.index(b'"records":[') + 11, data.index(b'],"refs"')
    data = data[:begin] + data[end:]
    for name, value in ids.items():
        at = data.rindex(name) + len(name)
        data = data[:at] + str(value).encode() + data[at + 36 :]
    old = f'"stream":"{old_stream}","stream_seq":{old_seq},'.encode()
    assert old in data
    return data.replace(old, f'"stream":"{stream}","stream_seq":{seq},'.encode())
