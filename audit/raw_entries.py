"""Entries straight from their table, in order and in short reads: no row objects, and no long transaction held open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.db import connection

BATCH = 1000
_SELECT = (
    "SELECT position, stream, stream_seq, at, entry, leaf FROM audit_entry "
    "WHERE position >= %s AND position < %s ORDER BY position LIMIT %s"
)


class RawEntry(NamedTuple):
    """One row as the database hands it out: `entry` and `leaf` may be a memoryview, and whatever somebody put there by hand."""

    position: int
    stream: Any
    stream_seq: Any
    at: Any
    entry: Any
    leaf: Any


def batches(end: int, begin: int = 0) -> Iterator[list[RawEntry]]:
    """The entries of the positions `begin` to `end - 1`, a thousand at a time."""
    position = begin
    while position < end:
        with connection.cursor() as cursor:
            cursor.execute(_SELECT, [position, end, BATCH])
            rows = cursor.fetchall()
        if not rows:
            return
        yield rows
        position = rows[-1][0] + 1


def as_bytes(value: object) -> bytes:
    """A binary column's bytes; SQLite keeps text where text was put, and then it is that text's bytes."""
    if isinstance(value, bytes | memoryview | bytearray):
        return bytes(value)
    return b"" if value is None else str(value).encode("utf-8", "surrogateescape")
