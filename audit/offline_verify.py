"""Check a Pressmark bundle without trusting, asking or installing anything of ours.

    python offline_verify.py BUNDLE [--key KEYLINE_OR_FILE]... [--checkpoint FILE] [--proof FILE] [--receipt FILE]... [--json]

One reason: a stranger can read this one file and know what its four answers mean. It needs Python 3.11 and its standard
library, opens only the files it is given, and shares no code with the product, so that one mistake cannot be made twice.
(House exception: this file may pass 400 lines, because it must stay one file.)

Rules, FORMATS section 7 and docs/bundle-format.md:
- files intact: the zip has the one allowed form; the manifest lists every file with size and digest; documents are named by
  their digest; what the entries refer to is there or named as not included; opened texts fit their commitments;
- signature good: manifest, checkpoint, keys note and statements are signed by the two keys of the keys note of entry 0;
- key known: one of these keys was given from outside; both sign the keys note, so each vouches for the other;
- streams whole: every entry is canonical and in the tree; the streams of the sealed scope have no gap; units are together;
  the tree is consistent with a checkpoint from outside, and receipts from outside fit.
An answer is `yes` only when all its checks ran to the end. Exit: 0 four times yes; 1 any no; 2 wrong call, nothing judged;
3 no "no", but something not checked.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import contextlib
import hashlib
import itertools
import json
import mmap
import re
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILES, SIGNATURE, KEY, STREAMS = "files intact", "signature good", "key known", "streams whole"
ANSWERS = (FILES, SIGNATURE, KEY, STREAMS)
YES, NO, NOT_CHECKED = "yes", "no", "not checked"

NAMESPACE = b"pressmark-bundle"
UNSEALED_FILES = ("manifest.json", "manifest.sig", "manifest.json.sig")
REQUIRED_FILES = (
    *UNSEALED_FILES,
    "VERIFY.md",
    "verify.py",
    "texts.json",
    "not_included.json",
    "keys/log.key",
    "keys/issuer.key",
    "keys/log.pem",
    "keys/issuer.pem",
    "keys/allowed_signers",
    "keys/keys-0.note",
    "log/entries.jsonl",
    "log/proofs.json",
    "log/checkpoint",
    "log/consistency.json",
)
NOT_FOLLOWED = ("key.rotated", "key.revoked", "ledger.reopened")
REASONS_SHOWN = 40


class Bad(Exception):
    """Something in the bundle breaks a rule; the message names it."""


class WrongCall(ValueError):
    """The caller's own input cannot be used, so nothing was judged."""


# --- Ed25519, RFC 8032 section 5.1 ------------------------------------------------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_MINUS_1 = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]  # extended coordinates X, Y, Z, T with x = X/Z, y = Y/Z, T = XY/Z
NEUTRAL: Point = (0, 1, 1, 0)


def point_add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def point_multiply(scalar: int, point: Point) -> Point:
    result = NEUTRAL
    while scalar:
        if scalar & 1:
            result = point_add(result, point)
        point = point_add(point, point)
        scalar >>= 1
    return result


