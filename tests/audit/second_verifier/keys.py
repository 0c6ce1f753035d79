"""Ed25519 keys: their lines, files and ids, and whether a signature holds, by the library `cryptography`.

OpenSSL checks `[S]B = R + [k]A` without the cofactor, S < L and R as bytes. What it lets pass and the page refuses is checked here:
an encoding of the public key that is not canonical, and a key of small order.
"""

import base64
import re
import struct
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256, sha512

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .forms import Unreadable, read_base64

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
PLAIN, WITNESS = 1, 4
NAMESPACE = b"pressmark-bundle"
_ARMOR = re.compile(rb"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]*)\n-----END SSH SIGNATURE-----\n")


def name_allowed(name: str) -> bool:
    return bool(name) and "+" not in name and not any(c.isspace() or c < " " for c in name)


def point_allowed(raw: bytes) -> bool:
    """Canonical, and not of small order: of the eight such points two have y = 0, one each 1 and -1, four double to y = 0."""
    value = int.from_bytes(raw, "little")
    y = value & (2**255 - 1)
    if y >= _P or y in (0, 1, _P - 1):
        return False
    return (_D * pow(y, 4, _P) + 2 * y * y - 1) % _P != 0


def ed25519_holds(raw: bytes, signature: bytes, message: bytes) -> bool:
    if not point_allowed(raw) or len(signature) != 64:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


@dataclass(frozen=True)
class Key:
    name: str
    kind: int
    raw: bytes

    @cached_property
    def key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.raw).digest()[:4]

    @property
    def short(self) -> str:
        return f"{self.name}+{self.key_id.hex()}"

    @property
    def line(self) -> str:
        return f"{self.short}+{base64.b64encode(bytes([self.kind]) + self.raw).decode()}"

    def holds(self, signature: bytes, text: bytes) -> bool:
        """Whether the bytes after the key id on a line of a note are this key's signature over the text."""
        if self.kind == PLAIN:
            return ed25519_holds(self.raw, signature, text)
        if len(signature) != 72:
            return False
        seconds = int.from_bytes(signature[:8], "big")
        return ed25519_holds(self.raw, signature[8:], b"cosignature/v1\ntime %d\n" % seconds + text)

    @property
    def pem(self) -> bytes:
        return Ed25519PublicKey.from_public_bytes(self.raw).public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def ssh_blob(self) -> bytes:
        return _string(b"ssh-ed25519") + _string(self.raw)

    @property
    def allowed_signers(self) -> bytes:
        blob = base64.b64encode(self.ssh_blob).decode()
        return f'{self.name} namespaces="{NAMESPACE.decode()}" ssh-ed25519 {blob}\n'.encode()


def read_key_line(line: str, kind: int = PLAIN) -> Key:
    parts = line.split("+", 2)
    if len(parts) != 3 or not name_allowed(parts[0]):
        raise Unreadable(f"{line[:80]!r} is no key line")
    data = read_base64(parts[2], 33)
    key = Key(parts[0], data[0], data[1:])
    if key.kind != kind:
        raise Unreadable(f"{line[:80]!r} is a key of kind {key.kind}, not {kind}")
    if key.line != line:
        raise Unreadable(f"{line[:80]!r} does not have the key id of its key")
    return key


def sshsig_holds(key: Key, armored: bytes, message: bytes) -> bool:
    match = _ARMOR.fullmatch(armored)
    if match is None:
        return False
    try:
        blob = read_base64(match[1].replace(b"\n", b"").decode())
    except Unreadable:
        return False
    head = (
        b"SSHSIG"
        + struct.pack(">I", 1)
        + _string(key.ssh_blob)
        + _string(NAMESPACE)
        + _string(b"")
        + _string(b"sha512")
    )
    wrapped = _string(b"ssh-ed25519") + struct.pack(">I", 64)
    if blob[:-64] != head + struct.pack(">I", len(wrapped) + 64) + wrapped:
        return False
    hashed = sha512(message).digest()
    signed = b"SSHSIG" + _string(NAMESPACE) + _string(b"") + _string(b"sha512") + _string(hashed)
    return ed25519_holds(key.raw, blob[-64:], signed)
