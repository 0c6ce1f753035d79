"""The receipt of a unit: what the issuer answers at once, before any checkpoint (FORMATS, section 6)."""

from __future__ import annotations

from collections.abc import Sequence

from audit import merkle, notes
from audit.keys import issuer_signer


def sign(first: int, leaves: Sequence[bytes], at: str) -> str:
    """The signed note over the unit's leaves; the root of one leaf is the leaf."""
    root = leaves[0] if len(leaves) == 1 else merkle.root(leaves)
    return notes.sign_receipt(issuer_signer(first), first, len(leaves), root, at).decode()
