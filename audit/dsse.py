"""DSSE envelopes: provenance statements signed by the issuer key, readable by every in-toto tool.

One reason: the signature covers type and payload through the pre-authentication encoding, so neither can be swapped.
`keyid` is `name+hex8`. The envelope is a foreign document (its own key names), so it is written with sorted keys and
without white space, but read by its own rules.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from audit.signing import PublicKey, Signer

IN_TOTO_TYPE = "application/vnd.in-toto+json"


class DsseError(ValueError):
    """An envelope that is malformed or not signed by the key in question."""


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: `DSSEv1`, then type and payload, each behind its length."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_envelope(signer: Signer, payload: bytes, payload_type: str = IN_TOTO_TYPE) -> bytes:
    """The envelope's bytes: same key and payload, same bytes."""
    signature = signer.sign(pae(payload_type, payload))
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": signer.public.keyid, "sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode()


def payload_of(envelope: Mapping[str, Any], payload_type: str = IN_TOTO_TYPE) -> bytes:
    """The payload of a read envelope, whoever signed it; DsseError where it is none of that type."""
    kind, text = envelope.get("payloadType"), envelope.get("payload")
    if kind != payload_type:
        raise DsseError(f"the payload type is {kind!r}; expected {payload_type!r}")
    try:
        return base64.b64decode(text, validate=True)  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        raise DsseError("the payload is not base64") from error


def open_envelope(data: bytes, key: PublicKey, payload_type: str = IN_TOTO_TYPE) -> bytes:
    """The payload, if its type is the expected one and the key signed it; other signatures are not judged."""
    try:
        envelope = json.loads(data)
        kind = envelope["payloadType"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [
            base64.b64decode(item["sig"], validate=True)
            for item in envelope["signatures"]
            if item.get("keyid") == key.keyid
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise DsseError(
            "not a DSSE envelope: it needs payload, payloadType and signatures with keyid and sig"
        ) from error
    if kind != payload_type:
        raise DsseError(f"the payload type is {kind!r}; expected {payload_type!r}")
    if not signatures:
        raise DsseError(f"no signature by {key.keyid}")
    if not all(len(item) == 64 and key.verifies(pae(payload_type, payload), item) for item in signatures):
        raise DsseError(f"the signature by {key.keyid} does not hold")
    return payload
