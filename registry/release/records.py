"""How the tables of this room are sealed: policies in their own stream, everything else in the stream of the model."""

from __future__ import annotations

import uuid

from registry.images import RecordType, Row
from registry.release.models import Alias, AliasAssignment, Approval, Decision, Policy, Verdict, Waiver


def _model_stream(key: uuid.UUID, row: Row) -> str:
    return f"model:{row['model_id']}"


RECORDS = [
    RecordType("release.policy", 1, Policy, lambda key, row: f"policy:{key}"),
    RecordType("release.verdict", 1, Verdict, _model_stream),
    RecordType("release.waiver", 1, Waiver, _model_stream),
    RecordType("release.approval", 1, Approval, _model_stream),
    RecordType("release.decision", 1, Decision, _model_stream),
    RecordType("release.alias", 1, Alias, _model_stream),
    RecordType("release.assignment", 1, AliasAssignment, _model_stream),
]
