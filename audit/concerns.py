"""Which versions of a model a sealed record is about, so that a bundle about one version leaves out what is about others.

Rules:
- a record is about the version that its row names as its own (`version_id`; the child of an edge or run; the version that an
  evaluation measured); a decision is about the version of its approval, an incident about that of its window, an act on a
  quarantine about the version that is stopped;
- a replay is about the version that it made again; another run that made nothing is about the version that it began with;
- a document, review, hold or purge is about the version whose id it names (`about`);
- what names no version is about the model as a whole and is always kept;
- a version is kept together with its ancestors in the same model, for its history is theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from audit.snapshots import Record, Snapshot, dataset_streams, ruling_streams, streams_named

_ABOUT_ANOTHER = {
    "release.decision": ("approval_id", "release.approval"),
    "release.quarantine_act": ("quarantine_id", "release.quarantine"),
    "monitoring.incident": ("window_id", "monitoring.window"),
}
_STREAMS_OF_TABLES = ("catalog", "compression", "release", "monitoring")


def lineage(snapshot: Snapshot, version_id: str) -> frozenset[str]:
    """The ids of a version and its ancestors in the same model."""
    parents: dict[str, set[str]] = {}
    for edge in snapshot.all("catalog.edge"):
        if edge.row["parent_id"]:
            parents.setdefault(str(edge.row["child_id"]), set()).add(str(edge.row["parent_id"]))
    found, waiting = {version_id}, [version_id]
    while waiting:
        for parent in parents.get(waiting.pop(), set()) - found:
            if snapshot.get("catalog.version", parent) is not None:
                found.add(parent)
                waiting.append(parent)
    return frozenset(found)


def versions_of(snapshot: Snapshot, type_: str, key: str, row: Mapping[str, Any]) -> set[str]:
    """The versions that a record is about; empty for what is about the model. `type_` is without its number."""
    if type_ == "catalog.version":
        return {key}
    if type_ == "catalog.edge":
        return {str(row["child_id"])}
    if type_ == "compression.run":
        last = snapshot.get(type_, key)
        made = row["child_id"] or (last.row["child_id"] if last else None) or row["rederives_id"]
        return {str(made or row["parent_id"])}
    if type_ in _ABOUT_ANOTHER:
        column, owner = _ABOUT_ANOTHER[type_]
        found = snapshot.get(owner, str(row[column]))
        return {str(found.row["version_id"])} if found else set()
    if row.get("about") and snapshot.get("catalog.version", str(row["about"])) is not None:
        return {str(row["about"])}
    return {str(row["version_id"])} if row.get("version_id") else set()


def is_about(snapshot: Snapshot, kept: frozenset[str], records: Iterable[Mapping[str, Any]]) -> bool:
    """Whether an event with these records is about a kept version or about the model as a whole."""
    named: set[str] = set()
    for record in records:
        named |= versions_of(snapshot, record["type"].partition("/")[0], record["id"], record["row"])
    return not named or bool(named & kept)


def streams_about(snapshot: Snapshot, kept: frozenset[str]) -> list[str]:
    """The streams that the model's own records name: its monitors', its use case, and those of the kept versions."""
    concerned = [record for record in _records(snapshot) if _names_for(snapshot, record, kept)]
    named = dict.fromkeys(
        stream for record in concerned for stream in streams_named(record.type, record.id, record.row)
    )
    rows = [record.row for record in concerned]
    return [*named, *dataset_streams(rows), *ruling_streams(rows)]


def _records(snapshot: Snapshot) -> list[Record]:
    types = [type_ for type_ in snapshot.records if type_.partition(".")[0] in _STREAMS_OF_TABLES]
    return [record for type_ in sorted(types) for record in snapshot.all(type_)]


def _names_for(snapshot: Snapshot, record: Record, kept: frozenset[str]) -> bool:
    """Whether the streams that a record names belong to the story of a kept version: a run counts if it made or measured one."""
    if record.type == "compression.run" and not record.row["child_id"] and record.row["kind"] == "compression":
        return False
    about = versions_of(snapshot, record.type, record.id, record.row)
    return not about or bool(about & kept)
