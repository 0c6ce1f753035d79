"""`pressmark verify-ledger`: recompute every leaf, number, time and root, and compare every governed table with the ledger.

Rules:
- what was kept elsewhere comes in as files: key lines; checkpoints (a note, or a copy of the file of checkpoints); receipts (a
  note, the value of the header, or a folder of either, completed ones included);
- exit status 0 when nothing is wrong, 1 when something is, 2 when a file that was given cannot be used; then nothing is judged.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from audit import notes
from audit.signing import KeyLineError, parse_key_line
from audit.verification import replay, verify_ledger
from audit.verification.ledger_report import LedgerReport
from audit.verification.replay import Replay
from registry.errors import Invalid

_FILE_LIMIT_BYTES = 64 * 1024
_RECEIPT = notes.RECEIPT_TYPE.encode() + b"\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hash-documents", action="store_true", help="read every stored document and hash it again")
    parser.add_argument(
        "--key", action="append", default=[], metavar="KEYLINE_OR_FILE", help="a key line kept elsewhere; repeatable"
    )
    parser.add_argument(
        "--checkpoint", action="append", default=[], type=Path, metavar="FILE",
        help="a checkpoint kept elsewhere, or a copy of the file of checkpoints; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--receipt", action="append", default=[], type=Path, metavar="FILE_OR_FOLDER",
        help="a receipt kept elsewhere, or a folder of them; repeatable",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true")


def run(options: argparse.Namespace) -> int:
    """Judge the ledger from its bytes, then the tables from the ledger."""
    try:
        key_lines = [line for given in options.key for line in key_lines_of(given)]
        outside = [note for path in options.checkpoint for note in checkpoints_of(path)]
        receipts = [note for path in options.receipt for note in receipts_of(path)]
    except Invalid as error:
        print(f"pressmark verify-ledger: {error.detail}\n  what to do: {error.hint}", file=sys.stderr)
        return 2
    report = verify_ledger.verify(
        hash_documents=options.hash_documents, key_lines=key_lines, outside=outside, receipts=receipts
    )
    told = replay.run()
    good = report.ok and not told.differences
    if options.json:
        print(json.dumps(document(report, told), indent=1))
    else:
        show(report, told)
    return 0 if good else 1


def document(report: LedgerReport, told: Replay) -> dict[str, object]:
    """The answer as JSON; docs/commands.md says what each member means."""
    return report.document() | {
        "differences": [asdict(difference) for difference in told.differences],
        "erased": [asdict(text) for text in told.erased],
        "erased_count": told.erased_count,
        "ok": report.ok and not told.differences,
        "rows_compared": told.rows,
    }


def show(report: LedgerReport, told: Replay) -> None:
    """The answer for a person: what is wrong goes to standard error."""
    print(f"{report.size} entries of {report.origin}, root {report.root}")
    print(f"{report.checkpoints_checked} checkpoints, {report.receipts_checked} receipts", end="")
    print(f", {report.documents_checked} documents", end="")
    print(" hashed again" if report.documents_hashed else " present (--hash-documents reads them)")
    print(f"{told.rows} rows compared", end="")
    print(f", {told.erased_count} texts erased by entries that say so" if told.erased_count else "")
    for notice in report.notices:
        print(f"NOTICE  {notice}")
    for flaw in report.flaws:
        print(f"WRONG  {flaw}", file=sys.stderr)
    if report.flaw_count > len(report.flaws):
        print(f"       and {report.flaw_count - len(report.flaws)} more", file=sys.stderr)
    if report.first_bad_position is not None:
        print(f"The first bad position is {report.first_bad_position}.", file=sys.stderr)
    for difference in told.differences:
        print(f"DIFFERS  {difference}", file=sys.stderr)
    if report.ok and not told.differences:
        print("The ledger is whole, and every table is what the ledger says.")


# --- what was kept elsewhere ---


def key_lines_of(given: str) -> list[str]:
    """A key line, or those in a file, one on each line."""
    path = Path(given)
    lines = [given]
    if "+" not in given or path.is_file():
        lines = [line.strip() for line in _read(path).decode("utf-8", "replace").splitlines() if line.strip()]
    for line in lines or [""]:
        try:
            parse_key_line(line)
        except KeyLineError as error:
            raise Invalid(
                f"{line[:60]!r} is no key line: {error}.", hint="Give the line that `init` printed."
            ) from None
    return lines


def checkpoints_of(path: Path) -> list[bytes]:
    """A checkpoint's note, or those in a copy of the file of checkpoints: base64, one on each line."""
    data = _read(path)
    found = [data] if b"\n\n" in data else [_base64(line, path) for line in data.splitlines() if line]
    for note in found:
        try:
            notes.parse_checkpoint_body(notes.parse_note(note).text)
        except notes.NoteError as error:
            raise Invalid(f"{path} is no checkpoint: {error}.", hint="Give the note as it was handed out.") from None
    if not found:
        raise Invalid(f"{path} is empty.", hint="Give a checkpoint's note, or a copy of the file of checkpoints.")
    return found


def receipts_of(path: Path) -> list[bytes]:
    """A receipt's note, also as the value of its header; or those of every file in a folder."""
    if not path.is_dir():
        note = _receipt(path)
        if note is None:
            raise Invalid(f"{path} is no receipt.", hint="Give a receipt's note, or the value of its header.")
        return [note]
    found = list(_receipts_in(path))
    if not found:
        raise Invalid(f"There is no receipt in {path}.", hint="`pressmark receipt list` says where yours are kept.")
    return found


def _receipts_in(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size <= _FILE_LIMIT_BYTES:
            note = _receipt(path)
            if note is not None:
                yield note


def _receipt(path: Path) -> bytes | None:
    data = _read(path)
    if not data.startswith(_RECEIPT):
        try:
            data = base64.b64decode(data.strip(), validate=True)
        except binascii.Error:
            return None
    return data if data.startswith(_RECEIPT) else None


def _base64(line: bytes, path: Path) -> bytes:
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error:
        raise Invalid(
            f"{path} is neither a note nor a file of checkpoints.", hint="Give the note as it was handed out."
        ) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}.", hint="Is it the right path?") from None
