"""One entry of the ledger for people: what it says in words, its bytes, and whether they stand where they say.

Rules:
- the leaf is computed from the bytes, never taken from its column, and the proof is followed to the root of a signed checkpoint;
- texts open where the entry is of a team that the reader may read; those of the instance open to readers of the whole of it alone;
- what cannot be read is shown as the bytes that it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit import merkle, notes, queries
from audit.browsing import entries_found
from audit.history.names import Names, Shape
from audit.models import Checkpoint, Entry
from audit.snapshots import Record
from registry import storage
from registry.access.models import Team
from registry.access.queries import readable, readable_team_ids
from registry.catalog.models import RegisteredModel
from registry.errors import Unavailable
from registry.events import Caller

_TEXT = "access.text"
_MODEL = "model:"


@dataclass(frozen=True)
class Line:
    """An entry in a list. `event` is None where it cannot be read."""

    row: Entry
    event: Shape | None
    by: Shape | None
    behalf: Shape | None
    subject: str
    """The model that the stream is of, by its name, where the reader may see it."""


@dataclass(frozen=True)
class RecordView:
    """A sealed row: every column as it was sealed, and the text that it is about, where it is one."""

    type: str
    id: str
    columns: Sequence[tuple[str, str]]
    text: Shape | None


@dataclass(frozen=True)
class RefView:
    """A document that the entry names, and whether it is stored here."""

    name: str
    digest: str
    size_bytes: int
    stored: bool


@dataclass(frozen=True)
class ProofView:
    """Where the entry stands in the tree: `holds` says whether its bytes, by the proof, give the root that was signed."""

    checkpoint: Checkpoint
    root: str
    path: Sequence[str]
    text: str
    holds: bool


@dataclass(frozen=True)
class EntryView:
    """Everything that the page of one entry shows."""

    line: Line
    raw: str
    leaf: str
    leaf_holds: bool
    team: str
    proof: ProofView | None
    pending: str
    records: Sequence[RecordView] = field(default_factory=tuple)
    refs: Sequence[RefView] = field(default_factory=tuple)
    unit: Sequence[int] = field(default_factory=tuple)


def lines_of(caller: Caller, rows: Sequence[Entry]) -> list[Line]:
    """Entries that the caller may read, with the names that a list shows."""
    names, events = Names(caller), [entries_found.event_of(row) for row in rows]
    actors = [event["actor"] for event in events if event]
    names.load_people(key for actor in actors for key in (actor["id"], actor["on_behalf_of"]))
    models = _models(caller, (row.stream for row in rows))
    return [
        Line(
            row,
            event,
            names.person(event["actor"]["id"], event["actor"]["role"]) if event else None,
            names.person(event["actor"]["on_behalf_of"]) if event else None,
            models.get(row.stream, ""),
        )
        for row, event in zip(rows, events, strict=True)
    ]


def _models(caller: Caller, streams: Iterable[str]) -> dict[str, str]:
    ids = {stream.removeprefix(_MODEL) for stream in streams if stream.startswith(_MODEL)}
    rows = readable(RegisteredModel.objects.filter(pk__in=ids).select_related("team"), caller)
    return {f"{_MODEL}{row.pk}": str(row) for row in rows}


def view_of(caller: Caller, row: Entry) -> EntryView:
    """The page of an entry that the caller may read."""
    line, data = lines_of(caller, [row])[0], bytes(row.entry)
    leaf = merkle.leaf_hash(data)
    proof, pending = _proof(row, leaf)
    facts: Any = {"line": line, "leaf": f"sha256:{leaf.hex()}", "leaf_holds": leaf == bytes(row.leaf)}
    facts |= {"raw": data.decode("ascii", "backslashreplace"), "proof": proof, "pending": pending}
    if line.event is None:
        return EntryView(team="", **facts)
    team = line.event["team"]
    return EntryView(
        team=_team_name(team),
        records=_records(caller, line.event, row),
        refs=[
            RefView(ref["name"], ref["digest"], ref["size_bytes"], storage.is_stored(ref["digest"]))
            for ref in line.event["refs"]
        ],
        unit=_unit(caller, row, line.event["unit"]),
        **facts,
    )


def _team_name(key: str | None) -> str:
    if key is None:
        return ""
    return Team.objects.filter(pk=key).values_list("slug", flat=True).first() or key


def _proof(row: Entry, leaf: bytes) -> tuple[ProofView | None, str]:
    """The inclusion proof followed from the leaf; or why there is none yet."""
    try:
        checkpoint, proof = queries.inclusion_proof(row.position)
    except Unavailable as pending:
        return None, pending.detail
    signed = notes.parse_checkpoint_body(notes.parse_note(checkpoint.note.encode()).text)
    holds = merkle.verify_inclusion(leaf, row.position, signed.size, proof.path, signed.root)
    path = [f"sha256:{item.hex()}" for item in proof.path]
    return ProofView(checkpoint, f"sha256:{signed.root.hex()}", path, proof.text().decode(), holds), ""


def _records(caller: Caller, event: Shape, row: Entry) -> list[RecordView]:
    names = Names(caller)
    opens = event["team"] is not None or readable_team_ids(caller.actor_id) is None
    texts = [r["id"] for r in event["records"] if r["type"].startswith(f"{_TEXT}/")] if opens else []
    names.load_texts(texts)
    return [
        RecordView(
            record["type"],
            record["id"],
            [(column, _shown(value)) for column, value in sorted(record["row"].items())],
            names.text(_sealed(record, row)) if record["id"] in texts else None,
        )
        for record in event["records"]
    ]


def _sealed(record: Shape, row: Entry) -> Record:
    return Record(_TEXT, record["id"], record["row"], row.position, row.at, "", "", "", row.at)


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _unit(caller: Caller, row: Entry, unit: str) -> list[int]:
    """The positions of the act that the entry belongs to, as far as the reader may read them; they lie side by side."""
    may_read = queries.reader_of_entries(caller)
    near = Entry.objects.filter(position__gt=row.position - 50, position__lt=row.position + 50, at=row.at)
    found = [other for other in near.order_by("position") if (entries_found.event_of(other) or {}).get("unit") == unit]
    return [other.position for other in found if may_read(other)]
