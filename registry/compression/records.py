"""How the tables of this room are sealed. Lease, heartbeat and progress are operational and never sealed."""

from __future__ import annotations

from registry.compression.models import Recipe, Run
from registry.images import RecordType

RECORDS = [
    RecordType("compression.recipe", 1, Recipe, lambda key, row: f"recipe:{key}"),
    RecordType(
        "compression.run", 1, Run, lambda key, row: f"model:{row['model_id']}",
        unsealed=frozenset({"owner_token", "lease_until", "heartbeat_at", "progress"}),
    ),
]  # fmt: skip
