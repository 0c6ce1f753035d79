"""What the ledger says about one model as of a position: the last image of every record in the streams of its scope.

One reason: assessments, reports and bundles speak about the same entries, so that whoever holds the bundle can compute them again.
Rules (FORMATS section 7): the scope is the model's stream, those of its monitors, and of each dataset, licence, recipe, policy and
use case whose id stands in them; ancestors in other models are known by digest alone. Nothing is read from the tables, except
which dataset a dataset version belongs to, and under which other numbers of a licence somebody ruled on it: a ruling counts for an
expression wherever it stands, so whoever is to compute terms again needs the streams of all of them.
"""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit import checkpoints
from audit.history import moments
from audit.models import Entry
from registry import storage
from registry.digests import CanonicalError, parse_canonical, time_text
from registry.errors import Invalid, Problem
from registry.provenance.models import DatasetVersion
from registry.provenance.ruled_terms import numbers_ruled_on

_STREAM_OF_COLUMN = {
    "dataset_id": "dataset",
    "licence_id": "licence",
    "recipe_id": "recipe",
    "policy_id": "policy",
    "use_case_id": "use_case",
}
_DATASET_VERSION_COLUMNS = (
    "dataset_version_id", "calibration_id", "evaluation_id", "baseline_id", "out_of_distribution_id", "training_id",
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    """The last image of a row, and the event that sealed it."""

    type: str
    id: str
    row: Mapping[str, Any]
    position: int
    at: str
    kind: str
    role: str
    actor: str
    first_at: str


@dataclass(frozen=True)
class Act:
    """One event of the scope."""

    position: int
    at: str
    kind: str
    stream: str
    role: str
    actor: str
    on_behalf_of: str | None
    refs: tuple[tuple[str, str, int], ...]
    records: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class LedgerState:
    """Whether the ledger was verified up to the snapshot's size, by whom and with which result."""

    checked: bool
    ok: bool
    size: int
    root: str
    sentence: str


@dataclass
class Snapshot:
    """Everything that is known about a model as of a position."""

    model_id: str
    size: int
    as_of: str
    ends: dict[str, int] = field(default_factory=dict)
    records: dict[str, dict[str, Record]] = field(default_factory=dict)
    acts: list[Act] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    ledger: LedgerState | None = None
    _documents: dict[str, Any] = field(default_factory=dict, repr=False)

    def all(self, type_: str) -> list[Record]:
        """Every record of a type (`room.noun`), oldest first."""
        return sorted(self.records.get(type_, {}).values(), key=lambda r: (r.first_at, r.id))

    def get(self, type_: str, key: str | None) -> Record | None:
        return self.records.get(type_, {}).get(key or "")

    def document(self, digest: str) -> Any:
        """The stored document of a digest, checked; None when it is not there or no document of ours."""
        if digest not in self._documents:
            try:
                self._documents[digest] = parse_canonical(storage.read_bytes(digest))
            except (Problem, CanonicalError):
                self._documents[digest] = None
        return self._documents[digest]

    @property
    def stream(self) -> str:
        return f"model:{self.model_id}"


def moment_of(as_of: datetime.datetime | None) -> tuple[str, int]:
    """The time of a snapshot and its size: entries up to the highest position whose time is not later (FORMATS section 4)."""
    size = checkpoints.ledger_size()
    now = datetime.datetime.now(datetime.UTC)
    if as_of is None:
        last = Entry.objects.filter(position=size - 1).values_list("at", flat=True).first()
        return max(time_text(now), last or ""), size
    if as_of > now:
        raise Invalid("The moment lies in the future.", hint="Give a time that has passed, or none for now.")
    text = time_text(as_of)
    position = moments.last_not_later(text, size - 1) if size else None
    return text, 0 if position is None else position + 1


def take(model_id: uuid.UUID, as_of: datetime.datetime | None = None) -> Snapshot:
    """The snapshot of a model as of a moment (now, when none is given)."""
    moment, size = moment_of(as_of)
    return take_at(model_id, size, moment)


def take_at(model_id: uuid.UUID, size: int, moment: str) -> Snapshot:
    """The snapshot over the first `size` entries, judged as of `moment`."""
    return walk(model_id, [f"model:{model_id}"], size, moment)


def walk(model_id: uuid.UUID, streams: Iterable[str], size: int, moment: str) -> Snapshot:
    """The snapshot of these streams and of all that their records name, and so on."""
    snapshot = Snapshot(str(model_id), size, moment)
    waiting, done = list(streams), set()
    while waiting:
        stream = waiting.pop()
        if stream not in done:
            done.add(stream)
            waiting.extend(_streams_in(_read_stream(snapshot, stream)))
    return in_order(snapshot)


def take_streams(model_id: uuid.UUID, streams: Iterable[str], size: int, moment: str) -> Snapshot:
    """The snapshot of exactly these streams: what a sealed scope names."""
    snapshot = Snapshot(str(model_id), size, moment)
    for stream in streams:
        _read_stream(snapshot, stream)
    return in_order(snapshot)


def in_order(snapshot: Snapshot) -> Snapshot:
    """The same, with acts and positions as they came."""
    snapshot.acts.sort(key=lambda act: act.position)
    snapshot.positions.sort()
    return snapshot


def _read_stream(snapshot: Snapshot, stream: str) -> list[Mapping[str, Any]]:
    """Take a whole stream in; answers its records."""
    rows = Entry.objects.filter(stream=stream, position__lt=snapshot.size).order_by("position")
    records: list[Mapping[str, Any]] = []
    for position, data in rows.values_list("position", "entry"):
        entry = json.loads(bytes(data))
        snapshot.ends[stream] = entry["stream_seq"]
        take_entry(snapshot, position, entry)
        records += entry["event"]["records"]
    return records


def _streams_in(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """The streams whose ids stand in these records, each once."""
    named: dict[str, None] = {}
    for record in records:
        named.update(dict.fromkeys(streams_named(record["type"].partition("/")[0], record["id"], record["row"])))
    rows = [record["row"] for record in records]
    return [*named, *dataset_streams(rows), *ruling_streams(rows)]


def streams_named(type_: str, key: str, row: Mapping[str, Any]) -> Iterable[str]:
    """The streams whose ids stand in a record, but for datasets, which are named by one of their versions."""
    if type_ == "monitoring.monitor":
        yield f"monitor:{key}"
    for column, kind in _STREAM_OF_COLUMN.items():
        if row.get(column):
            yield f"{kind}:{row[column]}"


def dataset_streams(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The streams of the datasets whose versions these rows name."""
    versions = {str(row[column]) for row in rows for column in _DATASET_VERSION_COLUMNS if row.get(column)}
    owners = DatasetVersion.objects.filter(pk__in=versions).order_by("pk").values_list("dataset_id", flat=True)
    return [f"dataset:{owner}" for owner in owners]


def ruling_streams(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The streams in which somebody ruled on the licences that these rows name, or on a part of their expressions."""
    licences = {uuid.UUID(str(row["licence_id"])) for row in rows if row.get("licence_id")}
    return [f"licence:{key}" for key in numbers_ruled_on(licences)]


def take_entry(snapshot: Snapshot, position: int, entry: Mapping[str, Any]) -> None:
    """Take the records and the act of one entry in."""
    event, at = entry["event"], entry["at"]
    actor = event["actor"]
    snapshot.positions.append(position)
    for record in event["records"]:
        name = record["type"].partition("/")[0]
        table = snapshot.records.setdefault(name, {})
        before = table.get(record["id"])
        if before is not None and before.position > position:
            continue
        table[record["id"]] = Record(
            name, record["id"], record["row"], position, at, event["kind"], actor["role"], actor["id"],
            before.first_at if before else at,
        )  # fmt: skip
    refs = tuple((ref["name"], ref["digest"], ref["size_bytes"]) for ref in event["refs"])
    records = tuple((record["type"], record["id"]) for record in event["records"])
    snapshot.acts.append(
        Act(
            position,
            at,
            event["kind"],
            entry["stream"],
            actor["role"],
            actor["id"],
            actor["on_behalf_of"],
            refs,
            records,
        )
    )
