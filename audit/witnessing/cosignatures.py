"""Cosignatures: what a witness adds to a checkpoint that it found to continue everything it has seen (C2SP tlog-cosignature v1).

One reason: the one place that writes and judges a cosignature, for the witness and for the ledger; no Django, no network. Rules:
- a witness's key line is `name+hex8+base64(0x04 || public key)`, its key id SHA-256(name || 0x0A || 0x04 || public key)[:4];
- signed are two lines, `cosignature/v1` and `time <seconds>`, and then the checkpoint's whole body;
- a signature line carries the seconds as eight bytes, big endian, before the 64 bytes of Ed25519;
- the signature does not cover the witness's name, so one key stands for one witness: a second name would count it twice.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from audit.notes import Note, NoteError, NoteSignature, parse_note
from audit.signing import KeyLineError, Signer, check_key_name, strict_base64

COSIGNATURE_V1 = 0x04

_KEY_ID_HEX = re.compile(r"[0-9a-f]{8}")
_SECONDS_LIMIT = 2**63
_SIGNATURE_BYTES = 8 + 64


@dataclass(frozen=True)
class CosignerKey:
    """The name and the public key (32 raw bytes) of a witness."""

    name: str
    raw: bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.raw) != 32:
            raise KeyLineError(f"an Ed25519 public key has 32 bytes, not {len(self.raw)}")

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([COSIGNATURE_V1]) + self.raw).digest()[:4]

    @property
    def key_line(self) -> str:
        encoded = base64.b64encode(bytes([COSIGNATURE_V1]) + self.raw).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"


def parse_cosigner_line(line: str) -> CosignerKey:
    """Read a witness's key line; the key id must be that of the key. Raises KeyLineError."""
    parts = line.split("+", 2)
    if len(parts) != 3 or not _KEY_ID_HEX.fullmatch(parts[1]):
        raise KeyLineError("not a key line; expected name+8 hex digits+base64")
    try:
        data = strict_base64(parts[2])
    except ValueError as error:
        raise KeyLineError(f"key line: {error}") from error
    if len(data) != 33 or data[0] != COSIGNATURE_V1:
        raise KeyLineError("the key line holds no key of a witness (0x04 and 32 bytes)")
    key = CosignerKey(parts[0], data[1:])
    if key.key_id.hex() != parts[1]:
        raise KeyLineError(f"the key line says key id {parts[1]}, but the key has {key.key_id.hex()}")
    return key


def cosigner_of(signer: Signer) -> CosignerKey:
    """The public half of a witness's key file, as those know it who check its cosignatures."""
    return CosignerKey(signer.name, signer.public.raw)


def cosign(private: Signer | Ed25519PrivateKey, name: str, checkpoint_body: str, seconds: int) -> str:
    """The signature line of a witness, without a newline. `seconds` since 1970, by the witness's own clock."""
    if not 0 < seconds < _SECONDS_LIMIT:
        raise NoteError(f"{seconds} seconds is no time of a cosignature")
    if isinstance(private, Signer):
        raw = private.public.raw
    else:
        raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    signature = private.sign(_message(checkpoint_body, seconds))
    return signature_line(NoteSignature(name, CosignerKey(name, raw).key_id, seconds.to_bytes(8, "big") + signature))


def cosignature_of(note: Note, key: CosignerKey) -> tuple[int, str]:
    """When a witness cosigned a note, by its own clock, and its signature line.

    Raises NoteError unless it did so exactly once, and rightly.
    """
    found = [s for s in note.signatures if (s.name, s.key_id) == (key.name, key.key_id)]
    if len(found) != 1:
        raise NoteError(f"the note has {len(found)} cosignatures by {key.name}; exactly one is needed")
    return _check(note.text, found[0], key), signature_line(found[0])


def open_cosignature(note: bytes | Note, key: CosignerKey) -> int:
    """When a witness cosigned a note, in seconds since 1970. Raises NoteError unless it did once, and rightly."""
    return cosignature_of(note if isinstance(note, Note) else parse_note(note), key)[0]


def _check(text: str, found: NoteSignature, key: CosignerKey) -> int:
    if len(found.signature) != _SIGNATURE_BYTES:
        raise NoteError(f"a cosignature has {_SIGNATURE_BYTES} bytes, that by {key.name} {len(found.signature)}")
    seconds = int.from_bytes(found.signature[:8], "big")
    if not 0 < seconds < _SECONDS_LIMIT:
        raise NoteError(f"the cosignature by {key.name} names no time")
    try:
        Ed25519PublicKey.from_public_bytes(key.raw).verify(found.signature[8:], _message(text, seconds))
    except InvalidSignature:
        raise NoteError(f"the cosignature by {key.name} does not hold") from None
    return seconds


def _message(checkpoint_body: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{checkpoint_body}".encode()


def signature_line(signature: NoteSignature) -> str:
    """A signature of a note as its line, without a newline: written anew, so that nothing else comes along."""
    return f"\u2014 {signature.name} {base64.b64encode(signature.key_id + signature.signature).decode()}"
