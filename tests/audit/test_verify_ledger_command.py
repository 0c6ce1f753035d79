"""`pressmark verify-ledger`: what is given as files, what is said, and the exit status."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from audit import checkpoints, erasure, keys
from registry.cli.main import main
from tests.audit.acts import act, lost_checkpoint, write_outside
from tests.worlds.audit import AuditWorld, rewrite_entry, tamper

MEMBERS = {
    "checkpoints_checked", "differences", "documents_checked", "documents_hashed", "erased", "erased_count", "first_bad_position",
    "flaw_count", "flaws", "notices", "ok", "origin", "receipts_checked", "root", "rows_compared", "size",
}  # fmt: skip


def receipt(house: AuditWorld, slug: str) -> bytes:
    opened = act(house, slug)
    assert opened.receipt is not None
    return opened.receipt.encode()


def call(*words: object) -> int:
    return main(["verify-ledger", *map(str, words)])


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    capsys.readouterr()
    call(*words, "--json")
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


def last() -> int:
    return checkpoints.ledger_size() - 1


def test_a_whole_ledger_is_said_to_be_whole(house: AuditWorld, capsys: pytest.CaptureFixture[str]) -> None:
    house.checkpoint()
    assert call() == 0
    said = capsys.readouterr()
    assert "The ledger is whole" in said.out
    assert said.err == ""


def test_the_first_bad_position_is_said(house: AuditWorld, capsys: pytest.CaptureFixture[str]) -> None:
    house.teams(2)
    rewrite_entry(last() - 1, b'"via":"cli"', b'"via":"api"')
    assert call() == 1
    said = capsys.readouterr()
    assert f"The first bad position is {last() - 1}." in said.err
    assert "whole" not in said.out


def test_the_answer_as_json_has_the_documented_members(house: AuditWorld, capsys: pytest.CaptureFixture[str]) -> None:
    text = house.teams(1)[0].title
    assert text is not None
    erasure.erase(actor=house.cast.root, texts=[text], reason="Asked for.")
    said = answer(capsys)
    assert set(said) == MEMBERS
    documented = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
    assert [member for member in sorted(MEMBERS) if f"`{member}`" not in documented] == []
    assert (said["ok"], said["flaws"], said["differences"], said["erased_count"]) == (True, [], [], 1)
    assert said["erased"] == [{"id": str(text.pk), "position": last()}]


def test_json_names_code_and_position_of_flaws_and_row_and_column_of_differences(
    house: AuditWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    house.teams(1)
    rewrite_entry(last(), b'"via":"cli"', b'"via":"api"')
    tamper("access_team", "UPDATE access_team SET slug = 'renamed' WHERE slug = 'team-0'")
    said = answer(capsys)
    assert [(flaw["code"], flaw["position"]) for flaw in said["flaws"]] == [("leaf", last())]
    assert [(item["type"], item["column"]) for item in said["differences"]] == [("access.team/1", "slug")]
    assert (said["ok"], said["first_bad_position"]) == (False, last())


def test_a_checkpoint_and_receipts_kept_elsewhere_are_given_as_files(
    house: AuditWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    note, header = receipt(house, "one"), base64.b64encode(receipt(house, "two"))
    (tmp_path / "kept.note").write_bytes(house.checkpoint().note.encode())
    (tmp_path / "one.note").write_bytes(note)
    (tmp_path / "two.header").write_bytes(header + b"\n")
    words = [
        "--checkpoint",
        tmp_path / "kept.note",
        "--receipt",
        tmp_path / "one.note",
        "--receipt",
        tmp_path / "two.header",
    ]
    said = answer(capsys, *words)
    assert (said["ok"], said["receipts_checked"], said["checkpoints_checked"]) == (True, 2, 3)
    tamper("audit_entry", "DELETE FROM audit_entry WHERE position = %s", [last()])
    assert answer(capsys, *words)["first_bad_position"] == last() + 1


def test_a_folder_of_receipts_is_searched_through(
    house: AuditWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        (folder / "receipt.note").write_bytes(receipt(house, f"act-{number}"))
    (tmp_path / "kept.note").write_bytes(house.checkpoint().note.encode())  # a note, and no receipt
    (tmp_path / "picture").write_bytes(bytes(range(256)))
    assert answer(capsys, "--receipt", tmp_path)["receipts_checked"] == 3


def test_a_copy_of_the_file_of_checkpoints_is_taken_as_well(
    house: AuditWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    house.checkpoint()
    house.teams(1)
    house.checkpoint()
    kept = shutil.copy(settings.PRESSMARK_CHECKPOINTS / checkpoints.FILE, tmp_path / "copy.log")
    assert answer(capsys, "--checkpoint", kept)["checkpoints_checked"] == 6


def test_a_key_is_given_as_a_line_or_in_a_file(house: AuditWorld, tmp_path: Path) -> None:
    path = tmp_path / "kept-lines"
    path.write_text(keys.log_signer().key_line + "\n" + keys.issuer_signer().key_line + "\n")
    assert call("--key", keys.log_signer().key_line) == call("--key", path) == 0


@pytest.mark.parametrize("option", ["--key", "--checkpoint", "--receipt"])
@pytest.mark.parametrize("content", [None, b"", b"nothing of the sort\n", b"\xff\xfe+\x00", b"bm90aGluZw==\n"])
def test_a_file_that_cannot_be_used_is_a_wrong_call(
    house: AuditWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, content: bytes | None
) -> None:
    path = tmp_path / "given"
    if content is not None:
        path.write_bytes(content)
    assert call(option, path) == 2
    said = capsys.readouterr()
    assert "what to do" in said.err
    assert said.out == ""


def test_a_folder_without_a_receipt_is_a_wrong_call(
    house: AuditWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--receipt", tmp_path) == 2
    assert "no receipt" in capsys.readouterr().err


def test_history_that_was_lost_is_told_and_is_no_failure(house: AuditWorld, capsys: pytest.CaptureFixture[str]) -> None:
    house.checkpoint()
    write_outside(lost_checkpoint(keys.log_signer(), 5))
    house.reopen_ledger()
    assert call() == 0
    assert "NOTICE" in capsys.readouterr().out
