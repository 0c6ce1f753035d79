"""The proof behind a page: which ledger entries speak about a thing, and how far the signed checkpoints reach."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from audit.models import Checkpoint, Entry
from registry.access.models import Actor
from registry.digests import parse_canonical

_LOOKED_AT = 1000


@dataclass(frozen=True)
class EntryView:
    """One ledger entry, for people."""

    position: int
    stream_seq: int
    kind: str
    at: str
    role: str
    actor: str
    leaf: str
    sealed: bool


@dataclass(frozen=True)
class Proof:
    """Entries of a stream that name a thing, newest first, and the newest signed checkpoint."""

    stream: str
    entries: Sequence[EntryView]
    checkpoint: Checkpoint | None

    @property
    def root(self) -> str:
        return f"sha256:{bytes(self.checkpoint.root).hex()}" if self.checkpoint else ""

    @property
    def all_sealed(self) -> bool:
        return bool(self.entries) and all(entry.sealed for entry in self.entries)


def proof_of(stream: str, subject: uuid.UUID) -> Proof:
    """The entries of the stream whose bytes name the subject, among its newest ones."""
    checkpoint = Checkpoint.objects.order_by("-size").first()
    size = checkpoint.size if checkpoint else 0
    name = str(subject).encode()
    rows = Entry.objects.filter(stream=stream).order_by("-position")[:_LOOKED_AT]
    found = [(row, _event(row)) for row in rows if name in bytes(row.entry)]
    actors = {str(event["actor"]["id"]) for _, event in found}
    names = {str(actor.pk): str(actor) for actor in Actor.objects.filter(pk__in=actors)}
    return Proof(stream, [_view(row, event, names, size) for row, event in found], checkpoint)


def _event(row: Entry) -> dict[str, Any]:
    document = parse_canonical(bytes(row.entry))
    return cast(dict[str, Any], cast(dict[str, Any], document)["event"])


def _view(row: Entry, event: dict[str, Any], names: dict[str, str], size: int) -> EntryView:
    actor = event["actor"]
    who = names.get(actor["id"], "")
    return EntryView(
        position=row.position,
        stream_seq=row.stream_seq,
        kind=str(event["kind"]),
        at=row.at[:19].replace("T", " "),
        role=actor["role"],
        actor=f"{who} for another" if actor["on_behalf_of"] else who,
        leaf=f"sha256:{bytes(row.leaf).hex()}",
        sealed=row.position < size,
    )
