"""What was signed about the ledger, held against the entries as they are read: checkpoints and receipts, from inside and outside.

Rules:
- a checkpoint is signed by the log key of its era, a receipt by the issuer key of its era, or by a key of its origin that was
  handed in as known (a ledger that was cut may have lost the entry that names it); a row says what its note says;
- at its size the ledger has the checkpoint's root; the entries of a receipt stand at its positions, with its root and its time;
- a ledger that has fewer entries than were signed for was cut;
- what was signed under an origin that a reopening ended is held against the entries as far as the reopening says that they agree;
  past that it speaks of lost history, which is told; more than was known then, or another root for it, is a second history;
- a fault lies among the entries from the first that nothing fitting vouches for. What was handed in from outside is not excused by
  what the database or our own file holds: whoever rewrote the entries rewrote those too.
Each distinct note is judged once, however often it is kept. Memory does not grow with their number.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from audit import eras, merkle, notes
from audit.eras import Era
from audit.models import Checkpoint
from audit.outside import is_whole
from audit.signing import PublicKey, issuer_name
from audit.verification.era_check import KnownEras
from audit.verification.ledger_report import LedgerReport
from audit.verification.raw_entries import as_bytes
from audit.verification.tile_check import TreeCheck

_NEVER = 1 << 62
_Opened = TypeVar("_Opened", notes.Checkpoint, notes.Receipt)
_TABLES = """
CREATE TABLE note (digest BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE checkpoint (digest BLOB PRIMARY KEY, size INTEGER, root BLOB, name TEXT, given INTEGER, lost TEXT, times INTEGER)
    WITHOUT ROWID;
CREATE TABLE receipt (digest BLOB PRIMARY KEY, first INTEGER, count INTEGER, root BLOB, at TEXT, name TEXT, lost TEXT)
    WITHOUT ROWID;
"""


class _Claim(NamedTuple):
    """A root that was signed for a size."""

    root: bytes
    name: str
    given: bool
    lost: str | None
    times: int


_Group = tuple[int, list[_Claim]]


@dataclass
class _OpenReceipt:
    """A receipt whose entries are being read."""

    first: int
    count: int
    root: bytes
    at: str
    name: str
    lost: str | None
    frontier: merkle.Frontier = field(default_factory=merkle.Frontier)


class Claims:
    """Take in what was signed with `add_*`, `begin`, then each entry with `take` when `position >= awaits`, then `finish`.

    With `limit` only the first so many entries are verified, and what speaks about more is left out.
    """

    def __init__(self, scratch: sqlite3.Connection, report: LedgerReport, known: KnownEras, limit: int | None) -> None:
        self._scratch, self._report, self._known = scratch, report, known
        self._limit = _NEVER if limit is None else limit
        self._given_until = 0  # every position below is vouched for by what was handed in
        self._until = 0  # the same by anything
        self._only_key = known.only_keys()
        self._lost_count: Counter[str] = Counter()
        self._open: list[_OpenReceipt] = []
        self._checkpoints: Iterator[_Group] = iter(())
        self._receipts: Iterator[_OpenReceipt] = iter(())
        self._next_checkpoint: _Group | None = None
        self._next_receipt: _OpenReceipt | None = None
        self.awaits = _NEVER
        """The next position that a signed statement speaks about."""
        for statement in _TABLES.split(";"):
            scratch.execute(statement)

    # --- taking in ---

    def add_rows(self) -> None:
        """The checkpoints in the database."""
        rows = Checkpoint.objects.order_by("size").values_list("size", "root", "note")
        for size, root, note in rows.iterator(chunk_size=1000):
            self.add_checkpoint(
                f"the checkpoint in the database at size {size}", note.encode(), row=(size, as_bytes(root))
            )

    def add_file(self, path: Path) -> None:
        """The checkpoints in our own file outside the database; a last line that a power cut tore was shown to nobody."""
        try:
            with path.open("rb") as lines:
                whole = (line.strip() for line in lines if line.endswith(b"\n") or is_whole(line))
                for number, line in enumerate(filter(None, whole), 1):
                    self.add_checkpoint(
                        f"checkpoint {number} outside the database", base64.b64decode(line, validate=True)
                    )
        except FileNotFoundError:
            return
        except (binascii.Error, OSError) as error:
            self._report.add("checkpoint", f"the checkpoint file outside the database is damaged: {error}")

    def add_given(self, checkpoints: Iterable[bytes], receipts: Iterable[bytes]) -> None:
        """What was kept elsewhere."""
        for number, note in enumerate(checkpoints, 1):
            self.add_checkpoint(f"checkpoint {number} that you gave", note, given=True)
        for number, note in enumerate(receipts, 1):
            self._add_receipt(f"receipt {number} that you gave", note)

    def add_checkpoint(
        self, name: str, note: bytes, *, given: bool = False, row: tuple[int, bytes] | None = None
    ) -> None:
        """One checkpoint; `given` from outside, or that of a row with its size and root."""
        digest = hashlib.sha256(note).digest()
        if not self._is_new(digest):
            again = "UPDATE checkpoint SET times = times + 1, given = given OR ?, name = ? WHERE digest = ?"
            self._scratch.execute(again, (given, name, digest))
            return
        try:
            claimed = notes.parse_checkpoint_body(notes.parse_note(note).text)
            if claimed.size > self._limit or self._is_of_another_epoch(name, note, claimed.origin, claimed.origin):
                return
            opened = self._opened(note, claimed.origin, eras.open_checkpoint, notes.open_checkpoint)
        except notes.NoteError as error:
            self._report.add("checkpoint", f"{name}: {error}")
            return
        if row is not None and row != (opened.size, opened.root):
            self._report.add("checkpoint", f"{name}: its row differs from its note")
        lost = opened.origin if self._known.is_lost(opened.origin, opened.size) else None
        if lost and self._is_fork(name, opened):
            return
        values = (digest, opened.size, opened.root, name, given, lost, 1)
        self._scratch.execute("INSERT INTO checkpoint VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def _add_receipt(self, name: str, note: bytes) -> None:
        digest = hashlib.sha256(note).digest()
        if not self._is_new(digest):
            return
        try:
            claimed = notes.parse_receipt_body(notes.parse_note(note).text)
            end = claimed.first + claimed.count
            signer = issuer_name(claimed.origin)
            if end > self._limit or self._is_of_another_epoch(name, note, claimed.origin, signer):
                return
            opened = self._opened(note, signer, eras.open_receipt, notes.open_receipt)
        except notes.NoteError as error:
            self._report.add("receipt", f"{name}: {error}")
            return
        places = f"position {end - 1}" if opened.count == 1 else f"positions {opened.first} to {end - 1}"
        lost = opened.origin if self._known.is_lost(opened.origin, end) else None
        values = (
            digest, opened.first, opened.count, opened.root, opened.at, f"the receipt that you gave for {places}", lost
        )  # fmt: skip
        self._scratch.execute("INSERT INTO receipt VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def _is_new(self, digest: bytes) -> bool:
        return self._scratch.execute("INSERT OR IGNORE INTO note VALUES (?)", (digest,)).rowcount == 1

    def _opened(
        self,
        note: bytes,
        signer: str,
        by_era: Callable[[Sequence[Era], bytes], _Opened],
        by_key: Callable[[bytes, PublicKey], _Opened],
    ) -> _Opened:
        """What the note says, signed by the key of its era or by one that was handed in. Raises NoteError."""
        only = self._only_key.get(signer)
        try:
            return by_era(self._known.eras, note) if only is None else by_key(note, only)
        except notes.NoteError:
            key = self._given_key(note, signer)
            if key is None:
                raise
        return by_key(note, key)

    def _given_key(self, note: bytes, signer: str) -> PublicKey | None:
        """The key of that name that was handed in and signed the note."""
        return next((key for key in self._known.given if key.name == signer and eras.signed_by(note, key)), None)

    def _is_of_another_epoch(self, name: str, note: bytes, origin: str, signer: str) -> bool:
        """Of an epoch of ours whose keys are not in this ledger: one that was lost, or one that it has not come to."""
        if self._known.is_skipped(origin):
            self._lost_count[origin] += 1
            return True
        if self._known.is_later(origin) and self._given_key(note, signer) is None:
            sentence = f"{name} is of {origin}, which this ledger has not come to: it is an old copy"
            self._report.add("shorter", sentence)
            return True
        return False

    def _is_fork(self, name: str, opened: notes.Checkpoint) -> bool:
        ended = self._known.reopenings[opened.origin]
        if ended.old_size is None or opened.size < ended.old_size:
            return False
        if opened.size > ended.old_size:
            sentence = f"that origin ended at {ended.old_size}: somebody signed on under it"
        elif opened.root != ended.old_root:
            sentence = "the reopening names another root for it: two histories were signed"
        else:
            return False
        self._report.add("fork", f"{name} is of {opened.origin} at {opened.size}; {sentence}", ended.position)
        return True

    # --- holding against the entries ---

    def begin(self) -> None:
        """All is taken in."""
        query = "SELECT size, root, name, given, lost, times FROM checkpoint ORDER BY size, given DESC, name"
        by_size = itertools.groupby(self._scratch.execute(query), key=lambda row: int(row[0]))
        self._checkpoints = ((size, [_Claim(*row[1:]) for row in rows]) for size, rows in by_size)
        query = "SELECT first, count, root, at, name, lost FROM receipt ORDER BY first, count"
        self._receipts = (_OpenReceipt(*row) for row in self._scratch.execute(query))
        self._next_checkpoint = next(self._checkpoints, None)
        self._next_receipt = next(self._receipts, None)
        self._look_ahead(0)

    def _look_ahead(self, position: int) -> None:
        if self._open:
            self.awaits = position
            return
        checkpoint = _NEVER if self._next_checkpoint is None else self._next_checkpoint[0] - 1
        receipt = _NEVER if self._next_receipt is None else self._next_receipt.first
        self.awaits = min(checkpoint, receipt)

    def take(self, position: int, leaf: bytes, at: str | None, tree: TreeCheck) -> None:
        """The entry at a position, which `tree` has taken in; `at` is None where the entry cannot be read."""
        while self._next_receipt is not None and self._next_receipt.first <= position:
            self._open.append(self._next_receipt)
            self._next_receipt = next(self._receipts, None)
        for receipt in list(self._open):
            if receipt.first + receipt.frontier.size != position or (at is not None and at != receipt.at):
                self._disagrees(receipt)
                continue
            receipt.frontier.append(leaf)
            if receipt.frontier.size == receipt.count:
                self._closed(receipt)
        while self._next_checkpoint is not None and self._next_checkpoint[0] <= tree.size:
            self._compare(*self._next_checkpoint, tree)
            self._next_checkpoint = next(self._checkpoints, None)
        self._look_ahead(position + 1)

    def _closed(self, receipt: _OpenReceipt) -> None:
        if receipt.frontier.root() != receipt.root:
            self._disagrees(receipt)
            return
        self._open.remove(receipt)
        self._report.receipts_checked += 1
        self._given_until = _further(self._given_until, receipt.first, receipt.count)
        self._until = _further(self._until, receipt.first, receipt.count)

    def _disagrees(self, receipt: _OpenReceipt) -> None:
        self._open.remove(receipt)
        self._report.receipts_checked += 1
        if receipt.lost:
            self._lost_count[receipt.lost] += 1
            return
        sentence = f"{receipt.name} is of other entries than stand there: the history was rewritten"
        self._report.add("receipt", sentence, receipt.first, receipt.first + receipt.count - 1)

    def _compare(self, size: int, group: list[_Claim], tree: TreeCheck) -> None:
        root = tree.root() if tree.size == size else None
        fits = any(claim.root == root for claim in group)
        for claimed, name, given, lost, times in group:
            self._report.checkpoints_checked += times
            if claimed == root:
                self._until = max(self._until, size)
                self._given_until = max(self._given_until, size) if given else self._given_until
            elif lost:
                self._lost_count[lost] += times
            else:
                sentence = f"{name} has another root at size {size}: the history was rewritten"
                if fits:
                    sentence += ", and a checkpoint of the rewritten one is signed with the same key"
                first = min(self._given_until if given else self._until, size - 1)
                self._report.add("root", sentence, first, size - 1)

    def finish(self, size: int) -> None:
        """The ledger has `size` entries; what speaks about more was not met."""
        for receipt in [*self._open, *self._rest_of_receipts()]:
            self._report.receipts_checked += 1
            if receipt.lost:
                self._lost_count[receipt.lost] += 1
                continue
            last = receipt.first + receipt.count - 1
            sentence = f"{receipt.name} is of more than the ledger has, {size} entries: it was cut"
            self._report.add("shorter", sentence, min(max(receipt.first, size), last), last)
        for claimed, group in self._rest_of_checkpoints():
            for claim in group:
                self._report.checkpoints_checked += claim.times
                if claim.lost:
                    self._lost_count[claim.lost] += claim.times
                    continue
                sentence = f"{claim.name} covers {claimed} entries, the ledger has {size}: it was cut"
                self._report.add("shorter", sentence, min(size, claimed - 1), claimed - 1)
        for origin, count in self._lost_count.items():
            ended = self._known.reopenings.get(origin)
            where = "" if ended is None else f" at position {ended.position}"
            self._report.notice(
                f"{count} checkpoints and receipts of {origin} speak of entries that were lost or replaced before the ledger "
                f"was reopened{where}."
            )

    def _rest_of_receipts(self) -> Iterable[_OpenReceipt]:
        if self._next_receipt is not None:
            yield self._next_receipt
        yield from self._receipts

    def _rest_of_checkpoints(self) -> Iterable[_Group]:
        if self._next_checkpoint is not None:
            yield self._next_checkpoint
        yield from self._checkpoints


def _further(until: int, first: int, count: int) -> int:
    return max(until, first + count) if first <= until else until
