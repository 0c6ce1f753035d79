"""Whether an issued bundle can be had now, without building it: pending, ready, or gone with the reason."""

from __future__ import annotations

from dataclasses import dataclass

from audit import queries
from audit.bundles.keyring import keyring
from audit.models import Bundle
from registry.errors import Gone, Problem

PENDING, READY, GONE = "pending", "ready", "gone"


@dataclass(frozen=True)
class Readiness:
    """The state of a bundle; `tree_size` is that of its checkpoint, null while none covers it."""

    state: str
    tree_size: int | None
    problem: Problem | None = None


def readiness(bundle: Bundle) -> Readiness:
    """Whether the bundle can be built; other refusals (a ledger that was changed, a lost key) are raised."""
    checkpoint = queries.covering(queries.entry_of(bundle).position)
    if checkpoint is None:
        return Readiness(PENDING, None)
    try:
        keyring(checkpoint)
    except Gone as gone:
        return Readiness(GONE, checkpoint.size, gone)
    return Readiness(READY, checkpoint.size)
