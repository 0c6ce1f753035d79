"""Check a Pressmark bundle, or a completed receipt, without trusting, asking or installing anything of ours.

    python3 offline_verify.py BUNDLE_OR_FOLDER [--key KEYLINE_OR_FILE]... [--checkpoint FILE] [--proof FILE]
                              [--witness KEYLINE_OR_FILE]... [--receipt FILE_OR_FOLDER]...
                              [--not-before TIME] [--json]

One reason: a stranger can read this one file and know what its four answers mean. It needs Python 3.11 and its standard
library, opens only the files it is given, and shares no code with the product, so that one mistake cannot be made twice.
(House exception: this file may pass 400 lines, because it must stay one file.)

Rules, docs/bundle-format.md:
- files intact: the zip has the one allowed form; the manifest lists every file with size and digest; documents are named by
  their digest; what the entries refer to is there or named as not included; opened texts fit their commitments; report and
  statements speak of what the entries seal;
- signature good: the keys notes follow from each other, era by era; manifest, checkpoint and statements are signed by the two
  keys of the last era;
- key known: a key from outside is one of the last era, or leads to it by keys that vouch for the next ones;
- streams whole: every entry is canonical and in the tree; the streams of the sealed scope have no gap and are those that its
  subject demands; units are together; a checkpoint or a witness from outside knows this tree, and receipts fit.
An answer is `yes` only when all its checks ran to the end. Exit: 0 four times yes; 1 any no; 2 wrong call, nothing judged;
3 no "no", but something not checked.

How to read it: first the readers (numbers on a curve, JSON, tree, notes, zip), then what is judged: entries, eras, what is
known from outside, and at the end the two things that are judged with them, `Bundle` and `CompletedReceipt`.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import contextlib
import datetime
import hashlib
import itertools
import json
import mmap
import re
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
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
CREATED, ROTATED, REVOKED, REOPENED = "ledger.created", "key.rotated", "key.revoked", "ledger.reopened"
ERA_KINDS = (CREATED, ROTATED, REVOKED, REOPENED)
NAMED_STREAMS = {  # columns that name a stream, and the kind of stream
    "dataset_id": "dataset",
    "licence_id": "licence",
    "recipe_id": "recipe",
    "policy_id": "policy",
    "use_case_id": "use_case",
}
WITHHELD_KINDS = ("document.attached", "profile.finished", "profile.failed")  # whose files another team may keep back
DATASET_VERSION_COLUMNS = ("dataset_version_id", "calibration_id", "evaluation_id", "out_of_distribution_id")
RUN = "compression.run"
DATASET_VERSION_COLUMNS_OF_RUNS = ("baseline_id", "training_id")  # of other records they name something else
UNIT_LIMIT = 10_000  # entries of one unit
PROOFS_LIMIT = 8_000  # proofs in one file of log/
FILES_LIMIT = 65_535  # where zip64 begins
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


def point_double(p: Point) -> Point:
    a, b = p[0] * p[0] % P, p[1] * p[1] % P
    h = a + b
    e, g = h - (p[0] + p[1]) * (p[0] + p[1]) % P, a - b
    f = 2 * p[2] * p[2] % P + g
    return e * f % P, g * h % P, f * g % P, e * h % P


def sum_of_multiples(m: int, p: Point, n: int, q: Point) -> Point:
    """m times p plus n times q, by doubling once for both."""
    either = {(1, 0): p, (0, 1): q, (1, 1): point_add(p, q)}
    result = NEUTRAL
    for bit in range(max(m.bit_length(), n.bit_length()) - 1, -1, -1):
        result = point_double(result)
        chosen = (m >> bit & 1, n >> bit & 1)
        if chosen != (0, 0):
            result = point_add(result, either[chosen])
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
    if key is None or len(signature) != 64:
        return False
    if point_encode(point_double(point_double(point_double(key)))) == point_encode(NEUTRAL):
        return False
    s = int.from_bytes(signature[32:], "little")
    if s >= ORDER or BASE is None:  # a larger s would be a second signature for the same message
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    minus_key = (P - key[0], key[1], 1, P - key[3])
    return point_encode(sum_of_multiples(s, BASE, k, minus_key)) == signature[:32]


# --- canonical JSON and its shapes ------------------------------------------------------------------------------------

KEY_PATTERN = re.compile(r"[a-z0-9_]{1,64}")
DIGEST_PATTERN = re.compile(r"sha256:[0-9a-f]{64}")
HASH_PATTERN = re.compile(r"[0-9a-f]{64}")
UUID_PATTERN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME_PATTERN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
MOMENT_PATTERN = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,6})?)?(Z|[+-][0-9]{2}(:?[0-5][0-9])?)?)?"
)
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


def read_foreign_json(data: bytes) -> Any:
    """JSON that others define: UTF-8, no key twice, and no number that JSON does not have; raises ValueError or Bad."""
    return json.loads(data.decode(), object_pairs_hook=refuse_doubled, parse_constant=refuse_number)


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


# --- keys and signed notes, C2SP signed-note, tlog-checkpoint and tlog-cosignature ------------------------------------

NUMBER_PATTERN = re.compile(r"0|[1-9][0-9]{0,15}")
ORIGIN_PATTERN = re.compile(rf"pressmark/({UUID_PATTERN.pattern})/([1-9][0-9]{{0,8}})")
KEYS_FILE_PATTERN = re.compile(r"keys/keys-(0|[1-9][0-9]{0,15})\.note")
DASH = "\u2014 "
ED25519, COSIGNATURE = 1, 4  # first byte of what a key line holds: what the key signs


@dataclass(frozen=True)
class PublicKey:
    name: str
    raw: bytes
    algorithm: int = ED25519

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + bytes([10, self.algorithm]) + self.raw).digest()[:4]

    @property
    def keyid(self) -> str:
        return f"{self.name}+{self.key_id.hex()}"

    @property
    def line(self) -> str:
        return f"{self.keyid}+{base64.b64encode(bytes([self.algorithm]) + self.raw).decode()}"

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

    def by(self, key: PublicKey) -> list[bytes]:
        """The signatures that claim to be by the key."""
        return [item[2] for item in self.signatures if item[:2] == (key.name, key.key_id)]

    def require(self, key: PublicKey, where: str) -> None:
        found = self.by(key)
        if len(found) != 1:
            raise Bad(f"{where}: {len(found)} signatures by {key.keyid}; exactly one is needed")
        if not key.verifies(self.text.encode(), found[0]):
            raise Bad(f"{where}: the signature by {key.keyid} does not hold")

    def is_signed_by(self, key: PublicKey) -> bool:
        try:
            self.require(key, "")
        except Bad:
            return False
        return True

    def cosigned_at(self, key: PublicKey, where: str) -> list[int]:
        """When a witness cosigned, in seconds since 1970; a cosignature of its name that does not hold is refused."""
        times = []
        for signature in self.by(key):
            seconds = int.from_bytes(signature[:8])
            message = f"cosignature/v1\ntime {seconds}\n{self.text}".encode()
            if len(signature) != 72 or not key.verifies(message, signature[8:]):
                raise Bad(f"{where}: the cosignature by the witness {key.keyid} does not hold")
            times.append(seconds)
        return times


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes
    note: Note

    def require(self, key: PublicKey, where: str) -> None:
        """Signed by the log key, in the first line."""
        if self.origin != key.name:
            raise Bad(f"{where}: it is of the log {self.origin}, the key of {key.name}")
        self.note.require(key, where)
        if self.note.signatures[0][:2] != (key.name, key.key_id):
            raise Bad(f"{where}: the first signature must be the log key's")


@dataclass(frozen=True)
class Keys:
    """A keys note: who signs from position `first` on."""

    origin: str
    first: int
    log: PublicKey
    issuer: PublicKey
    note: Note

    def require(self, *keys: PublicKey) -> None:
        for key in keys:
            self.note.require(key, f"keys/keys-{self.first}.note")


@dataclass(frozen=True)
class Receipt:
    origin: str
    first: int
    count: int
    root: bytes
    at: str
    note: Note

    @property
    def span(self) -> range:
        return range(self.first, self.first + self.count)


@dataclass(frozen=True)
class TlogProof:
    """A receipt with the inclusion path of one entry to a checkpoint."""

    receipt: bytes
    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes


def read_base64(text: str, where: str, size: int | None = None) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Bad(f"{where}: not base64") from error
    if base64.b64encode(data).decode() != text or (size is not None and len(data) != size):
        raise Bad(f"{where}: not the canonical base64 of {'its' if size is None else size} bytes")
    return data


def read_number(text: str, where: str) -> int:
    if not NUMBER_PATTERN.fullmatch(text) or int(text) >= 2**53:
        raise Bad(f"{where}: {text[:30]!r} is no number")
    return int(text)


def read_key_line(line: str, where: str, algorithm: int = ED25519) -> PublicKey:
    parts = line.split("+", 2)
    if len(parts) != 3 or not parts[0] or any(c.isspace() or ord(c) < 32 for c in parts[0]):
        raise Bad(f"{where}: not a key line (name+8 hex digits+base64)")
    data = read_base64(parts[2], where, 33)
    if {data[0], algorithm} == {ED25519, COSIGNATURE}:
        wanted, given = ("witness's", "log or issuer") if algorithm == COSIGNATURE else ("log or issuer", "witness's")
        raise Bad(f"{where}: a {given} key line, where a {wanted} key line is asked for")
    key = PublicKey(parts[0], data[1:], algorithm)
    if key.line != line:
        raise Bad(f"{where}: no Ed25519 key, or its key id does not fit")
    return key


def read_note(data: bytes, where: str) -> Note:
    """Parse strictly; signatures of unknown keys (witnesses, other algorithms) are kept and not judged."""
    if len(data) > NOTE_LIMIT:
        raise Bad(f"{where}: longer than 1 MiB")
    try:
        whole = data.decode()
    except ValueError as error:
        raise Bad(f"{where}: not UTF-8") from error
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


def read_keys(data: bytes, where: str, position: int) -> Keys:
    note = read_note(data, where)
    kind, origin, first, log, issuer = note_lines(note, 5, where)
    if kind != "pressmark/keys/1" or not log.startswith("log ") or not issuer.startswith("issuer "):
        raise Bad(f"{where}: not a keys note")
    if read_number(first, where) != position:
        raise Bad(f"{where}: its first position is {first}, not {position}")
    keys = Keys(origin, position, read_key_line(log[4:], where), read_key_line(issuer[7:], where), note)
    if keys.log.name != origin or keys.issuer.name != origin + "/issuer" or keys.log.raw == keys.issuer.raw:
        raise Bad(f"{where}: the two keys do not belong to the origin {origin}")
    return keys


def read_receipt_note(data: bytes, where: str) -> Receipt:
    note = read_note(data, where)
    kind, origin, first, count, root, at = note_lines(note, 6, where)
    if kind != "pressmark/receipt/1" or read_number(count, where) < 1 or not TIME_PATTERN.fullmatch(at):
        raise Bad(f"{where}: not a receipt")
    return Receipt(origin, read_number(first, where), int(count), read_base64(root, where, 32), at, note)


def read_receipt(data: bytes, where: str) -> Receipt:
    """A receipt's note, or the value of its header: the note in base64."""
    if not data.startswith(b"pressmark/"):
        data = read_base64(data.strip().decode("ascii", "replace"), where)
    return read_receipt_note(data, where)


