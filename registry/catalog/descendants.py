"""What was made from given versions or data, over any number of steps: for recalls, and for whoever changes what terms say.

Rules:
- every edge counts, in any role and of any grade: what a source only taught or measured was still touched by it;
- an edge to something outside counts where its digest is that of a version or data here: leaving out the reference hides nothing;
- over ids alone and without a limit: a recall that stops at some number of versions is none.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from registry.catalog.closure import EVERYTHING, Closure, id_of, raw_of
from registry.catalog.models import Edge, ModelVersion
from registry.provenance.models import DatasetVersion

_BATCH = 500
_STARTS = 10_000
T = TypeVar("T", str, uuid.UUID)
K = TypeVar("K", bound=Hashable)


class Starts(NamedTuple):
    """What to begin at: versions, and states of data."""

    versions: Collection[uuid.UUID]
    data: Collection[uuid.UUID]


def descendants_of(
    *, version_ids: Collection[uuid.UUID] = (), dataset_version_ids: Collection[uuid.UUID] = ()
) -> list[tuple[uuid.UUID, int]]:
    """Ids of all versions derived from these, nearest first, each with its smallest number of steps (1 = a child).

    The given versions themselves are not among them, unless one was derived from another of them.
    """
    starts = {raw_of(key) for key in version_ids}
    first = _joined(_children_of_data(set(dataset_version_ids)).values())
    found = _walk(_read(starts, first), starts, first)
    return sorted(((id_of(raw), distance) for raw, distance in found.items()), key=lambda item: (item[1], item[0]))


def descendants_of_each(starts: Mapping[K, Starts]) -> dict[K, set[uuid.UUID]]:
    """The same for several starts at once, without distances: the lineage is read one time for all of them."""
    made_with = _children_of_data({key for each in starts.values() for key in each.data})
    versions = {raw_of(key) for each in starts.values() for key in each.versions}
    onward = _read(versions, _joined(made_with.values()))
    found = {}
    for name, each in starts.items():
        first = _joined(made_with.get(key, ()) for key in each.data)
        found[name] = {id_of(raw) for raw in _walk(onward, {raw_of(key) for key in each.versions}, first)}
    return found


def _walk(onward: Mapping[str, Collection[str]], starts: Collection[str], first: Collection[str]) -> dict[str, int]:
    """Everything below, nearest first, with its smallest number of steps; `first` are children of data."""
    found = dict.fromkeys(sorted(first), 1)
    waiting = deque([*((raw, 0) for raw in sorted(starts)), *found.items()])
    while waiting:
        raw, distance = waiting.popleft()
        for child in onward.get(raw, ()):
            if child not in found:
                found[child] = distance + 1
                waiting.append((child, distance + 1))
    return found


def _joined(sets: Iterable[Iterable[str]]) -> set[str]:
    return {raw for some in sets for raw in some}


def _read(starts: set[str], children_of_data: set[str]) -> dict[str, set[str]]:
    """Children by parent, of everything below."""
    onward: dict[str, set[str]] = {}
    outside = _children_by_digest()
    seen: set[str] = set()
    wanted = starts | children_of_data
    while wanted:
        below = set(wanted)
        for batch in _batches(wanted, _STARTS):
            for parent, child in Closure([id_of(raw) for raw in batch], up=False, limit=EVERYTHING).children():
                onward.setdefault(parent, set()).add(child)
                below.add(child)
        new = below - seen
        seen |= below
        by_digest = _declared_children(new, outside) if outside else {}
        for parent, children in by_digest.items():
            onward.setdefault(parent, set()).update(children)
        wanted = {child for children in by_digest.values() for child in children} - seen
    return onward


def _children_of_data(dataset_version_ids: set[uuid.UUID]) -> dict[uuid.UUID, set[str]]:
    """By state of data the versions made with it, or with data declared under its digests."""
    found: dict[uuid.UUID, set[str]] = {key: set() for key in dataset_version_ids}
    named: dict[str, list[uuid.UUID]] = {}
    for batch in _batches(dataset_version_ids, _BATCH):
        edges = Edge.objects.filter(dataset_version_id__in=batch).values_list("dataset_version_id", "child_id")
        for key, child in edges:
            assert key is not None  # the filter names it
            found[key].add(raw_of(child))
        for key, *digests in DatasetVersion.objects.filter(pk__in=batch).values_list("pk", "digest", "document_digest"):
            for digest in filter(None, digests):
                named.setdefault(digest, []).append(key)
    for some in _batches(named, _BATCH):
        outside = Edge.objects.filter(parent=None, dataset_version=None, parent_digest__in=some)
        for digest, child in outside.values_list("parent_digest", "child_id"):
            for key in named[digest]:
                found[key].add(raw_of(child))
    return found


def _children_by_digest() -> dict[str, set[str]]:
    """Children of what was declared to be outside, by its digest."""
    found: dict[str, set[str]] = {}
    lines = Edge.objects.filter(parent=None, dataset_version=None).values_list("parent_digest", "child_id")
    for digest, child in lines.iterator():
        found.setdefault(digest, set()).add(raw_of(child))
    return found


def _declared_children(versions: set[str], outside: dict[str, set[str]]) -> dict[str, set[str]]:
    """Those of the children outside whose declared parent has the digest of one of these versions."""
    found: dict[str, set[str]] = {}
    for digests in _batches(outside, _BATCH):
        rows = ModelVersion.objects.filter(digest__in=digests).values_list("pk", "digest")
        found |= {raw_of(key): outside[digest] for key, digest in rows if raw_of(key) in versions}
    return found


def _batches(keys: Iterable[T], size: int) -> Iterator[list[T]]:
    wanted = sorted(keys)
    for start in range(0, len(wanted), size):
        yield wanted[start : start + size]
