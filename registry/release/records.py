"""How the tables of this room are sealed.

Policies have a stream of their own, targets and rules of aliases stand in the team's, recalls and purges in that of their subject,
everything else in the stream of the model.
"""

from __future__ import annotations

import uuid

from registry.images import RecordType, Row
from registry.release.models import Alias, AliasAssignment, Approval, Decision, Policy, Verdict, Waiver
from registry.release.serving_models import AliasRule, BrokenGlass, Drill, Target
from registry.release.stopping_models import Purge, Quarantine, QuarantineAct, Recall


def _model_stream(key: uuid.UUID, row: Row) -> str:
    return f"model:{row['model_id']}"


def _team_stream(key: uuid.UUID, row: Row) -> str:
    return f"team:{row['team_id']}"


def _own_stream(key: uuid.UUID, row: Row) -> str:
    return str(row["stream"])


RECORDS = [
    RecordType("release.policy", 1, Policy, lambda key, row: f"policy:{key}"),
    RecordType("release.verdict", 1, Verdict, _model_stream),
    RecordType("release.waiver", 1, Waiver, _model_stream),
    RecordType("release.approval", 1, Approval, _model_stream),
    RecordType("release.decision", 1, Decision, _model_stream),
    RecordType("release.alias", 1, Alias, _model_stream),
    RecordType("release.assignment", 1, AliasAssignment, _model_stream),
    RecordType("release.broken_glass", 1, BrokenGlass, _model_stream),
    RecordType("release.drill", 1, Drill, _model_stream),
    RecordType("release.quarantine", 1, Quarantine, _model_stream),
    RecordType("release.quarantine_act", 1, QuarantineAct, _model_stream),
    RecordType("release.target", 1, Target, _team_stream),
    RecordType("release.alias_rule", 1, AliasRule, _team_stream),
    RecordType("release.recall", 1, Recall, _own_stream),
    RecordType("release.purge", 1, Purge, _own_stream),
]
