"""Check the whole ledger from its bytes alone, as a stream: what an auditor runs, and what an assessment rests on.

Rules (FORMATS section 4), each with a code of its own in the answer:
- leaf: recomputed from the entry's bytes, never believed; the columns beside the bytes say the same as the bytes;
- entry: canonical printable ASCII of the one shape; positions from 0 and the numbers of each stream from 1, both without a gap;
- time: never goes back, except at `ledger.clock_corrected`; event ids are unique; a unit lies side by side and shares its facts;
- record: its type is in force, its stream follows from its row, and it stands once in an event;
- document: what an event refers to is in the store with its size (with `hash_documents` its bytes are hashed too);
- tree: tiles hold what the entries hash to; every checkpoint, in the database and outside it, is signed by the log key of
  entry 0 and has the root of the ledger at its size; the ledger is not shorter than the longest of them;
- scope: what a `bundle.issued` sealed as the ends of streams is what they were.
Memory does not grow with the ledger, but for one number per stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.db.models import Max

from audit import checkpoints, entries, merkle, notes
from audit.entries import Bad
from audit.models import Checkpoint, Entry, Key
from audit.signing import PublicKey, parse_key_line
from audit.spill import Spill
from audit.tile_check import TileCheck
from registry import storage
from registry.digests import JSON, CanonicalError, parse_canonical
from registry.errors import Problem

FLAWS_KEPT = 100
_BATCH = 1000


@dataclass(frozen=True)
class Flaw:
    """One broken rule; `position` is the entry that breaks it, None for what belongs to no entry."""

    code: str
    sentence: str
    position: int | None = None

    def __str__(self) -> str:
        where = "" if self.position is None else f"position {self.position}: "
        return f"{where}{self.sentence} [{self.code}]"


@dataclass
class LedgerReport:
    """The answer. `flaws` keeps the first hundred; `flaw_count` counts all."""

    size: int = 0
    root: str = ""
    origin: str = ""
    checkpoints_checked: int = 0
    documents_checked: int = 0
    documents_hashed: bool = False
    flaw_count: int = 0
    flaws: list[Flaw] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.flaw_count == 0

    @property
    def first_bad_position(self) -> int | None:
        """The lowest position that breaks a rule."""
        return min((flaw.position for flaw in self.flaws if flaw.position is not None), default=None)

    def add(self, code: str, sentence: str, position: int | None = None) -> None:
        self.flaw_count += 1
        if len(self.flaws) < FLAWS_KEPT:
            self.flaws.append(Flaw(code, sentence, position))


def verify(
    *,
    size: int | None = None,
    hash_documents: bool = False,
    key_lines: Sequence[str] = (),
    outside: Sequence[bytes] | None = None,
) -> LedgerReport:
    """Verify the ledger, or its first `size` entries.

    `key_lines`: keys known from elsewhere, one of which must be the ledger's. `outside`: checkpoint notes kept elsewhere, beside
    those in this installation's own checkpoint file.
    """
    with Spill() as spill:
        return _Check(size, hash_documents, key_lines, outside or (), spill).run()


class _Check:
    """One pass over the entries; each step adds what it finds to the report and goes on."""

    def __init__(
        self,
        size: int | None,
        hash_documents: bool,
        key_lines: Sequence[str],
        outside: Sequence[bytes],
        spill: Spill,
    ) -> None:
        self.size = size or 0
        self.whole = size is None
        self.report = LedgerReport(documents_hashed=hash_documents)
        self.hash_documents = hash_documents
        self.key_lines = key_lines
        self.outside = outside
        self.spill = spill
        self.types = entries.in_force()
        self.frontier = merkle.Frontier()
        self.tiles = TileCheck(checkpoints.built_size(), checkpoints.read_tile)
        self.last_seq: dict[str, int] = {}
        self.last_at = ""
        self.unit: entries.UnitFacts | None = None
        self.claims: dict[int, list[tuple[str, bytes]]] = {}

    def run(self) -> LedgerReport:
        log_key = self._log_key()
        if log_key is not None:
            self._collect_checkpoints(log_key)
        if self.whole:  # after the checkpoints, so that one signed meanwhile never looks longer than the ledger
            self.size = checkpoints.ledger_size()
        expected = 0
        for row in self._rows():
            while expected < row.position and expected < self.size:
                self.report.add("position", "the entry is missing", expected)
                expected += 1
            self._entry(row)
            expected = row.position + 1
        self.report.size = self.frontier.size
        self.report.root = "sha256:" + self.frontier.root().hex()
        self._finish_checkpoints(expected)
        for sentence in self.tiles.finish():
            self.report.add("tile", sentence)
        return self.report

    def _rows(self) -> Iterator[Entry]:
        """The entries in order, in short reads, so that no long transaction is held open."""
        position = 0
        while position < self.size:
            rows = list(
                Entry.objects.filter(position__gte=position, position__lt=self.size).order_by("position")[:_BATCH]
            )
            if not rows:
                return
            yield from rows
            position = rows[-1].position + 1

    # --- one entry ---

    def _entry(self, row: Entry) -> None:
        data, position = bytes(row.entry), row.position
        leaf = merkle.leaf_hash(data)
        if leaf != bytes(row.leaf):
            self.report.add("leaf", "the stored leaf is not the hash of the entry's bytes", position)
        self.frontier.append(leaf)
        self.tiles.append(leaf)
        try:
            entry = entries.parse(data)
        except Bad as error:
            self.report.add(error.code, str(error), position)
            self.last_seq[row.stream] = row.stream_seq  # go on from what the columns claim
            self._compare_roots()
            return
        if (entry.stream, entry.stream_seq, entry.at) != (row.stream, row.stream_seq, row.at):
            self.report.add("columns", "stream, number or time beside the entry differ from its bytes", position)
        self._order(entry, position)
        self._unit(entry, position)
        self._records(entry, position)
        for ref in entry.event["refs"]:
            self._document(ref, position)
        if entry.event["kind"] == "bundle.issued":
            self._scope(entry, position)
        self._compare_roots()

    def _order(self, entry: entries.ParsedEntry, position: int) -> None:
        expected = self.last_seq.get(entry.stream, 0) + 1
        if entry.stream_seq != expected:
            sentence = f"number {entry.stream_seq} in stream {entry.stream}, where {expected} was due"
            self.report.add("stream", sentence, position)
        self.last_seq[entry.stream] = entry.stream_seq
        if entry.at < self.last_at and entry.event["kind"] != "ledger.clock_corrected":
            self.report.add("time", f"its time {entry.at} is before that of the entry before it", position)
        self.last_at = entry.at

    def _unit(self, entry: entries.ParsedEntry, position: int) -> None:
        if not self.spill.is_new("event", entry.event["id"]):
            self.report.add("event", f"event id {entry.event['id']} stands twice", position)
        facts = entries.unit_facts(entry)
        if self.unit is None or facts.unit != self.unit.unit:
            if not self.spill.is_new("unit", facts.unit):
                self.report.add("unit", f"unit {facts.unit} is torn apart", position)
        elif facts != self.unit:
            self.report.add("unit", f"differs from its unit {facts.unit} in actor, time or request", position)
        self.unit = facts

    def _records(self, entry: entries.ParsedEntry, position: int) -> None:
        for sentence in entries.record_flaws(entry, self.types):
            self.report.add("record", sentence, position)

    def _document(self, ref: dict[str, JSON], position: int) -> None:
        digest, size_bytes = str(ref["digest"]), ref["size_bytes"]
        if not self.spill.is_new("document", digest):
            return
        self.report.documents_checked += 1
        path = storage.path_of(digest)
        if not path.is_file():
            if not entries.is_purged(digest):
                self.report.add("document", f"document {ref['name']} {digest} is not in the store", position)
        elif path.stat().st_size != size_bytes:
            self.report.add("document", f"document {ref['name']} {digest} has another size in the store", position)
        elif self.hash_documents:
            try:
                storage.rehash(digest, int(str(size_bytes)))
            except Problem as error:
                self.report.add("document", error.detail, position)

    def _scope(self, entry: entries.ParsedEntry, position: int) -> None:
        digest = next((str(ref["digest"]) for ref in entry.event["refs"] if ref["name"] == "scope"), None)
        try:
            if digest is None:
                raise Bad("scope", "bundle.issued names no scope")
            scope = parse_canonical(storage.read_bytes(digest))
            for sentence in scope_flaws(scope, position):
                self.report.add("scope", sentence, position)
        except Bad as error:
            self.report.add(error.code, str(error), position)
        except (Problem, CanonicalError, KeyError, TypeError) as error:
            self.report.add("scope", f"the scope cannot be read: {error}", position)

    # --- keys and checkpoints ---

    def _log_key(self) -> PublicKey | None:
        """The log key that entry 0 names, after the keys note was checked against the Key rows and what is known outside."""
        try:
            first = entries.parse(bytes(Entry.objects.get(position=0).entry))
            digest = next(str(ref["digest"]) for ref in first.event["refs"] if ref["name"] == "keys")
            keys = notes.open_keys(storage.read_bytes(digest))
        except (Entry.DoesNotExist, StopIteration, Bad, Problem, notes.NoteError) as error:
            self.report.add("keys", f"the keys note of entry 0 cannot be read: {error}", 0)
            return None
        self.report.origin = keys.origin
        lines = {keys.log.key_line, keys.issuer.key_line}
        if not lines <= set(Key.objects.values_list("key_line", flat=True)):
            self.report.add("keys", "the table of keys does not hold the keys of entry 0", 0)
        if self.key_lines and not lines & {parse_key_line(line).key_line for line in self.key_lines}:
            self.report.add("keys", f"none of the given keys is {keys.log.keyid} or {keys.issuer.keyid}", 0)
        return keys.log

    def _collect_checkpoints(self, log_key: PublicKey) -> None:
        for row in Checkpoint.objects.order_by("size").iterator():
            self._claim(f"the checkpoint in the database at size {row.size}", row.note.encode(), log_key, row)
        try:
            kept = checkpoints.outside_notes()
        except ValueError as error:
            self.report.add("checkpoint", f"the checkpoint file outside the database is damaged: {error}")
            kept = []
        for number, note in enumerate([*kept, *self.outside], 1):
            self._claim(f"checkpoint {number} outside the database", note, log_key, None)

    def _claim(self, name: str, note: bytes, log_key: PublicKey, row: Checkpoint | None) -> None:
        try:
            opened = notes.open_checkpoint(note, log_key)
        except notes.NoteError as error:
            self.report.add("checkpoint", f"{name}: {error}")
            return
        if row is not None and (row.size, bytes(row.root)) != (opened.size, opened.root):
            self.report.add("checkpoint", f"{name}: its row differs from its note")
        if self.whole or opened.size <= self.size:
            self.claims.setdefault(opened.size, []).append((name, opened.root))

    def _compare_roots(self) -> None:
        for name, root in self.claims.pop(self.frontier.size, ()):
            self.report.checkpoints_checked += 1
            if root != self.frontier.root():
                sentence = f"{name} has another root at size {self.frontier.size}: the history was rewritten"
                self.report.add("root", sentence, self.frontier.size - 1)

    def _finish_checkpoints(self, size: int) -> None:
        for claimed in sorted(self.claims):
            for name, _ in self.claims[claimed]:
                self.report.add("shorter", f"{name} covers {claimed} entries, the ledger has {size}: it was cut")


def scope_flaws(scope: JSON, position: int) -> Iterator[str]:
    """What a sealed scope says about the ends of streams, against the ends that the ledger has at its size."""
    assert isinstance(scope, dict)
    size = int(str(scope["size"]))
    if size > position:
        yield f"the scope speaks of {size} entries, but was sealed before them"
    ends = scope["ends"]
    assert isinstance(ends, list)
    for end in ends:
        assert isinstance(end, dict)
        last = Entry.objects.filter(stream=str(end["stream"]), position__lt=size).aggregate(last=Max("stream_seq"))
        if last["last"] != end["last_seq"]:
            yield f"the scope ends stream {end['stream']} at {end['last_seq']}, but it was at {last['last']}"
