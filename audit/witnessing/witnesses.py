"""The witnesses of this ledger: which there are, what each last cosigned, and what is wrong with one of them.

    # PRESSMARK_WITNESSES, one per line:   KEYLINE URL
    witness.example.org+ea7dbb9b+BIAz...   https://witness.example.org:8100

Rules:
- a witness is known by the key line that this file gives it; one key, one name and one line each, for a key counts once;
- a line that cannot be read is told and left out; it stops neither the others nor the ledger;
- a cosignature is shown only with the checkpoint that it holds for, and only if it does: rows are a cache, not evidence;
- no text of a witness is kept or shown: every sentence here is ours.
"""

from __future__ import annotations

import datetime
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from audit import notes
from audit.models import Checkpoint, Witness
from audit.signing import KeyLineError
from audit.witnessing.cosignatures import CosignerKey, cosignature_of, parse_cosigner_line, signature_line

logger = logging.getLogger(__name__)
BEHIND_SECONDS = 180
NAME_LIMIT = 200
WITNESS_LIMIT = 32
_FILE_LIMIT_BYTES = 1024 * 1024
_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._~/-]*)?")


@dataclass(frozen=True)
class Listed:
    """A witness as the file names it."""

    key: CosignerKey
    url: str

    @property
    def name(self) -> str:
        return self.key.name


@dataclass(frozen=True)
class State:
    """What a witness last did, and what is wrong with it; `trouble` is empty when it keeps up."""

    listed: Listed
    size: int
    cosigned_at: datetime.datetime | None
    trouble: str


# --- the file ---


def listed() -> tuple[Listed, ...]:
    """The witnesses whose lines can be read, in the order of the file."""
    return _read()[0]


def unreadable() -> tuple[str, ...]:
    """What is wrong with the file, a sentence per line."""
    return _read()[1]


def _read() -> tuple[tuple[Listed, ...], tuple[str, ...]]:
    path = Path(settings.PRESSMARK_WITNESSES)
    try:
        state = path.stat()
    except FileNotFoundError:
        usual = path == Path(settings.PRESSMARK_HOME) / "witnesses"
        return (), () if usual else (f"{path}, which PRESSMARK_WITNESSES names, is not there.",)
    except OSError as error:
        return (), (f"{path} cannot be read ({error.strerror}).",)
    return _parse(path, state.st_mtime_ns, state.st_size, state.st_ino)


@lru_cache(maxsize=4)
def _parse(path: Path, changed_ns: int, size_bytes: int, inode: int) -> tuple[tuple[Listed, ...], tuple[str, ...]]:
    """Read once for each state of the file."""
    try:
        if size_bytes > _FILE_LIMIT_BYTES:
            return (), (f"{path} is no list of witnesses: it has {size_bytes} bytes.",)
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        return (), (f"{path} cannot be read as text.",)
    found: list[Listed] = []
    wrong: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        try:
            found.append(_listed(words, found))
        except (KeyLineError, ValueError) as error:
            wrong.append(f"{path}, line {number}: {error}.")
    return tuple(found), tuple(wrong)


def _listed(words: list[str], before: list[Listed]) -> Listed:
    if len(words) != 2:
        raise ValueError("a line is KEYLINE URL")
    key, url = parse_cosigner_line(words[0]), words[1].rstrip("/")
    if not _URL.fullmatch(url) or not urlsplit(url).hostname or urlsplit(url).port == 0:
        raise ValueError("the address of a witness looks like https://witness.example.org:8100")
    if len(key.name) > NAME_LIMIT:
        raise ValueError(f"the name of a witness has at most {NAME_LIMIT} characters")
    if any(key.name == other.name or key.raw == other.key.raw for other in before):
        raise ValueError("a witness above has the same name or key")
    if len(before) == WITNESS_LIMIT:
        raise ValueError(f"there are more than {WITNESS_LIMIT} witnesses")
    return Listed(key, url)


# --- what they did ---


