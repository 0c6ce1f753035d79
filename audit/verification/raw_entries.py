"""Entries straight from their table, in order and in short reads: no row objects, and no long transaction held open.

PostgreSQL hands them out by COPY in its binary form: as text every byte of an entry would be written as two digits and read again.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any

from django.db import connection

BATCH = 1000
_SELECT = (
    "SELECT position, stream, stream_seq, at, entry, leaf FROM audit_entry "
    "WHERE position >= %s AND position < %s ORDER BY position LIMIT %s"
)
_COPY_BEGINS = b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8
_COPY_ENDS = b"\xff\xff"
_POSITION = struct.Struct(">hiqi")  # six columns, eight bytes, the position; length of the stream
_NUMBER = struct.Struct(">iqi")  # eight bytes, the number; length of the time
_LENGTH = struct.Struct(">i")

RawEntry = tuple[int, Any, Any, Any, bytes, bytes]
"""Position, stream, number and time as the columns have them (whatever somebody put there by hand), entry and leaf."""


def batches(end: int, begin: int = 0) -> Iterator[list[RawEntry]]:
    """The entries of the positions `begin` to `end - 1`, a thousand at a time."""
    position = begin
    while position < end:
        rows = _read(position, end)
        if not rows:
            return
        yield rows
        position = rows[-1][0] + 1


def _read(begin: int, end: int) -> list[RawEntry]:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql" and hasattr(cursor, "copy_expert"):
            copied = io.BytesIO()
            cursor.copy_expert(f"COPY ({_SELECT % (begin, end, BATCH)}) TO STDOUT (FORMAT binary)", copied)  # numbers
            try:
                return _rows_of(copied.getvalue())
            except (struct.error, ValueError):  # a column that is empty, or of another type than it was made with
                pass
        cursor.execute(_SELECT, [begin, end, BATCH])
        rows = cursor.fetchall()
    if all(type(row[4]) is type(row[5]) is bytes for row in rows):
        return list(rows)
    return [(*row[:4], as_bytes(row[4]), as_bytes(row[5])) for row in rows]


def _rows_of(data: bytes) -> list[RawEntry]:
    """The rows of a binary COPY; struct.error or ValueError when they are not of the six types."""
    if not data.startswith(_COPY_BEGINS):
        raise ValueError("this is no binary COPY")
    rows: list[RawEntry] = []
    at = len(_COPY_BEGINS)
    while data[at : at + 2] != _COPY_ENDS:
        columns, width, position, length = _POSITION.unpack_from(data, at)
        stream_at = at + _POSITION.size
        number_at = stream_at + length
        number_width, number, time_length = _NUMBER.unpack_from(data, number_at)
        time_at = number_at + _NUMBER.size
        entry_at = time_at + time_length + _LENGTH.size
        (entry_length,) = _LENGTH.unpack_from(data, entry_at - _LENGTH.size)
        leaf_at = entry_at + entry_length + _LENGTH.size
        (leaf_length,) = _LENGTH.unpack_from(data, leaf_at - _LENGTH.size)
        if columns != 6 or width != 8 or number_width != 8 or min(length, time_length, entry_length, leaf_length) < 0:
            raise ValueError("a column is empty, or of another type")
        rows.append((
            position, data[stream_at:number_at].decode(), number, data[time_at : time_at + time_length].decode(),
            data[entry_at : entry_at + entry_length], data[leaf_at : leaf_at + leaf_length],
        ))  # fmt: skip
        at = leaf_at + leaf_length
    return rows


def as_bytes(value: object) -> bytes:
    """A binary column's bytes; SQLite keeps text where text was put, and then it is that text's bytes."""
    if isinstance(value, bytes | memoryview | bytearray):
        return bytes(value)
    return b"" if value is None else str(value).encode("utf-8", "surrogateescape")
