"""Entries: the form of one, and the rules that hold between those that are there ("Entries" of the page)."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from . import forms
from .findings import STREAMS, Findings
from .forms import Unreadable, listed, literally, nullable, shaped, text
from .tree import leaf_hash

MAX_ENTRY_BYTES = 65_535
MAX_EVENT_BYTES = 65_000
ERA_KINDS = ("ledger.created", "key.rotated", "key.revoked", "ledger.reopened")

_EVENT = shaped(
    actor=shaped(id=forms.uuid, on_behalf_of=nullable(text), role=text, via=text),
    at=forms.time,
    id=forms.uuid,
    kind=text,
    records=listed(shaped(id=forms.uuid, row=forms.document, type=forms.record_type)),
    refs=listed(shaped(digest=forms.digest, name=text, size_bytes=forms.count)),
    request=nullable(text),
    team=nullable(text),
    unit=forms.uuid,
    v=literally(1),
)
_ENTRY = shaped(at=forms.time, event=_EVENT, stream=forms.stream, stream_seq=forms.integer_from(1), v=literally(1))


@dataclass(frozen=True)
class Entry:
    position: int
    data: bytes
    at: str
    stream: str
    seq: int
    event: dict[str, Any]

    @property
    def leaf(self) -> bytes:
        return leaf_hash(self.data)

    @property
    def kind(self) -> str:
        return str(self.event["kind"])

    @property
    def unit(self) -> str:
        return str(self.event["unit"])

    def refs(self, name: str | None = None) -> list[dict[str, Any]]:
        return [ref for ref in self.event["refs"] if name in (None, ref["name"])]

    def records(self, noun: str | None = None) -> list[dict[str, Any]]:
        """Its records, or those of one type whatever their number."""
        return [r for r in self.event["records"] if noun in (None, r["type"].rpartition("/")[0])]


def read_entry(position: int, data: bytes) -> Entry:
    if len(data) > MAX_ENTRY_BYTES or not all(0x20 <= byte <= 0x7E for byte in data):
        raise Unreadable("too long, or not in printable ASCII")
    value = forms.read_canonical(data)
    if not _ENTRY(value):
        raise Unreadable("not of the shape of an entry")
    event = value["event"]
    if len(forms.canonical_bytes(event)) > MAX_EVENT_BYTES:
        raise Unreadable(f"its event has more than {MAX_EVENT_BYTES} bytes")
    named = Counter((r["type"].rpartition("/")[0], r["id"]) for r in event["records"])
    if any(times > 1 for times in named.values()):
        raise Unreadable("two records of its event share id and type")
    return Entry(position, data, value["at"], value["stream"], value["stream_seq"], event)


def check_order(entries: list[Entry], findings: Findings) -> None:
    """Numbers rise in each stream, event ids are unique, time does not go back between neighbours."""
    last: dict[str, int] = {}
    for entry in entries:
        if entry.seq <= last.get(entry.stream, 0):
            findings.no(STREAMS, f"position {entry.position}: the numbers of {entry.stream} do not rise")
        last[entry.stream] = entry.seq
    if len({entry.event["id"] for entry in entries}) != len(entries):
        findings.no(STREAMS, "an event id is there twice")
    for before, after in pairwise(entries):
        neighbours = after.position == before.position + 1
        if neighbours and after.at < before.at and after.kind != "ledger.clock_corrected":
            findings.no(STREAMS, f"position {after.position}: an earlier time than the entry before")


def check_units(entries: list[Entry], findings: Findings, answer: str = STREAMS) -> None:
    """Events of one unit share actor, event time, request and the entry's time, and no other unit stands between them."""
    shared: dict[str, tuple[object, ...]] = {}
    previous = None
    for entry in entries:
        mine = (entry.event["actor"], entry.event["at"], entry.event["request"], entry.at)
        if entry.unit in shared and entry.unit != previous:
            findings.no(answer, f"position {entry.position}: another unit stands inside unit {entry.unit}")
        if shared.setdefault(entry.unit, mine) != mine:
            findings.no(answer, f"position {entry.position}: differs from its unit {entry.unit}")
        previous = entry.unit


def check_era_kinds(entries: list[Entry], findings: Findings) -> None:
    for entry in entries:
        if entry.kind in ERA_KINDS and entry.stream != "instance":
            findings.no(STREAMS, f"position {entry.position}: {entry.kind} outside the stream instance")
        if entry.kind == "ledger.created" and entry.position != 0:
            findings.no(STREAMS, f"position {entry.position}: ledger.created is not the first entry")
    first = entries[0] if entries else None
    if first is None or (first.position, first.stream, first.seq, first.kind) != (0, "instance", 1, "ledger.created"):
        findings.no(STREAMS, "entry 0 is not there, or not the creation of the ledger")
