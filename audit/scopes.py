"""Which streams a bundle holds, whole: of a model, of one version of it, or of the instance.

One reason (`pressmark/scope/1`, FORMATS section 7): what is sealed at issue and what is built later are the same list. Rules:
- a scope names each stream with its last number among the first `size` entries;
- of the instance: every stream; of a model: what `snapshots.take` walks; of a version: what `concerns` says;
- once sealed, the document is the authority: a bundle is built from it, not from what a newer version of this code would choose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Max

from audit import checkpoints, concerns, snapshots
from audit.models import Bundle, Entry
from registry import storage
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.digests import canonical, parse_canonical
from registry.errors import Conflict

TYPE = "pressmark/scope/1"
INSTANCE = "instance"
_STREAMS_PER_QUERY = 500


@dataclass(frozen=True)
class Scope:
    """Streams with their last numbers among the first `size` entries."""

    size: int
    ends: Mapping[str, int]

    def document(self) -> bytes:
        """Canonical bytes of `pressmark/scope/1`."""
        ends = [{"last_seq": self.ends[stream], "stream": stream} for stream in sorted(self.ends)]
        return canonical({"ends": ends, "size": self.size, "type": TYPE})


def of_model(model: RegisteredModel) -> Scope:
    """Its stream, those of its monitors, and what they name."""
    snapshot = snapshots.take(model.pk)
    return Scope(snapshot.size, snapshot.ends)


def of_version(version: ModelVersion) -> Scope:
    """The streams of its model and monitors, whole, and what is named by records about the version and its ancestors there."""
    moment, size = snapshots.moment_of(None)
    stream = f"model:{version.model_id}"
    own = snapshots.take_streams(version.model_id, [stream], size, moment)
    named = concerns.streams_about(own, concerns.lineage(own, str(version.pk)))
    walked = snapshots.walk(version.model_id, named, size, moment)
    return Scope(size, {**walked.ends, **own.ends})


def of_instance() -> Scope:
    """Every stream that there is."""
    size = checkpoints.ledger_size()
    return Scope(size, _ends(size))


def sealed(bundle: Bundle) -> Scope:
    """The scope that a bundle sealed; Conflict when the ledger no longer has these ends."""
    document: Any = parse_canonical(storage.read_bytes(bundle.scope_digest))
    scope = Scope(document["size"], {end["stream"]: end["last_seq"] for end in document["ends"]})
    wanted = None if bundle.subject == INSTANCE else list(scope.ends)
    if _ends(scope.size, wanted) != scope.ends:
        raise Conflict(
            "The ledger no longer has the streams that this bundle sealed.",
            hint="Run `pressmark verify-ledger`: entries are missing or were changed.",
            code="scope-differs",
        )
    return scope


def positions(subject: str, scope: Scope) -> Sequence[int]:
    """Where the entries of the scope of a subject stand, ascending."""
    if subject == INSTANCE:
        return range(scope.size)
    found: list[int] = []
    for streams in _in_parts(list(scope.ends)):
        rows = Entry.objects.filter(stream__in=streams, position__lt=scope.size)
        found += rows.values_list("position", flat=True)
    return sorted(found)


def _ends(size: int, streams: list[str] | None = None) -> dict[str, int]:
    """Last number of each stream among the first `size` entries; of all streams where none are named."""
    below = Entry.objects.filter(position__lt=size)
    parts = [below] if streams is None else [below.filter(stream__in=part) for part in _in_parts(streams)]
    ends: dict[str, int] = {}
    for rows in parts:
        ends.update(rows.values_list("stream").annotate(last=Max("stream_seq")).order_by())
    return ends


def _in_parts(streams: list[str]) -> Iterator[Iterable[str]]:
    for start in range(0, len(streams), _STREAMS_PER_QUERY):
        yield streams[start : start + _STREAMS_PER_QUERY]
