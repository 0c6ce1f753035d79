"""Check the whole ledger from its bytes alone, as a stream: what an auditor runs, and what an assessment rests on.

Rules (FORMATS section 4), each with a code of its own in the answer:
- leaf: recomputed from the entry's bytes, never believed; columns: what stands beside the bytes says the same as the bytes;
- entry: canonical printable ASCII of the one shape; position, stream: positions from 0 and the numbers of each stream from 1, both
  without a gap;
- time: never goes back, except at `ledger.clock_corrected`; event: ids are unique; unit: lies side by side and shares its facts;
- record: its type is in force, its stream follows from its row, and it stands once in an event;
- document: what an event refers to is in the store with its size (with `hash_documents` its bytes are hashed too);
- tile: tiles hold what the entries hash to; keys, intervention, reopened: see `era_check`; scope: see `scope_check`;
- checkpoint, root, shorter, receipt, fork: see `claims`.
Memory does not grow with the ledger, but for one number per stream.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db.models import Min

from audit import checkpoints, entries
from audit.entries import Bad, ParsedEntry
from audit.models import Entry
from audit.verification import entry_feed, era_check, raw_entries, scope_check
from audit.verification.claims import Claims
from audit.verification.entry_feed import Item
from audit.verification.entry_patterns import Patterns, PlainEntry
from audit.verification.ledger_report import Flaw, LedgerReport
from audit.verification.spill import Spool, scratch
from audit.verification.tile_check import TreeCheck
from registry import storage
from registry.errors import Problem
from registry.images import record_types

__all__ = ["Flaw", "LedgerReport", "verify"]
_SPOOLED_AT_ONCE = 1000
_AFTER_PREFIX = len("sha256:")
_NUMBERS = struct.Struct(">qq")
_DIGEST_BYTES, _DIGEST_AND_SIZE = 32, 40


def verify(
    *,
    size: int | None = None,
    hash_documents: bool = False,
    key_lines: Sequence[str] = (),
    outside: Iterable[bytes] = (),
    receipts: Iterable[bytes] = (),
    beside: bool | None = None,
) -> LedgerReport:
    """Verify the ledger, or its first `size` entries.

    `key_lines`: keys known from elsewhere, one of which must be the ledger's. `outside`: checkpoint notes kept elsewhere, beside
    those in this installation's own file of checkpoints. `receipts`: notes of receipts kept elsewhere. `beside`: whether a second
    process reads ahead; None leaves it to the length of the ledger.
    """
    report = LedgerReport(documents_hashed=hash_documents)
    known = era_check.read(report, size)
    era_check.judge_keys(report, known, key_lines)
    with scratch() as connection:
        claims = Claims(connection, report, known, size)
        if known.eras:
            claims.add_rows()
            claims.add_file(Path(settings.PRESSMARK_CHECKPOINTS) / checkpoints.FILE)
            claims.add_given(outside, receipts)
        claims.begin()
        # the size is read after the checkpoints, so that one signed meanwhile never looks longer than the ledger
        end = checkpoints.ledger_size() if size is None else size
        with (
            closing(Spool(36, 36)) as events,
            closing(Spool(36, 36)) as units,
            closing(Spool(32 + 16, 32)) as refs,
        ):
            _Pass(report, known, claims, end, _Spools(events, units, refs)).run(beside)
    report.close()
    return report


class _Spools(NamedTuple):
    """What is settled when all was read: event ids, the ids of units where they begin, documents with size and position."""

    events: Spool
    units: Spool
    documents: Spool


class _Pass:
    """One pass over the entries; each step adds what it finds to the report and goes on."""

    def __init__(
        self, report: LedgerReport, known: era_check.KnownEras, claims: Claims, end: int, spools: _Spools
    ) -> None:
        self.report, self.known, self.claims, self.end, self.spools = report, known, claims, end, spools
        self.types = entries.in_force()
        self.patterns = Patterns(record_types())
        self.tree = TreeCheck(checkpoints.built_size(), checkpoints.read_tile)
        self.position = 0
        self.last_seq: dict[str, int] = {}
        self.last_at = ""
        self.unit: tuple[str, ...] = ("",)
        self.event_ids: list[bytes] = []
        self.unit_ids: list[bytes] = []
        self.documents: list[bytes] = []
        self.special: dict[str, Callable[[ParsedEntry, int], None]] = dict.fromkeys(era_check.KINDS, self._era)
        self.special["bundle.issued"] = self._bundle

    def run(self, beside: bool | None) -> None:
        """Every entry, then what can only be said at the end."""
        lowest = Entry.objects.aggregate(lowest=Min("position"))["lowest"]
        if lowest is not None and lowest < 0:
            self.report.add("position", "an entry stands before the first", lowest)
        for item in entry_feed.items(self.end, self.patterns, frozenset(self.special), beside=beside):
            if item[0] != self.position:
                self._missing(item[0])
            self._entry(item)
            self.position = item[0] + 1
            if len(self.event_ids) >= _SPOOLED_AT_ONCE:
                self._spool()
        self._spool()
        self.report.size = self.tree.size
        self.report.root = "sha256:" + self.tree.root().hex()
        if self.position < self.end:
            sentence = f"{self.end} entries were to be verified, and there are {self.position}"
            self.report.add("shorter", sentence, self.position, self.end - 1)
        self.claims.finish(self.position)
        for flaw in self.tree.finish():
            self.report.add("tile", flaw.sentence, flaw.position)
        self._ids_stand_once()
        self._documents()

    # --- one entry ---

    def _spool(self) -> None:
        for spool, batch in zip(self.spools, (self.event_ids, self.unit_ids, self.documents), strict=True):
            spool.add(batch)
            batch.clear()

    def _missing(self, position: int) -> None:
        last = position - 1
        sentence = "the entry is missing" if last == self.position else "the entries are missing"
        self.report.add("position", sentence, self.position, last)

    def _entry(self, item: Item) -> None:
        position, stream, number, at, leaf, fits, entry, data = item
        if not fits:
            self.report.add("leaf", "the stored leaf is not the hash of the entry's bytes", position)
        self.tree.append(leaf)
        if entry is None:
            entry = self._exactly(data or b"", position)
        if position >= self.claims.awaits:
            self.claims.take(position, leaf, None if entry is None else entry.at, self.tree)
        if entry is None:
            if isinstance(stream, str) and isinstance(number, int):
                self.last_seq[stream] = number  # go on from what the columns claim
            return
        if stream != entry.stream or number != entry.stream_seq or at != entry.at:
            self.report.add("columns", "stream, number or time beside the entry differ from its bytes", position)
        self._order(entry, position)
        self._unit(entry, position)
        for digest, _, size_bytes in entry.refs:
            self.documents.append(bytes.fromhex(digest[_AFTER_PREFIX:]) + _NUMBERS.pack(size_bytes, position))
        if data is not None and entry.kind in self.special:
            self.special[entry.kind](entries.parse(data), position)

    def _exactly(self, data: bytes, position: int) -> PlainEntry | None:
        """The entry by the exact readers, which say what is wrong with it; None when it is no entry."""
        try:
            entry = entries.parse(data)
        except Bad as error:
            self.report.add(error.code, str(error), position)
            return None
        for sentence in entries.record_flaws(entry, self.types):
            self.report.add("record", sentence, position)
        return entries.plain(entry, rows=False)

    def _order(self, entry: PlainEntry, position: int) -> None:
        due = self.last_seq.get(entry.stream, 0) + 1
        if entry.stream_seq != due:
            sentence = f"number {entry.stream_seq} in stream {entry.stream}, where {due} was due"
            self.report.add("stream", sentence, position)
        self.last_seq[entry.stream] = entry.stream_seq
        if entry.at < self.last_at and entry.kind != era_check.CLOCK_CORRECTED:
            self.report.add("time", f"its time {entry.at} is before that of the entry before it", position)
        self.last_at = entry.at

    def _unit(self, entry: PlainEntry, position: int) -> None:
        self.event_ids.append(entry.id.encode())
        facts = (entry.unit, entry.actor, entry.at, entry.event_at, entry.request)
        if facts[0] != self.unit[0]:
            self.unit_ids.append(entry.unit.encode())
        elif facts != self.unit:
            self.report.add("unit", f"differs from its unit {entry.unit} in actor, time or request", position)
        self.unit = facts

    def _era(self, entry: ParsedEntry, position: int) -> None:
        sentence = era_check.intervention_flaw(entry)
        if sentence is not None:
            self.report.add("intervention", sentence, position)
        kind = entry.event["kind"]
        if kind != era_check.CLOCK_CORRECTED and self.known.eras and not self.known.begins_at(position):
            self.report.add("keys", f"{kind} brings keys that the table of keys does not hold", position)
        if entry.stream != "instance":
            self.report.add("keys", f"{kind} stands in stream {entry.stream}, where it does not belong", position)

    def _bundle(self, entry: ParsedEntry, position: int) -> None:
        for sentence in scope_check.flaws(entry.event, position):
            self.report.add("scope", sentence, position)

    # --- what is settled when all was read ---

    def _ids_stand_once(self) -> None:
        events = {record.decode() for record in self.spools.events.repeated()}
        units = {record.decode() for record in self.spools.units.repeated()}
        if not events and not units:
            return
        before: set[str] = set()
        unit = ""
        for position, entry in _ids_of(self.end, self.patterns):
            if entry.id in events and entry.id in before:
                self.report.add("event", f"event id {entry.id} stands twice", position)
            if entry.unit in units and entry.unit != unit and entry.unit in before:
                self.report.add("unit", f"unit {entry.unit} is torn apart", position)
            before |= {entry.id, entry.unit} & (events | units)
            unit = entry.unit

    def _documents(self) -> None:
        for group in self.spools.documents.groups():
            seen: set[bytes] = set()
            for record in group:
                stated = record[:_DIGEST_AND_SIZE]
                if stated not in seen:
                    seen.add(stated)
                    size_bytes, position = _NUMBERS.unpack(record[_DIGEST_BYTES:])
                    self._document("sha256:" + record[:_DIGEST_BYTES].hex(), size_bytes, position)
            self.report.documents_checked += len({stated[:_DIGEST_BYTES] for stated in seen})

    def _document(self, digest: str, size_bytes: int, position: int) -> None:
        stored = storage.size_of(digest)
        if stored is None:
            if not entries.is_purged(digest):
                self._document_flaw("{} is not in the store", digest, position)
        elif stored != size_bytes:
            self._document_flaw("{} has another size in the store", digest, position)
        elif self.report.documents_hashed:
            try:
                storage.rehash(digest, size_bytes)
            except Problem as error:
                self.report.add("document", error.detail, position)

    def _document_flaw(self, sentence: str, digest: str, position: int) -> None:
        data = Entry.objects.values_list("entry", flat=True).get(position=position)
        refs = entries.parse(raw_entries.as_bytes(data)).event["refs"]
        name = next(ref["name"] for ref in refs if ref["digest"] == digest)
        self.report.add("document", sentence.format(f"document {name} {digest}"), position)


def _ids_of(end: int, patterns: Patterns) -> Iterator[tuple[int, PlainEntry]]:
    """The entries that can be read, once more: only to say where an id stands again."""
    for rows in raw_entries.batches(end):
        for row in rows:
            with suppress(Bad):
                yield row[0], patterns.read(row[4]) or entries.plain(entries.parse(row[4]), rows=False)