def point_decode(data: bytes) -> Point | None:
    """The curve point of 32 bytes, or None; only the canonical spelling is read."""
    number = int.from_bytes(data, "little")
    y, sign = number & (1 << 255) - 1, number >> 255
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * SQRT_MINUS_1 % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def point_encode(point: Point) -> bytes:
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = point_decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def ed25519_verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature holds; keys of small order, which would sign anything, are refused."""
    key = point_decode(public) if len(public) == 32 else None
    if key is None or len(signature) != 64 or point_encode(point_multiply(8, key)) == point_encode(NEUTRAL):
        return False
    s = int.from_bytes(signature[32:], "little")
    if s >= ORDER or BASE is None:  # a larger s would be a second signature for the same message
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    minus_key = (P - key[0], key[1], 1, P - key[3])
    return point_encode(point_add(point_multiply(s, BASE), point_multiply(k, minus_key))) == signature[:32]


# --- canonical JSON and its shapes ------------------------------------------------------------------------------------

KEY_PATTERN = re.compile(r"[a-z0-9_]{1,64}")
DIGEST_PATTERN = re.compile(r"sha256:[0-9a-f]{64}")
HASH_PATTERN = re.compile(r"[0-9a-f]{64}")
UUID_PATTERN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME_PATTERN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
STREAM_PATTERN = re.compile(rf"instance|[a-z_]{{1,32}}:{UUID_PATTERN.pattern}")
RECORD_PATTERN = re.compile(r"[a-z_]+\.[a-z_]+/[1-9][0-9]*")
SEGMENT_PATTERN = re.compile(r"[A-Za-z0-9._\-+@=,()\[\] ]*[A-Za-z0-9_\-+@=,()\[\]]")
DEVICE_PATTERN = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])", re.IGNORECASE)
DOCUMENT_LIMIT, NOTE_LIMIT, ENTRY_LIMIT, EVENT_LIMIT = 16 * 1024 * 1024, 1024 * 1024, 65_535, 65_000


def refuse_doubled(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise Bad("a key stands twice in one object")
    return dict(pairs)


def refuse_number(text: str) -> Any:
    raise Bad(f"the number {text[:30]} is no integer")


def read_json(data: bytes, where: str) -> Any:
    """The value of canonical bytes; anything that a writer would have spelled otherwise is refused."""
    if len(data) > DOCUMENT_LIMIT:
        raise Bad(f"{where}: more than 16 MiB")
    try:
        value = json.loads(
            data.decode(), object_pairs_hook=refuse_doubled, parse_float=refuse_number, parse_constant=refuse_number
        )
        check_json(value, 1)
        written = write_json(value)
    except Bad as error:
        raise Bad(f"{where}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise Bad(f"{where}: not canonical JSON ({type(error).__name__})") from error
    if written != data:
        raise Bad(f"{where}: the JSON is not written in the one canonical way")
    return value


def check_json(value: Any, depth: int) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise Bad("U+0000 in a text")
    elif isinstance(value, (dict, list)):
        if depth > 16:
            raise Bad("nested deeper than 16 levels")
        if isinstance(value, dict) and not all(KEY_PATTERN.fullmatch(key) for key in value):
            raise Bad("a key is not [a-z0-9_]{1,64}")
        for item in value.values() if isinstance(value, dict) else value:
            check_json(item, depth + 1)
    elif isinstance(value, int) and not -(2**53) < value < 2**53:
        raise Bad("an integer is not below 2^53")


def write_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def is_path(text: Any) -> bool:
    return (
        isinstance(text, str)
        and 1 <= len(text) <= 400
        and all(
            SEGMENT_PATTERN.fullmatch(part) and not DEVICE_PATTERN.fullmatch(part.split(".")[0].rstrip(" "))
            for part in text.split("/")
        )
    )


def is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


KINDS: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "text or null": lambda value: value is None or isinstance(value, str),
    "count": is_count,
    "count from 1": lambda value: is_count(value) and value > 0,
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "digest": matches(DIGEST_PATTERN),
    "hash": matches(HASH_PATTERN),
    "uuid": matches(UUID_PATTERN),
    "time": matches(TIME_PATTERN),
    "stream": matches(STREAM_PATTERN),
    "record type": matches(RECORD_PATTERN),
    "path": is_path,
}


def shape(value: Any, where: str, /, **kinds: str) -> dict[str, Any]:
    """The value, if it is an object with exactly these members of these kinds; other kinds are the one allowed text."""
    if not isinstance(value, dict) or set(value) != set(kinds):
        raise Bad(f"{where}: it must have exactly the members {', '.join(sorted(kinds))}")
    for name, kind in kinds.items():
        if not (KINDS[kind](value[name]) if kind in KINDS else value[name] == kind):
            raise Bad(f"{where}: {name} must be {kind}")
    return value


def ascending(values: Sequence[Any], where: str) -> None:
    if any(not before < after for before, after in itertools.pairwise(values)):
        raise Bad(f"{where}: not in ascending order, or one stands twice")


# --- Merkle tree, RFC 6962 section 2.1 and RFC 9162 section 2.1 -------------------------------------------------------


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_root(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(tree_root(leaves[:split]), tree_root(leaves[split:]))


def included(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """RFC 9162 section 2.1.3.2."""
    if not 0 <= index < size:
        return False
    node, last, result = index, size - 1, leaf
    for item in path:
        if last == 0:
            return False
        if node & 1 or node == last:
            result = node_hash(item, result)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, item)
        node, last = node >> 1, last >> 1
    return last == 0 and result == root


def consistent(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> bool:
    """RFC 9162 section 2.1.4.2, for 0 < old < new."""
    if not 0 < old < new:
        return False
    items = ([old_root] if old & (old - 1) == 0 else []) + list(path)
    if not items:
        return False
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    before = after = items[0]
    for item in items[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            before, after = node_hash(item, before), node_hash(item, after)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            after = node_hash(after, item)
        node, last = node >> 1, last >> 1
    return last == 0 and before == old_root and after == new_root


# --- keys and signed notes, C2SP signed-note and tlog-checkpoint ------------------------------------------------------

NUMBER_PATTERN = re.compile(r"0|[1-9][0-9]{0,15}")
DASH = "\u2014 "


@dataclass(frozen=True)
class PublicKey:
    name: str
    raw: bytes

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n\x01" + self.raw).digest()[:4]

    @property
    def keyid(self) -> str:
        return f"{self.name}+{self.key_id.hex()}"

    @property
    def line(self) -> str:
        return f"{self.keyid}+{base64.b64encode(bytes([1]) + self.raw).decode()}"

    @property
    def pem(self) -> str:
        info = base64.b64encode(bytes.fromhex("302a300506032b6570032100") + self.raw).decode()
        return f"-----BEGIN PUBLIC KEY-----\n{info}\n-----END PUBLIC KEY-----\n"

    @property
    def ssh_blob(self) -> bytes:
        return ssh_string(b"ssh-ed25519") + ssh_string(self.raw)

    @property
    def allowed_signers(self) -> str:
        blob = base64.b64encode(self.ssh_blob).decode()
        return f'{self.name} namespaces="{NAMESPACE.decode()}" ssh-ed25519 {blob}\n'

    def verifies(self, message: bytes, signature: bytes) -> bool:
        return ed25519_verifies(self.raw, message, signature)


@dataclass(frozen=True)
class Note:
    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]  # name, key id, signature

    def require(self, key: PublicKey, where: str) -> None:
        found = [item[2] for item in self.signatures if item[:2] == (key.name, key.key_id)]
        if len(found) != 1:
            raise Bad(f"{where}: {len(found)} signatures by {key.keyid}; exactly one is needed")
        if not key.verifies(self.text.encode(), found[0]):
            raise Bad(f"{where}: the signature by {key.keyid} does not hold")


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes
    note: Note


@dataclass(frozen=True)
class Keys:
    origin: str
    log: PublicKey
    issuer: PublicKey
    note: Note


@dataclass(frozen=True)
class Receipt:
    origin: str
    first: int
    count: int
    root: bytes
    at: str
    note: Note
    proof: tuple[int, tuple[bytes, ...], Checkpoint] | None = None  # index, path, checkpoint


def read_base64(text: str, where: str, size: int | None = None) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Bad(f"{where}: not base64") from error
    if base64.b64encode(data).decode() != text or (size is not None and len(data) != size):
        raise Bad(f"{where}: not the canonical base64 of {'its' if size is None else size} bytes")
    return data


def read_number(text: str, where: str) -> int:
    if not NUMBER_PATTERN.fullmatch(text):
        raise Bad(f"{where}: {text[:30]!r} is no number")
    return int(text)


def read_key_line(line: str, where: str) -> PublicKey:
    parts = line.split("+", 2)
    if len(parts) != 3 or not parts[0] or any(c.isspace() or ord(c) < 32 for c in parts[0]):
        raise Bad(f"{where}: not a key line (name+8 hex digits+base64)")
    data = read_base64(parts[2], where, 33)
    key = PublicKey(parts[0], data[1:])
    if data[0] != 1 or key.line != line:
        raise Bad(f"{where}: no Ed25519 key, or its key id does not fit")
    return key


def read_note(data: bytes, where: str) -> Note:
    """Parse strictly; signatures of unknown keys (witnesses, other algorithms) are kept and not judged."""
    try:
        whole = data[:NOTE_LIMIT].decode()
    except ValueError as error:
        raise Bad(f"{where}: not UTF-8, or longer than 1 MiB") from error
    text, blank, rest = whole.rpartition("\n\n")
    if not text or not blank or not rest.endswith("\n") or any(ord(c) < 32 and c != "\n" for c in whole):
        raise Bad(f"{where}: not a signed note")
    signatures = []
    for line in rest[:-1].split("\n"):
        name, space, encoded = line[len(DASH) :].partition(" ")
        if not line.startswith(DASH) or not space or not name or "+" in name or any(c.isspace() for c in name):
            raise Bad(f"{where}: a signature line is malformed")
        signature = read_base64(encoded, f"{where}: signature line")
        if len(signature) < 5:
            raise Bad(f"{where}: a signature line is too short")
        signatures.append((name, signature[:4], signature[4:]))
    if len(signatures) > 64:
        raise Bad(f"{where}: more than 64 signatures")
    return Note(text + "\n", tuple(signatures))


def note_lines(note: Note, count: int, where: str) -> list[str]:
    lines = note.text[:-1].split("\n")
    if len(lines) != count or not all(lines):
        raise Bad(f"{where}: the text must have exactly {count} lines")
    return lines


def read_checkpoint(data: bytes, where: str) -> Checkpoint:
    note = read_note(data, where)
    origin, size, root = note_lines(note, 3, where)
    if read_number(size, where) < 1:
        raise Bad(f"{where}: a checkpoint of size 0 is never signed")
    return Checkpoint(origin, int(size), read_base64(root, f"{where}: root", 32), note)


def require_checkpoint(checkpoint: Checkpoint, keys: Keys, where: str) -> None:
    if checkpoint.origin != keys.origin:
        raise Bad(f"{where}: it is of the log {checkpoint.origin}, the bundle of {keys.origin}")
    checkpoint.note.require(keys.log, where)
    if checkpoint.note.signatures[0][:2] != (keys.log.name, keys.log.key_id):
        raise Bad(f"{where}: the first signature must be the log key's")


def read_keys(data: bytes, where: str) -> Keys:
    note = read_note(data, where)
    kind, origin, first, log, issuer = note_lines(note, 5, where)
    if kind != "pressmark/keys/1" or first != "0" or not log.startswith("log ") or not issuer.startswith("issuer "):
        raise Bad(f"{where}: not the keys note of entry 0")
    keys = Keys(origin, read_key_line(log[4:], where), read_key_line(issuer[7:], where), note)
    if keys.log.name != origin or keys.issuer.name != origin + "/issuer" or keys.log.raw == keys.issuer.raw:
        raise Bad(f"{where}: the two keys do not belong to the origin {origin}")
    return keys


def read_receipt(data: bytes, where: str) -> Receipt:
    """A receipt note, the value of its header (base64), or a tlog-proof that carries it as `extra`."""
    if data.startswith(b"c2sp.org/tlog-proof@v1\n"):
        return read_tlog_proof(data, where)
    if not data.startswith(b"pressmark/"):
        with contextlib.suppress(ValueError):
            data = base64.b64decode(data.strip(), validate=True)
    note = read_note(data, where)
    kind, origin, first, count, root, at = note_lines(note, 6, where)
    if kind != "pressmark/receipt/1" or read_number(count, where) < 1 or not TIME_PATTERN.fullmatch(at):
        raise Bad(f"{where}: not a receipt")
    return Receipt(origin, read_number(first, where), int(count), read_base64(root, where, 32), at, note)


def read_tlog_proof(data: bytes, where: str) -> Receipt:
    head, _, checkpoint = data.partition(b"\n\n")
    lines = head.decode("ascii", "replace").split("\n")
    if len(lines) < 3 or not lines[1].startswith("extra ") or not lines[2].startswith("index "):
        raise Bad(f"{where}: the proof carries no receipt as extra")
    receipt = read_receipt(read_base64(lines[1][6:], where), where)
    path = tuple(read_base64(line, where, 32) for line in lines[3:])
    proof = (read_number(lines[2][6:], where), path, read_checkpoint(checkpoint, where))
    return Receipt(receipt.origin, receipt.first, receipt.count, receipt.root, receipt.at, receipt.note, proof)


# --- SSHSIG and DSSE --------------------------------------------------------------------------------------------------


def ssh_string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def sshsig_verifies(armored: bytes, message: bytes, key: PublicKey) -> bool:
    """OpenSSH PROTOCOL.sshsig, in the one form that bundles use: Ed25519, SHA-512, our namespace."""
    lines = armored.split(b"\n")
    if lines[0] != b"-----BEGIN SSH SIGNATURE-----" or lines[-2:] != [b"-----END SSH SIGNATURE-----", b""]:
        return False
    try:
        blob = base64.b64decode(b"".join(lines[1:-2]), validate=True)
    except binascii.Error:
        return False
    fields = ssh_string(NAMESPACE) + ssh_string(b"") + ssh_string(b"sha512")
    head = b"SSHSIG" + struct.pack(">I", 1) + ssh_string(key.ssh_blob) + fields
    signature = blob[-64:]
    if blob != head + ssh_string(ssh_string(b"ssh-ed25519") + ssh_string(signature)):
        return False
    return key.verifies(b"SSHSIG" + fields + ssh_string(hashlib.sha512(message).digest()), signature)


def check_statement(data: bytes, key: PublicKey, where: str) -> None:
    try:
        envelope = json.loads(data)
        kind, payload = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"], validate=True)
        signatures = [item["sig"] for item in envelope["signatures"] if item["keyid"] == key.keyid]
        found = [base64.b64decode(item, validate=True) for item in signatures]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Bad(f"{where}: not a DSSE envelope") from error
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    if kind != b"application/vnd.in-toto+json" or not found:
        raise Bad(f"{where}: no in-toto statement signed by {key.keyid}")
    if not all(key.verifies(signed, signature) for signature in found):
        raise Bad(f"{where}: the signature by {key.keyid} does not hold")


# --- the zip in its one allowed form ----------------------------------------------------------------------------------

LOCAL, CENTRAL, END = struct.Struct("<4s5H3L2H"), struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s4H2LH")
ZIP_DATE, ZIP_MODE, ZIP_VERSION, ZIP_MADE_BY = 0x0021, 0o100644 << 16, 20, 0x0314


def read_zip(data: memoryview, complain: Callable[[str], None]) -> dict[str, memoryview]:
    """The files by path. Every header is written anew and compared, so nothing can hide between or inside headers."""
    if len(data) < END.size:
        raise Bad("not a zip file: too short")
    end = END.unpack(data[-END.size :])
    count, size, start = end[4], end[5], end[6]
    if end != (b"PK\x05\x06", 0, 0, count, count, size, start, 0) or start + size + END.size != len(data):
        raise Bad("not a whole zip file: its end record is missing, or bytes were added or cut")
    files: dict[str, memoryview] = {}
    offset, position, last = 0, start, b""
    for number in range(count):
        if position + CENTRAL.size > len(data) - END.size:
            raise Bad("the zip directory is cut short")
        fields = CENTRAL.unpack(data[position : position + CENTRAL.size])
        crc, length, name_length = fields[7], fields[9], fields[10]
        name = bytes(data[position + CENTRAL.size : position + CENTRAL.size + name_length])
        path = name.decode("ascii", "backslashreplace")
        if not is_path(path):
            raise Bad(f"file {number + 1} in the zip: {path!r} is no allowed path")
        common = (ZIP_VERSION, 0, 0, 0, ZIP_DATE, crc, length, length, len(name), 0)
        central = CENTRAL.pack(b"PK\x01\x02", ZIP_MADE_BY, *common, 0, 0, 0, ZIP_MODE, offset)
        local = LOCAL.pack(b"PK\x03\x04", *common)
        content = offset + LOCAL.size + len(name)
        if data[position : position + CENTRAL.size] != central or data[offset:content] != local + name:
            complain(f"{path}: zip header not in the one allowed form (stored, 1980-01-01, 0644, in place, no extra)")
        if content + length > start:
            raise Bad(f"{path}: the zip is cut short")
        files[path] = data[content : content + length]
        if binascii.crc32(files[path]) != crc:
            complain(f"{path}: the zip's own checksum does not fit")
        if name <= last:
            complain(f"{path}: the zip is not sorted by path, or a path stands twice")
        offset, position, last = content + length, position + CENTRAL.size + len(name), name
    if position != len(data) - END.size or offset != start:
        complain("the zip holds bytes that belong to no file")
    return files


# --- the verdict ------------------------------------------------------------------------------------------------------


@dataclass
class Answer:
    """One question with its result and the reasons for a result that is not `yes`."""

    name: str
    wrong: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    finished: bool = False

    @property
    def result(self) -> str:
        if self.wrong:
            return NO
        return NOT_CHECKED if self.open or not self.finished else YES

    @property
    def reasons(self) -> list[str]:
        reasons = self.wrong + self.open
        if not reasons and not self.finished:
            reasons = ["the checks could not be carried out"]
        more = len(reasons) - REASONS_SHOWN
        return reasons[:REASONS_SHOWN] + ([f"and {more} more"] if more > 0 else [])


@dataclass
class Verdict:
    """The four answers about one bundle."""

    bundle: str = ""
    origin: str = ""
    tree_size: int = 0
    issued_at: str = ""  # when the scope was sealed: a whole bundle of an older state is still one of an older state
    scope: dict[str, Any] | None = None  # the streams that were judged, with their ends
    notes: list[str] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=lambda: {name: Answer(name) for name in ANSWERS})

    @property
    def exit_code(self) -> int:
        results = [answer.result for answer in self.answers.values()]
        return 1 if NO in results else 3 if NOT_CHECKED in results else 0

    def no(self, name: str, reason: str) -> None:
        self.answers[name].wrong.append(reason)

    def not_checked(self, name: str, reason: str) -> None:
        self.answers[name].open.append(reason)

    def finish(self, name: str) -> None:
        self.answers[name].finished = True

    @contextlib.contextmanager
    def judging(self, name: str) -> Iterator[None]:
        """A broken rule inside becomes a reason for `no`; what follows outside goes on."""
        try:
            yield
        except Bad as error:
            self.no(name, str(error))

    def as_dict(self) -> dict[str, Any]:
        answers = [{"answer": a.name, "reasons": a.reasons, "result": a.result} for a in self.answers.values()]
        return {
            "answers": answers,
            "bundle": self.bundle,
            "exit_code": self.exit_code,
            "issued_at": self.issued_at,
            "notes": self.notes,
            "origin": self.origin,
            "scope": self.scope,
            "tree_size": self.tree_size,
        }


@dataclass(frozen=True)
class Entry:
    position: int
    leaf: bytes
    at: str
    stream: str
    seq: int
    event: dict[str, Any]

    @property
    def where(self) -> str:
        return f"entry at position {self.position} (stream {self.stream} number {self.seq})"


@dataclass
class Outside:
    """What the caller knows from elsewhere; only this makes the bundle more than a claim."""

    keys: list[PublicKey]
    checkpoint: Checkpoint | None
    proof: dict[str, Any] | None
    receipts: list[Receipt]


def verify_bundle(
    path: str | Path,
    *,
    keys: Sequence[str] = (),
    checkpoint: bytes | None = None,
    proof: bytes | None = None,
    receipts: Sequence[bytes] = (),
) -> Verdict:
    """Judge a bundle with what is known from outside: key lines and the bytes of checkpoint, proof and receipts.

    Raises WrongCall when one of these cannot be read, or the bundle does not exist.
    """
    try:
        outside = Outside(
            [read_key_line(line, "--key") for line in keys],
            None if checkpoint is None else read_checkpoint(checkpoint, "--checkpoint"),
            None if proof is None else read_consistency(proof, "--proof"),
            [read_receipt(data, f"--receipt {number}") for number, data in enumerate(receipts, 1)],
        )
    except Bad as error:
        raise WrongCall(str(error)) from error
    if not Path(path).exists():
        raise WrongCall(f"{path}: no such file")
    verdict = Verdict()
    try:
        with Path(path).open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        files = read_zip(data, lambda reason: verdict.no(FILES, reason))
    except (OSError, ValueError, Bad) as error:
        verdict.no(FILES, f"the bundle cannot be read: {error}")
        return verdict
    Check(verdict, files, outside).run()
    return verdict


class Check:
    """One pass over one bundle. Each step writes its reasons into the verdict and goes on where it can."""

    def __init__(self, verdict: Verdict, files: dict[str, memoryview], outside: Outside) -> None:
        self.verdict = verdict
        self.files = files
        self.outside = outside
        self.manifest: dict[str, Any] = {}
        self.scope: dict[str, Any] = {}
        self.entries: list[Entry] = []
        self.keys: Keys | None = None
        self.vouched = False  # whether both keys signed the keys note, so that knowing one is knowing the other
        self.checkpoint: Checkpoint | None = None
        self.proved: dict[int, bytes] = {}  # older sizes and the roots that were proved for them

    def run(self) -> None:
        with self.verdict.judging(FILES):
            self.check_manifest()
        with self.verdict.judging(SIGNATURE):
            self.keys = read_keys(self.read("keys/keys-0.note"), "keys/keys-0.note")
        with self.verdict.judging(STREAMS):
            self.checkpoint = read_checkpoint(self.read("log/checkpoint"), "log/checkpoint")
        self.read_entries()
        self.check_contents()
        if self.keys:
            self.check_signatures(self.keys)
            self.check_known(self.keys)
        if self.checkpoint and self.manifest:
            self.check_streams(self.checkpoint)

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise Bad(f"{path}: the file is missing")
        return bytes(self.files[path])

    def document(self, digest: str) -> bytes | None:
        data = self.files.get("documents/" + digest[7:])
        return None if data is None else bytes(data)

    # files intact

    def check_manifest(self) -> None:
        manifest = shape(
            read_json(self.read("manifest.json"), "manifest.json"),
            "manifest.json",
            bundle="uuid",
            files="list",
            origin="text",
            root="digest",
            scope="digest",
            tree_size="count from 1",
            type="pressmark/bundle/1",
        )
        rows = [
            shape(row, "manifest.json: files", digest="digest", path="path", size_bytes="count")
            for row in manifest["files"]
        ]
        self.manifest = manifest
        self.verdict.bundle, self.verdict.origin = manifest["bundle"], manifest["origin"]
        self.verdict.tree_size = manifest["tree_size"]
        ascending([row["path"] for row in rows], "manifest.json: files")
        if len({path.lower() for path in self.files}) != len(self.files):
            raise Bad("two paths of the zip differ only in upper and lower case")
        for row in rows:
            self.check_file(row)
        listed = {row["path"] for row in rows}
        for path in self.files:
            if path not in listed and path not in UNSEALED_FILES:
                self.verdict.no(FILES, f"{path}: in the bundle, but not listed in the manifest")
            name = path.removeprefix("documents/")
            if name != path and hashlib.sha256(self.files[path]).hexdigest() != name:
                self.verdict.no(FILES, f"{path}: the name is not the SHA-256 of the bytes")
        for path in REQUIRED_FILES:
            if path not in self.files and path not in listed:
                self.verdict.no(FILES, f"{path}: the file is missing")

    def check_file(self, row: dict[str, Any]) -> None:
        path, data = row["path"], self.files.get(row["path"])
        if path in UNSEALED_FILES:
            self.verdict.no(FILES, f"{path}: the manifest must not list it")
        elif data is None:
            self.verdict.no(FILES, f"{path}: listed in the manifest, but missing")
        elif len(data) != row["size_bytes"]:
            self.verdict.no(FILES, f"{path}: {len(data)} bytes, the manifest says {row['size_bytes']}")
        elif "sha256:" + hashlib.sha256(data).hexdigest() != row["digest"]:
            self.verdict.no(FILES, f"{path}: the bytes are not those of the manifest (another SHA-256)")

    def check_contents(self) -> None:
        """Documents and texts against the entries that seal them."""
        if not self.entries:
            self.verdict.not_checked(FILES, "no entry could be read, so documents and texts were held against nothing")
            return
        with self.verdict.judging(FILES):
            left_out = self.read_not_included()
            for entry in self.entries:
                for ref in entry.event["refs"]:
                    self.check_ref(entry, ref, left_out)
        with self.verdict.judging(FILES):
            self.check_texts()
        with contextlib.suppress(OSError):
            if "verify.py" in self.files and self.read("verify.py") != Path(__file__).read_bytes():
                self.verdict.notes.append("verify.py in the bundle is not this verifier; this one gave the answers")
        self.verdict.finish(FILES)

    def read_not_included(self) -> set[str]:
        where = "not_included.json"
        value = shape(read_json(self.read(where), where), where, documents="list", type="pressmark/not_included/1")
        for row in value["documents"]:
            shape(row, where, digest="digest", name="text", reason="text", size_bytes="count")
            if row["reason"] not in ("purged", "withheld", "too_large"):
                raise Bad(f"{where}: reason {row['reason']!r} is not known")
            if self.document(row["digest"]) is not None:
                raise Bad(f"{where}: {row['digest']} is in the bundle all the same")
        digests = [row["digest"] for row in value["documents"]]
        ascending(digests, where)
        if digests:
            self.verdict.notes.append(f"{len(digests)} documents are named as not included")
        return set(digests)

    def check_ref(self, entry: Entry, ref: dict[str, Any], left_out: set[str]) -> None:
        data = self.document(ref["digest"])
        if data is None and ref["digest"] not in left_out:
            self.verdict.no(
                FILES, f"documents/{ref['digest'][7:]}: missing; {entry.where} refers to it as {ref['name']}"
            )
        elif data is not None and len(data) != ref["size_bytes"]:
            self.verdict.no(FILES, f"documents/{ref['digest'][7:]}: not the size that {entry.where} says")

    def check_texts(self) -> None:
        value = shape(
            read_json(self.read("texts.json"), "texts.json"), "texts.json", texts="list", type="pressmark/texts/1"
        )
        sealed = {
            (record["id"], record["row"].get("commitment"))
            for entry in self.entries
            for record in entry.event["records"]
            if record["type"].startswith("access.text/") and isinstance(record["row"].get("commitment"), str)
        }
        for text in value["texts"]:
            shape(text, "texts.json", commitment="digest", id="uuid", salt="text", value="text")
            salt = read_base64(text["salt"], f"texts.json: salt of {text['id']}", 32)
            data = b"pressmark/commit/1\x00" + salt + text["value"].encode()
            if "sha256:" + hashlib.sha256(data).hexdigest() != text["commitment"]:
                raise Bad(f"texts.json: text {text['id']} does not fit its commitment")
            if (text["id"], text["commitment"]) not in sealed:
                raise Bad(f"texts.json: text {text['id']} is sealed by no entry of the bundle")
        ascending([text["id"] for text in value["texts"]], "texts.json")

    # signature good, key known

    def check_signatures(self, keys: Keys) -> None:
        for path, expected in {
            "keys/log.key": keys.log.line + "\n",
            "keys/issuer.key": keys.issuer.line + "\n",
            "keys/log.pem": keys.log.pem,
            "keys/issuer.pem": keys.issuer.pem,
            "keys/allowed_signers": keys.issuer.allowed_signers,
        }.items():
            with self.verdict.judging(SIGNATURE):
                if self.read(path) != expected.encode():
                    raise Bad(f"{path}: not the key of keys/keys-0.note")
        with self.verdict.judging(SIGNATURE):
            keys.note.require(keys.log, "keys/keys-0.note")
            keys.note.require(keys.issuer, "keys/keys-0.note")
            self.vouched = True
        with self.verdict.judging(SIGNATURE):
            if not keys.issuer.verifies(self.read("manifest.json"), self.read("manifest.sig")):
                raise Bad(f"manifest.sig: not a signature over manifest.json by {keys.issuer.keyid}")
        with self.verdict.judging(SIGNATURE):
            if not sshsig_verifies(self.read("manifest.json.sig"), self.read("manifest.json"), keys.issuer):
                raise Bad(f"manifest.json.sig: not an SSH signature over manifest.json by {keys.issuer.keyid}")
        with self.verdict.judging(SIGNATURE):
            require_checkpoint(read_checkpoint(self.read("log/checkpoint"), "log/checkpoint"), keys, "log/checkpoint")
        for path in self.files:
            if path.startswith("statements/"):
                with self.verdict.judging(SIGNATURE):
                    check_statement(self.read(path), keys.issuer, path)
        for entry in self.entries:
            if entry.event["kind"] in NOT_FOLLOWED:
                self.verdict.not_checked(
                    SIGNATURE, f"{entry.where} is {entry.event['kind']}, which is not followed yet"
                )
        self.verdict.finish(SIGNATURE)

    def check_known(self, keys: Keys) -> None:
        ours = {keys.log.name: keys.log, keys.issuer.name: keys.issuer}
        for key in self.outside.keys:
            if key.name in ours and ours[key.name].raw != key.raw:
                self.verdict.no(KEY, f"the bundle is signed by {ours[key.name].keyid}; you know {key.keyid}")
        if not self.outside.keys:
            self.verdict.not_checked(
                KEY, "no key line from outside was given (--key); whoever made the bundle chose its key"
            )
        elif not any(key in ours.values() for key in self.outside.keys):
            self.verdict.no(KEY, f"none of the keys you gave is {keys.log.keyid} or {keys.issuer.keyid}")
        elif not self.vouched:
            self.verdict.not_checked(
                KEY, "keys/keys-0.note is not signed by both keys, so neither vouches for the other"
            )
        self.verdict.finish(KEY)

    # streams whole

    def read_entries(self) -> None:
        """Pair each line of the log with its position, and keep what is well formed."""
        with self.verdict.judging(STREAMS):
            lines = self.read("log/entries.jsonl").split(b"\n")
            if lines.pop():
                raise Bad("log/entries.jsonl: the last line has no newline; the file is cut")
            proofs = list(self.read_proofs())
            if len(lines) != len(proofs):
                self.verdict.no(STREAMS, f"log: {len(lines)} entries, but {len(proofs)} proofs")
            ascending([proof["position"] for proof in proofs], "log/proofs.json: positions")
            for number, (line, proof) in enumerate(zip(lines, proofs, strict=False), 1):
                with self.verdict.judging(STREAMS):
                    entry = read_entry(line, proof["position"], f"log/entries.jsonl line {number}")
                    self.entries.append(entry)
                    self.check_included(entry, proof)

    def read_proofs(self) -> Iterator[dict[str, Any]]:
        path, number = "log/proofs.json", 1
        while number == 1 or path in self.files:
            value = read_json(self.read(path), path)
            shape(value, path, proofs="list", size="count from 1", type="pressmark/proofs/1")
            if self.checkpoint and value["size"] != self.checkpoint.size:
                raise Bad(f"{path}: proofs for size {value['size']}, the checkpoint has {self.checkpoint.size}")
            for proof in value["proofs"]:
                shape(proof, path, path="list", position="count")
                check_hashes(proof["path"], f"{path}: position {proof['position']}")
                yield proof
            number += 1
            path = f"log/proofs-{number}.json"

    def check_included(self, entry: Entry, proof: dict[str, Any]) -> None:
        if self.checkpoint is None:
            return
        path = [bytes.fromhex(item) for item in proof["path"]]
        if not included(entry.leaf, entry.position, self.checkpoint.size, path, self.checkpoint.root):
            raise Bad(f"{entry.where} is not in the tree of log/checkpoint: it or its proof was changed")

    def check_streams(self, checkpoint: Checkpoint) -> None:
        judging = self.verdict.judging
        with judging(STREAMS):
            stated = (self.manifest["origin"], self.manifest["tree_size"], self.manifest["root"])
            if stated != (checkpoint.origin, checkpoint.size, "sha256:" + checkpoint.root.hex()):
                raise Bad("manifest.json: origin, tree_size or root are not those of log/checkpoint")
        with judging(STREAMS):
            self.check_first_entry()
        with judging(STREAMS):
            self.check_scope()
        self.check_order()
        self.check_units()
        with judging(STREAMS):
            self.check_consistency(checkpoint)
        if self.keys:
            with judging(STREAMS):
                self.check_outside(checkpoint, self.keys)
            for number, receipt in enumerate(self.outside.receipts, 1):
                with judging(STREAMS):
                    self.check_receipt(receipt, f"--receipt {number}", checkpoint, self.keys)
            self.verdict.finish(STREAMS)

    def check_first_entry(self) -> None:
        first = self.entries[0] if self.entries else None
        if first is None or first.position != 0:
            raise Bad("position 0: the first entry of the ledger is missing")
        if (first.stream, first.seq, first.event["kind"]) != ("instance", 1, "ledger.created"):
            raise Bad("position 0: not ledger.created as number 1 of the stream instance")
        notes = [ref["digest"] for ref in first.event["refs"] if ref["name"] == "keys"]
        if notes != ["sha256:" + hashlib.sha256(self.read("keys/keys-0.note")).hexdigest()]:
            raise Bad("keys/keys-0.note: not the keys note that entry 0 seals")
        if self.keys and self.keys.origin != self.manifest["origin"]:
            raise Bad("keys/keys-0.note: not of the origin of the manifest")

    def check_scope(self) -> None:
        digest = self.manifest["scope"]
        where = "documents/" + digest[7:]
        data = self.document(digest)
        if data is None:
            raise Bad(f"{where}: the scope is missing")
        scope = shape(read_json(data, where), where, ends="list", size="count from 1", type="pressmark/scope/1")
        ends = {
            shape(end, where, last_seq="count from 1", stream="text")["stream"]: end["last_seq"]
            for end in scope["ends"]
        }
        ascending([end["stream"] for end in scope["ends"]], f"{where}: streams")
        if not ends:
            raise Bad(f"{where}: the scope names no stream, so nothing would be whole")
        self.scope = self.verdict.scope = scope
        self.check_sealed(digest, scope["size"])
        for stream, last in ends.items():
            numbers = {e.seq for e in self.entries if e.stream == stream and e.position < scope["size"]}
            missing = list(itertools.islice((n for n in range(1, last + 1) if n not in numbers), 6))
            if missing:
                shown = ", ".join(map(str, missing[:5])) + (" ..." if len(missing) > 5 else "")
                self.verdict.no(STREAMS, f"stream {stream}: number {shown} of {last} is missing")
            if numbers and max(numbers) > last:
                self.verdict.no(
                    STREAMS, f"stream {stream}: the scope ends at {last}, but number {max(numbers)} is older"
                )

    def check_sealed(self, digest: str, size: int) -> None:
        """The scope's digest stands in the `bundle.issued` entry of this very bundle."""
        for entry in self.entries:
            event = entry.event
            named = [ref["digest"] for ref in event["refs"] if ref["name"] == "scope"]
            ids = [record["id"] for record in event["records"] if record["type"].startswith("audit.bundle/")]
            if event["kind"] == "bundle.issued" and named == [digest] and self.manifest["bundle"] in ids:
                if entry.stream != "instance" or entry.position < size:
                    raise Bad(f"{entry.where}: the scope speaks of {size} entries, but was sealed before them")
                self.verdict.issued_at = entry.at
                self.check_subject(event, size)
                return
        raise Bad("no bundle.issued entry of the bundle seals its scope: the scope was changed, or the entry left out")

    def check_subject(self, event: dict[str, Any], size: int) -> None:
        """What the bundle is about is in its scope. A monitor without a stream there saw nothing yet, or was left out: told."""
        streams = {end["stream"] for end in self.scope["ends"]}
        rows = [record["row"] for record in event["records"] if record["type"].startswith("audit.bundle/")]
        subjects = {row["subject"] for row in rows if isinstance(row.get("subject"), str)}
        for stream in sorted(subjects - streams):
            self.verdict.no(STREAMS, f"the bundle is about {stream}, but its scope leaves that stream out")
        monitors = {
            f"monitor:{record['id']}"
            for entry in self.entries
            if entry.stream in subjects and entry.position < size
            for record in entry.event["records"]
            if record["type"].startswith("monitoring.monitor/")
        }
        for stream in sorted(monitors - streams):
            self.verdict.notes.append(f"the scope holds no {stream}: nothing was recorded there, or it was left out")

    def check_order(self) -> None:
        """Numbers of every stream rise with the position; ids are unique; time goes back only where it is said."""
        last_seq: dict[str, int] = {}
        ids: set[str] = set()
        for before, entry in zip([None, *self.entries], self.entries, strict=False):
            if entry.seq <= last_seq.get(entry.stream, 0):
                self.verdict.no(STREAMS, f"{entry.where}: the number does not rise with the position")
            last_seq[entry.stream] = entry.seq
            if entry.event["id"] in ids:
                self.verdict.no(STREAMS, f"{entry.where}: its event id stands twice")
            ids.add(entry.event["id"])
            side_by_side = before is not None and before.position + 1 == entry.position
            if side_by_side and before and entry.at < before.at and entry.event["kind"] != "ledger.clock_corrected":
                self.verdict.no(STREAMS, f"{entry.where}: its time is before that of the entry it follows")

    def check_units(self) -> None:
        """Events of one unit share actor, times and request, and no event of another unit stands between them."""
        shared: dict[str, tuple[Any, ...]] = {}
        previous = ""
        for entry in self.entries:
            event = entry.event
            unit = event["unit"]
            facts = (event["actor"], event["at"], event["request"], entry.at)
            if unit in shared and unit != previous:
                self.verdict.no(STREAMS, f"{entry.where}: unit {unit} is torn apart")
            if shared.setdefault(unit, facts) != facts:
                self.verdict.no(STREAMS, f"{entry.where}: differs from its unit {unit} in actor, time or request")
            previous = unit

    def check_consistency(self, checkpoint: Checkpoint) -> None:
        where = "log/consistency.json"
        value = read_consistency(self.read(where), where)
        if value["size"] != checkpoint.size:
            raise Bad(f"{where}: proofs to size {value['size']}, the checkpoint has {checkpoint.size}")
        self.prove(value, checkpoint.root, where)
        if self.scope and self.scope["size"] not in self.proved:
            raise Bad(f"{where}: no proof from the scope's size {self.scope['size']}")

    def prove(self, value: dict[str, Any], root: bytes, where: str) -> None:
        for proof in value["proofs"]:
            old, old_root = proof["old_size"], bytes.fromhex(proof["old_root"][7:])
            path = [bytes.fromhex(item) for item in proof["path"]]
            if not consistent(old, value["size"], old_root, root, path):
                raise Bad(f"{where}: the proof from size {old} to {value['size']} does not hold")
            self.proved[old] = old_root  # two proofs that hold cannot differ here

    def check_outside(self, ours: Checkpoint, keys: Keys) -> None:
        theirs, proof = self.outside.checkpoint, self.outside.proof
        if theirs is None:
            reason = "no checkpoint from outside was given (--checkpoint); the log may have been rewritten as a whole"
            self.verdict.not_checked(STREAMS, reason)
            return
        require_checkpoint(theirs, keys, "--checkpoint")
        if theirs.size < ours.size and proof and proof["size"] == ours.size:
            self.prove(proof, ours.root, "--proof")
        if theirs.size > ours.size:
            self.check_newer(ours, theirs)
        elif theirs.size not in self.proved and theirs.size != ours.size:
            reason = (
                f"no proof leads from the checkpoint from outside (size {theirs.size}) to the bundle's ({ours.size})"
            )
            self.verdict.not_checked(STREAMS, reason)
        elif theirs.root != {**self.proved, ours.size: ours.root}[theirs.size]:
            raise Bad(f"--checkpoint: another root at size {theirs.size}: the log of the bundle has another history")

    def check_newer(self, ours: Checkpoint, theirs: Checkpoint) -> None:
        proof = self.outside.proof
        rows = proof["proofs"] if proof and proof["size"] == theirs.size else []
        row = next((row for row in rows if row["old_size"] == ours.size), None)
        if row is None:
            reason = f"the checkpoint from outside is newer ({theirs.size} entries); a proof from {ours.size} is needed (--proof)"
            self.verdict.not_checked(STREAMS, reason)
            return
        path = [bytes.fromhex(item) for item in row["path"]]
        if not consistent(ours.size, theirs.size, ours.root, theirs.root, path):
            raise Bad(f"--proof: the log of {theirs.size} entries does not continue that of the bundle ({ours.size})")

    def check_receipt(self, receipt: Receipt, where: str, ours: Checkpoint, keys: Keys) -> None:
        if receipt.origin != keys.origin:
            raise Bad(f"{where}: it is of {receipt.origin}, the bundle of {keys.origin}")
        receipt.note.require(keys.issuer, where)
        span = range(receipt.first, receipt.first + receipt.count)
        present = [entry for entry in self.entries if entry.position in span]
        if any(entry.at != receipt.at for entry in present):
            raise Bad(f"{where}: position {present[0].position} has another time in the bundle")
        if len(present) == receipt.count:
            if tree_root([entry.leaf for entry in present]) != receipt.root:
                raise Bad(f"{where}: the bundle holds other entries at position {receipt.first}")
            return
        if receipt.proof and self.proof_holds(receipt, where, ours, keys):
            return
        reason = f"{where}: the entries from position {receipt.first} are not all in the bundle"
        self.verdict.not_checked(STREAMS, reason)

    def proof_holds(self, receipt: Receipt, where: str, ours: Checkpoint, keys: Keys) -> bool:
        """Whether the receipt's own proof leads to a root that the bundle has too."""
        assert receipt.proof is not None
        index, path, checkpoint = receipt.proof
        require_checkpoint(checkpoint, keys, where)
        if receipt.count != 1:
            return False
        if index != receipt.first or not included(receipt.root, index, checkpoint.size, path, checkpoint.root):
            raise Bad(f"{where}: its proof does not hold")
        known = {**self.proved, ours.size: ours.root}
        if checkpoint.size in known and known[checkpoint.size] != checkpoint.root:
            raise Bad(f"{where}: another root at size {checkpoint.size}: the log of the bundle has another history")
        return checkpoint.size in known


