"""Signed notes and what Pressmark writes in them: checkpoints, receipts, keys notes, proofs that carry a checkpoint.

One reason: one strict reader and writer for every text that is signed line by line (C2SP signed-note, tlog-checkpoint,
tlog-proof; FORMATS section 6). Rules:
- a note is UTF-8 without control characters but the newline: text ending in a newline, a blank line, signature lines;
- a signature by a key that was asked for must be there exactly once and hold; those of others (witnesses, ML-DSA) are
  kept, not judged;
- checkpoint and receipt bodies have exactly three and six lines; numbers have no leading zero; size 0 is never signed;
- base64 is standard and padded, and only its one canonical spelling is read.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from audit.signing import ISSUER_SUFFIX, KeyLineError, PublicKey, Signer, check_key_name, parse_key_line, strict_base64
from registry.digests import CanonicalError, parse_time

RECEIPT_TYPE = "pressmark/receipt/1"
KEYS_TYPE = "pressmark/keys/1"
PROOF_TYPE = "c2sp.org/tlog-proof@v1"

_NOTE_LIMIT_BYTES = 1024 * 1024
_SIGNATURE_LIMIT = 64
_DASH = "\u2014 "
_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NoteError(ValueError):
    """A note or proof that is malformed, or not signed as it must be; the message says which rule broke."""


# --- notes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NoteSignature:
    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True)
class Note:
    """A parsed note; nothing in it is trusted before `require`."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def require(self, *keys: PublicKey) -> None:
        """Raise unless each of the keys signed exactly once, and rightly."""
        for key in keys:
            found = [s.signature for s in self.signatures if (s.name, s.key_id) == (key.name, key.key_id)]
            if len(found) != 1:
                raise NoteError(f"the note has {len(found)} signatures by {key.keyid}; exactly one is needed")
            if len(found[0]) != 64 or not key.verifies(self.text.encode(), found[0]):
                raise NoteError(f"the signature by {key.keyid} does not hold")


def parse_note(data: bytes) -> Note:
    """Read a note strictly by the C2SP grammar; judges no signature."""
    if len(data) > _NOTE_LIMIT_BYTES:
        raise NoteError(f"the note has {len(data)} bytes; at most {_NOTE_LIMIT_BYTES} are read")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteError(f"the note is not UTF-8 at byte {error.start}") from error
    if _CONTROL.search(whole):
        raise NoteError("the note holds a control character")
    text, blank, rest = whole.rpartition("\n\n")
    if not blank or not text or not rest.endswith("\n"):
        raise NoteError("not a signed note: it needs text, a blank line, and signature lines ending in newlines")
    lines = rest[:-1].split("\n")
    if len(lines) > _SIGNATURE_LIMIT:
        raise NoteError(f"the note has {len(lines)} signatures; at most {_SIGNATURE_LIMIT} are read")
    return Note(text + "\n", tuple(_parse_signature_line(line) for line in lines))


def sign_note(text: str, *signers: Signer) -> bytes:
    """The note's bytes with one signature line per signer, in their order."""
    if not text.endswith("\n") or text == "\n" or not 1 <= len(signers) <= _SIGNATURE_LIMIT:
        raise NoteError(f"a note's text ends with a newline, and 1 to {_SIGNATURE_LIMIT} sign it")
    if _CONTROL.search(text):
        raise NoteError("the note holds a control character")
    message = text.encode()
    parts = [message, b"\n"]
    for signer in signers:  # what stands in a signature line is right by construction
        line = f"{_DASH}{signer.name} {_base64(signer.public.key_id + signer.sign(message))}\n"
        parts.append(line.encode())
    data = b"".join(parts)
    if len(data) > _NOTE_LIMIT_BYTES:  # never hand out what a reader would refuse
        raise NoteError(f"the note has {len(data)} bytes; at most {_NOTE_LIMIT_BYTES} are read")
    return data


def _parse_signature_line(line: str) -> NoteSignature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise NoteError("a signature line is an em dash, a key name and base64, parted by spaces")
    try:
        check_key_name(name)
    except KeyLineError as error:
        raise NoteError(f"signature line: {error}") from error
    data = _unbase64(encoded, "signature line")
    if len(data) < 5:
        raise NoteError("a signature line holds a key id of 4 bytes and a signature")
    return NoteSignature(name, data[:4], data[4:])


