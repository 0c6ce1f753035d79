"""When evidence was last measured: the same figures found again, to the byte, add no row, and yet they are the newest word.

Without this, whoever measured by a kinder plan last would have the last word for good: the earlier questions asked once more give
the earlier bytes, and evidence that a policy wants fresh could never be made so by measuring again.
"""

from __future__ import annotations

import datetime
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.utils import timezone

from registry import storage
from registry.catalog import queries as catalog
from registry.catalog.evidence_reading import EvidenceReader
from registry.catalog.models import Evidence, ModelVersion
from registry.compression import queries
from registry.compression.models import Run, RunKind, RunState
from registry.compression.subjects import evidence_spec
from registry.digests import canonical, sha256


def measured_again(version: ModelVersion, until: datetime.datetime) -> dict[str, datetime.datetime]:
    """By digest of evidence, when a run until then last found it again; what was found once only is not there."""
    return measured_again_of([version], until)[version.pk]


def measured_again_of(
    versions: Sequence[ModelVersion], until: datetime.datetime
) -> dict[uuid.UUID, dict[str, datetime.datetime]]:
    """The same for several versions, in as many questions as for one."""
    found: dict[uuid.UUID, dict[str, datetime.datetime]] = {version.pk: {} for version in versions}
    for version, _, digest, at in _found_again(versions, until):
        found[version][digest] = at
    return found


def evidence_documents(
    version: ModelVersion, reader: EvidenceReader | None = None
) -> list[tuple[Evidence, dict[str, Any]]]:
    """`catalog.queries.evidence_documents` in the order by which gates go: for every list that a person or a program reads."""
    return catalog.evidence_documents(version, reader, measured_again(version, timezone.now()))


def figure(version: ModelVersion, kind: str, metric: str) -> dict[str, Any] | None:
    """The figure over the whole that was measured last."""
    return catalog.figure(version, kind, metric, again=measured_again(version, timezone.now()))


@dataclass(frozen=True)
class Tries:
    """How often it was tried to measure a version."""

    alike: Mapping[str, int]
    """By kind, how many runs found again to the byte what was known."""
    failed: int
    cancelled: int


def tries_of(version: ModelVersion, until: datetime.datetime) -> Tries:
    """What runs that leave no document of their own did until then: figures found again, failures, cancellations."""
    ended = Run.objects.filter(kind=RunKind.EVALUATION, parent=version, finished_at__lte=until)
    return Tries(
        Counter(kind for _, kind, _, _ in _found_again([version], until)),
        ended.filter(state=RunState.FAILED).count(),
        ended.filter(state=RunState.CANCELLED).count(),
    )


def _found_again(
    versions: Sequence[ModelVersion], until: datetime.datetime
) -> Iterator[tuple[uuid.UUID, str, str, datetime.datetime]]:
    """Version, kind, digest and moment of what runs until then found again to the byte, the earliest first."""
    asked = {version.pk: version for version in versions}
    judged = Q(kind=RunKind.EVALUATION, parent__in=asked) | Q(kind=RunKind.COMPRESSION, child__in=asked)
    succeeded = {"state": RunState.SUCCEEDED, "finished_at__lte": until}
    if not Run.objects.filter(judged, **succeeded).exists():  # most uploads: the long query below is not worth its plan
        return
    runs = queries.run_rows().filter(judged, **succeeded).order_by("finished_at")
    measured = Evidence.objects.filter(version__in=asked, source="measured")
    brought = set(measured.values_list("version_id", "kind", "created_at"))
    for run in runs:
        if run.finished_at is None or run.result_digest is None or not storage.is_stored(run.result_digest):
            continue
        key = run.parent_id if run.kind == RunKind.EVALUATION else run.child_id
        result = queries.result_of(run)
        assert result is not None
        assert key is not None  # the filter names it
        for document in result.evidence:
            if (key, document["kind"], run.finished_at) not in brought:
                digest = sha256(canonical(evidence_spec(run, asked[key], result, document).document))
                yield key, str(document["kind"]), digest, run.finished_at
