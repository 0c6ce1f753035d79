"""Whether the scope that a `bundle.issued` sealed is true: the streams that it names ended where it says, among its first entries.

Rules (FORMATS section 7):
- a scope lists streams with their last numbers, by stream, each once; its size is not past the entry that seals it;
- each end is what it was; the scope of the whole instance names every stream that there was.
The ends are looked up beside the entries, in columns that verify-ledger has held against the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Max

from audit.models import Entry
from registry import storage
from registry.digests import CanonicalError, parse_canonical
from registry.errors import Problem

TYPE = "pressmark/scope/1"
INSTANCE = "instance"
_STREAMS_PER_QUERY = 500


def flaws(event: dict[str, Any], position: int) -> Iterator[str]:
    """What is wrong with the scope of an event `bundle.issued` at a position."""
    digest = next((str(ref["digest"]) for ref in event["refs"] if ref["name"] == "scope"), None)
    if digest is None:
        yield "bundle.issued names no scope"
        return
    try:
        size, ends = _read(parse_canonical(storage.read_bytes(digest)))
    except (Problem, CanonicalError, ValueError) as error:
        yield f"the scope cannot be read: {error}"
        return
    if size > position:
        yield f"the scope speaks of {size} entries, but was sealed before them"
    whole = any(record["row"].get("subject") == INSTANCE for record in event["records"])
    found = _ends(size, None if whole else sorted(ends))
    for stream in sorted(set(ends) | set(found)):
        if stream not in ends:
            yield f"the scope of the instance leaves out stream {stream}"
        elif found.get(stream) != ends[stream]:
            yield f"the scope ends stream {stream} at {ends[stream]}, but it was at {found.get(stream, 'no number')}"


def _read(scope: Any) -> tuple[int, dict[str, int]]:
    """Size and ends of a scope document; ValueError when it is none."""
    if not isinstance(scope, dict) or scope.get("type") != TYPE or set(scope) != {"ends", "size", "type"}:
        raise ValueError(f"it is no {TYPE}")
    size, ends = scope["size"], scope["ends"]
    if type(size) is not int or size < 0 or not isinstance(ends, list):
        raise ValueError("its size or its ends have the wrong type")
    found: dict[str, int] = {}
    for end in ends:
        if not isinstance(end, dict) or set(end) != {"last_seq", "stream"}:
            raise ValueError("an end has exactly the members last_seq and stream")
        stream, last = end["stream"], end["last_seq"]
        if type(stream) is not str or type(last) is not int or stream in found:
            raise ValueError("an end names its stream once, and its last number")
        found[stream] = last
    return size, found


def _ends(size: int, streams: list[str] | None) -> dict[str, int]:
    """The last number of each stream among the first `size` entries; of all where none are named."""
    below = Entry.objects.filter(position__lt=size)
    parts = [below]
    if streams is not None:
        starts = range(0, len(streams), _STREAMS_PER_QUERY)
        parts = [below.filter(stream__in=streams[at : at + _STREAMS_PER_QUERY]) for at in starts]
    ends: dict[str, int] = {}
    for rows in parts:
        ends.update(rows.values_list("stream").annotate(last=Max("stream_seq")).order_by())
    return ends
