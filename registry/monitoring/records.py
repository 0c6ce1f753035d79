"""How the tables of this room are sealed."""

from __future__ import annotations

import uuid

from registry.images import RecordType, Row
from registry.monitoring.models import Baseline, Incident, Monitor, Window


def _model_stream(key: uuid.UUID, row: Row) -> str:
    return f"model:{row['model_id']}"


def _monitor_stream(key: uuid.UUID, row: Row) -> str:
    return f"monitor:{row['monitor_id']}"


RECORDS = [
    RecordType("monitoring.baseline", 1, Baseline, _model_stream),
    RecordType("monitoring.monitor", 1, Monitor, _model_stream),
    RecordType("monitoring.window", 1, Window, _monitor_stream),
    RecordType("monitoring.incident", 1, Incident, _monitor_stream),
]
