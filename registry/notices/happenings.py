"""What there is to be told: an event of the unit that is about to end, or an end that comes near."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from registry.events import PendingEvent

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Happening:
    """One thing to be told. `records` are (type without its number, id, sealed row); `key` begins the ids of its notices."""

    kind: str
    key: str
    at: str
    stream: str
    team: uuid.UUID | None
    records: tuple[tuple[str, uuid.UUID, Row], ...]
    event: uuid.UUID | None = None
    by: uuid.UUID | None = None
    until: str = ""
    extra: frozenset[uuid.UUID] = field(default_factory=frozenset)
    """People whom it names beside those in its rows."""
    others: int = 0
    """How many more events of the unit say the same of the same stream, and are not looked at one by one."""

    @property
    def is_more_than_one(self) -> bool:
        """Whether several records of its leading kind were written, or several events say it."""
        types = [type_ for type_, _, _ in self.records]
        return self.others > 0 or types.count(types[0]) > 1

    def rows(self, *types: str) -> Iterator[tuple[uuid.UUID, Row]]:
        """The rows of these record types, in order."""
        return ((key, row) for type_, key, row in self.records if type_ in types)

    def identity_of(self, prefix: str) -> uuid.UUID | None:
        """The key in the stream's name, if the stream is of this kind: `model:<id>`."""
        kind, _, key = self.stream.partition(":")
        return uuid.UUID(key) if kind == prefix else None


def of_event(event: PendingEvent, others: int = 0) -> Happening:
    """An event as it is about to be sealed."""
    payload = json.loads(event.payload)
    return Happening(
        kind=event.kind,
        key=str(event.id),
        at=payload["at"],
        stream=event.stream,
        team=uuid.UUID(payload["team"]) if payload["team"] else None,
        records=tuple((r["type"].partition("/")[0], uuid.UUID(r["id"]), r["row"]) for r in payload["records"]),
        event=event.id,
        by=uuid.UUID(payload["actor"]["id"]),
        others=others,
    )