def read_entry(line: bytes, position: int, where: str) -> Entry:
    where = f"{where} (position {position})"
    if len(line) > ENTRY_LIMIT or any(byte < 0x20 or byte > 0x7E for byte in line):
        raise Bad(f"{where}: longer than {ENTRY_LIMIT} bytes, or not printable ASCII")
    entry = shape(
        read_json(line, where), where, at="time", event="object", stream="stream", stream_seq="count from 1", v="count"
    )
    event = shape(
        entry["event"],
        f"{where}: event",
        actor="object",
        at="time",
        id="uuid",
        kind="text",
        records="list",
        refs="list",
        request="text or null",
        team="text or null",
        unit="uuid",
        v="count",
    )
    too_long = len(line) > EVENT_LIMIT and len(write_json(event)) > EVENT_LIMIT
    if entry["v"] != 1 or event["v"] != 1 or too_long:
        raise Bad(f"{where}: a version other than 1, or an event longer than {EVENT_LIMIT} bytes")
    shape(event["actor"], f"{where}: actor", id="uuid", on_behalf_of="text or null", role="text", via="text")
    for record in event["records"]:
        shape(record, f"{where}: record", id="uuid", row="object", type="record type")
    names = [(record["type"].split("/")[0], record["id"]) for record in event["records"]]
    if len(set(names)) != len(names):
        raise Bad(f"{where}: a record stands twice")
    for ref in event["refs"]:
        shape(ref, f"{where}: ref", digest="digest", name="text", size_bytes="count")
    return Entry(position, leaf_hash(line), entry["at"], entry["stream"], entry["stream_seq"], event)


