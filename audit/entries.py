"""One ledger entry, read strictly from its bytes: the one shape, its unit's facts, and whether its records stand where they must.

One reason: verify-ledger, replay, snapshots and bundles read entries through this, so that they agree on what an entry says.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from audit.verification.entry_patterns import PlainEntry
from registry.catalog.models import Artifact
from registry.digests import CanonicalError, canonical, is_digest, parse_canonical, parse_time
from registry.images import RecordType, record_types
from registry.provenance.models import DatasetFile, DatasetVersion
from registry.release import purging

ENTRY_LIMIT_BYTES = 65_535
_ENTRY = {"at", "event", "stream", "stream_seq", "v"}
_EVENT = {"actor", "at", "id", "kind", "records", "refs", "request", "team", "unit", "v"}
_ACTOR = {"id", "on_behalf_of", "role", "via"}
_RECORD = {"id", "row", "type"}
_REF = {"digest", "name", "size_bytes"}
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KIND = re.compile(r"[a-z][a-z_]*\.[a-z][a-z_]*")


class Bad(ValueError):
    """An entry that breaks a rule; `code` names the rule."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True)
class ParsedEntry:
    """What an entry says."""

    at: str
    stream: str
    stream_seq: int
    event: dict[str, Any]


def parse(data: bytes) -> ParsedEntry:
    """Read an entry; Bad when its bytes are not exactly what the ledger would have written."""
    if len(data) > ENTRY_LIMIT_BYTES:
        raise Bad("entry", f"the entry has {len(data)} bytes; at most {ENTRY_LIMIT_BYTES} are allowed")
    if not data.isascii():
        raise Bad("entry", "the entry is not printable ASCII")
    try:
        value = parse_canonical(data)
    except CanonicalError as error:
        raise Bad("entry", f"the entry is not canonical: {error}") from None
    try:
        return _shape(value)
    except (CanonicalError, TypeError, KeyError, AttributeError, ValueError) as error:
        if isinstance(error, Bad):
            raise
        raise Bad("entry", f"the entry has not the shape of an entry: {error}") from None


def _members(value: Any, names: set[str], what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != names:
        raise Bad("entry", f"the {what} has not exactly the members {', '.join(sorted(names))}")
    return value


def _shape(value: Any) -> ParsedEntry:
    entry = _members(value, _ENTRY, "entry")
    event = _members(entry["event"], _EVENT, "event")
    if not _is_integer(entry["v"]) or not _is_integer(event["v"]) or entry["v"] != 1 or event["v"] != 1:
        raise Bad("entry", "the entry is of a version that is not known")
    parse_time(entry["at"])
    parse_time(event["at"])
    _check_actor(_members(event["actor"], _ACTOR, "actor"))
    if not _KIND.fullmatch(event["kind"]):
        raise Bad("entry", f"{event['kind'][:60]!r} is no kind of event")
    for record in event["records"]:
        _members(record, _RECORD, "record")
        if not isinstance(record["row"], dict) or not isinstance(record["type"], str) or not _is_uuid(record["id"]):
            raise Bad("entry", "a record has no row, no type or no UUID")
    for ref in event["refs"]:
        _members(ref, _REF, "ref")
        if not is_digest(ref["digest"]) or not _is_integer(ref["size_bytes"]) or not isinstance(ref["name"], str):
            raise Bad("entry", "a ref names no digest, no name or no size")
    if not _is_integer(entry["stream_seq"]) or not isinstance(entry["stream"], str):
        raise Bad("entry", "stream or number has the wrong type")
    for member in ("id", "unit"):
        if not _is_uuid(event[member]):
            raise Bad("entry", f"the event's {member} is no UUID")
    for member in ("request", "team"):
        if event[member] is not None and not _is_uuid(event[member]):
            raise Bad("entry", f"the event's {member} is neither null nor a UUID")
    return ParsedEntry(entry["at"], entry["stream"], entry["stream_seq"], event)


def _check_actor(actor: dict[str, Any]) -> None:
    behalf = actor["on_behalf_of"]
    if not _is_uuid(actor["id"]) or (behalf is not None and not _is_uuid(behalf)):
        raise Bad("entry", "the actor is named by no UUID")
    if not isinstance(actor["role"], str) or not isinstance(actor["via"], str):
        raise Bad("entry", "the actor's role or door is no text")


def _is_integer(value: object) -> bool:
    return type(value) is int  # a bool is an int to Python, and true is not 1 here


def _is_uuid(value: object) -> bool:
    """Whether it is a UUID in its one spelling."""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def plain(entry: ParsedEntry, *, rows: bool = True) -> PlainEntry:
    """The entry in the form in which `entry_patterns` hands out those that it can read by itself; records only with `rows`."""
    event = entry.event
    records = [(r["type"], r["id"], canonical(r["row"]).decode()) for r in event["records"]] if rows else []
    refs = [(ref["digest"], ref["name"], ref["size_bytes"]) for ref in event["refs"]]
    request = "null" if event["request"] is None else f'"{event["request"]}"'
    return PlainEntry(
        entry.at, canonical(event["actor"]).decode(), event["at"], event["id"], event["kind"], records, refs, request,
        event["unit"], entry.stream, entry.stream_seq,
    )  # fmt: skip


InForce = dict[str, tuple[RecordType, frozenset[str]]]


def in_force() -> InForce:
    """The record types in force by name, each with its columns; ask once per run over the ledger."""
    return {t.type: (t, frozenset(column.attname for column in t.columns)) for t in record_types()}


def record_flaws(entry: ParsedEntry, types: InForce) -> Iterator[str]:
    """Records of a type not in force, in a stream that does not follow from their row, or doubled."""
    seen: set[tuple[str, str]] = set()
    for record in entry.event["records"]:
        name = f"record {record['type']} {record['id']}"
        if (record["type"], record["id"]) in seen:
            yield f"{name} stands twice in one event"
        seen.add((record["type"], record["id"]))
        known = types.get(record["type"])
        if known is None:
            yield f"{name} is of a type that is not in force"
            continue
        record_type, columns = known
        if set(record["row"]) != columns:
            yield f"{name} has not exactly the columns of its type"
            continue
        try:
            stream = record_type.stream(uuid.UUID(record["id"]), record["row"])
        except (ValueError, KeyError, TypeError):
            yield f"{name} has no key or no stream"
            continue
        if stream != entry.stream:
            yield f"{name} belongs to stream {stream}, but stands in {entry.stream}"


def is_purged(digest: str) -> bool:
    """Whether the bytes are gone by a purge, which keeps row and digest and says when; else bytes that are missing were lost.

    A purge takes the files of a version of data or of a model, never a document such as its manifest, and nothing that another
    record needs.
    """
    gone = (
        DatasetVersion.objects.filter(digest=digest, purged_at__isnull=False).exists()
        or DatasetFile.objects.filter(digest=digest, dataset_version__purged_at__isnull=False).exists()
        or Artifact.objects.filter(digest=digest, version__purged_at__isnull=False).exists()
    )
    return gone and not purging.needed({digest})
