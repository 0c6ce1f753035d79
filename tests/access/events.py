"""What was sealed last: for tests that ask what an act recorded."""

from __future__ import annotations

import json
from typing import Any

from audit.models import Entry


def last_events(count: int) -> list[dict[str, Any]]:
    """The newest events, in their order."""
    rows = Entry.objects.order_by("-position")[:count]
    return [json.loads(bytes(row.entry))["event"] for row in reversed(rows)]


def kinds_of_last_unit() -> list[str]:
    """The kinds of the events of the newest unit."""
    events = [json.loads(bytes(row.entry))["event"] for row in Entry.objects.order_by("-position")[:200]]
    return [event["kind"] for event in reversed(events) if event["unit"] == events[0]["unit"]]
