"""What an evidence document must be before it is attached to a version: the members of FORMATS section 3, bound to its digest.

Rules:
- the document is `pressmark/evidence/1`, canonical, without time and id;
- its subject in the role version is the digest of the version that it is attached to; a named parent or dataset fits its subject;
- from outside evidence is declared; measured is what our own engine measured;
- the kind `target` is kept for what `pressmark measure` pushed, so that nobody writes it by hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compression_engine.inspect import Inspection
from registry.catalog.manifest import METHOD, Manifest
from registry.catalog.models import ModelVersion
from registry.digests import CanonicalError, evidence_document
from registry.errors import Invalid
from registry.provenance.models import DatasetVersion, Source

MEMBERS = {"environment", "figures", "kind", "method", "seed", "source", "subjects", "type"}
SEEN_ROWS = "seen_rows"
"""The name in an environment under which evidence says how many of its rows the version was made with."""
DISTINCT_ROWS, ALL_ROWS, LEFT_OUT = "distinct_rows", "evaluated_rows", "left_out_rows"
"""So the names under which it says how many rows differ, where some repeat, and of how many."""
JUDGED_FILE = "evaluation_file"
"""So the name under which it says which file of data of several was read, by digest."""
UNREGISTERED = "unregistered_rows"
"""So the name under which a measurement on a target says that no dataset here holds its rows, and how many they are."""
SCORES_DOUBTED = "scores_doubted"
"""So the name under which it says that its plan most likely misnames the scores of the model, and why."""
TARGET_KIND = "target"
"""What our own program measured where a model is served; it comes by a door of its own."""
_MORE = re.compile(r"and ([0-9]{1,15}) more")
_KIND = re.compile(r"[a-z][a-z0-9_-]{0,39}")


@dataclass(frozen=True)
class EvidenceSpec:
    """One evidence document to attach, whose subjects are final, and the rows that it speaks about."""

    kind: str
    source: str
    document: dict[str, Any]
    parent: ModelVersion | None = None
    dataset_version: DatasetVersion | None = None


def check_evidence(spec: EvidenceSpec, version_digest: str) -> bytes:
    """Canonical bytes of the document; Invalid says which member is wrong."""
    document = spec.document
    if not isinstance(document, Mapping) or set(document) != MEMBERS or document["type"] != "pressmark/evidence/1":
        raise _wrong(f"An evidence document has exactly the members {', '.join(sorted(MEMBERS))}.")
    try:
        data = evidence_document(**{name: document[name] for name in MEMBERS - {"type"}})
    except (CanonicalError, TypeError, AttributeError, KeyError, ValueError) as error:
        raise _wrong(f"The evidence document breaks a rule: {error}.") from None
    if document["kind"] != spec.kind or not _KIND.fullmatch(spec.kind):
        raise _wrong(f"The kind {spec.kind!r} is not usable, or not that of the document ({document['kind']!r}).")
    if document["source"] != spec.source:
        raise _wrong(f"The document says {document['source']}, the record {spec.source}.")
    _check_subjects(spec, version_digest)
    return data


def _check_subjects(spec: EvidenceSpec, version_digest: str) -> None:
    subjects = {(s["role"], s["digest"]) for s in spec.document["subjects"]}
    if [d for role, d in subjects if role == "version"] != [version_digest]:
        raise _wrong(f"The one subject in the role version must be {version_digest}.")
    if spec.parent is not None and ("parent", spec.parent.digest) not in subjects:
        raise _wrong(f"The parent {spec.parent.digest} is no subject of the document.")
    if spec.dataset_version is not None and ("dataset", spec.dataset_version.bound_digest) not in subjects:
        raise _wrong(f"The dataset {spec.dataset_version.bound_digest} is no subject of the document.")


def left_out(broken: Sequence[str]) -> int:
    """How many rows could not be used: the engine names the first of them, and counts the others in its last word."""
    more = _MORE.fullmatch(broken[-1]) if broken else None
    return len(broken) if more is None else len(broken) - 1 + int(more[1])


def structure_evidence(manifest: Manifest) -> EvidenceSpec:
    """Evidence of kind `structure`: what looking at the weights found when the version was registered."""
    figures = [figure for path, found in manifest.inspections for figure in _structure_figures(path, found)]
    document = {
        "environment": [],
        "figures": figures,
        "kind": "structure",
        "method": METHOD,
        "seed": None,
        "source": Source.MEASURED.value,
        "subjects": [{"digest": manifest.digest, "role": "version"}],
        "type": "pressmark/evidence/1",
    }
    return EvidenceSpec("structure", Source.MEASURED.value, document)


def _structure_figures(path: str, found: Inspection) -> list[dict[str, Any]]:
    file = [{"name": "file", "value": path}]
    counts = [
        ("parameter_count", "parameter", found.parameter_count),
        ("tensor_count", "tensor", found.tensor_count),
        ("node_count", "node", found.node_count),
    ]
    figures = [_count(metric, unit, value, file) for metric, unit, value in counts if value is not None]
    return figures + [
        _count("weight_bytes", "byte", size_bytes, [*file, {"name": "dtype", "value": dtype}])
        for dtype, size_bytes in found.bytes_by_dtype
    ]


def _count(metric: str, unit: str, value: int, part: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "high": None, "low": None, "metric": metric, "n": 1, "reason": None,
        "slice": part, "spread": None, "unit": unit, "value": str(value),
    }  # fmt: skip


def _wrong(detail: str) -> Invalid:
    return Invalid(detail, hint="See FORMATS section 3 for the document.", code="evidence")
