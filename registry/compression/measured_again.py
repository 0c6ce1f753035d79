"""When evidence was last measured: the same figures found again, to the byte, add no row, and yet they are the newest word.

Without this, whoever measured by a kinder plan last would have the last word for good: the earlier questions asked once more give
the earlier bytes, and evidence that a policy wants fresh could never be made so by measuring again.
"""

from __future__ import annotations

import datetime

from django.db.models import Q

from registry import storage
from registry.catalog.models import Evidence, ModelVersion
from registry.compression import queries
from registry.compression.models import Run, RunKind, RunState
from registry.compression.subjects import evidence_spec
from registry.digests import canonical, sha256


def measured_again(version: ModelVersion, until: datetime.datetime) -> dict[str, datetime.datetime]:
    """By digest of evidence, when a run until then last found it again; what was found once only is not there."""
    judged = Q(kind=RunKind.EVALUATION, parent=version) | Q(kind=RunKind.COMPRESSION, child=version)
    succeeded = {"state": RunState.SUCCEEDED, "finished_at__lte": until}
    if not Run.objects.filter(judged, **succeeded).exists():  # most uploads: the long query below is not worth its plan
        return {}
    runs = queries.run_rows().filter(judged, **succeeded).order_by("finished_at")
    brought = set(Evidence.objects.filter(version=version, source="measured").values_list("kind", "created_at"))
    found: dict[str, datetime.datetime] = {}
    for run in runs:
        if run.finished_at is None or run.result_digest is None or not storage.is_stored(run.result_digest):
            continue
        result = queries.result_of(run)
        assert result is not None
        for document in result.evidence:
            if (document["kind"], run.finished_at) not in brought:
                found[sha256(canonical(evidence_spec(run, version, result, document).document))] = run.finished_at
    return found