def read_tlog_proof(data: bytes, where: str) -> TlogProof:
    head, _, checkpoint = data.partition(b"\n\n")
    lines = head.decode("ascii", "replace").split("\n")
    if lines[0] != "c2sp.org/tlog-proof@v1":
        raise Bad(f"{where}: not a tlog-proof")
    if len(lines) < 3 or not lines[1].startswith("extra ") or not lines[2].startswith("index "):
        raise Bad(f"{where}: the proof carries no receipt as extra")
    if len(lines) - 3 > 64:
        raise Bad(f"{where}: a path has at most 64 hashes")
    path = tuple(read_base64(line, where, 32) for line in lines[3:])
    return TlogProof(read_base64(lines[1][6:], where), read_number(lines[2][6:], where), path, checkpoint)


# --- SSHSIG and DSSE --------------------------------------------------------------------------------------------------


def ssh_string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def sshsig_verifies(armored: bytes, message: bytes, key: PublicKey) -> bool:
    """OpenSSH PROTOCOL.sshsig, in the one form that bundles use: Ed25519, SHA-512, our namespace."""
    lines = armored.split(b"\n")
    if lines[0] != b"-----BEGIN SSH SIGNATURE-----" or lines[-2:] != [b"-----END SSH SIGNATURE-----", b""]:
        return False
    try:
        blob = read_base64(b"".join(lines[1:-2]).decode("ascii", "replace"), "")
    except Bad:
        return False
    fields = ssh_string(NAMESPACE) + ssh_string(b"") + ssh_string(b"sha512")
    head = b"SSHSIG" + struct.pack(">I", 1) + ssh_string(key.ssh_blob) + fields
    signature = blob[-64:]
    if blob != head + ssh_string(ssh_string(b"ssh-ed25519") + ssh_string(signature)):
        return False
    return key.verifies(b"SSHSIG" + fields + ssh_string(hashlib.sha512(message).digest()), signature)


def read_statement(data: bytes, key: PublicKey, where: str) -> tuple[bytes, bytes, list[bytes]]:
    """What the envelope signs, its payload, and the signatures that claim to be by the key."""
    try:
        envelope = read_foreign_json(data)
        kind, payload = envelope["payloadType"].encode(), read_base64(envelope["payload"], where)
        signatures = [item["sig"] for item in envelope["signatures"] if item.get("keyid") == key.keyid]
        found = [read_base64(item, where) for item in signatures]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Bad) as error:
        raise Bad(f"{where}: not a DSSE envelope") from error
    if kind != b"application/vnd.in-toto+json" or not found:
        raise Bad(f"{where}: no in-toto statement signed by {key.keyid}")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload), payload, found


def check_statement(data: bytes, key: PublicKey, where: str) -> None:
    signed, _, signatures = read_statement(data, key, where)
    if not all(key.verifies(signed, signature) for signature in signatures):
        raise Bad(f"{where}: the signature by {key.keyid} does not hold")


def subjects_of(payload: bytes, where: str) -> list[str]:
    """The digests that an in-toto statement is about."""
    try:
        statement = read_foreign_json(payload)
        found = ["sha256:" + item["digest"]["sha256"] for item in statement["subject"]]
        kind = statement["_type"]
    except (ValueError, KeyError, TypeError, RecursionError, Bad) as error:
        raise Bad(f"{where}: its payload is no in-toto statement") from error
    if kind != "https://in-toto.io/Statement/v1" or not found:
        raise Bad(f"{where}: its payload is no in-toto statement about anything")
    return found


# --- the zip in its one allowed form ----------------------------------------------------------------------------------

ZIPPED_RECEIPT_PATTERN = re.compile(
    rb"([^/]+/)?(receipt\.note|entries/(0|[1-9][0-9]*)\.json|proofs/(0|[1-9][0-9]*)\.tlog-proof)"
)
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
    if count >= FILES_LIMIT:
        raise Bad(f"{count} files in the zip; fewer than {FILES_LIMIT} are allowed")
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
    """The four answers about one bundle or completed receipt."""

    bundle: str = ""
    origin: str = ""
    tree_size: int = 0
    issued_at: str = ""  # when the scope was sealed: a whole bundle of an older state is still one of an older state
    subject: str = ""
    version: str | None = None
    scope: dict[str, Any] | None = None  # the streams that were judged, with their ends
    receipt: Receipt | None = None
    eras: list[Era] = field(default_factory=list)
    witnesses: list[tuple[str, str]] = field(default_factory=list)  # name and time of each cosignature that holds
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
        eras = [
            {"first": e.first, "issuer": e.keys.issuer.line, "kind": e.kind, "log": e.keys.log.line, "origin": e.origin}
            for e in self.eras
        ]
        receipt = self.receipt and {"at": self.receipt.at, "count": self.receipt.count, "first": self.receipt.first}
        return {
            "answers": answers,
            "bundle": self.bundle,
            "eras": eras,
            "exit_code": self.exit_code,
            "issued_at": self.issued_at,
            "notes": self.notes,
            "origin": self.origin,
            "receipt": receipt,
            "scope": self.scope,
            "subject": self.subject,
            "tree_size": self.tree_size,
            "version": self.version,
            "witnesses": [{"name": name, "time": time} for name, time in self.witnesses],
        }


