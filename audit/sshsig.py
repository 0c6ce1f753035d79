"""SSHSIG: a signature that `ssh-keygen -Y verify` accepts, so that a stranger needs none of our software.

One reason: the armored form of OpenSSH's PROTOCOL.sshsig for one Ed25519 key, one namespace and one hash (SHA-512). The
namespace is part of what is signed, so a bundle's signature is good for nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import struct

from audit.signing import PublicKey, Signer

NAMESPACE = "pressmark-bundle"

_MAGIC = b"SSHSIG"
_VERSION = 1
_KEY_TYPE = b"ssh-ed25519"
_HASH = b"sha512"
_BEGIN = "-----BEGIN SSH SIGNATURE-----"
_END = "-----END SSH SIGNATURE-----"
_LINE_LENGTH = 76


def sign_armored(signer: Signer, message: bytes, namespace: str = NAMESPACE) -> str:
    """The armored signature over a message: same key and message, same text."""
    signature = _string(_KEY_TYPE) + _string(signer.sign(_signed_data(message, namespace)))
    body = base64.b64encode(_preamble(signer.public, namespace) + _string(signature)).decode()
    lines = [body[at : at + _LINE_LENGTH] for at in range(0, len(body), _LINE_LENGTH)]
    return "\n".join([_BEGIN, *lines, _END, ""])


def verify_armored(text: str, message: bytes, key: PublicKey, namespace: str = NAMESPACE) -> bool:
    """Whether this is the key's signature over the message, in the one form that `sign_armored` writes."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[0] != _BEGIN or lines[-2:] != [_END, ""]:
        return False
    try:
        blob = base64.b64decode("".join(lines[1:-2]), validate=True)
    except ValueError:
        return False
    head = _preamble(key, namespace) + struct.pack(">I", len(_string(_KEY_TYPE)) + 4 + 64) + _string(_KEY_TYPE)
    head += struct.pack(">I", 64)
    if len(blob) != len(head) + 64 or not blob.startswith(head):
        return False
    return key.verifies(_signed_data(message, namespace), blob[len(head) :])


def public_key_text(key: PublicKey) -> str:
    """`ssh-ed25519 <base64>`, as in authorized_keys."""
    return f"{_KEY_TYPE.decode()} {base64.b64encode(_public_blob(key)).decode()}"


def allowed_signers_line(key: PublicKey, namespace: str = NAMESPACE) -> str:
    """The line that tells `ssh-keygen -Y verify` whom to believe; the principal is the key's name."""
    return f'{key.name} namespaces="{namespace}" {public_key_text(key)}\n'


def _preamble(key: PublicKey, namespace: str) -> bytes:
    fields = (_public_blob(key), namespace.encode(), b"", _HASH)
    return _MAGIC + struct.pack(">I", _VERSION) + b"".join(_string(field) for field in fields)


def _signed_data(message: bytes, namespace: str) -> bytes:
    fields = (namespace.encode(), b"", _HASH, hashlib.sha512(message).digest())
    return _MAGIC + b"".join(_string(field) for field in fields)


def _public_blob(key: PublicKey) -> bytes:
    return _string(_KEY_TYPE) + _string(key.raw)


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
