"""How the tables of this room are sealed."""

from __future__ import annotations

from registry.images import RecordType
from registry.provenance.models import (
    DataProfile,
    Dataset,
    DatasetCorrection,
    DatasetFile,
    DatasetVersion,
    Document,
    Licence,
    LicenceRuling,
)

RECORDS = [
    RecordType("provenance.dataset", 1, Dataset, lambda key, row: f"dataset:{key}"),
    RecordType("provenance.dataset_version", 1, DatasetVersion, lambda key, row: f"dataset:{row['dataset_id']}"),
    RecordType("provenance.dataset_file", 1, DatasetFile, lambda key, row: f"dataset:{row['dataset_id']}"),
    RecordType("provenance.dataset_correction", 1, DatasetCorrection, lambda key, row: f"dataset:{row['dataset_id']}"),
    RecordType("provenance.licence", 1, Licence, lambda key, row: f"licence:{key}"),
    RecordType("provenance.ruling", 1, LicenceRuling, lambda key, row: f"licence:{row['licence_id']}"),
    RecordType(
        "provenance.profile", 1, DataProfile, lambda key, row: f"dataset:{row['dataset_id']}",
        unsealed=frozenset({"owner_token", "lease_until"}),
    ),
    RecordType("provenance.document", 1, Document, lambda key, row: str(row["stream"])),
]  # fmt: skip