# --- entries ----------------------------------------------------------------------------------------------------------


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

    def rows(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        """Id and row of each record of a type, whatever its number."""
        return [(r["id"], r["row"]) for r in self.event["records"] if r["type"].split("/")[0] == kind]

    def refs(self, name: str) -> list[str]:
        """The digests that it refers to under a name."""
        return [ref["digest"] for ref in self.event["refs"] if ref["name"] == name]


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


def check_order(verdict: Verdict, answer: str, entries: Sequence[Entry]) -> None:
    """Numbers of every stream rise with the position; ids are unique; time goes back only where it is said."""
    last_seq: dict[str, int] = {}
    ids: set[str] = set()
    for before, entry in zip([None, *entries], entries, strict=False):
        if entry.seq <= last_seq.get(entry.stream, 0):
            verdict.no(answer, f"{entry.where}: the number does not rise with the position")
        last_seq[entry.stream] = entry.seq
        if entry.event["id"] in ids:
            verdict.no(answer, f"{entry.where}: its event id stands twice")
        ids.add(entry.event["id"])
        side_by_side = before is not None and before.position + 1 == entry.position
        if side_by_side and before and entry.at < before.at and entry.event["kind"] != "ledger.clock_corrected":
            verdict.no(answer, f"{entry.where}: its time is before that of the entry it follows")


def check_units(verdict: Verdict, answer: str, entries: Sequence[Entry]) -> None:
    """Events of one unit share actor, times and request, and no event of another unit stands between them."""
    shared: dict[str, tuple[Any, ...]] = {}
    previous = ""
    for entry in entries:
        event = entry.event
        unit = event["unit"]
        facts = (event["actor"], event["at"], event["request"], entry.at)
        if unit in shared and unit != previous:
            verdict.no(answer, f"{entry.where}: unit {unit} is torn apart")
        if shared.setdefault(unit, facts) != facts:
            verdict.no(answer, f"{entry.where}: differs from its unit {unit} in actor, time or request")
        previous = unit


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


# --- eras: whose keys sign from which position on ---------------------------------------------------------------------


@dataclass(frozen=True)
class Reopening:
    """What a reopened ledger says about the origin before: what was signed last, and what it still continues."""

    old_size: int | None = None
    old_root: bytes | None = None
    agreed_size: int = 0


@dataclass(frozen=True)
class Era:
    """From position `first` on these two keys sign. `vouched`: the keys before signed for these."""

    first: int
    kind: str
    keys: Keys
    vouched: bool

    @property
    def origin(self) -> str:
        return self.keys.origin


@dataclass
class History:
    """The log that is judged: its eras, its checkpoint, what a reopening lost, and the roots proved for older sizes."""

    eras: list[Era]
    checkpoint: Checkpoint
    reopened: dict[str, Reopening] = field(default_factory=dict)  # by the origin that ended
    proved: dict[int, bytes] = field(default_factory=dict)

    @property
    def last(self) -> Era:
        return self.eras[-1]

    def era_at(self, position: int) -> Era:
        return next(era for era in reversed(self.eras) if era.first <= position)

    def reach(self, origin: str) -> int:
        """Up to which size this log is the one that was signed under the origin."""
        if origin == self.last.origin:
            return self.checkpoint.size
        return self.reopened.get(origin, Reopening()).agreed_size

    def is_later(self, origin: str) -> bool:
        """Whether the origin is of this instance, after it was reopened once more."""
        here, there = instance_and_epoch(self.last.origin), instance_and_epoch(origin)
        return here is not None and there is not None and here[0] == there[0] and here[1] < there[1]

    def is_skipped(self, origin: str) -> bool:
        """Whether the origin is of an earlier epoch of this instance that is not continued here at all."""
        here, there = instance_and_epoch(self.last.origin), instance_and_epoch(origin)
        earlier = here is not None and there is not None and here[0] == there[0] and here[1] > there[1]
        return earlier and all(era.origin != origin for era in self.eras)

    def is_lost(self, origin: str, end: int) -> bool:
        """Whether entries below `end` of an origin that ended may be others than those that are here."""
        return origin != self.last.origin and not self.is_later(origin) and end > self.reach(origin)


def instance_and_epoch(origin: str) -> tuple[str, int] | None:
    match = ORIGIN_PATTERN.fullmatch(origin)
    return (match[1], int(match[3])) if match else None


def next_era(before: Era | None, keys: Keys, kind: str | None) -> Era:
    """The era that a keys note begins after another one; without a kind (a completed receipt) the note says which it is."""
    where = f"keys/keys-{keys.first}.note"
    keys.require(keys.log, keys.issuer)
    if before is None:
        return Era(keys.first, CREATED, keys, vouched=False)
    joined = keys.note.is_signed_by(before.keys.log) and keys.note.is_signed_by(before.keys.issuer)
    same = keys.origin == before.origin
    kind = kind or (REOPENED if not same else ROTATED if joined else REVOKED)
    if (kind == REOPENED) == same:
        raise Bad(f"{where}: {kind} goes from {before.origin} to {keys.origin}")
    must_join = kind == ROTATED
    if kind == REOPENED:
        old, new = instance_and_epoch(before.origin), instance_and_epoch(keys.origin)
        if old is None or new is None or new[1] <= old[1]:
            raise Bad(f"{where}: the epoch after {before.origin} cannot be {keys.origin}")
        must_join = old[0] == new[0]
    if must_join and not joined:
        raise Bad(f"{where}: {kind} must be signed by both keys before, {before.keys.log.keyid} and its issuer key")
    return Era(keys.first, kind, keys, vouched=must_join)


def read_reopening(entry: Entry, before: str, after: str) -> Reopening:
    """The record of a reopening: what was signed last under the origin before, and what is continued of it."""
    rows = [row for _, row in entry.rows("audit.intervention")]
    old, new = instance_and_epoch(before), instance_and_epoch(after)
    kind = "ledger_restored" if old and new and old[0] == new[0] else "ledger_copied"
    if len(rows) != 1 or rows[0].get("kind") != kind:
        raise Bad(f"{entry.where}: it must hold one audit.intervention record, of kind {kind}")
    origin, size, root, agreed = (rows[0].get(name) for name in ("old_origin", "old_size", "old_root", "agreed_size"))
    sizes_fit = all(value is None or is_count(value) for value in (size, agreed))
    known = origin == before and KINDS["digest"](root)
    if not sizes_fit or not (known if size is not None else origin is root is None):
        raise Bad(f"{entry.where}: old_origin, old_size, old_root or agreed_size do not say how {before} ended")
    agreed = agreed or 0
    if agreed > entry.position or (size is not None and agreed > size):
        raise Bad(f"{entry.where}: it cannot continue {agreed} entries of {size}")
    return Reopening(size, None if root is None else bytes.fromhex(root[7:]), agreed)


def what_is_continued(lost: Reopening, *, copied: bool) -> str:
    """How much of what was signed under the origin before is part of this log, in words."""
    if lost.old_size is None:
        return (
            f"it continues the first {lost.agreed_size} entries; how far the old origin was signed, nobody here knows"
        )
    if lost.old_size == lost.agreed_size:
        return f"it continues all {lost.old_size} entries that were known to be signed under the old origin"
    rest = f"entries {lost.agreed_size} to {lost.old_size - 1}"
    gone = "are of the original alone" if copied else "were signed and then lost or replaced"
    return f"it continues the first {lost.agreed_size} of {lost.old_size} signed entries: {rest} {gone}"


def check_known(verdict: Verdict, eras: Sequence[Era], whole: bool, given: Sequence[PublicKey]) -> None:
    """Whether a key from outside is one of the last era, or one that vouches for it through the eras between."""
    joined: list[PublicKey] = []  # keys from which every later era is vouched
    ended = ""  # why the others do not lead to the last era
    for era in reversed(eras):
        if not ended:
            joined += [era.keys.log, era.keys.issuer]
        if not era.vouched and era.first and not ended:
            ended = f"{era.kind} at position {era.first} began keys that those before do not vouch for"
    everyone = [key for era in eras for key in (era.keys.log, era.keys.issuer)]
    if not given:
        reason = "no key line from outside was given (--key); whoever made this chose its keys"
        verdict.not_checked(KEY, reason)
    elif not whole:
        verdict.not_checked(KEY, "the keys notes do not follow from each other, so none vouches for another")
    elif not any(key in everyone for key in given):
        signed = f"it is signed by {eras[-1].keys.log.keyid} and {eras[-1].keys.issuer.keyid}"
        verdict.no(KEY, f"none of the keys you gave is among its keys: {signed}; you know {given[0].keyid}")
    elif not any(key in joined for key in given):
        verdict.not_checked(KEY, f"{ended}: get the new key from outside")
    verdict.finish(KEY)


# --- what is known from outside ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GivenReceipt:
    """A receipt with what was kept beside it: a proof for its only entry, or entries and proofs of a completed receipt."""

    receipt: Receipt
    entries: tuple[Entry, ...] = ()
    proofs: tuple[TlogProof, ...] = ()


def read_given(data: bytes | Path, where: str) -> GivenReceipt:
    """A receipt's note, the value of its header, a tlog-proof that carries it as `extra`, or the folder of a completed one."""
    if isinstance(data, Path):
        receipt = read_receipt_note(read_file(data, "receipt.note"), where)
        if receipt.count > UNIT_LIMIT:
            raise Bad(f"{where}: a unit holds at most {UNIT_LIMIT} entries, not {receipt.count}")
        names = {position: f"entries/{position}.json" for position in receipt.span}
        entries = [read_entry(read_file(data, name), position, name) for position, name in names.items()]
        names = {position: f"proofs/{position}.tlog-proof" for position in receipt.span}
        proofs = [read_tlog_proof(read_file(data, name), name) for name in names.values()]
        given = GivenReceipt(receipt, tuple(entries), tuple(proofs))
    elif data.startswith(b"c2sp.org/"):
        proof = read_tlog_proof(data, where)
        given = GivenReceipt(read_receipt_note(proof.receipt, where), (), (proof,))
    else:
        given = GivenReceipt(read_receipt(data, where))
    for proof in given.proofs:
        read_checkpoint(proof.checkpoint, where)
    return given


def read_file(folder: Path, name: str) -> bytes:
    try:
        with (folder / name).open("rb") as file:
            return file.read(4 * NOTE_LIMIT)
    except OSError as error:
        raise Bad(f"{name}: {error.strerror or 'it cannot be read'}") from error


@dataclass
class Outside:
    """What the caller knows from elsewhere; only this makes a bundle more than a claim."""

    keys: list[PublicKey] = field(default_factory=list)
    witnesses: list[PublicKey] = field(default_factory=list)
    checkpoint: Checkpoint | None = None
    proof: dict[str, Any] | None = None
    receipts: list[GivenReceipt] = field(default_factory=list)
    not_before: str = ""


def read_outside(
    keys: Sequence[str] = (),
    witnesses: Sequence[str] = (),
    checkpoint: bytes | None = None,
    proof: bytes | None = None,
    receipts: Sequence[bytes | Path] = (),
    not_before: str = "",
) -> Outside:
    """Raises WrongCall when one of these cannot be read."""
    time = read_moment(not_before) if not_before else ""
    try:
        return Outside(
            [read_key_line(line, "--key") for line in keys],
            [read_key_line(line, "--witness", COSIGNATURE) for line in witnesses],
            None if checkpoint is None else read_checkpoint(checkpoint, "--checkpoint"),
            None if proof is None else read_consistency(proof, "--proof"),
            [read_given(data, f"--receipt {number}") for number, data in enumerate(receipts, 1)],
            time,
        )
    except Bad as error:
        raise WrongCall(str(error)) from error


def read_moment(text: str) -> str:
    """A date or time after ISO 8601 in the form of this format; UTC where it names no zone. Raises WrongCall."""
    try:
        if not MOMENT_PATTERN.fullmatch(text):
            raise ValueError
        moment = datetime.datetime.fromisoformat(fraction_of_six(text))
        moment = moment.astimezone(datetime.UTC) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        forms = "2026-03-01, 2026-03-01T12:00Z, 2026-03-01T13:00:00.5+01:00; UTC where it names no zone"
        raise WrongCall(f"--not-before: {text!r} is no date and no time after ISO 8601 ({forms})") from None
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def fraction_of_six(text: str) -> str:
    """The same with a fraction of six digits and a point, which is how Python reads every one of them."""
    return re.sub(r"[.,]([0-9]+)", lambda match: "." + match[1].ljust(6, "0"), text)


class OutsideCheck:
    """Holds the log of a bundle or receipt against what the caller knows; all of it belongs to `streams whole`."""

    def __init__(self, verdict: Verdict, outside: Outside, history: History, where: str) -> None:
        self.verdict = verdict
        self.outside = outside
        self.history = history
        self.where = where  # how the checkpoint that is judged is called
        self.proof_is_used = False

    def run(self) -> None:
        known = False
        with self.verdict.judging(STREAMS):
            known = self.check_checkpoint()
        for key in self.outside.witnesses:
            with self.verdict.judging(STREAMS):
                known = self.check_witness(key) or known
        if not known:
            reason = "no checkpoint from outside (--checkpoint) and no witness (--witness) was given"
            if self.outside.checkpoint or self.outside.witnesses:
                reason = "nothing of what you gave from outside is shown yet to know this tree"
            self.verdict.not_checked(STREAMS, f"{reason}; the log may have been rewritten as a whole")

    def signer(
        self, use: str, origin: str, position: int, end: int, signatures: Iterable[tuple[str, bytes]], where: str
    ) -> PublicKey | None:
        """The log or issuer key that must have signed for a position of an origin; None when none is known that could."""
        history, tree_size = self.history, self.history.checkpoint.size
        ours = [era for era in history.eras if era.origin == origin]
        bundled: list[PublicKey] = [getattr(era.keys, use) for era in ours]
        candidates = [key for key in self.outside.keys if key.name == (origin if use == "log" else origin + "/issuer")]
        named = set(signatures)
        if not ours:
            if not history.is_skipped(origin) and (not history.is_later(origin) or position < tree_size):
                raise Bad(f"{where}: it is of {origin}, which is no origin of this log ({history.last.origin})")
        elif position < tree_size if origin == history.last.origin else end <= history.reach(origin):
            era = history.era_at(position)
            if era.origin != origin:
                raise Bad(f"{where}: it is of {origin}, which began at position {ours[0].first} only")
            key: PublicKey = getattr(era.keys, use)
            return key
        elif origin == history.last.origin:
            if any((key.name, key.key_id) in named for key in bundled[:-1]):
                raise Bad(f"{where}: it speaks of position {position}, but is signed by a key that was replaced before")
            candidates = bundled[-1:] + candidates
        else:
            candidates = bundled + candidates
        return next((key for key in candidates if (key.name, key.key_id) in named), None)

    def is_signed(self, checkpoint: Checkpoint, where: str) -> bool:
        """Whether a checkpoint could be judged by its signature; a wrong one is refused."""
        name, key_id, _ = checkpoint.note.signatures[0]
        if name != checkpoint.origin:
            raise Bad(f"{where}: the first signature must be the log key's, named {checkpoint.origin}")
        size = checkpoint.size
        key = self.signer("log", checkpoint.origin, size - 1, size, [(name, key_id)], where)
        if key is None:
            reason = (
                f"{where}: signed by {name}+{key_id.hex()}, a key that is not here; give it with --key if you know it"
            )
            self.verdict.not_checked(STREAMS, reason)
            return False
        checkpoint.require(key, where)
        return True

    def root_at(self, size: int) -> bytes | None:
        """The root that this log had at a size not above its own; None when no proof says it."""
        ours, proof = self.history.checkpoint, self.outside.proof
        if size == ours.size:
            return ours.root
        if size not in self.history.proved and proof and proof["size"] == ours.size and not self.proof_is_used:
            self.proof_is_used = True
            prove(self.history, proof, "--proof")
        return self.history.proved.get(size)

    # checkpoint and witnesses

    def check_checkpoint(self) -> bool:
        """Whether the checkpoint from outside knows this log."""
        ours, theirs = self.history.checkpoint, self.outside.checkpoint
        if theirs is None or not self.is_signed(theirs, "--checkpoint"):
            return False
        if self.history.is_lost(theirs.origin, theirs.size):
            return self.check_lost(theirs)
        if theirs.size > ours.size:
            return self.check_newer(theirs, "the checkpoint from outside")
        root = self.root_at(theirs.size)
        if root is None:
            reason = f"no proof leads from the checkpoint from outside (size {theirs.size}) to this one ({ours.size})"
            self.verdict.not_checked(STREAMS, f"{reason}; {ask_for_proof(theirs.size, ours.size)}")
            return False
        if root != theirs.root:
            raise Bad(f"--checkpoint: another root at size {theirs.size}: this log has another history")
        return True

    def check_newer(self, theirs: Checkpoint, what: str) -> bool:
        """Whether the proof that was given leads from this log to a newer checkpoint."""
        ours, proof = self.history.checkpoint, self.outside.proof
        rows = proof["proofs"] if proof and proof["size"] == theirs.size else []
        if not any(row["old_size"] == ours.size for row in rows):
            reason = f"{what} is newer ({theirs.size} entries) than {self.where} ({ours.size})"
            self.verdict.not_checked(STREAMS, f"{reason}; {ask_for_proof(ours.size, theirs.size)}")
            return False
        for row in rows:
            old_root = bytes.fromhex(row["old_root"][7:])
            ours_is_another = row["old_size"] == ours.size and old_root != ours.root
            holds = consistent(row["old_size"], theirs.size, old_root, theirs.root, hashes(row["path"]))
            if ours_is_another or not holds:
                reason = f"--proof: the log of {theirs.size} entries does not continue that of {row['old_size']}"
                raise Bad(f"{reason}, this one has {ours.size}")
        grown = f"the log has grown since, from {ours.size} to {theirs.size} entries at least"
        note = f"{grown}: what came later is not in here"
        self.verdict.notes += [] if note in self.verdict.notes else [note]
        return True

    def check_lost(self, theirs: Checkpoint) -> bool:
        """A checkpoint of an origin that ended, above what the reopened log continues of it."""
        if theirs.size <= self.history.checkpoint.size and self.root_at(theirs.size) == theirs.root:
            return True
        lost = self.history.reopened.get(theirs.origin, Reopening())
        if lost.old_size is not None and theirs.size > lost.old_size:
            ended = f"--checkpoint: {theirs.origin} ended at size {lost.old_size}, and somebody signed {theirs.size} under it"
            raise Bad(f"{ended} (after a copy, the original may go on: then it is of another log)")
        if theirs.size == lost.old_size and theirs.root != lost.old_root:
            raise Bad(f"--checkpoint: another root at size {theirs.size} than the last one that {theirs.origin} had")
        self.verdict.notes.append(f"the checkpoint from outside speaks of what was lost when {theirs.origin} ended")
        reason = (
            f"--checkpoint: of {theirs.origin}, whose entries from {self.history.reach(theirs.origin)} on were lost"
        )
        self.verdict.not_checked(STREAMS, f"{reason}; a checkpoint of {self.history.last.origin} is needed")
        return False

    def check_witness(self, key: PublicKey) -> bool:
        """Whether the witness cosigned the very checkpoint that is judged."""
        here = self.history.checkpoint.note.cosigned_at(key, self.where)
        theirs = self.outside.checkpoint
        there = theirs.note.cosigned_at(key, "--checkpoint") if theirs else []
        for seconds in [*here, *there]:
            self.verdict.witnesses.append((key.name, time_of(seconds)))
            self.verdict.notes.append(f"the witness {key.name} cosigned at {time_of(seconds)}")
        if not here and not there:
            self.verdict.not_checked(STREAMS, f"no cosignature by the witness {key.keyid} is here")
        return bool(here)

    # receipts

    def check_receipt(self, given: GivenReceipt, entries: Sequence[Entry], scope: dict[str, Any], where: str) -> None:
        receipt = given.receipt
        end = receipt.first + receipt.count
        named = [item[:2] for item in receipt.note.signatures]
        key = self.signer("issuer", receipt.origin, receipt.first, end, named, where)
        if key is None:
            self.verdict.not_checked(STREAMS, f"{where}: signed by a key that is not here; give it with --key")
            return
        receipt.note.require(key, where)
        if given.entries and tree_root([entry.leaf for entry in given.entries]) != receipt.root:
            raise Bad(f"{where}: the entries beside it are not those that it was given for")
        present = [entry for entry in entries if entry.position in receipt.span]
        late = any(entry.at != receipt.at for entry in present)
        whole = len(present) == receipt.count
        if whole and not late and tree_root([entry.leaf for entry in present]) == receipt.root:
            return
        if self.history.is_lost(receipt.origin, end):
            self.verdict.notes.append(f"{where}: it speaks of what may have been lost when {receipt.origin} ended")
            self.verdict.not_checked(STREAMS, f"{where}: its entries are not here, and {receipt.origin} has ended")
            return
        if late:
            raise Bad(f"{where}: position {present[0].position} has another time here")
        if whole:
            raise Bad(f"{where}: other entries stand at position {receipt.first}")
        refuse_left_out(given, present, scope, where)
        if not self.proofs_hold(given, where):
            reason = f"{where}: the entries from position {receipt.first} are not all here"
            self.verdict.not_checked(STREAMS, reason)

    def proofs_hold(self, given: GivenReceipt, where: str) -> bool:
        """Whether the receipt's own proofs lead to a root that this log has too."""
        receipt = given.receipt
        leaves = [entry.leaf for entry in given.entries] or [receipt.root]
        if not len(leaves) == len(given.proofs) == receipt.count:
            return False
        judged = [  # every one, for one that cannot be checked does not excuse a false one
            self.proof_holds(leaf, position, proof, where)
            for leaf, position, proof in zip(leaves, receipt.span, given.proofs, strict=True)
        ]
        return all(judged)

    def proof_holds(self, leaf: bytes, position: int, proof: TlogProof, where: str) -> bool:
        checkpoint = read_checkpoint(proof.checkpoint, where)
        if not self.is_signed(checkpoint, where):
            return False
        size = checkpoint.size
        if proof.index != position or not included(leaf, position, size, proof.path, checkpoint.root):
            raise Bad(f"{where}: its proof does not hold")
        lost = self.history.is_lost(checkpoint.origin, size)
        if size > self.history.checkpoint.size:
            return not lost and self.check_newer(checkpoint, f"{where}: the checkpoint of its proof")
        root = self.root_at(size)
        if root is not None and root != checkpoint.root and not lost:
            raise Bad(f"{where}: another root at size {size}: this log has another history")
        return root == checkpoint.root


def refuse_left_out(given: GivenReceipt, present: Sequence[Entry], scope: dict[str, Any], where: str) -> None:
    """An entry that the issuer promised, of a stream that the bundle calls whole, is in the bundle."""
    ends = {end["stream"]: end["last_seq"] for end in scope.get("ends", [])}
    shown = {entry.position for entry in present}
    for entry in given.entries:
        if entry.position not in shown and entry.stream in ends and entry.position < scope["size"]:
            raise Bad(f"{where}: the bundle leaves out the {entry.where}, which you hold a receipt of")


def prove(history: History, value: dict[str, Any], where: str) -> None:
    """Take in the roots of older sizes that lead to the root of the history's checkpoint."""
    for proof in value["proofs"]:
        old, old_root = proof["old_size"], bytes.fromhex(proof["old_root"][7:])
        if not consistent(old, value["size"], old_root, history.checkpoint.root, hashes(proof["path"])):
            raise Bad(f"{where}: the proof from size {old} to {value['size']} does not hold")
        history.proved[old] = old_root  # two proofs that hold cannot differ here


def ask_for_proof(old: int, new: int) -> str:
    """What a reader does who lacks the proof between two sizes."""
    how = f"`pressmark prove-consistency {old} {new} --output FILE`, or GET /api/v1/ledger/consistency?old={old}&new={new}"
    return (
        f"ask whoever runs the log for the consistency proof from {old} to {new} ({how}) and give it with --proof FILE"
    )


def hashes(path: Sequence[str]) -> list[bytes]:
    return [bytes.fromhex(item) for item in path]


def time_of(seconds: int) -> str:
    with contextlib.suppress(ValueError, OverflowError, OSError):
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{seconds} seconds since 1970"


# --- a bundle ---------------------------------------------------------------------------------------------------------


def verify_bundle(
    path: str | Path,
    *,
    keys: Sequence[str] = (),
    witnesses: Sequence[str] = (),
    checkpoint: bytes | None = None,
    proof: bytes | None = None,
    receipts: Sequence[bytes | Path] = (),
    not_before: str = "",
) -> Verdict:
    """Judge a bundle with what is known from outside: key lines and the bytes of checkpoint, proof and receipts (or folders).

    Raises WrongCall when one of these cannot be read, or the bundle does not exist.
    """
    outside = read_outside(keys, witnesses, checkpoint, proof, receipts, not_before)
    if not Path(path).exists():
        raise WrongCall(f"{path}: no such file")
    verdict = Verdict()
    files: dict[str, memoryview] | None = None
    data = memoryview(b"")
    try:
        with Path(path).open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        files = read_zip(data, lambda reason: verdict.no(FILES, reason))
    except (OSError, ValueError, Bad) as error:
        verdict.no(FILES, f"the bundle cannot be read: {error}")
    if verdict.answers[FILES].wrong and is_zipped_receipt(data):
        raise WrongCall(f"{path}: it is the zip of a completed receipt; unpack it, and give the folder that was in it")
    if files is not None:
        Bundle(verdict, files, outside).check()
    return verdict


def is_zipped_receipt(data: memoryview) -> bool:
    """Whether the first file in a zip is one of a completed receipt."""
    if len(data) < LOCAL.size or bytes(data[:4]) != b"PK\x03\x04":
        return False
    length = LOCAL.unpack(data[: LOCAL.size])[9]
    return ZIPPED_RECEIPT_PATTERN.fullmatch(bytes(data[LOCAL.size : LOCAL.size + length])) is not None


class Bundle:
    """One pass over one bundle. Each step writes its reasons into the verdict and goes on where it can."""

    def __init__(self, verdict: Verdict, files: dict[str, memoryview], outside: Outside) -> None:
        self.verdict = verdict
        self.files = files
        self.outside = outside
        self.manifest: dict[str, Any] = {}
        self.scope: dict[str, Any] = {}
        self.entries: list[Entry] = []
        self.issued: Entry | None = None  # the entry that seals the scope of this very bundle
        self.eras: list[Era] = []
        self.eras_are_whole = False  # whether every keys note follows from the one before
        self.reopened: dict[str, Reopening] = {}
        self.checkpoint: Checkpoint | None = None

    def check(self) -> None:
        with self.verdict.judging(FILES):
            self.check_manifest()
        with self.verdict.judging(STREAMS):
            self.checkpoint = read_checkpoint(self.read("log/checkpoint"), "log/checkpoint")
        self.read_entries()
        with self.verdict.judging(STREAMS):
            self.find_issued()
        self.follow_eras()
        self.check_contents()
        if self.eras:
            self.check_signatures(self.eras[-1].keys)
            check_known(self.verdict, self.eras, self.eras_are_whole, self.outside.keys)
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
        """Documents, texts, report and statements against the entries that seal them."""
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
        with self.verdict.judging(FILES):
            self.check_report()
        self.check_statements()
        with contextlib.suppress(OSError):
            if "verify.py" in self.files and self.read("verify.py") != Path(__file__).read_bytes():
                self.verdict.notes.append("verify.py in the bundle is not this verifier; this one gave the answers")
        self.verdict.finish(FILES)

    def read_not_included(self) -> set[str]:
        where = "not_included.json"
        value = shape(read_json(self.read(where), where), where, documents="list", type="pressmark/not_included/1")
        refs = {(r["digest"], r["name"], r["size_bytes"]) for e in self.entries for r in e.event["refs"]}
        kept = {r["digest"] for e in self.entries if self.is_of_version(e) for r in e.event["refs"]}
        attached = self.attached_elsewhere()
        for row in value["documents"]:
            shape(row, where, digest="digest", name="text", reason="text", size_bytes="count")
            digest, reason = row["digest"], row["reason"]
            if reason not in ("purged", "withheld", "too_large"):
                raise Bad(f"{where}: reason {reason!r} is not known")
            if reason == "too_large" and row["size_bytes"] <= DOCUMENT_LIMIT:
                raise Bad(f"{where}: {digest} is not too large")
            withheld = digest in attached or (self.verdict.version is not None and digest not in kept)
            if reason == "withheld" and not withheld:
                raise Bad(f"{where}: {digest} may not be withheld")
            if self.document(digest) is not None:
                raise Bad(f"{where}: {digest} is in the bundle all the same")
            if (digest, row["name"], row["size_bytes"]) not in refs:
                raise Bad(f"{where}: no entry refers to {digest} by this name and size")
        digests = [row["digest"] for row in value["documents"]]
        ascending(digests, where)
        for reason in ("purged", "too_large", "withheld"):
            count = sum(row["reason"] == reason for row in value["documents"])
            if count:
                self.verdict.notes.append(f"{count} documents are named as not included: {reason}")
        return set(digests)

    def attached_elsewhere(self) -> set[str]:
        """Files that somebody attached to data, a licence or a use case, profiles of data, and that no other entry refers to."""
        attached: dict[bool, set[str]] = {True: set(), False: set()}
        for entry in self.entries:
            file = entry.event["kind"] in WITHHELD_KINDS and not entry.stream.startswith("model:")
            attached[file].update(ref["digest"] for ref in entry.event["refs"])
        return attached[True] - attached[False]

    def is_of_version(self, entry: Entry) -> bool:
        """Whether an entry holds the record of the version that the bundle is narrowed to."""
        return any(key == self.verdict.version for key, _ in entry.rows("catalog.version"))

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
            (key, row["commitment"])
            for entry in self.entries
            for key, row in entry.rows("access.text")
            if isinstance(row.get("commitment"), str)
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

    def check_report(self) -> None:
        """One entry seals the report in each form that is there, and it is of an assessment of what the bundle is about."""
        found = [entry for entry in self.entries if entry.event["kind"] == "report.issued"]
        for path, name in {"report.json": "report_json", "report.pdf": "report_pdf"}.items():
            if path in self.files:
                digest = "sha256:" + hashlib.sha256(self.files[path]).hexdigest()
                found = [entry for entry in found if digest in entry.refs(name)]
                if not found:
                    raise Bad(f"{path}: not a report that an entry of the bundle seals, or not the one beside it")
        subject = self.verdict.subject
        if subject in ("", "instance") or not {"report.json", "report.pdf"}.intersection(self.files):
            return
        assessed = {key for e in self.entries if e.stream == subject for key, _ in e.rows("audit.assessment")}
        if not any(row.get("assessment_id") in assessed for entry in found for _, row in entry.rows("audit.report")):
            raise Bad(f"report.*: a report that an entry seals, but of no assessment in {subject}")

    def check_statements(self) -> None:
        """Each statement is about digests that the entries seal; in a bundle of one version, about that version."""
        paths = [path for path in self.files if path.startswith("statements/")]
        if not paths or not self.eras:
            return
        sealed, of_version = set(), set()
        for entry in self.entries:
            sealed |= {ref["digest"] for ref in entry.event["refs"]}
            values = (value for record in entry.event["records"] for value in record["row"].values())
            sealed |= {value for value in values if isinstance(value, str)}
            of_version |= {
                str(row.get("digest")) for key, row in entry.rows("catalog.version") if key == self.verdict.version
            }
        for path in paths:
            with contextlib.suppress(Bad):  # an envelope that cannot be read is told with the signatures
                payload = read_statement(self.read(path), self.eras[-1].keys.issuer, path)[1]
                with self.verdict.judging(FILES):
                    subjects = subjects_of(payload, path)
                    if not sealed.issuperset(subjects):
                        raise Bad(
                            f"{path}: it is about {min(set(subjects) - sealed)}, which no entry of the bundle seals"
                        )
                    if self.verdict.version is not None and not of_version.intersection(subjects):
                        raise Bad(f"{path}: it is not about version {self.verdict.version}")

    # signature good

    def follow_eras(self) -> None:
        """The keys notes in order, each held against the one before; the first that breaks a rule ends them."""
        starts = [e for e in self.entries if e.event["kind"] in ERA_KINDS[1:] and e.stream == "instance"]
        try:
            where = "keys/keys-0.note"
            with self.verdict.judging(SIGNATURE):
                keys = read_keys(self.read(where), where, 0)
                self.eras.append(Era(0, CREATED, keys, vouched=False))
                next_era(None, keys, None)
                for entry in starts:
                    self.follow(entry)
                self.eras_are_whole = True
        finally:
            self.verdict.eras = self.eras

    def follow(self, entry: Entry) -> None:
        before, where = self.eras[-1], f"keys/keys-{entry.position}.note"
        keys = read_keys(self.read(where), where, entry.position)
        self.eras.append(next_era(before, keys, entry.event["kind"]))
        with self.verdict.judging(STREAMS):
            self.check_sealed_keys(entry)
            self.tell_era(entry, before, self.eras[-1])

    def check_sealed_keys(self, entry: Entry) -> None:
        where = f"keys/keys-{entry.position}.note"
        if entry.refs("keys") != ["sha256:" + hashlib.sha256(self.read(where)).hexdigest()]:
            raise Bad(f"{where}: not the keys note that {entry.where} seals")

    def tell_era(self, entry: Entry, before: Era, era: Era) -> None:
        if era.kind == REVOKED:
            self.verdict.notes.append(f"the keys before position {era.first} were revoked")
        if era.kind == REOPENED:
            lost = self.reopened[before.origin] = read_reopening(entry, before.origin, era.origin)
            went = f"{before.origin} goes on here as {era.origin} from position {era.first}"
            self.verdict.notes.append(f"{went}; {what_is_continued(lost, copied=not era.vouched)}")

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
                    raise Bad(f"{path}: not the key of keys/keys-{keys.first}.note")
        with self.verdict.judging(SIGNATURE):
            if not keys.issuer.verifies(self.read("manifest.json"), self.read("manifest.sig")):
                raise Bad(f"manifest.sig: not a signature over manifest.json by {keys.issuer.keyid}")
        with self.verdict.judging(SIGNATURE):
            if not sshsig_verifies(self.read("manifest.json.sig"), self.read("manifest.json"), keys.issuer):
                raise Bad(f"manifest.json.sig: not an SSH signature over manifest.json by {keys.issuer.keyid}")
        with self.verdict.judging(SIGNATURE):
            read_checkpoint(self.read("log/checkpoint"), "log/checkpoint").require(keys.log, "log/checkpoint")
        firsts = {f"keys/keys-{era.first}.note" for era in self.eras}
        for path in self.files:
            with self.verdict.judging(SIGNATURE):
                if path.startswith("statements/"):
                    check_statement(self.read(path), keys.issuer, path)
                if KEYS_FILE_PATTERN.fullmatch(path) and path not in firsts and self.eras_are_whole:
                    raise Bad(f"{path}: no entry of the bundle begins an era there")
        self.verdict.finish(SIGNATURE)

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
            if len(value["proofs"]) > PROOFS_LIMIT:
                raise Bad(
                    f"{path}: {len(value['proofs'])} proofs; {PROOFS_LIMIT} are the most, the others go into the next file"
                )
            for proof in value["proofs"]:
                shape(proof, path, path="list", position="count")
                check_hashes(proof["path"], f"{path}: position {proof['position']}")
                yield proof
            number += 1
            path = f"log/proofs-{number}.json"

    def check_included(self, entry: Entry, proof: dict[str, Any]) -> None:
        if self.checkpoint is None:
            return
        path, tree = hashes(proof["path"]), self.checkpoint
        if not included(entry.leaf, entry.position, tree.size, path, tree.root):
            raise Bad(f"{entry.where} is not in the tree of log/checkpoint: it or its proof was changed")

    def find_issued(self) -> None:
        """The `bundle.issued` entry of this very bundle: it names the subject and seals the scope."""
        scope = self.manifest.get("scope")
        for entry in self.entries:
            rows = [row for key, row in entry.rows("audit.bundle") if key == self.manifest.get("bundle")]
            if entry.event["kind"] != "bundle.issued" or entry.refs("scope") != [scope] or not rows:
                continue
            self.issued = entry
            row = rows[0]
            subject, version = row.get("subject"), row.get("version_id", "")
            fits = row.get("scope_digest") == scope and KINDS["stream"](subject)
            if entry.stream != "instance" or not fits or not (version is None or KINDS["uuid"](version)):
                raise Bad(f"{entry.where}: it does not say what the bundle is about, or seals another scope")
            self.verdict.issued_at, self.verdict.subject, self.verdict.version = entry.at, str(subject), version
            return
        if self.manifest:
            raise Bad(
                "no bundle.issued entry of the bundle seals its scope: the scope was changed, or the entry left out"
            )

    def check_streams(self, checkpoint: Checkpoint) -> None:
        judging = self.verdict.judging
        history = History(self.eras, checkpoint, self.reopened)
        with judging(STREAMS):
            stated = (self.manifest["origin"], self.manifest["tree_size"], self.manifest["root"])
            if stated != (checkpoint.origin, checkpoint.size, "sha256:" + checkpoint.root.hex()):
                raise Bad("manifest.json: origin, tree_size or root are not those of log/checkpoint")
        with judging(STREAMS):
            self.check_first_entry()
        self.check_era_entries()
        with judging(STREAMS):
            self.read_scope()
            self.check_subject()
        check_order(self.verdict, STREAMS, self.entries)
        check_units(self.verdict, STREAMS, self.entries)
        with judging(STREAMS):
            self.check_consistency(history)
        with judging(STREAMS):
            if self.verdict.issued_at < self.outside.not_before:
                raise Bad(
                    f"it was sealed {self.verdict.issued_at or 'never'}, before {self.outside.not_before}: an older bundle"
                )
        if not self.eras:
            return
        known = OutsideCheck(self.verdict, self.outside, history, "log/checkpoint")
        known.run()
        for number, given in enumerate(self.outside.receipts, 1):
            with judging(STREAMS):
                known.check_receipt(given, self.entries, self.scope, f"--receipt {number}")
        self.verdict.finish(STREAMS)

    def check_first_entry(self) -> None:
        first = self.entries[0] if self.entries else None
        if first is None or first.position != 0:
            raise Bad("position 0: the first entry of the ledger is missing")
        if (first.stream, first.seq, first.event["kind"]) != ("instance", 1, CREATED):
            raise Bad("position 0: not ledger.created as number 1 of the stream instance")
        self.check_sealed_keys(first)

    def check_era_entries(self) -> None:
        for entry in self.entries:
            kind = entry.event["kind"]
            if kind in ERA_KINDS and entry.stream != "instance":
                self.verdict.no(STREAMS, f"{entry.where}: {kind} belongs into the stream instance")
            if kind == CREATED and entry.position > 0:
                self.verdict.no(STREAMS, f"{entry.where}: a ledger is created once, at position 0")
        if self.eras and self.eras[-1].origin != self.manifest["origin"]:
            self.verdict.no(STREAMS, f"manifest.json: its origin is not that of the last keys ({self.eras[-1].origin})")

    def read_scope(self) -> None:
        """The scope, and that each of its streams is whole."""
        where = "documents/" + self.manifest["scope"][7:]
        data = self.document(self.manifest["scope"])
        if data is None:
            raise Bad(f"{where}: the scope is missing")
        scope = shape(read_json(data, where), where, ends="list", size="count from 1", type="pressmark/scope/1")
        ends = {
            shape(end, where, last_seq="count from 1", stream="stream")["stream"]: end["last_seq"]
            for end in scope["ends"]
        }
        ascending([end["stream"] for end in scope["ends"]], f"{where}: streams")
        if not ends:
            raise Bad(f"{where}: the scope names no stream, so nothing would be whole")
        self.scope = self.verdict.scope = scope
        if self.issued and self.issued.position < scope["size"]:
            raise Bad(f"{self.issued.where}: the scope speaks of {scope['size']} entries, but was sealed before them")
        shown: dict[str, set[int]] = {stream: set() for stream in ends}
        for entry in self.below_size():
            if entry.stream in shown:
                shown[entry.stream].add(entry.seq)
        for stream, last in ends.items():
            self.check_stream(stream, last, shown[stream])

    def below_size(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.position < self.scope["size"]]

    def check_stream(self, stream: str, last: int, numbers: set[int]) -> None:
        missing = list(itertools.islice((n for n in range(1, last + 1) if n not in numbers), 6))
        if missing:
            shown = ", ".join(map(str, missing[:5])) + (" ..." if len(missing) > 5 else "")
            self.verdict.no(STREAMS, f"stream {stream}: number {shown} of {last} is missing")
        if numbers and max(numbers) > last:
            self.verdict.no(STREAMS, f"stream {stream}: the scope ends at {last}, but number {max(numbers)} is older")

    def check_subject(self) -> None:
        """What the bundle is about is in its scope, with all that belongs to it."""
        subject, version = self.verdict.subject, self.verdict.version
        if not subject:
            return
        streams = {end["stream"] for end in self.scope["ends"]}
        entries = self.below_size()
        if subject == "instance":
            self.check_instance(streams, entries)
        elif subject not in streams:
            self.verdict.no(STREAMS, f"the bundle is about {subject}, but its scope leaves that stream out")
        if version is not None:
            if not subject.startswith("model:"):
                raise Bad(f"a version of {subject} is no subject of a bundle")
            if not any(entry.stream == subject and self.is_of_version(entry) for entry in entries):
                raise Bad(f"the bundle is about version {version}, but no entry of {subject} holds it")
        if subject.startswith("model:"):
            self.check_closed([entry for entry in entries if entry.stream in streams], streams)

    def check_instance(self, streams: set[str], entries: list[Entry]) -> None:
        """The whole instance: no position is missing, and every stream is in the scope."""
        there = {entry.position for entry in entries}
        missing = list(itertools.islice((n for n in range(self.scope["size"]) if n not in there), 6))
        if missing:
            shown = ", ".join(map(str, missing[:5])) + (" ..." if len(missing) > 5 else "")
            self.verdict.no(STREAMS, f"the bundle is about the whole instance, but position {shown} is missing")
        for stream in sorted({entry.stream for entry in entries} - streams):
            self.verdict.no(STREAMS, f"the bundle is about the whole instance, but its scope leaves {stream} out")

    def check_closed(self, entries: list[Entry], streams: set[str]) -> None:
        """Streams that the rows of the scope name are in it. In a bundle of one version, those of other versions need not."""
        needed: dict[str, Entry] = {}
        versions: dict[str, Entry] = {}
        monitors: set[str] = set()
        shown: set[str] = set()
        for entry in entries:
            shown |= {key for key, _ in entry.rows("provenance.dataset_version")}
            monitors |= {f"monitor:{key}" for key, _ in entry.rows("monitoring.monitor")}
            for record in entry.event["records"]:
                row = record["row"]
                named = [
                    f"{kind}:{row[column]}" for column, kind in NAMED_STREAMS.items() if row.get(column) is not None
                ]
                needed |= {stream: entry for stream in named if stream not in needed}
                is_run = record["type"].split("/")[0] == RUN
                columns = DATASET_VERSION_COLUMNS + (DATASET_VERSION_COLUMNS_OF_RUNS if is_run else ())
                used = [str(row[column]) for column in columns if row.get(column) is not None]
                versions |= {key: entry for key in used if key not in versions}
        open_ends = {stream: entry for stream, entry in needed.items() if stream not in streams}
        open_ends |= {f"dataset of version {key}": entry for key, entry in versions.items() if key not in shown}
        for stream, entry in sorted(open_ends.items()):
            reason = f"{entry.where} names the {stream}, which the scope leaves out"
            if self.verdict.version is None:
                self.verdict.no(STREAMS, reason)
            else:
                self.verdict.notes.append(reason)
        for stream in sorted(monitors - streams):
            self.verdict.notes.append(f"the scope holds no {stream}: nothing was recorded there, or it was left out")

    def check_consistency(self, history: History) -> None:
        where = "log/consistency.json"
        value = read_consistency(self.read(where), where)
        if value["size"] != history.checkpoint.size:
            raise Bad(f"{where}: proofs to size {value['size']}, the checkpoint has {history.checkpoint.size}")
        prove(history, value, where)
        if self.scope and self.scope["size"] not in history.proved:
            raise Bad(f"{where}: no proof from the scope's size {self.scope['size']}")


# --- a completed receipt ----------------------------------------------------------------------------------------------


def verify_receipt(
    path: str | Path,
    *,
    keys: Sequence[str] = (),
    witnesses: Sequence[str] = (),
    checkpoint: bytes | None = None,
    proof: bytes | None = None,
) -> Verdict:
    """Judge a completed receipt (a folder) with what is known from outside. Raises WrongCall."""
    outside = read_outside(keys, witnesses, checkpoint, proof)
    if not Path(path).is_dir():
        raise WrongCall(f"{path}: no such folder")
    if (Path(path) / "manifest.json").exists() and not (Path(path) / "receipt.note").exists():
        raise WrongCall(
            f"{path}: it is an unpacked bundle; give the zip file as it was handed out, its form counts too"
        )
    verdict = Verdict()
    try:
        receipt = CompletedReceipt(verdict, Path(path), outside)
    except Bad as error:
        verdict.no(FILES, f"the receipt cannot be read: {error}")
        return verdict
    receipt.check()
    return verdict


class CompletedReceipt:
    """A receipt with the bytes of its entries, their proofs and the keys notes: all that is needed without the server."""

    def __init__(self, verdict: Verdict, folder: Path, outside: Outside) -> None:
        self.verdict = verdict
        self.folder = folder
        self.outside = outside
        self.names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())
        self.receipt = verdict.receipt = read_receipt_note(self.read("receipt.note"), "receipt.note")
        if self.receipt.count > UNIT_LIMIT:
            raise Bad(f"receipt.note: a unit holds at most {UNIT_LIMIT} entries, not {self.receipt.count}")
        self.entries: list[Entry] = []
        self.proofs: list[TlogProof] = []
        self.checkpoint: Checkpoint | None = None
        self.eras: list[Era] = []
        self.eras_are_whole = False

    def read(self, name: str) -> bytes:
        return read_file(self.folder, name)

    def check(self) -> None:
        self.verdict.origin = self.receipt.origin
        self.read_files()
        with self.verdict.judging(SIGNATURE):
            self.follow_eras()
        if self.checkpoint is None or not self.eras:
            return
        self.verdict.origin, self.verdict.tree_size = self.checkpoint.origin, self.checkpoint.size
        self.check_signatures(self.checkpoint, self.eras[-1])
        check_known(self.verdict, self.eras, self.eras_are_whole, self.outside.keys)
        for entry, proof in zip(self.entries, self.proofs, strict=False):
            if not included(entry.leaf, entry.position, self.checkpoint.size, proof.path, self.checkpoint.root):
                self.verdict.no(STREAMS, f"{entry.where} is not in the tree of the proofs' checkpoint")
        history = History(self.eras, self.checkpoint)
        OutsideCheck(self.verdict, self.outside, history, "the proofs' checkpoint").run()
        if len(self.entries) == len(self.proofs) == self.receipt.count:
            self.verdict.finish(STREAMS)

    def read_files(self) -> None:
        """Entries and proofs of every position, held against the receipt."""
        expected = {"receipt.note"}
        for position in self.receipt.span:
            with self.verdict.judging(FILES):
                name = f"entries/{position}.json"
                expected.add(name)
                self.entries.append(read_entry(self.read(name), position, name))
            with self.verdict.judging(FILES):
                name = f"proofs/{position}.tlog-proof"
                expected.add(name)
                self.proofs.append(self.read_proof(name, position))
        for name in self.names:
            if name not in expected and not KEYS_FILE_PATTERN.fullmatch(name):
                self.verdict.notes.append(f"{name}: a file that belongs to no receipt; nothing is concluded from it")
        if len(self.entries) == self.receipt.count:
            self.check_unit()
            self.verdict.finish(FILES)

    def read_proof(self, name: str, position: int) -> TlogProof:
        proof = read_tlog_proof(self.read(name), name)
        if proof.receipt != self.read("receipt.note") or proof.index != position:
            raise Bad(f"{name}: it is not the proof of this receipt for position {position}")
        if self.proofs and proof.checkpoint != self.proofs[0].checkpoint:
            raise Bad(f"{name}: it leads to another checkpoint than the proofs before it")
        self.checkpoint = read_checkpoint(proof.checkpoint, name)
        return proof

    def check_unit(self) -> None:
        if tree_root([entry.leaf for entry in self.entries]) != self.receipt.root:
            self.verdict.no(FILES, "entries/: not the entries of the receipt (another root)")
        for entry in self.entries:
            if entry.at != self.receipt.at or entry.event["unit"] != self.entries[0].event["unit"]:
                self.verdict.no(FILES, f"{entry.where}: not of the receipt's time, or of another unit")
        check_order(self.verdict, FILES, self.entries)
        check_units(self.verdict, FILES, self.entries)

    def follow_eras(self) -> None:
        matches = [match for name in self.names if (match := KEYS_FILE_PATTERN.fullmatch(name))]
        firsts = sorted(int(match[1]) for match in matches)
        if not firsts or firsts[0] != 0:
            raise Bad("keys/keys-0.note: the file is missing")
        self.verdict.eras = self.eras
        for first in firsts:
            name = f"keys/keys-{first}.note"
            keys = read_keys(self.read(name), name, first)
            if first == 0:
                self.eras.append(Era(0, CREATED, keys, vouched=False))
                next_era(None, keys, None)
            else:
                self.eras.append(next_era(self.eras[-1], keys, None))
            if self.checkpoint and first >= self.checkpoint.size:
                raise Bad(f"{name}: it begins after the proofs' checkpoint")
        self.eras_are_whole = True

    def check_signatures(self, checkpoint: Checkpoint, last: Era) -> None:
        with self.verdict.judging(SIGNATURE):
            checkpoint.require(last.keys.log, "the proofs' checkpoint")
        with self.verdict.judging(SIGNATURE):
            era = History(self.eras, checkpoint).era_at(self.receipt.first)
            if era.origin != self.receipt.origin:
                raise Bad(f"receipt.note: it is of {self.receipt.origin}, its position of {era.origin}")
            self.receipt.note.require(era.keys.issuer, "receipt.note")
        self.verdict.finish(SIGNATURE)