# --- checkpoints ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Checkpoint:
    """The signed state of a log: its first `size` entries have this root."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        if self.size < 1:
            raise NoteError("a checkpoint of size 0 is never signed")
        return f"{_check_line(self.origin)}\n{self.size}\n{_base64_hash(self.root)}\n"


def parse_checkpoint_body(text: str) -> Checkpoint:
    lines = _lines(text, 3, "checkpoint")
    size = _number(lines[1], "tree size")
    if size < 1:
        raise NoteError("a checkpoint of size 0 is never signed")
    return Checkpoint(lines[0], size, _unbase64_hash(lines[2]))


def sign_checkpoint(log_signer: Signer, size: int, root: bytes) -> bytes:
    """The checkpoint note; the log key is named like the origin."""
    return sign_note(Checkpoint(log_signer.name, size, root).body(), log_signer)


def open_checkpoint(data: bytes, log_key: PublicKey) -> Checkpoint:
    """The checkpoint, if the first signature is the log key's and holds, and the origin is the key's name."""
    note = parse_note(data)
    note.require(log_key)
    first = note.signatures[0]
    if (first.name, first.key_id) != (log_key.name, log_key.key_id):
        raise NoteError("the first signature of a checkpoint is the log key's")
    checkpoint = parse_checkpoint_body(note.text)
    if checkpoint.origin != log_key.name:
        raise NoteError(f"the checkpoint is of {checkpoint.origin}, the key of {log_key.name}")
    return checkpoint


# --- receipts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Receipt:
    """What a unit got: `count` entries from position `first`, with the RFC 6962 root over their leaves."""

    origin: str
    first: int
    count: int
    root: bytes
    at: str

    def body(self) -> str:
        self._check()
        root = _base64_hash(self.root)
        return f"{RECEIPT_TYPE}\n{_check_line(self.origin)}\n{self.first}\n{self.count}\n{root}\n{self.at}\n"

    def _check(self) -> None:
        if self.first < 0 or self.count < 1:
            raise NoteError("a receipt covers at least one entry, from position 0 on")
        try:
            parse_time(self.at)
        except CanonicalError as error:
            raise NoteError(f"receipt: {error}") from error


def parse_receipt_body(text: str) -> Receipt:
    lines = _lines(text, 6, "receipt")
    if lines[0] != RECEIPT_TYPE:
        raise NoteError(f"a receipt begins with {RECEIPT_TYPE}")
    first, count = _number(lines[2], "first position"), _number(lines[3], "count")
    receipt = Receipt(lines[1], first, count, _unbase64_hash(lines[4]), lines[5])
    receipt._check()
    return receipt


def sign_receipt(issuer: Signer, first: int, count: int, root: bytes, at: str) -> bytes:
    """The receipt note; call it only after COMMIT returned."""
    origin = issuer.name.removesuffix(ISSUER_SUFFIX)
    if origin == issuer.name:
        raise NoteError(f"receipts are signed by the issuer key, named origin + {ISSUER_SUFFIX}; not by {issuer.name}")
    return sign_note(Receipt(origin, first, count, root, at).body(), issuer)


def open_receipt(data: bytes, issuer_key: PublicKey) -> Receipt:
    """The receipt, if the issuer key signed it and its origin is the key's."""
    note = parse_note(data)
    note.require(issuer_key)
    receipt = parse_receipt_body(note.text)
    if receipt.origin + ISSUER_SUFFIX != issuer_key.name:
        raise NoteError(f"the receipt is of {receipt.origin}, the key is {issuer_key.name}")
    return receipt


def receipt_header(note: bytes) -> str:
    """The value of the header `Pressmark-Receipt`."""
    return _base64(note)


def parse_receipt_header(value: str) -> bytes:
    return _unbase64(value, "receipt header")


