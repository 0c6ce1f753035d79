"""Requests and decisions as the ledger sealed them, in the form that the one rule of status reads. Pure."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from typing import Any

from registry.digests import parse_time
from registry.release import status as rules


def request_of(row: Mapping[str, Any]) -> rules.Request:
    """What was asked for."""
    binding = rules.Binding(
        version_digest=row["version_digest"],
        evidence_set_digest=row["evidence_set_digest"],
        policy_digest=row["policy_digest"],
        tier=row["tier"],
        use_case_id=uuid.UUID(row["use_case_id"]),
    )
    return rules.Request(
        binding, row["required"], parse_time(row["requested_at"]), parse_time(row["expires_at"]), row["officers"],
        _uuid(row["target_id"]),
    )  # fmt: skip


def act_of(row: Mapping[str, Any]) -> rules.Act:
    """One decision."""
    return rules.Act(
        row["kind"], uuid.UUID(row["decided_by_id"]), parse_time(row["decided_at"]), row["role"],
        _uuid(row["on_behalf_of_id"]), _time(row["expires_at"]), _uuid(row["target_id"]),
    )  # fmt: skip


def _uuid(text: str | None) -> uuid.UUID | None:
    return None if text is None else uuid.UUID(text)


def _time(text: str | None) -> datetime.datetime | None:
    return None if text is None else parse_time(text)