def check_hashes(items: list[Any], where: str) -> None:
    if len(items) > 64 or not all(KINDS["hash"](item) for item in items):
        raise Bad(f"{where}: path is a list of hashes in hex")


def read_consistency(data: bytes, where: str) -> dict[str, Any]:
    value = shape(read_json(data, where), where, proofs="list", size="count from 1", type="pressmark/consistency/1")
    for proof in value["proofs"]:
        shape(proof, where, old_root="digest", old_size="count from 1", path="list")
        check_hashes(proof["path"], f"{where}: old_size {proof['old_size']}")
    ascending([*(proof["old_size"] for proof in value["proofs"]), value["size"]], f"{where}: old_size")
    return value


# --- command line -----------------------------------------------------------------------------------------------------


def printable(text: str) -> str:
    """What a bundle says may not steer the terminal."""
    return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode() for c in text)


def show(verdict: Verdict) -> str:
    lines = [
        f"bundle {verdict.bundle or 'unknown'} of {verdict.origin or 'unknown'}, log of {verdict.tree_size} entries"
    ]
    for answer in verdict.answers.values():
        lines.append(f"  {answer.name:<15} {answer.result}")
        lines += [f"      {reason}" for reason in answer.reasons if answer.result != YES]
    if verdict.scope:
        lines.append(
            f"  sealed {verdict.issued_at or 'never'} over the first {verdict.scope['size']} entries; later ones are not in it"
        )
    for end in (verdict.scope or {"ends": []})["ends"]:
        lines.append(f"  speaks of stream {end['stream']} up to number {end['last_seq']}")
    lines += [f"  note: {note}" for note in verdict.notes]
    ends = {
        0: "All four answers are yes.",
        1: "At least one answer is NO: do not rely on this bundle.",
        3: "Nothing is wrong, but not everything was checked.",
    }
    return "\n".join(printable(line) for line in [*lines, ends[verdict.exit_code]])


