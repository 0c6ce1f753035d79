"""How the tables of the ledger's own house are sealed."""

from __future__ import annotations

from audit.models import Assessment, Bundle, Intervention, Key, Ledger, Report
from registry.images import RecordType

RECORDS = [
    RecordType("audit.ledger", 1, Ledger, lambda key, row: "instance"),
    RecordType("audit.key", 1, Key, lambda key, row: "instance"),
    RecordType("audit.intervention", 1, Intervention, lambda key, row: "instance"),
    RecordType("audit.assessment", 1, Assessment, lambda key, row: str(row["stream"])),
    RecordType("audit.report", 1, Report, lambda key, row: "instance"),
    RecordType("audit.bundle", 1, Bundle, lambda key, row: "instance"),
]
