"""The ledger: an append beside the peers, verification and proofs, how soon it is signed, how long bundles take."""

from __future__ import annotations

from tests.bench.harness import Row
from tests.bench.ledger_append import append_rows
from tests.bench.ledger_bundles import bundle_rows
from tests.bench.ledger_verify import checkpoint_rows, proof_rows, verify_rows


def run(quick: bool) -> list[Row]:
    """Every figure of the ledger; each part starts what it needs by itself."""
    parts = (append_rows, verify_rows, proof_rows, checkpoint_rows, bundle_rows)
    return [row for part in parts for row in part(quick)]
