"""The two keys of an instance: public halves as key lines, private halves as 0600 files outside the database.

One reason: the only module that touches a private key, and the place that names a public one. Rules (FORMATS section 6):
- key id = SHA-256(name || 0x0A || 0x01 || public key)[:4]; a key line is `name+hex8+base64(0x01 || public key)`;
- a key file is written once, never over another file, with mode 0600 and fsync, and refused when others may read it;
- the log key is named like the origin, the issuer key origin + `/issuer`; the name stands in the file with the key;
- the issuer key signs four kinds of bytes, told apart by the first: note `p`, DSSE `D`, JSON `{`, SSHSIG `S`.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

ED25519 = 0x01
ISSUER_SUFFIX = "/issuer"

_KEY_ID_HEX = re.compile(r"[0-9a-f]{8}")
_KEY_NAME = re.compile(r"[^\s+\x00-\x1f]+")
_HEADER = "pressmark-key "
_FILE_LIMIT_BYTES = 4096


class KeyLineError(ValueError):
    """A key line or key name that is malformed; the message says which rule broke."""


class KeyFileError(Exception):
    """A key file that is missing, unsafe, damaged or in the way; the message says what to do."""


@dataclass(frozen=True)
class PublicKey:
    """A named Ed25519 public key (32 raw bytes)."""

    name: str
    raw: bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.raw) != 32:
            raise KeyLineError(f"an Ed25519 public key has 32 bytes, not {len(self.raw)}")

    @cached_property
    def key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([ED25519]) + self.raw).digest()[:4]

    @property
    def key_id_hex(self) -> str:
        return self.key_id.hex()

    @property
    def keyid(self) -> str:
        """`name+hex8`, as DSSE envelopes name the key."""
        return f"{self.name}+{self.key_id_hex}"

    @property
    def key_line(self) -> str:
        return f"{self.keyid}+{base64.b64encode(bytes([ED25519]) + self.raw).decode()}"

    @property
    def pem(self) -> str:
        """SubjectPublicKeyInfo, as openssl reads it."""
        key = Ed25519PublicKey.from_public_bytes(self.raw)
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def verifies(self, message: bytes, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


def parse_key_line(line: str) -> PublicKey:
    """Read `name+hex8+base64`; the key id must be that of the key."""
    parts = line.split("+", 2)
    if len(parts) != 3 or not _KEY_ID_HEX.fullmatch(parts[1]):
        raise KeyLineError("not a key line; expected name+8 hex digits+base64")
    try:
        data = strict_base64(parts[2])
    except ValueError as error:
        raise KeyLineError(f"key line: {error}") from error
    if len(data) != 33 or data[0] != ED25519:
        raise KeyLineError("the key line holds no Ed25519 key (0x01 and 32 bytes)")
    key = PublicKey(parts[0], data[1:])
    if key.key_id_hex != parts[1]:
        raise KeyLineError(f"the key line says key id {parts[1]}, but the key has {key.key_id_hex}")
    return key


def check_key_name(name: str) -> None:
    """A key name is not empty and holds no white space, control character or plus (C2SP signed-note)."""
    if not _KEY_NAME.fullmatch(name):
        raise KeyLineError(f"{name!r} is no key name: not empty, no spaces, no +")


def strict_base64(text: str) -> bytes:
    """Decode standard padded base64; refuses padding bits that would give the same bytes a second spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError("not base64") from error
    if base64.b64encode(data).decode() != text:
        raise ValueError("not the canonical base64 of its bytes")
    return data


class Signer:
    """A named Ed25519 key with its private half."""

    def __init__(self, name: str, private_key: Ed25519PrivateKey) -> None:
        raw = private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._private_key = private_key
        self._public = PublicKey(name, raw)

    @classmethod
    def generate(cls, name: str) -> Signer:
        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, name: str, seed: bytes) -> Signer:
        """The key of a 32-byte seed: the same seed gives the same key and signatures (RFC 8032)."""
        return cls(name, Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def public(self) -> PublicKey:
        return self._public

    @property
    def name(self) -> str:
        return self._public.name

    @property
    def key_line(self) -> str:
        return self._public.key_line

    @property
    def key_id_hex(self) -> str:
        return self._public.key_id_hex

    @property
    def keyid(self) -> str:
        return self._public.keyid

    @property
    def pem(self) -> str:
        """The public half as SubjectPublicKeyInfo."""
        return self._public.pem

    def sign(self, message: bytes) -> bytes:
        """64 bytes, deterministic."""
        return self._private_key.sign(message)

    def save(self, path: Path) -> None:
        """Write the key file; refuses to replace anything."""
        pem = self._private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        data = f"{_HEADER}{self.name}\n".encode() + pem
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise KeyFileError(f"{path} exists already; a key is never overwritten: choose another folder") from error
        except OSError as error:
            raise KeyFileError(f"cannot write key file {path}: {error.strerror}") from error
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # a umask may only have taken bits away, but the rule is exact
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        _sync_folder(path.parent)

    @classmethod
    def load(cls, path: Path) -> Signer:
        """Read a key file; refuses one that anybody but its owner may read or write."""
        name, newline, pem = _read_private(path).partition(b"\n")
        if not newline or not name.startswith(_HEADER.encode()):
            raise KeyFileError(f"{path} is no Pressmark key file; restore it from its backup")
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise KeyFileError(f"{path} is damaged; restore it from its backup") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyFileError(f"{path} holds no Ed25519 key; restore it from its backup")
        try:
            return cls(name.decode().removeprefix(_HEADER), key)
        except ValueError as error:
            raise KeyFileError(f"{path}: {error}; restore it from its backup") from error


def issuer_name(origin: str) -> str:
    return origin + ISSUER_SUFFIX


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise KeyFileError(f"key file {path} is no regular file")
            if state.st_mode & 0o077:
                mode = stat.S_IMODE(state.st_mode)
                raise KeyFileError(f"key file {path} has mode {mode:04o}; others may read it: run chmod 600 {path}")
            return file.read(_FILE_LIMIT_BYTES)
    except OSError as error:
        raise KeyFileError(f"cannot read key file {path}: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
