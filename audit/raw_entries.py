"""Entries straight from their table, in order and in short reads: no row objects, and no long transaction held open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connection

BATCH = 1000
_SELECT = (
    "SELECT position, stream, stream_seq, at, entry, leaf FROM audit_entry "
    "WHERE position >= %s AND position < %s ORDER BY position LIMIT %s"
)


RawEntry = tuple[int, Any, Any, Any, bytes, bytes]
"""Position, stream, number and time as the columns have them (whatever somebody put there by hand), entry and leaf."""


def batches(end: int, begin: int = 0) -> Iterator[list[RawEntry]]:
    """The entries of the positions `begin` to `end - 1`, a thousand at a time."""
    position = begin
    while position < end:
        with connection.cursor() as cursor:
            cursor.execute(_SELECT, [position, end, BATCH])
            rows = cursor.fetchall()
        if not rows:
            return
        if not all(type(row[4]) is type(row[5]) is bytes for row in rows):
            rows = [(*row[:4], as_bytes(row[4]), as_bytes(row[5])) for row in rows]
        yield rows
        position = rows[-1][0] + 1


def as_bytes(value: object) -> bytes:
    """A binary column's bytes; SQLite keeps text where text was put, and then it is that text's bytes."""
    if isinstance(value, bytes | memoryview | bytearray):
        return bytes(value)
    return b"" if value is None else str(value).encode("utf-8", "surrogateescape")
