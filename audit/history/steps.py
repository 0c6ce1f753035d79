"""The acts of one stream around a moment, so that whoever reads history can step to the moment before or after each of them.

Rules: the entries of one unit are one act; acts are found by their numbers in the stream, which the ledger's index holds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from audit.history import moments
from audit.models import Entry

ACTS_SHOWN = 6
_READ = 40


@dataclass(frozen=True)
class Act:
    """One unit's entries in the stream: `position` is that of the last of them."""

    position: int
    at: str
    kinds: Sequence[str]
    actor: str
    role: str
    on_behalf_of: str | None


@dataclass(frozen=True)
class Steps:
    """Acts at or before the moment (newest first) and after it (oldest first); `back` is the position before the newest of them."""

    earlier: Sequence[Act]
    later: Sequence[Act]
    back: int | None

    @property
    def forward(self) -> int | None:
        """The position of the next act."""
        return self.later[0].position if self.later else None


def around(stream: str, seen: int) -> Steps:
    """The acts of a stream on both sides of its first `seen` entries."""
    rows = Entry.objects.filter(stream=stream)
    earlier = _acts(rows.filter(stream_seq__lte=seen).order_by("-stream_seq"))
    later = _acts(rows.filter(stream_seq__gt=seen).order_by("stream_seq"))
    back = moments.before_act(earlier[0].position) if earlier else None
    return Steps(earlier, later, back)


def _acts(rows: QuerySet[Entry]) -> list[Act]:
    """Entries side by side of the same unit as one act each."""
    groups: list[list[tuple[int, str, dict[str, Any]]]] = []
    for position, at, data in rows.values_list("position", "at", "entry")[:_READ]:
        event = _event(position, bytes(data))
        if groups and groups[-1][0][2]["unit"] == event["unit"]:
            groups[-1].append((position, at, event))
        else:
            groups.append([(position, at, event)])
    return [_act(group) for group in groups[:ACTS_SHOWN]]


def _act(group: Sequence[tuple[int, str, dict[str, Any]]]) -> Act:
    ordered = sorted(group, key=lambda item: item[0])
    position, at, event = ordered[-1]
    actor = event["actor"]
    kinds = tuple(dict.fromkeys(str(item[2]["kind"]) for item in ordered))
    return Act(position, at, kinds, actor["id"], actor["role"], actor["on_behalf_of"])


def _event(position: int, data: bytes) -> dict[str, Any]:
    try:
        event: dict[str, Any] = json.loads(data)["event"]
        return {key: event[key] for key in ("actor", "kind", "unit")}
    except (ValueError, KeyError, TypeError):
        raise moments.broken(position) from None
