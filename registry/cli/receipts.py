"""The receipts that verbs got from servers: kept as they came, read without Django, completed as folders that stand alone.

Rules:
- a receipt is kept before anything else is done with the answer, named by origin and first position; another one at the same place
  never replaces it, for two that differ prove that history was rewritten;
- beside it stand the words of the verb that got it, for the list alone: they prove nothing;
- a receipt that cannot be kept is printed: the act is committed, and its receipt must not be lost;
- what a server answers is judged by the offline verifier before it counts as completed.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.offline_verify import Verdict, verify_receipt
from registry.cli.places import receipts_folder, write_private
from registry.errors import Conflict, Invalid

TYPE = "pressmark/receipt/1"
_ORIGIN = re.compile(r"pressmark/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/([1-9][0-9]{0,8})")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}")
_SUFFIX = ".note"
_SAID_SUFFIX = ".act"
_SAID_LIMIT = 200
_KINDS_SHOWN = 3
_KINDS_LOOKED_AT = 100


@dataclass(frozen=True)
class Receipt:
    """What a receipt says; whether it is true, the verifier tells."""

    note: bytes
    origin: str
    first: int
    count: int
    at: str

    @property
    def header(self) -> str:
        return base64.b64encode(self.note).decode()

    @property
    def name(self) -> str:
        """Origin and first position, as a file name."""
        return f"{self.origin.removeprefix('pressmark/').replace('/', '-')}-{self.first}"


def read(data: bytes) -> Receipt:
    """A receipt from its note, or from base64 of it. Invalid when it is none."""
    note = data
    if not data.startswith(b"pressmark/"):
        try:
            note = base64.b64decode(data.strip(), validate=True)
        except ValueError:
            raise _none("it is neither a note nor base64 of one") from None
    try:
        text = note.decode()
    except ValueError:
        raise _none("it is not UTF-8") from None
    lines = text.partition("\n\n")[0].split("\n")
    if len(lines) != 6 or lines[0] != TYPE:
        raise _none(f"it does not begin with {TYPE} and five lines more")
    if not _ORIGIN.fullmatch(lines[1]) or not all(_NUMBER.fullmatch(line) for line in lines[2:4]):
        raise _none("its origin or its positions cannot be read")
    return Receipt(note, lines[1], int(lines[2]), int(lines[3]), lines[5])


def _none(why: str) -> Invalid:
    return Invalid(
        f"That is no receipt: {why}.", hint="Give a file of `pressmark receipt list`, or the value of the header."
    )


# --- keeping ---


def keep(header: str, *, said: str = "") -> None:
    """Keep the value of `Pressmark-Receipt`, and say where in one line; never an error, for the act is committed.

    `said`: the verb and what it was about, so that the list can tell which act a receipt is for.
    """
    try:
        path = store(read(header.encode()))
        if said:
            write_private(path.with_suffix(_SAID_SUFFIX), said[:_SAID_LIMIT].encode())
    except (Invalid, OSError) as error:
        print(f"the receipt could not be kept ({error}); here it is:\n{header}", file=sys.stderr)
        return
    print(f"receipt kept: {path}", file=sys.stderr)


def store(receipt: Receipt) -> Path:
    """The file that holds the receipt from now on."""
    for number in range(1, 1000):
        name = receipt.name if number == 1 else f"{receipt.name}-{number}"
        path = receipts_folder() / f"{name}{_SUFFIX}"
        if not path.exists():
            write_private(path, receipt.note)
            return path
        if path.read_bytes() == receipt.note:
            return path
    raise Invalid(f"There are too many receipts of {receipt.name}", hint="Look into the folder of receipts.")


@dataclass(frozen=True)
class Kept:
    """A kept receipt, and the folder that completes it."""

    path: Path
    receipt: Receipt

    @property
    def folder(self) -> Path:
        return self.path.with_suffix("")

    @property
    def is_complete(self) -> bool:
        return self.folder.is_dir()

    @property
    def act(self) -> str:
        """What the receipt is for: the words that got it, and the kinds of its entries where they are here; "" if unknown."""
        said = ""
        with suppress(OSError):
            said = self.path.with_suffix(_SAID_SUFFIX).read_text("utf-8", "replace")
        kinds = list(dict.fromkeys(self._kinds()))
        shown = ", ".join(kinds[:_KINDS_SHOWN]) + (" ..." if len(kinds) > _KINDS_SHOWN else "")
        told = f"{said} ({shown})" if said and shown else said or shown
        return "".join(character if character.isprintable() else " " for character in told)

    def _kinds(self) -> Iterator[str]:
        for position in range(self.receipt.first, self.receipt.first + min(self.receipt.count, _KINDS_LOOKED_AT)):
            with suppress(OSError, ValueError, KeyError, TypeError):
                yield str(json.loads((self.folder / "entries" / f"{position}.json").read_bytes())["event"]["kind"])


def kept() -> Iterator[Kept]:
    """Every kept receipt that can be read, by origin and position."""
    found = []
    for path in receipts_folder().glob(f"*{_SUFFIX}"):
        try:
            found.append(Kept(path, read(path.read_bytes())))
        except (Invalid, OSError) as error:
            print(f"{path} cannot be read: {error}", file=sys.stderr)
    yield from sorted(found, key=lambda item: (item.receipt.origin, item.receipt.first, item.path.name))


# --- completing ---


def write_completed(answer: Mapping[str, Any], receipt: Receipt, folder: Path) -> Verdict:
    """Write what a server answered as a folder that stands alone, if the offline verifier finds nothing wrong in it."""
    if folder.exists():
        raise Conflict(f"{folder} is there already.", hint="Name another place with --output.")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        for path, data in _files(answer, receipt).items():
            write_private(temporary / path, data)
        verdict = verify_receipt(temporary)
        if verdict.exit_code == 1:
            reasons = [reason for item in verdict.answers.values() if item.result == "no" for reason in item.reasons]
            raise Conflict(
                "What the server answered does not prove this receipt; nothing was written.",
                hint="Keep the receipt: with it somebody can show that the server's history is another.",
                reasons=reasons,
            )
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return verdict


def _files(answer: Mapping[str, Any], receipt: Receipt) -> dict[str, bytes]:
    """The files of the folder (docs/bundle-format.md). Conflict when the answer is not of this shape."""
    try:
        files = {"receipt.note": receipt.note}
        for key in answer["keys"]:
            files[f"keys/keys-{int(key['first'])}.note"] = base64.b64decode(key["note"])
        for row in answer["entries"]:
            position = int(row["position"])
            files[f"entries/{position}.json"] = base64.b64decode(row["entry"])
            files[f"proofs/{position}.tlog-proof"] = str(row["proof"]).encode()
    except (KeyError, TypeError, ValueError):
        raise Conflict(
            "The server's answer cannot be read.", hint="Is it a Pressmark server of at least this version?"
        ) from None
    return files
