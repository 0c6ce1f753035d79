"""How the tables of this room are sealed: all in the stream of their model."""

from __future__ import annotations

import uuid

from registry.catalog.models import Artifact, Correction, Edge, Evidence, ModelVersion, RegisteredModel
from registry.images import RecordType, Row


def _model_stream(key: uuid.UUID, row: Row) -> str:
    return f"model:{row['model_id']}"


RECORDS = [
    RecordType("catalog.model", 1, RegisteredModel, lambda key, row: f"model:{key}"),
    RecordType("catalog.version", 1, ModelVersion, _model_stream),
    RecordType("catalog.artifact", 1, Artifact, _model_stream),
    RecordType("catalog.edge", 1, Edge, _model_stream),
    RecordType("catalog.correction", 1, Correction, _model_stream),
    RecordType("catalog.evidence", 1, Evidence, _model_stream),
]