# --- command line -----------------------------------------------------------------------------------------------------


def printable(text: str) -> str:
    """What a bundle says may not steer the terminal."""
    return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode() for c in text)


def show(verdict: Verdict) -> str:
    what = f"bundle {verdict.bundle or 'unknown'}"
    if verdict.receipt:
        what = f"receipt of {verdict.receipt.count} entries from position {verdict.receipt.first}"
    lines = [f"{what} of {verdict.origin or 'unknown'}, log of {verdict.tree_size} entries"]
    for answer in verdict.answers.values():
        lines.append(f"  {answer.name:<15} {answer.result}")
        lines += [f"      {reason}" for reason in answer.reasons if answer.result != YES]
    if verdict.receipt:
        lines.append(f"  these entries were sealed at {verdict.receipt.at}")
    if verdict.scope:
        about = f"about {verdict.subject}" + (f", version {verdict.version}" if verdict.version else "")
        sealed = f"sealed {verdict.issued_at or 'never'} over the first {verdict.scope['size']} entries"
        lines.append(f"  {about}; {sealed}; later ones are not in it")
    for end in (verdict.scope or {"ends": []})["ends"]:
        lines.append(f"  speaks of stream {end['stream']} up to number {end['last_seq']}")
    lines += [f"  note: {note}" for note in verdict.notes]
    ends = {
        0: "All four answers are yes.",
        1: "At least one answer is NO: do not rely on this.",
        3: "Nothing is wrong, but not everything was checked.",
    }
    return "\n".join(printable(line) for line in [*lines, ends[verdict.exit_code]])


