"""How the tables of this room are sealed."""

from __future__ import annotations

from registry.images import RecordType
from registry.oversight.models import Attestation, Finding, Hold, Review, TierTable, UseCase

RECORDS = [
    RecordType("oversight.use_case", 1, UseCase, lambda key, row: f"use_case:{key}"),
    RecordType("oversight.attestation", 1, Attestation, lambda key, row: str(row["stream"])),
    RecordType("oversight.finding", 1, Finding, lambda key, row: str(row["stream"])),
    RecordType("oversight.review", 1, Review, lambda key, row: str(row["stream"])),
    RecordType("oversight.hold", 1, Hold, lambda key, row: str(row["stream"])),
    RecordType("oversight.tier_table", 1, TierTable, lambda key, row: "instance"),
]
