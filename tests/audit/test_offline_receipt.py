"""Completed receipts: a folder that proves, without the server, that a unit was sealed where the receipt says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from audit import merkle, notes, offline_verify
from audit.offline_verify import FILES, KEY, SIGNATURE, STREAMS, Verdict, WrongCall, verify_receipt
from registry.digests import parse_canonical
from tests.audit import bundle_builder as builder
from tests.audit import stories
from tests.audit.bundle_builder import Ledger, Witness
from tests.audit.verdicts import assert_no, assert_open, judge_story, results

Files = dict[str, bytes]
UNIT = 3  # the first position of a unit of two


@pytest.fixture
def ledger() -> Ledger:
    return builder.tell().ledger


def judge(folder: Path, files: Files, ledger: Ledger, **outside: Any) -> Verdict:
    """With the last log key and the newest checkpoint known from outside, unless told otherwise."""
    shutil.rmtree(folder / "receipt", ignore_errors=True)
    for name, data in files.items():
        (folder / "receipt" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "receipt" / name).write_bytes(data)
    outside.setdefault("keys", [ledger.log.key_line])
    outside.setdefault("checkpoint", ledger.checkpoint())
    return verify_receipt(folder / "receipt", **outside)


def test_a_completed_receipt_gets_four_yes(ledger: Ledger, tmp_path: Path) -> None:
    verdict = judge(tmp_path, builder.completed(ledger, UNIT), ledger)
    assert results(verdict) == ["yes"] * 4, offline_verify.show(verdict)
    facts = verdict.as_dict()
    assert facts["receipt"] == {"at": "2026-01-02T03:00:04.000000Z", "count": 2, "first": UNIT}
    assert (facts["origin"], facts["tree_size"], facts["notes"]) == (builder.ORIGIN, len(ledger.entries), [])
    assert "receipt of 2 entries from position 3" in offline_verify.show(verdict)


def test_without_anything_from_outside_it_is_not_shown_green(ledger: Ledger, tmp_path: Path) -> None:
    verdict = judge(tmp_path, builder.completed(ledger, UNIT), ledger, keys=[], checkpoint=None)
    assert results(verdict) == ["yes", "yes", "not checked", "not checked"]


def test_receipts_of_every_unit_and_size_hold_in_a_ledger_with_many_keys(tmp_path: Path) -> None:
    ledger = stories.rotated().ledger
    for first in ledger.receipts:
        for size in {first + 2, len(ledger.entries)} - {len(ledger.entries) + 1}:
            files = builder.completed(ledger, first, size)
            keys = [ledger.eras[0].issuer.key_line]
            verdict = judge(tmp_path, files, ledger, keys=keys, checkpoint=ledger.checkpoint(size))
            assert verdict.exit_code == 0, offline_verify.show(verdict)


def test_a_witness_or_a_proof_makes_the_tree_known(ledger: Ledger, tmp_path: Path) -> None:
    files = builder.completed(ledger, UNIT, 9)
    assert_open(judge(tmp_path, files, ledger), STREAMS, "--proof")
    assert judge(tmp_path, files, ledger, proof=ledger.consistency(9)).exit_code == 0
    older = {"checkpoint": ledger.checkpoint(7)}
    assert_open(judge(tmp_path, files, ledger, **older), STREAMS, "no proof leads")
    assert judge(tmp_path, files, ledger, **older, proof=ledger.consistency(7, size=9)).exit_code == 0
    witness = Witness()
    note = ledger.checkpoint(9)
    cosigned = {name: data.replace(note, witness.cosign(note)) for name, data in files.items()}
    asked = {"checkpoint": None, "witnesses": [witness.key_line]}
    assert judge(tmp_path, cosigned, ledger, **asked).exit_code == 0
    assert_open(judge(tmp_path, files, ledger, **asked), STREAMS, "no cosignature")


def test_every_flipped_byte_is_caught(ledger: Ledger, tmp_path: Path) -> None:
    files = builder.completed(ledger, UNIT, 9)
    outside = {"checkpoint": ledger.checkpoint(9)}
    for name, data in files.items():
        for at in range(0, len(data), max(1, len(data) // 6)):
            changed = files | {name: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]}
            assert judge(tmp_path, changed, ledger, **outside).exit_code == 1, (name, at)


def test_every_dropped_or_cut_file_is_caught(ledger: Ledger, tmp_path: Path) -> None:
    files = builder.completed(ledger, UNIT)
    for name, data in files.items():
        less = {key: value for key, value in files.items() if key != name}
        answer = SIGNATURE if name.startswith("keys/") else FILES
        assert_no(judge(tmp_path, less, ledger), answer, name)
        assert judge(tmp_path, files | {name: data[:-1]}, ledger).exit_code == 1


def test_files_that_belong_to_no_receipt_are_told(ledger: Ledger, tmp_path: Path) -> None:
    verdict = judge(tmp_path, builder.completed(ledger, UNIT) | {"README": b"x", "entries/99.json": b"y"}, ledger)
    assert verdict.exit_code == 0
    assert [note.split(":")[0] for note in verdict.notes] == ["README", "entries/99.json"]


def test_entries_of_another_unit_are_not_those_of_the_receipt(ledger: Ledger, tmp_path: Path) -> None:
    files = builder.completed(ledger, UNIT)
    swapped = files | {"entries/3.json": files["entries/4.json"], "entries/4.json": files["entries/3.json"]}
    assert_no(judge(tmp_path, swapped, ledger), FILES, "another root")
    assert_no(judge(tmp_path, swapped, ledger), STREAMS, "not in the tree")
    other = files | {"entries/4.json": ledger.entries[5]}
    assert_no(judge(tmp_path, other, ledger), FILES, "another root", "another unit")


def test_a_receipt_that_its_issuer_forged_over_two_units_is_caught(ledger: Ledger, tmp_path: Path) -> None:
    entry: Any = parse_canonical(ledger.entries[1])
    root = merkle.root(ledger.leaves()[1:3])
    ledger.receipts[1] = notes.sign_receipt(ledger.issuer, 1, 2, root, entry["at"])
    assert_no(judge(tmp_path, builder.completed(ledger, 1), ledger), FILES, "another unit")


def test_proofs_of_another_receipt_position_or_checkpoint_are_caught(ledger: Ledger, tmp_path: Path) -> None:
    files = builder.completed(ledger, UNIT)
    name, size = "proofs/4.tlog-proof", len(ledger.entries)
    other = ledger.proof(4, size, ledger.receipts[1])
    assert_no(judge(tmp_path, files | {name: other}, ledger), FILES, name, "not the proof of this receipt")
    assert_no(judge(tmp_path, files | {name: files["proofs/3.tlog-proof"]}, ledger), FILES, "for position 4")
    mixed = files | {name: ledger.proof(4, 9, ledger.receipts[UNIT])}
    assert_no(judge(tmp_path, mixed, ledger), FILES, "another checkpoint")


def test_the_receipt_is_signed_by_the_issuer_of_its_time(tmp_path: Path) -> None:
    ledger = stories.rotated().ledger
    receipt = notes.parse_receipt_body(notes.parse_note(ledger.receipts[UNIT]).text)
    forged = [receipt.first, receipt.count, receipt.root, receipt.at]
    for signer in (ledger.issuer, builder.issuer_signer(9)):
        ledger.receipts[UNIT] = notes.sign_receipt(signer, *forged)  # type: ignore[arg-type]
        files = builder.completed(ledger, UNIT)
        assert_no(judge(tmp_path, files, ledger), SIGNATURE, "receipt.note: 0 signatures")


def test_the_checkpoint_is_signed_by_the_log_key_of_its_time(tmp_path: Path) -> None:
    ledger = stories.rotated().ledger
    size = len(ledger.entries)
    real, wrong = ledger.checkpoint(), notes.sign_checkpoint(ledger.eras[0].log, size, ledger.root())
    files = {name: data.replace(real, wrong) for name, data in builder.completed(ledger, UNIT).items()}
    assert_no(judge(tmp_path, files, ledger), SIGNATURE, "the proofs' checkpoint")


def test_which_key_leads_to_the_last_one(tmp_path: Path) -> None:
    restored, lost = stories.reopened()
    ledgers = {
        "rotated": (stories.rotated().ledger, "yes"),
        "revoked": (stories.revoked().ledger, "not checked"),
        "restored": (restored.ledger, "yes"),
        "copied": (stories.reopened(stories.COPIED)[0].ledger, "not checked"),
    }
    for kind, (ledger, expected) in ledgers.items():
        files = builder.completed(ledger, UNIT)
        verdict = judge(tmp_path, files, ledger, keys=[ledger.eras[0].log.key_line])
        assert (kind, verdict.answers[KEY].result) == (kind, expected)
        assert judge(tmp_path, files, ledger).exit_code == 0
        stranger = judge(tmp_path, files, ledger, keys=[builder.log_signer(9).key_line])
        assert_no(stranger, KEY, "none of the keys")
    assert_open(
        judge(tmp_path, builder.completed(restored.ledger, UNIT), restored.ledger, checkpoint=lost.checkpoint()),
        STREAMS,
    )


def test_an_era_left_out_never_leaves_four_yes(tmp_path: Path) -> None:
    ledger = stories.rotated().ledger
    files = builder.completed(ledger, UNIT)
    expected = {0: 1, 1: 3, 2: 3, 3: 1}  # one in the middle: the old keys no longer lead to the last ones
    for number, era in enumerate(ledger.eras):
        less = {name: data for name, data in files.items() if name != f"keys/keys-{era.first}.note"}
        verdict = judge(tmp_path, less, ledger, keys=[ledger.eras[0].issuer.key_line])
        assert verdict.exit_code == expected[number], offline_verify.show(verdict)


def test_a_keys_note_from_after_the_checkpoint_is_caught(tmp_path: Path) -> None:
    ledger = stories.rotated().ledger
    late = ledger.eras[1]
    files = builder.completed(ledger, UNIT, 9) | {f"keys/keys-{late.first}.note": late.note}
    assert_no(judge(tmp_path, files, ledger), SIGNATURE, "begins after")


def test_a_receipt_that_was_lost_with_its_ledger_is_not_completed_by_another(tmp_path: Path) -> None:
    restored, lost = stories.reopened()
    files = builder.completed(restored.ledger, 9) | {"receipt.note": lost.receipts[9]}
    assert judge(tmp_path, files, restored.ledger).exit_code == 1


def test_a_folder_that_is_no_receipt_is_a_no_and_not_a_crash(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "receipt").mkdir()
    verdict = verify_receipt(tmp_path / "receipt")
    assert_no(verdict, FILES, "receipt.note")
    huge = notes.sign_receipt(ledger.issuer, 1, 10**9, bytes(32), "2026-01-02T03:00:02.000000Z")
    assert_no(judge(tmp_path, {"receipt.note": huge}, ledger), FILES, "at most 10000 entries")
    with pytest.raises(WrongCall):
        verify_receipt(tmp_path / "none")


def test_the_command_line_takes_a_folder(ledger: Ledger, tmp_path: Path) -> None:
    judge(tmp_path, builder.completed(ledger, UNIT), ledger)
    (tmp_path / "checkpoint").write_bytes(ledger.checkpoint())
    (tmp_path / "known-keys").write_text(f"# kept\n{ledger.log.key_line} from the auditor\n")
    command = [sys.executable, "-I", "-S", "-W", "error", offline_verify.__file__, str(tmp_path / "receipt")]
    known = ["--key", str(tmp_path / "known-keys"), "--checkpoint", str(tmp_path / "checkpoint")]
    done = subprocess.run([*command, *known, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["receipt"]["first"] == UNIT
    for wrong in (["--receipt", str(tmp_path / "checkpoint")], ["--not-before", "2026-01-01"]):
        refused = subprocess.run([*command, *known, *wrong], capture_output=True, text=True, check=False)
        assert refused.returncode == 2
        assert "for bundles" in refused.stderr


# --- a completed receipt beside a bundle


def write(folder: Path, files: Files) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_a_completed_receipt_refutes_a_bundle_that_leaves_its_entries_out(tmp_path: Path) -> None:
    """The issuer sealed an end that is one too low and shows nothing beyond it: only who holds the receipt can tell."""
    lowered = builder.tell(lowered=builder.MODEL)
    last = lowered.left_out
    assert last is not None
    assert judge_story(lowered).exit_code == 0  # the sealed word of the issuer
    unit = max(first for first in lowered.ledger.receipts if first <= last)
    folder = write(tmp_path / "receipt", builder.completed(lowered.ledger, unit, lowered.size))
    verdict = judge_story(lowered, receipts=[folder])
    assert_no(verdict, STREAMS, f"leaves out the entry at position {last}", "a receipt of")
    assert_open(judge_story(lowered, receipts=[lowered.ledger.receipts[unit]]), STREAMS, "not all here")


def test_a_completed_receipt_of_other_streams_is_checked_by_its_proofs(ledger: Ledger, tmp_path: Path) -> None:
    story = builder.tell()
    assert builder.in_stream(story.ledger, 2, builder.OTHER)
    for size, code in ((story.size, 0), (9, 0), (8, 3), (len(story.ledger.entries), 3)):
        folder = write(tmp_path / str(size), builder.completed(story.ledger, 2, size))
        assert judge_story(story, receipts=[folder]).exit_code == code
    files = builder.completed(story.ledger, 2, story.size)
    swapped = write(tmp_path / "swapped", files | {"entries/2.json": story.ledger.entries[6]})
    assert_no(judge_story(story, receipts=[swapped]), STREAMS, "not those that it was given for")
    false = story.ledger.proof(6, story.size, story.ledger.receipts[2])
    moved = write(tmp_path / "moved", files | {"proofs/2.tlog-proof": false})
    assert_no(judge_story(story, receipts=[moved]), STREAMS, "its proof does not hold")


def test_a_completed_receipt_of_a_unit_in_the_bundle_holds(tmp_path: Path) -> None:
    story = builder.tell()
    folder = write(tmp_path / "receipt", builder.completed(story.ledger, UNIT))
    assert judge_story(story, receipts=[folder]).exit_code == 0
    (folder / "entries" / "4.json").unlink()
    with pytest.raises(WrongCall, match="entries/4"):
        judge_story(story, receipts=[folder])


def test_a_receipt_beside_a_bundle_is_of_one_unit(ledger: Ledger, tmp_path: Path) -> None:
    huge = notes.sign_receipt(ledger.issuer, 1, 10_001, bytes(32), "2026-01-02T03:00:02.000000Z")
    with pytest.raises(WrongCall, match="at most 10000 entries"):
        judge_story(builder.tell(), receipts=[write(tmp_path / "huge", {"receipt.note": huge})])