def read_argument(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise WrongCall(f"{path}: {error.strerror}") from error


def key_lines(argument: str) -> list[str]:
    """A key line itself, or the key lines in a file (empty lines and lines with # are passed over)."""
    with contextlib.suppress(Bad):
        return [read_key_line(argument, "--key").line]
    lines = [line.strip() for line in read_argument(argument).decode("utf-8", "replace").splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise WrongCall(f"{argument}: holds no key line")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check a Pressmark bundle offline.")
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument(
        "--key", action="append", default=[], metavar="KEYLINE_OR_FILE", help="a key you know; repeatable"
    )
    parser.add_argument("--checkpoint", metavar="FILE", help="a checkpoint you kept outside the bundle")
    parser.add_argument("--proof", metavar="FILE", help="consistency proof to a newer checkpoint")
    parser.add_argument("--receipt", action="append", default=[], metavar="FILE", help="a receipt you got; repeatable")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    options = parser.parse_args(arguments)
    try:
        verdict = verify_bundle(
            options.bundle,
            keys=[line for argument in options.key for line in key_lines(argument)],
            checkpoint=read_argument(options.checkpoint) if options.checkpoint else None,
            proof=read_argument(options.proof) if options.proof else None,
            receipts=[read_argument(path) for path in options.receipt],
        )
    except WrongCall as error:
        print(printable(f"wrong call: {error}"), file=sys.stderr)
        return 2
    print(json.dumps(verdict.as_dict(), indent=2) if options.json else show(verdict))
    return verdict.exit_code


if __name__ == "__main__":
    sys.exit(main())
