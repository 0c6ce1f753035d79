"""`pressmark receipt list | complete | verify`: what the other verbs got, made to stand alone, and checked without a server."""

from __future__ import annotations

import argparse
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from registry.cli import receipts, verify
from registry.cli.places import receipts_folder
from registry.cli.receipts import Kept, Receipt
from registry.cli.remote import add_server_arguments, client_of
from registry.client import ApiError, Client
from registry.errors import Invalid, Problem

PENDING_SECONDS = 10.0
_WHICH = "`pressmark receipt list` shows those that are kept; give a name of it, a file with one, or --all."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    acts = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    acts.add_parser("list", help="the receipts that verbs got, for which act, and which of them stand alone")
    about = "fetch the entries, proofs and keys notes, so that nothing of the server is needed from then on"
    complete = acts.add_parser("complete", help=about, description=about)
    complete.add_argument("receipt", nargs="?", metavar="FILE_OR_HEADER", help="a file with it, or the header's value")
    complete.add_argument("--all", action="store_true", help="every kept receipt that is not completed yet")
    complete.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where to make the folders; beside the kept ones"
    )
    add_server_arguments(complete)
    about = "check a completed receipt offline, as a stranger would"
    checked = acts.add_parser("verify", help=about, description=about, add_help=False)
    checked.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="FOLDER [--key ...] [--checkpoint ...] [--json]"
    )


def run(options: argparse.Namespace) -> int:
    """Each act in its own words."""
    if options.act == "list":
        return show()
    return check(options.arguments) if options.act == "verify" else complete(options)


def show() -> int:
    """One line for each kept receipt."""
    found = list(receipts.kept())
    for item in found:
        state = "completed" if item.is_complete else "not completed"
        receipt = item.receipt
        entries = "entry  " if receipt.count == 1 else "entries"
        act = f"  {item.act}" if item.act else ""
        print(f"{item.path.stem}  {receipt.at[:19]}Z  {receipt.count:>3} {entries}  {state:<13}{act}".rstrip())
    place = receipts_folder()
    print(f"{len(found)} in {place}" if found else f"No receipt is kept in {place} yet.", file=sys.stderr)
    return 0


def complete(options: argparse.Namespace) -> int:
    """Exit status 0 when everything that was asked for stands alone now."""
    if options.all == bool(options.receipt):
        raise Invalid("Say which receipt.", hint="Give a file, the value of the header, or --all.")
    place = options.output or receipts_folder()
    if not options.all:
        name, receipt = _given(options.receipt)
        _complete_one(client_of(options), name, receipt, place)
        print(f"Check it: pressmark receipt verify {place / name} --key KEYLINE --checkpoint FILE")
        return 0
    waiting = [item for item in receipts.kept() if not (place / item.path.stem).exists()]
    if not waiting:
        print("Every kept receipt is completed.")
        return 0
    return _complete_all(client_of(options), waiting, place)


def _given(text: str) -> tuple[str, Receipt]:
    """A receipt by file, by the name that the list shows, or as the value of the header; and the name of its folder."""
    for path in (Path(text), receipts_folder() / f"{text}.note"):
        if len(text) < 256 and path.is_file():
            receipt = receipts.read(path.read_bytes())
            return (path.stem if path.parent == receipts_folder() else receipt.name), receipt
    if len(text) < 256 and Path(text).is_dir():
        raise Invalid(f"{text} is a folder.", hint=_WHICH)
    try:
        receipt = receipts.read(text.encode())
    except Invalid:
        shown = text if len(text) < 80 else f"{text[:77]}..."
        raise Invalid(f"{shown} is no kept receipt, no file, and no value of a header.", hint=_WHICH) from None
    return receipt.name, receipt


def _complete_all(client: Client, waiting: Sequence[Kept], place: Path) -> int:
    """One refusal stops none of the others."""
    refused = 0
    for item in waiting:
        try:
            _complete_one(client, item.path.stem, item.receipt, place)
        except (ApiError, Problem) as error:
            refused += 1
            print(f"{item.path.stem}: {error}", file=sys.stderr)
    print(f"{len(waiting) - refused} completed, {refused} not.")
    return 1 if refused else 0


def _complete_one(client: Client, name: str, receipt: Receipt, place: Path) -> None:
    folder = place / name
    if folder.exists():
        print(f"{folder} is there already.")
        return
    receipts.write_completed(_answer(client, receipt), receipt, folder)
    print(folder)


def _answer(client: Client, receipt: Receipt) -> dict[str, Any]:
    """What the server has; waits a little where the keeper has not signed past it yet."""
    deadline = time.monotonic() + PENDING_SECONDS
    while True:
        try:
            answer: dict[str, Any] = client.get("ledger/receipt", [("receipt", receipt.header)])
            return answer
        except ApiError as error:
            pending = str(error.problem.get("type", "")).endswith(":pending")
            if not pending or time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def check(arguments: Sequence[str]) -> int:
    """The one-file verifier on a folder, or on one of the kept receipts by name."""
    words = list(arguments)
    if words and not Path(words[0]).exists() and (receipts_folder() / words[0]).is_dir():
        words[0] = str(receipts_folder() / words[0])
    if words and Path(words[0]).is_file() and _is_zipped_receipt(Path(words[0])):
        raise Invalid(
            f"{words[0]} is the zip of a completed receipt.", hint="Unpack it, and give the folder that was in it."
        )
    return verify.run(argparse.Namespace(arguments=words))


def _is_zipped_receipt(path: Path) -> bool:
    """As the page of a receipt hands it out."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/receipt.note") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False
