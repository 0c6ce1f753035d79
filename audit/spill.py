"""Sets and last values that may outgrow memory: a temporary SQLite file, gone when it is closed.

One reason: a ledger is verified and replayed as a stream, but "this id has not stood before" and "the last image of this row"
need all of it. The file lies in the system's temporary folder, holds nothing that is trusted, and is never read again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from types import TracebackType


class Spill:
    """A scratch database that SQLite keeps in memory while it is small and moves to disk when it grows."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=OFF")
        self._connection.execute("PRAGMA cache_size=-16000")  # 16 MB, then the file
        self._connection.execute("CREATE TABLE seen (kind TEXT, value TEXT, PRIMARY KEY (kind, value)) WITHOUT ROWID")
        self._connection.execute(
            "CREATE TABLE last (kind TEXT, key TEXT, position INTEGER, note TEXT, value BLOB, "
            "PRIMARY KEY (kind, key)) WITHOUT ROWID"
        )
        self._connection.execute("BEGIN")

    def __enter__(self) -> Spill:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def is_new(self, kind: str, value: str) -> bool:
        """Whether the value stands here for the first time."""
        cursor = self._connection.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (kind, value))
        return cursor.rowcount == 1

    def keep_last(self, rows: Iterable[tuple[str, str, int, str, bytes]]) -> None:
        """Keep (kind, key, position, note, value), replacing what stood under kind and key."""
        self._connection.executemany("INSERT OR REPLACE INTO last VALUES (?, ?, ?, ?, ?)", rows)

    def take(self, kind: str, key: str) -> tuple[int, str, bytes] | None:
        """The last (position, note, value) under kind and key, taken out; None when there is none."""
        row = self._connection.execute(
            "DELETE FROM last WHERE kind = ? AND key = ? RETURNING position, note, value", (kind, key)
        ).fetchone()
        return None if row is None else (row[0], row[1], row[2])

    def left(self) -> Iterator[tuple[str, str, int]]:
        """(kind, key, position) of all that was never taken."""
        yield from self._connection.execute("SELECT kind, key, position FROM last ORDER BY kind, key")
