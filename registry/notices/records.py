"""How the tables of this room are sealed. The address and the secret of a webhook are operational; the ledger holds a digest."""

from __future__ import annotations

import uuid

from registry.images import RecordType, Row
from registry.notices.models import Webhook


def _stream(key: uuid.UUID, row: Row) -> str:
    return "instance" if row["team_id"] is None else f"team:{row['team_id']}"


RECORDS = [RecordType("notices.webhook", 1, Webhook, _stream, unsealed=frozenset({"url", "secret"}))]
