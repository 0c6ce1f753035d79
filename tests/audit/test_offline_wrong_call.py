"""What the caller of the verifier gets wrong: nothing is judged, and it says what to give instead, in both verifiers alike."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from audit import offline_verify
from tests.audit import bundle_builder as builder
from tests.audit.both import agreed, opinions, opinions_on
from tests.audit.bundle_builder import Story


@pytest.fixture(scope="module")
def story() -> Story:
    return builder.tell()


def packed(files: dict[str, bytes], folder: str = "", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """As the page of a receipt hands it out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for path in sorted(files):
            archive.writestr(zipfile.ZipInfo(folder + path, (1980, 1, 1, 0, 0, 0)), files[path])
    return buffer.getvalue()


def unpacked(files: dict[str, bytes], folder: Path) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
@pytest.mark.parametrize("folder", ["", "pressmark-receipt-3/"])
def test_a_completed_receipt_that_is_still_packed_is_to_be_unpacked(story: Story, folder: str, method: int) -> None:
    receipt = packed(builder.completed(story.ledger, min(story.ledger.receipts)), folder, method)
    opinion = agreed(*opinions_on(receipt))
    assert opinion.exit_code == 2
    assert "unpack it" in opinion.told


@pytest.mark.parametrize("first", ["a/b/receipt.note", "entries/01.json", "entries/1.txt", "x/entry/1.json", "keys/a"])
def test_another_zip_that_is_no_bundle_is_a_no(first: str) -> None:
    assert agreed(*opinions_on(packed({first: b"{}"}))).exit_code == 1


def test_a_zip_of_nothing_is_a_no() -> None:
    data = builder.pack({})
    assert data == b"PK\x05\x06" + bytes(18)
    opinion = agreed(*opinions_on(data))
    assert opinion.exit_code == 1
    assert "manifest.json: the file is missing" in opinion.told


def test_a_bundle_whose_first_file_is_called_like_a_receipts_is_still_judged(story: Story) -> None:
    files = builder.content(story) | {"A/entries/0.json": b"{}"}
    data = builder.pack(builder.sealed(story, files))
    outside = {"keys": [story.ledger.log.key_line], "checkpoint": story.ledger.checkpoint(story.size)}
    assert agreed(*opinions_on(data, **outside)).exit_code == 0


def test_a_bundle_that_was_unpacked_is_asked_for_as_the_zip(story: Story, tmp_path: Path) -> None:
    folder = unpacked(builder.sealed(story), tmp_path / "bundle")
    opinion = agreed(*opinions(folder))
    assert opinion.exit_code == 2
    assert "give the zip file as it was handed out" in opinion.told
    (folder / "receipt.note").write_bytes(b"")  # a receipt's folder that somebody filled with more is one all the same
    assert agreed(*opinions(folder)).exit_code == 1


def test_a_mistyped_key_line_is_not_taken_for_a_file_alone(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    line = story.ledger.log.key_line
    for typed, why in (
        (line[:-1], "base64"),
        (line.replace("+", "+0", 1), "key id"),
        ("x" * 5000, "no file of this name"),
    ):
        assert offline_verify.main([__file__, "--key", typed]) == 2
        said = capsys.readouterr().err
        assert "no file of this name, and no key line" in said
        assert why in said


def test_a_key_file_that_cannot_be_read_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert offline_verify.main([__file__, "--key", str(tmp_path)]) == 2
    assert "it cannot be read (Is a directory)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "asked",
    [
        "2026-01-02", "2026-01-02T00:00", "2026-01-02 00:00:00Z", "2026-01-02T01:00:00.5+01:00",
        "2026-01-01T23:30:00,25-0030", "2026-01-02T00:00:00.000001Z", "2026-01-02T05+05",
    ],
)  # fmt: skip
def test_a_time_may_be_given_in_the_forms_of_iso_8601(story: Story, asked: str) -> None:
    known = {"keys": [story.ledger.log.key_line], "checkpoint": story.ledger.checkpoint(story.size)}
    expected = 2 if asked.endswith("05+05") else 0
    assert agreed(*opinions_on(builder.sealed(story), **known, not_before=asked)).exit_code == expected


@pytest.mark.parametrize(
    ("asked", "exit_code"), [("T04:00:21+01:00", 0), ("T04:00:22+01:00", 1), ("T03:00:21.000001", 1)]
)
def test_a_zone_counts(story: Story, asked: str, exit_code: int) -> None:
    """The bundle was sealed at the time that stands in its entry; the same moment in another zone is no later one."""
    known = {"keys": [story.ledger.log.key_line], "checkpoint": story.ledger.checkpoint(story.size)}
    sealed = agreed(*opinions_on(builder.sealed(story), **known, not_before=sealed_at(story)))
    assert sealed.exit_code == 0
    assert sealed_at(story) == "2026-01-02T03:00:21.000000Z"
    assert agreed(*opinions_on(builder.sealed(story), **known, not_before="2026-01-02" + asked)).exit_code == exit_code


def sealed_at(story: Story) -> str:
    data = story.ledger.entries[story.issued_at]
    return data.partition(b'"at":"')[2].partition(b'"')[0].decode()


@pytest.mark.parametrize(
    "asked",
    ["20260102", "2026-W01-1", "2026-02-30", "2026-01-02T24:00", "2026-01-02T00:00:60Z", "2026-01-02T00:00+01:60",
     "2026-01-02T00:00+24:00", "2026-01-02T00:00:00.1234567Z", "0001-01-01T00:00+01:00", "2026-01-02z", "\uff12026-01-02"],
)  # fmt: skip
def test_what_is_no_time_is_a_wrong_call(story: Story, asked: str) -> None:
    assert agreed(*opinions_on(builder.sealed(story), not_before=asked)).exit_code == 2
