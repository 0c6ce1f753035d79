"""How the tables of this room are sealed."""

from __future__ import annotations

import uuid

from registry.access.models import Actor, Deputyship, Membership, Responsibility, Team, Text, Token
from registry.images import RecordType, Row


def _membership_stream(key: uuid.UUID, row: Row) -> str:
    return "instance" if row["team_id"] is None else f"team:{row['team_id']}"


RECORDS = [
    RecordType(
        "access.actor", 1, Actor, lambda key, row: "instance",
        unsealed=frozenset({"username", "email", "display_name", "password", "last_login"}),
    ),
    RecordType("access.team", 1, Team, lambda key, row: f"team:{key}"),
    RecordType("access.membership", 1, Membership, _membership_stream),
    RecordType("access.deputyship", 1, Deputyship, _membership_stream),
    RecordType("access.responsibility", 1, Responsibility, lambda key, row: "instance"),
    RecordType("access.token", 1, Token, lambda key, row: "instance", unsealed=frozenset({"token_key"})),
    RecordType("access.text", 1, Text, lambda key, row: str(row["stream"]), unsealed=frozenset({"salt", "value"})),
]  # fmt: skip
