"""How the tables of this room are sealed."""

from __future__ import annotations

from registry.images import RecordType
from registry.oversight.models import Attestation, Finding, UseCase

RECORDS = [
    RecordType("oversight.use_case", 1, UseCase, lambda key, row: f"use_case:{key}"),
    RecordType("oversight.attestation", 1, Attestation, lambda key, row: str(row["stream"])),
    RecordType("oversight.finding", 1, Finding, lambda key, row: str(row["stream"])),
]
