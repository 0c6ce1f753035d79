"""Canonical documents that tell their own digest, so that one which a hand or a disk changed is not gone on from.

It is no signature: who writes the folder can write another digest too. What that would give is told by `replay`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compression_engine.canonical import JSON, CanonicalError, canonical, digest_of, parse_canonical

_DIGEST = "self_digest"


def bytes_of(document: Mapping[str, JSON]) -> bytes:
    """The document in canonical form with the digest of all its other members."""
    return canonical(dict(document) | {_DIGEST: digest_of(canonical(dict(document)))})


def document_of(data: bytes, kind: str) -> dict[str, Any]:
    """The document as `bytes_of` was given it, whose member `type` is `kind`; CanonicalError where it is not what was written."""
    found = parse_canonical(data)
    if not isinstance(found, dict) or found.get("type") != kind:
        raise CanonicalError(f"it is no {kind}")
    told = found.pop(_DIGEST, None)
    if told != digest_of(canonical(found)):
        raise CanonicalError("its digest is another one")
    return found
