"""The append: the events of one unit become entries and leaves, as the last statement of the change's own transaction.

Rules (FORMATS, section 4):
- an entry is built around the event's exact bytes, under the lock of the head; its SHA-256 with the leaf prefix is the leaf;
- one `at` for the whole unit, never before the last one, but for a unit that is one `ledger.clock_corrected` and nothing else;
- positions and the numbers of each stream are gapless;
- nothing else is written here: tree and checkpoints are the keeper's.
SQLite: the writer's lock of BEGIN IMMEDIATE, one SELECT, one executemany INSERT. PostgreSQL: one call of a SQL function.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import Error, connections

from audit import receipts
from audit.ledger_postgres import CLOCK, CLOCK_KIND
from registry.digests import parse_time, time_text
from registry.errors import Conflict
from registry.events import PendingEvent, UnitError

LEAF_PREFIX = b"\x00"
FIRST_KIND = "ledger.created"


@dataclass(frozen=True)
class AppendedUnit:
    """Where a unit's entries stand, and how to wait until they are on disk."""

    positions: Sequence[int]
    leaves: Sequence[bytes]
    at: str
    connection: Any

    def settle(self) -> None:
        """Return when the unit is on disk; call it once COMMIT returned, before anybody is told."""
        settle(self.connection)

    def sign_receipt(self) -> str:
        """The receipt over the unit's leaves, signed with the issuer key; call it only after COMMIT returned."""
        return receipts.sign(self.positions[0], self.leaves, self.at)


def entry_bytes(at: str, event: bytes, stream: str, stream_seq: int) -> bytes:
    """The leaf's bytes, canonical by construction: the event's bytes are taken as they are."""
    return b'{"at":"%s","event":%s,"stream":"%s","stream_seq":%d,"v":1}' % (
        at.encode(), event, stream.encode(), stream_seq,
    )  # fmt: skip


def append(*, events: list[PendingEvent], connection: Any, **kwargs: Any) -> AppendedUnit:
    """Receiver of `registry.events.appending`: write all events of a unit in one call."""
    if not connection.in_atomic_block:
        raise UnitError("the ledger is written inside the change's transaction only")
    appended = (
        _append_postgres(connection, events)
        if connection.vendor == "postgresql"
        else _append_sqlite(connection, events)
    )
    if appended.positions[0] == 0:
        if events[0].kind != FIRST_KIND:
            raise UnitError("the ledger is empty; an installation is set up with `pressmark init` first")
    elif any(event.kind == FIRST_KIND for event in events):  # somebody else set it up at the same moment
        raise Conflict("There is a ledger already.", hint="An installation is set up once; see `pressmark check`.")
    return appended


def settle(connection: Any) -> None:
    """Return when every entry that this connection has seen is on disk. On SQLite COMMIT itself waits for it."""
    if connection.vendor != "postgresql":
        return
    try:
        with connection.wrap_database_errors:
            cursor = connection.connection.cursor()
            cursor.execute("SELECT pressmark_settle()")
            cursor.close()
    except Error:  # a connection that is gone is an InterfaceError, which is no DatabaseError
        if not connection.in_atomic_block:
            connection.close()  # the next act of this process gets a connection that works
        raise


def hold_head(using: str = "default") -> int:
    """The size of the ledger, which stays as it is until the open unit ends: for what must name its own position."""
    connection = connections[using]
    if not connection.in_atomic_block:
        raise UnitError("the head is held inside a unit only")
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pressmark_hold_head()")
        else:  # BEGIN IMMEDIATE holds the only writer's lock already
            cursor.execute("SELECT COALESCE(MAX(position) + 1, 0) FROM audit_entry")
        return int(cursor.fetchone()[0] or 0)


def clocks(using: str = "default") -> tuple[str, str]:
    """The time of the last entry, and what the clock that stamps entries says now."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute("SELECT at FROM audit_entry ORDER BY position DESC LIMIT 1")
        last = cursor.fetchone()
        now = time_text(datetime.datetime.now(datetime.UTC))
        if connection.vendor == "postgresql":
            cursor.execute(f"SELECT {CLOCK}")
            now = str(cursor.fetchone()[0])
    return (last[0] if last else ""), now


def seconds_ahead() -> float:
    """By how much the last entry lies in the future of the clock that stamps the next one; 0 when it does not."""
    last, now = clocks()
    return (parse_time(last) - parse_time(now)).total_seconds() if last > now else 0.0


_SQLITE_HEAD = """
SELECT (SELECT COALESCE(MAX(position) + 1, 0) FROM audit_entry),
       (SELECT at FROM audit_entry ORDER BY position DESC LIMIT 1),
       (SELECT json_group_object(value, COALESCE((SELECT MAX(stream_seq) FROM audit_entry WHERE stream = value), 0))
          FROM json_each(?))
"""
_SQLITE_INSERT = "INSERT INTO audit_entry (position, stream, stream_seq, at, entry, leaf) VALUES (?, ?, ?, ?, ?, ?)"


def _append_sqlite(connection: Any, events: list[PendingEvent]) -> AppendedUnit:
    # the driver's own cursor, here and below: Django's wrappers around it cost as much as the call
    with connection.wrap_database_errors:
        cursor = connection.connection.cursor()
        cursor.execute(_SQLITE_HEAD, [json.dumps(sorted({e.stream for e in events}))])
        size, last_at, numbers_json = cursor.fetchone()
        numbers: dict[str, int] = json.loads(numbers_json)
        at = time_text(datetime.datetime.now(datetime.UTC))
        if not (len(events) == 1 and events[0].kind == CLOCK_KIND):
            at = max(at, last_at or "")
        rows = []
        for offset, event in enumerate(events):
            numbers[event.stream] += 1
            entry = entry_bytes(at, event.payload, event.stream, numbers[event.stream])
            leaf = hashlib.sha256(LEAF_PREFIX + entry).digest()
            rows.append((size + offset, event.stream, numbers[event.stream], at, entry, leaf))
        cursor.executemany(_SQLITE_INSERT, rows)
        cursor.close()
    return AppendedUnit([r[0] for r in rows], [r[5] for r in rows], at, connection)


_POSTGRES_APPEND = "SELECT out_position, out_leaf, out_at FROM pressmark_append(%s::text[], %s::text[])"


def _append_postgres(connection: Any, events: list[PendingEvent]) -> AppendedUnit:
    with connection.wrap_database_errors:
        cursor = connection.connection.cursor()
        cursor.execute(_POSTGRES_APPEND, ([e.stream for e in events], [e.payload.decode("ascii") for e in events]))
        rows = cursor.fetchall()
        cursor.close()
    return AppendedUnit([r[0] for r in rows], [bytes(r[1]) for r in rows], rows[0][2], connection)
