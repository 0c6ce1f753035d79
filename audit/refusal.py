"""The one refusal of everything that would sign for a ledger which may not be signed on: shorter, other, copied, moved, cut off."""

from __future__ import annotations

from registry.errors import Conflict


class LedgerRefused(Conflict):
    """The ledger does not continue the last checkpoint that was signed: an old backup, a copy, or a rewritten history."""

    code = "ledger-refused"
    title = "The ledger does not continue its own history"
