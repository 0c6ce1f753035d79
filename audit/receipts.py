"""The receipt of a unit: what the issuer answers at once, before any checkpoint (FORMATS, section 6)."""

from __future__ import annotations

from collections.abc import Sequence

from audit import merkle, notes
from audit.keys import issuer_signer


def sign(first: int, leaves: Sequence[bytes], at: str) -> str:
    """The signed note over the unit's leaves."""
    return notes.sign_receipt(issuer_signer(first), first, len(leaves), merkle.root(leaves), at).decode()
