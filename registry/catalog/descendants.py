"""What was made from given versions or data, over any number of steps: for recalls, and for whoever changes what terms say.

Rules:
- every edge counts, in any role and of any grade: what a source only taught or measured was still touched by it;
- an edge to something outside counts where its digest is that of a version or data here: leaving out the reference hides nothing;
- level by level, over ids alone, without a limit: a recall that stops at some number of versions is none.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator

from registry.catalog.models import Edge, ModelVersion
from registry.provenance.models import DatasetVersion

_BATCH = 500


def descendants_of(
    *, version_ids: Collection[uuid.UUID] = (), dataset_version_ids: Collection[uuid.UUID] = ()
) -> list[tuple[uuid.UUID, int]]:
    """Ids of all versions derived from these, nearest first, each with its smallest number of steps (1 = a child).

    The given versions themselves are not among them, unless one was derived from another of them.
    """
    found: dict[uuid.UUID, int] = {}
    level = set(version_ids)
    distance = 1
    outside = _children_by_digest()
    children = _children(level, set(dataset_version_ids), outside)
    while children:
        level = children - found.keys()
        found |= dict.fromkeys(level, distance)
        distance += 1
        children = _children(level, set(), outside) if level else set()
    return sorted(found.items(), key=lambda item: (item[1], item[0]))


def _children(versions: set[uuid.UUID], data: set[uuid.UUID], outside: dict[str, set[uuid.UUID]]) -> set[uuid.UUID]:
    found: set[uuid.UUID] = set()
    for batch in _batches(versions):
        found.update(Edge.objects.filter(parent_id__in=batch).values_list("child_id", flat=True))
    for batch in _batches(data):
        found.update(Edge.objects.filter(dataset_version_id__in=batch).values_list("child_id", flat=True))
    if outside:
        for digest in _digests(versions, data) & outside.keys():
            found |= outside[digest]
    return found


def _children_by_digest() -> dict[str, set[uuid.UUID]]:
    """Children of what was declared to be outside, by its digest."""
    found: dict[str, set[uuid.UUID]] = {}
    lines = Edge.objects.filter(parent=None, dataset_version=None).values_list("parent_digest", "child_id")
    for digest, child in lines.iterator():
        found.setdefault(digest, set()).add(child)
    return found


def _digests(versions: set[uuid.UUID], data: set[uuid.UUID]) -> set[str]:
    found: set[str] = set()
    for batch in _batches(versions):
        found.update(ModelVersion.objects.filter(pk__in=batch).values_list("digest", flat=True))
    for batch in _batches(data):
        rows = DatasetVersion.objects.filter(pk__in=batch).values_list("digest", "document_digest")
        found.update(digest for row in rows for digest in row if digest)
    return found


def _batches(ids: Iterable[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    wanted = sorted(ids)
    for start in range(0, len(wanted), _BATCH):
        yield wanted[start : start + _BATCH]
