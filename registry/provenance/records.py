"""How the tables of this room are sealed."""

from __future__ import annotations

from registry.images import RecordType
from registry.provenance.models import Dataset, DatasetVersion, Document, Licence

RECORDS = [
    RecordType("provenance.dataset", 1, Dataset, lambda key, row: f"dataset:{key}"),
    RecordType("provenance.dataset_version", 1, DatasetVersion, lambda key, row: f"dataset:{row['dataset_id']}"),
    RecordType("provenance.licence", 1, Licence, lambda key, row: f"licence:{key}"),
    RecordType("provenance.document", 1, Document, lambda key, row: str(row["stream"])),
]
