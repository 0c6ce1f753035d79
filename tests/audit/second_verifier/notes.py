"""Signed notes (C2SP) and the four kinds that the page knows: checkpoint, keys, receipt and tlog-proof.

A reader either returns what stands in the note or raises Unreadable with what is wrong; signatures are judged by whoever asks.
"""

import re
from dataclasses import dataclass

from . import forms
from .forms import MAX_PATH, Unreadable, read_base64, read_number
from .keys import Key, name_allowed, read_key_line

MAX_NOTE_BYTES = 1024 * 1024
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")
PROOF_HEAD = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True)
class Line:
    name: str
    key_id: bytes
    signature: bytes

    def names(self, key: Key) -> bool:
        return self.name == key.name and self.key_id == key.key_id


@dataclass(frozen=True)
class Note:
    data: bytes
    text: str
    lines: tuple[Line, ...]

    def of(self, key: Key) -> list[Line]:
        return [line for line in self.lines if line.names(key)]

    def signed_by(self, key: Key) -> bool:
        mine = self.of(key)
        return len(mine) == 1 and key.holds(mine[0].signature, self.text.encode())

    def signed_first_by(self, key: Key) -> bool:
        return self.lines[0].names(key) and self.signed_by(key)


def _signature_line(line: str) -> Line:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—" or not name_allowed(parts[1]):
        raise Unreadable(f"{line[:80]!r} is no signature line")
    data = read_base64(parts[2])
    if len(data) < 5:
        raise Unreadable(f"{line[:80]!r} holds no signature")
    return Line(parts[1], data[:4], data[4:])


def read_note(data: bytes) -> Note:
    if len(data) > MAX_NOTE_BYTES:
        raise Unreadable("a note of more than 1 MiB")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable("a note that is not UTF-8") from error
    if _CONTROL.search(whole):
        raise Unreadable("a control character in a note")
    before, parting, signatures = whole.rpartition("\n\n")
    if not parting or not signatures.endswith("\n"):
        raise Unreadable("no empty line with signatures after it")
    lines = [_signature_line(line) for line in signatures[:-1].split("\n")]
    if len(lines) > 64:
        raise Unreadable(f"{len(lines)} signature lines; 64 are the most")
    return Note(data, before + "\n", tuple(lines))


def _fields(note: Note, wanted: int) -> list[str]:
    fields = note.text[:-1].split("\n")
    if len(fields) != wanted or "" in fields:
        raise Unreadable(f"{len(fields)} lines of text instead of {wanted}, or an empty one")
    return fields


@dataclass(frozen=True)
class Checkpoint:
    note: Note
    origin: str
    size: int
    root: bytes


def read_checkpoint(data: bytes) -> Checkpoint:
    note = read_note(data)
    origin, size, root = _fields(note, 3)
    found = Checkpoint(note, origin, read_number(size), read_base64(root, 32))
    if found.size < 1:
        raise Unreadable("a checkpoint of size 0")
    return found


@dataclass(frozen=True)
class KeysNote:
    note: Note
    origin: str
    first: int
    log: Key
    issuer: Key

    def signed_by_both_of(self, other: "KeysNote") -> bool:
        return self.note.signed_by(other.log) and self.note.signed_by(other.issuer)


def read_keys_note(data: bytes) -> KeysNote:
    note = read_note(data)
    head, origin, first, log, issuer = _fields(note, 5)
    if head != "pressmark/keys/1" or not log.startswith("log ") or not issuer.startswith("issuer "):
        raise Unreadable("not a keys note")
    found = KeysNote(
        note,
        origin,
        read_number(first),
        read_key_line(log.removeprefix("log ")),
        read_key_line(issuer.removeprefix("issuer ")),
    )
    if found.log.name != origin or found.issuer.name != f"{origin}/issuer" or found.log.raw == found.issuer.raw:
        raise Unreadable("a keys note whose keys have other names, or are one")
    return found


@dataclass(frozen=True)
class Receipt:
    note: Note
    origin: str
    first: int
    count: int
    root: bytes
    at: str

    @property
    def positions(self) -> range:
        return range(self.first, self.first + self.count)


def read_receipt(data: bytes) -> Receipt:
    note = read_note(data)
    head, origin, first, count, root, at = _fields(note, 6)
    found = Receipt(note, origin, read_number(first), read_number(count), read_base64(root, 32), at)
    if head != "pressmark/receipt/1" or found.count < 1 or not forms.time(at):
        raise Unreadable("not a receipt")
    return found


@dataclass(frozen=True)
class TlogProof:
    extra: bytes
    index: int
    path: list[bytes]
    checkpoint: Checkpoint


def read_tlog_proof(data: bytes) -> TlogProof:
    head, parting, note = data.partition(b"\n\n")
    try:
        fields = head.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise Unreadable("a proof that is not UTF-8") from error
    if not parting or len(fields) < 3 or fields[0] != PROOF_HEAD:
        raise Unreadable("not a tlog-proof")
    if not fields[1].startswith("extra ") or not fields[2].startswith("index ") or len(fields) - 3 > MAX_PATH:
        raise Unreadable("a tlog-proof without extra or index, or with too many hashes")
    return TlogProof(
        read_base64(fields[1].removeprefix("extra ")),
        read_number(fields[2].removeprefix("index ")),
        [read_base64(field, 32) for field in fields[3:]],
        read_checkpoint(note),
    )