def rows() -> dict[str, Witness]:
    """What is kept of each witness."""
    return {row.name: row for row in Witness.objects.filter(name__in=[each.name for each in listed()])}


def record_cosignature(name: str, size: int, line: str) -> None:
    """A witness cosigned the checkpoint of that size. When it did by its own clock stands in the line."""
    _record(name, size=size, line=line, cosigned_at=datetime.datetime.now(datetime.UTC), error="")


def record_trouble(name: str, sentence: str) -> None:
    """A witness did not cosign, and why."""
    if _record(name, error=sentence):
        logger.error("the witness %s: %s", name, sentence)


def _record(name: str, **values: object) -> bool:
    """Whether the row's error changed."""
    now = datetime.datetime.now(datetime.UTC)
    row, _ = Witness.objects.get_or_create(name=name)
    Witness.objects.filter(name=name).update(asked_at=now, **values)
    return bool(row.error != values["error"])


# --- notes with cosignatures ---


def bare(note: bytes) -> bytes:
    """A checkpoint with the signatures of its log alone."""
    parsed = notes.parse_note(note)
    origin = notes.parse_checkpoint_body(parsed.text).origin
    lines = [signature_line(signature) for signature in parsed.signatures if signature.name == origin]
    return with_lines(f"{parsed.text}\n".encode(), lines)


def with_lines(note: bytes, lines: Iterable[str]) -> bytes:
    """A note with more signature lines behind those that it has."""
    return note + "".join(f"{line}\n" for line in lines).encode()


def holds_for(note: bytes, key: CosignerKey, line: str) -> bool:
    """Whether a kept line is a witness's cosignature of exactly this checkpoint."""
    try:
        cosignature_of(notes.parse_note(with_lines(bare(note), [line])), key)
    except notes.NoteError:
        return False
    return True


def has_cosigned(note: bytes, key: CosignerKey) -> bool:
    """Whether a note carries a witness's cosignature."""
    try:
        cosignature_of(notes.parse_note(note), key)
    except notes.NoteError:
        return False
    return True


def complete(checkpoint: Checkpoint) -> str:
    """The checkpoint's note with the cosignatures that came after it was stored as well."""
    note = checkpoint.note.encode()
    kept = rows() if listed() else {}
    late = [
        kept[each.name].line
        for each in listed()
        if each.name in kept and not has_cosigned(note, each.key) and holds_for(note, each.key, kept[each.name].line)
    ]
    return with_lines(note, late).decode()


# --- what is wrong ---


def states(newest: Checkpoint | None) -> list[State]:
    """Each witness, as far as it has come with the newest checkpoint."""
    kept = rows() if listed() else {}
    now = datetime.datetime.now(datetime.UTC)
    found = []
    for each in listed():
        row = kept.get(each.name) or Witness(name=each.name)
        found.append(State(each, row.size, row.cosigned_at, _trouble(each, row, newest, now)))
    return found


def _trouble(each: Listed, row: Witness, newest: Checkpoint | None, now: datetime.datetime) -> str:
    """A witness that cosigned a moment ago is well, even if it missed a turn since."""
    patience = datetime.timedelta(seconds=BEHIND_SECONDS)
    if row.cosigned_at is not None and now - row.cosigned_at < patience:
        return ""
    if row.error or newest is None or now - newest.signed_at < patience:
        return row.error
    if has_cosigned(newest.note.encode(), each.key) or holds_for(newest.note.encode(), each.key, row.line):
        return ""
    return "is behind: the newest checkpoint lacks its cosignature"


def troubles() -> list[str]:
    """What is wrong with the witnesses, for the health page: no addresses."""
    newest = Checkpoint.objects.order_by("-size").first()
    found = ["The file of witnesses has a line that cannot be read; see `pressmark check`."] if unreadable() else []
    for state in states(newest):
        if state.trouble:
            found.append(f"The witness {state.listed.name} {state.trouble}.")
    return found