# --- keys notes -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KeysNote:
    """Which two keys sign for a log from position `first` on."""

    origin: str
    first: int
    log: PublicKey
    issuer: PublicKey

    def body(self) -> str:
        self._check()
        keys = f"log {self.log.key_line}\nissuer {self.issuer.key_line}\n"
        return f"{KEYS_TYPE}\n{_check_line(self.origin)}\n{self.first}\n{keys}"

    def _check(self) -> None:
        if self.log.name != self.origin or self.issuer.name != self.origin + ISSUER_SUFFIX:
            raise NoteError(f"the keys are named {self.log.name} and {self.issuer.name}; the origin is {self.origin}")
        if self.log.raw == self.issuer.raw:
            raise NoteError("the log key and the issuer key must be two keys")


def parse_keys_body(text: str) -> KeysNote:
    lines = _lines(text, 5, "keys note")
    if lines[0] != KEYS_TYPE or not lines[3].startswith("log ") or not lines[4].startswith("issuer "):
        raise NoteError(f"a keys note has the lines {KEYS_TYPE}, origin, first position, log <key>, issuer <key>")
    try:
        log, issuer = parse_key_line(lines[3].removeprefix("log ")), parse_key_line(lines[4].removeprefix("issuer "))
    except KeyLineError as error:
        raise NoteError(f"keys note: {error}") from error
    keys = KeysNote(lines[1], _number(lines[2], "first position"), log, issuer)
    keys._check()
    return keys


def sign_keys(keys: KeysNote, *signers: Signer) -> bytes:
    """The keys note; for entry 0 the signers are its log and issuer key, at a rotation old and new ones."""
    return sign_note(keys.body(), *signers)


def open_keys(data: bytes) -> KeysNote:
    """The keys, if both of them signed; that they are the right ones must be known from outside."""
    note = parse_note(data)
    keys = parse_keys_body(note.text)
    note.require(keys.log, keys.issuer)
    return keys


# --- proofs that carry a checkpoint -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class TlogProof:
    """A `c2sp.org/tlog-proof@v1`: an inclusion path to a checkpoint, with extra bytes that nobody authenticates."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def text(self) -> bytes:
        lines = [PROOF_TYPE]
        if self.extra is not None:
            lines.append(f"extra {_base64(self.extra)}")
        lines += [f"index {self.index}", *(_base64_hash(item) for item in self.path)]
        return ("\n".join(lines) + "\n\n").encode() + self.checkpoint


def parse_tlog_proof(data: bytes) -> TlogProof:
    head, blank, checkpoint = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise NoteError(f"the proof is not ASCII at byte {error.start}") from error
    if not blank or lines.pop(0) != PROOF_TYPE:
        raise NoteError(f"a proof begins with {PROOF_TYPE} and holds a blank line and a checkpoint")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = _unbase64(lines.pop(0).removeprefix("extra "), "extra")
    if not lines or not lines[0].startswith("index "):
        raise NoteError("the proof has no index line")
    index = _number(lines.pop(0).removeprefix("index "), "index")
    if len(lines) > 63:
        raise NoteError(f"the proof has {len(lines)} hashes; at most 63 can be needed")
    parse_note(checkpoint)
    return TlogProof(index, tuple(_unbase64_hash(line) for line in lines), checkpoint, extra)


# --- lines ------------------------------------------------------------------------------------------------------------


def _lines(text: str, count: int, what: str) -> Sequence[str]:
    lines = text.removesuffix("\n").split("\n")
    if not text.endswith("\n") or len(lines) != count or not all(lines):
        raise NoteError(f"a {what} has exactly {count} lines, none empty")
    return lines


def _check_line(text: str) -> str:
    if not text or "\n" in text or _CONTROL.search(text):
        raise NoteError(f"{text!r} is no single line of text")
    return text


def _number(text: str, what: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) >= 2**53:
        raise NoteError(f"{what} {text[:40]!r} is no number without leading zero below 2^53")
    return int(text)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unbase64(text: str, what: str) -> bytes:
    try:
        return strict_base64(text)
    except ValueError as error:
        raise NoteError(f"{what}: {error}") from error


def _base64_hash(data: bytes) -> str:
    if len(data) != 32:
        raise NoteError(f"a hash has 32 bytes, not {len(data)}")
    return _base64(data)


def _unbase64_hash(text: str) -> bytes:
    data = _unbase64(text, "hash")
    if len(data) != 32:
        raise NoteError(f"a hash has 32 bytes, not {len(data)}")
    return data
