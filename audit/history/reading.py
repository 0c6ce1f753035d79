"""What the ledger had sealed up to a position: the last image of every record in the streams that are asked for.

One reason: history is read from entries alone, and only from those that can matter. Rules:
- an image is whole, so the last one of a record up to the position is its state then;
- an entry that holds no record of a wanted type is not parsed: its bytes are canonical, so the type stands in them as written;
- streams are found by the ledger's own index (stream, stream_seq), never by scanning positions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.db.models import QuerySet

from audit.history.moments import broken
from audit.models import Entry
from audit.snapshots import Record

_CHUNK = 500
_STREAMS_PER_QUERY = 400
_AFTER_HEX = "g"


class Past:
    """Images by type (`room.noun`) and id, as of `size` entries."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.ends: dict[str, int] = {}
        self.latest_clock = ""
        """The latest event time that was read: the clock of a machine that acted may be ahead of the ledger's."""
        self._records: dict[str, dict[str, Record]] = {}

    def read(self, streams: Iterable[str], types: Iterable[str]) -> None:
        """Take whole streams in, as far as their entries hold records of these types."""
        wanted = _pattern(types)
        for part in _in_parts(streams):
            self._take(Entry.objects.filter(stream__in=part), wanted)

    def read_kind(self, kind: str, types: Iterable[str]) -> None:
        """Take in every stream of a kind, such as `policy`."""
        self._take(streams_of_kind(kind), _pattern(types))

    def _take(self, rows: QuerySet[Entry], wanted: re.Pattern[bytes]) -> None:
        ordered = rows.filter(position__lt=self.size).order_by("stream", "stream_seq")
        columns = ordered.values_list("position", "stream", "stream_seq", "at", "entry")
        for position, stream, stream_seq, at, data in columns.iterator(chunk_size=_CHUNK):
            self.ends[stream] = stream_seq
            entry = bytes(data)
            if wanted.search(entry):
                self._take_entry(position, at, entry)

    def _take_entry(self, position: int, at: str, data: bytes) -> None:
        try:
            event = json.loads(data)["event"]
            self.latest_clock = max(self.latest_clock, event["at"])
            for record in event["records"]:
                self._keep(position, at, event, record)
        except (ValueError, KeyError, TypeError):
            raise broken(position) from None

    def _keep(self, position: int, at: str, event: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        name, key = record["type"].partition("/")[0], record["id"]
        table = self._records.setdefault(name, {})
        before = table.get(key)
        table[key] = Record(
            name, key, record["row"], position, at, event["kind"], event["actor"]["role"], event["actor"]["id"],
            before.first_at if before else at,
        )  # fmt: skip

    def all(self, type_: str) -> list[Record]:
        """Every record of a type, in the order of their ids, which is that of their making."""
        return [record for _, record in sorted(self._records.get(type_, {}).items())]

    def get(self, type_: str, key: object) -> Record | None:
        return self._records.get(type_, {}).get(str(key or ""))


def streams_of_kind(kind: str) -> QuerySet[Entry]:
    """The entries of all streams `<kind>:<id>`: ids begin with a hexadecimal digit, so a stretch of the index holds them all."""
    return Entry.objects.filter(
        stream__gte=f"{kind}:0", stream__lt=f"{kind}:{_AFTER_HEX}", stream__startswith=f"{kind}:"
    )


def _pattern(types: Iterable[str]) -> re.Pattern[bytes]:
    names = b"|".join(re.escape(name.encode()) for name in sorted(types))
    return re.compile(rb'"type":"(?:' + names + rb")/")


def _in_parts(streams: Iterable[str]) -> Iterator[list[str]]:
    every = sorted(set(streams))
    for start in range(0, len(every), _STREAMS_PER_QUERY):
        yield every[start : start + _STREAMS_PER_QUERY]