def read_argument(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise WrongCall(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def key_lines(argument: str, algorithm: int = ED25519) -> list[str]:
    """A key line itself, or the key lines in a file; empty lines, # lines and what follows white space are passed over."""
    try:
        return [read_key_line(argument, "", algorithm).line]
    except Bad as error:
        why = str(error).removeprefix(": ")
    try:
        data = Path(argument).read_bytes()
    except (OSError, ValueError) as error:
        said = f"no file of this name, and no key line: {why}"
        if isinstance(error, OSError) and Path(argument[:255]).exists():
            said = f"it cannot be read ({error.strerror})"
        raise WrongCall(f"{argument}: {said}") from None
    lines = [line.split() for line in data.decode("utf-8", "replace").splitlines()]
    found = [words[0] for words in lines if words and not words[0].startswith("#")]
    if not found:
        raise WrongCall(f"{argument}: holds no key line")
    return found


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Check a Pressmark bundle or a completed receipt offline.")
    parser.add_argument("subject", metavar="BUNDLE_OR_FOLDER")
    known = "KEYLINE_OR_FILE"
    parser.add_argument("--key", action="append", default=[], metavar=known, help="a key you know; repeatable")
    parser.add_argument("--checkpoint", metavar="FILE", help="a checkpoint you kept outside the bundle")
    parser.add_argument("--proof", metavar="FILE", help="consistency proof between that checkpoint and the bundle's")
    parser.add_argument(
        "--witness",
        action="append",
        default=[],
        metavar=known,
        help="a witness you trust; must have cosigned; repeatable",
    )
    parser.add_argument(
        "--receipt", action="append", default=[], metavar="FILE_OR_FOLDER", help="a receipt you got; repeatable"
    )
    parser.add_argument("--not-before", default="", metavar="TIME", help="refuse a bundle that was sealed earlier")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    return parser


def judge(options: argparse.Namespace) -> Verdict:
    """Read what the caller names, and judge."""
    known: dict[str, Any] = {
        "keys": [line for argument in options.key for line in key_lines(argument)],
        "witnesses": [line for argument in options.witness for line in key_lines(argument, COSIGNATURE)],
        "checkpoint": read_argument(options.checkpoint) if options.checkpoint else None,
        "proof": read_argument(options.proof) if options.proof else None,
    }
    if not Path(options.subject).is_dir():
        receipts = [Path(path) if Path(path).is_dir() else read_argument(path) for path in options.receipt]
        return verify_bundle(options.subject, **known, receipts=receipts, not_before=options.not_before)
    if options.receipt or options.not_before:
        raise WrongCall(f"{options.subject}: it is a completed receipt; --receipt and --not-before are for bundles")
    return verify_receipt(options.subject, **known)


def main(arguments: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(arguments)
    try:
        verdict = judge(options)
    except WrongCall as error:
        print(printable(f"wrong call: {error}"), file=sys.stderr)
        return 2
    print(json.dumps(verdict.as_dict(), indent=2) if options.json else show(verdict))
    return verdict.exit_code


if __name__ == "__main__":
    sys.exit(main())
