"""How the tables of this room are sealed. Lease, heartbeat and progress are operational and never sealed.

Nor is `comparison`, which runs were requested together: their requests are events of one unit, and the ledger seals that.
"""

from __future__ import annotations

from registry.compression.models import Recipe, Run
from registry.images import RecordType

RECORDS = [
    RecordType("compression.recipe", 1, Recipe, lambda key, row: f"recipe:{key}"),
    RecordType(
        "compression.run", 1, Run, lambda key, row: f"model:{row['model_id']}",
        unsealed=frozenset({"comparison", "owner_token", "lease_until", "heartbeat_at", "progress"}),
    ),
]  # fmt: skip
