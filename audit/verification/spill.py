"""What may outgrow memory while a ledger is read as a stream lies in temporary files, gone when they are closed.

One reason: "this id has not stood before" and "the last image of this row" need all of the ledger, while verify-ledger and replay
keep to little memory. The files lie in the system's temporary folder, hold nothing that is trusted, and are never read again.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO

_CACHE_KIB = 4_000
_GROUPS = 256
_WAITING_LIMIT = 20_000


@contextmanager
def scratch() -> Iterator[sqlite3.Connection]:
    """A scratch database that SQLite keeps in memory while it is small and moves to disk when it grows."""
    connection = sqlite3.connect("", isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        connection.execute("BEGIN")
        yield connection
    finally:
        connection.close()


class Spool:
    """Records of one width, handed back in groups: equal keys, their first bytes, are in the same group, in the order they came.

    A group is a small part of all of them, chosen by the hash of the key.
    """

    def __init__(self, record_bytes: int, key_bytes: int) -> None:
        self._record_bytes, self._key_bytes = record_bytes, key_bytes
        self._groups: list[list[bytes]] = [[] for _ in range(_GROUPS)]
        self._waiting = 0
        self._chunks: list[list[tuple[int, int]]] = [[] for _ in range(_GROUPS)]
        self._file: IO[bytes] | None = None

    def add(self, records: Sequence[bytes]) -> None:
        """Some more records; best a thousand at once."""
        groups, key_bytes = self._groups, self._key_bytes
        for record in records:
            groups[hash(record[:key_bytes]) % _GROUPS].append(record)
        self._waiting += len(records)
        if self._waiting >= _WAITING_LIMIT:
            self._write()

    def _write(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  it is closed by `close`
        for records, chunks in zip(self._groups, self._chunks, strict=True):
            chunks.append((self._file.tell(), len(records) * self._record_bytes))
            self._file.writelines(records)
            records.clear()
        self._waiting = 0

    def groups(self) -> Iterator[list[bytes]]:
        """Group by group."""
        width = self._record_bytes
        for records, chunks in zip(self._groups, self._chunks, strict=True):
            data = b"".join([*self._read(chunks), *records])
            yield [data[at : at + width] for at in range(0, len(data), width)]

    def repeated(self) -> Iterator[bytes]:
        """Each record whose like has stood before."""
        for group in self.groups():
            if len(set(group)) < len(group):
                yield from (record for record, count in Counter(group).items() if count > 1)

    def _read(self, chunks: list[tuple[int, int]]) -> Iterator[bytes]:
        for at, size in chunks:
            assert self._file is not None
            self._file.seek(at)
            yield self._file.read(size)

    def close(self) -> None:
        """The temporary file goes."""
        if self._file is not None:
            self._file.close()


class LastImages:
    """The last image of every record: where it was sealed, what its row hashes to, and whether it was ever sealed as erased."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(
            "CREATE TABLE last (type TEXT, id TEXT, position INTEGER, hash BLOB, erased INTEGER, "
            "PRIMARY KEY (type, id)) WITHOUT ROWID"
        )

    def keep(self, images: Iterable[tuple[str, str, int, bytes, bool]]) -> None:
        """Keep (type, id, position, hash of the row, erased), each instead of what stood for that record."""
        self._connection.executemany(
            "INSERT INTO last VALUES (?, ?, ?, ?, ?) ON CONFLICT (type, id) DO UPDATE SET "
            "position = excluded.position, hash = excluded.hash, erased = max(erased, excluded.erased)",
            images,
        )

    def take(self, type_: str, ids: Sequence[str]) -> dict[str, tuple[int, bytes, bool]]:
        """(position, hash, erased) by id, taken out; an id that is not there is left out."""
        rows = self._connection.execute(
            "DELETE FROM last WHERE type = ? AND id IN (SELECT value FROM json_each(?)) "
            "RETURNING id, position, hash, erased",
            (type_, json.dumps(ids)),
        ).fetchall()
        return {key: (position, digest, bool(erased)) for key, position, digest, erased in rows}

    def left(self) -> Iterator[tuple[str, str, int]]:
        """(type, id, position) of all that was never taken."""
        yield from self._connection.execute("SELECT type, id, position FROM last ORDER BY type, id")
