"""Entries with their leaves and what they plainly say, read here or, of a long ledger, by a second process that reads ahead.

One reason: half of verification looks at one entry at a time and needs nothing of the others; a machine has more than one core.
Rules:
- both ways give the same items: what is not plain, or of a kind with rules of its own, comes with its bytes, and the caller judges;
- the second process opens a connection of its own, so it is never used inside a transaction, and shows first that it sees the same
  ledger; where it does not, or ends before its work is done, the rest is read here.
"""

from __future__ import annotations

import marshal
import os
import struct
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator
from typing import IO, Any

from django.db import connection

from audit import checkpoints, merkle
from audit.verification import raw_entries
from audit.verification.entry_patterns import Patterns, PlainEntry
from audit.verification.raw_entries import RawEntry

BESIDE_FROM_ENTRIES = 100_000
_LENGTH = struct.Struct(">I")

Item = tuple[int, object, object, object, bytes, bool, PlainEntry | None, bytes | None]
"""Position, stream, number and time beside the entry; its leaf, whether the stored one is the same; the entry, its bytes."""


def items(end: int, patterns: Patterns, special: Collection[str], *, beside: bool | None = None) -> Iterator[Item]:
    """The entries below `end`, in order. `special`: kinds whose bytes the caller wants. `beside`: None chooses."""
    begin = 0
    if _is_worth_it(end) if beside is None else beside:
        for item in _from_beside(end, special):
            begin = item[0] + 1
            yield item
    for rows in raw_entries.batches(end, begin):
        yield from read(rows, patterns, special)


def _is_worth_it(end: int) -> bool:
    return end >= BESIDE_FROM_ENTRIES and not connection.in_atomic_block and (os.cpu_count() or 1) > 1


def read(rows: Iterable[RawEntry], patterns: Patterns, special: Collection[str]) -> Iterator[Item]:
    """Entry by entry, so that each is done while its bytes are still in the processor's cache."""
    for position, stream, number, at, data, stored in rows:
        leaf = merkle.leaf_hash(data)
        entry = patterns.read(data)
        kept = data if entry is None or entry.kind in special else None
        yield position, stream, number, at, leaf, leaf == stored, entry, kept


def proof_of_sight() -> tuple[int, bytes]:
    """How long the ledger is and how it begins: what two processes compare to see that they read the same one."""
    rows = next(raw_entries.batches(1), [])
    return checkpoints.ledger_size(), merkle.leaf_hash(rows[0][4]) if rows else b""


# --- the second process ---


def write_items(end: int, patterns: Patterns, special: Collection[str], target: IO[bytes]) -> None:
    """What the second process does: its sight of the ledger, then batches of items, then an empty one."""
    _write(target, proof_of_sight())
    for rows in raw_entries.batches(end):
        _write(target, [(*item[:6], _bare(item[6]), item[7]) for item in read(rows, patterns, special)])
    _write(target, [])
    target.flush()


def _bare(entry: PlainEntry | None) -> tuple[object, ...] | None:
    """Without its records: they were held against their rules, and are most of its bytes."""
    return None if entry is None else (*entry[:5], (), *entry[6:])


def _write(target: IO[bytes], value: Any) -> None:
    data = marshal.dumps(value)
    target.write(_LENGTH.pack(len(data)) + data)


def _from_beside(end: int, special: Collection[str]) -> Iterator[Item]:
    command = [sys.executable, "-P", "-m", "audit.verification.entry_worker", str(end), *special]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            size, begins = _read(process.stdout) or (0, b"")
            if size >= end and begins == proof_of_sight()[1]:
                while batch := _read(process.stdout):
                    for *facts, entry, data in batch:
                        yield (*facts, None if entry is None else PlainEntry._make(entry), data)
        finally:
            process.terminate()


def _read(source: IO[bytes]) -> Any:
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = source.read(length)
    return marshal.loads(data) if len(data) == length else None  # noqa: S302  written by the process that we started
