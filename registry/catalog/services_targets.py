"""The one write of what was measured where a model is served: evidence of kind `target`, bound to version, host and settings."""

from __future__ import annotations

from typing import Any

from registry.access import permissions
from registry.access.models import Actor
from registry.catalog import queries, targets
from registry.catalog.evidence import TARGET_KIND, EvidenceSpec, check_evidence
from registry.catalog.models import EdgeRole, Evidence, ModelVersion, RegisteredModel
from registry.catalog.services import add_evidence
from registry.digests import sha256
from registry.errors import Conflict, Invalid
from registry.events import Caller, unit
from registry.provenance import queries as provenance
from registry.provenance.models import DatasetVersion, Source


def record_target_measurement(*, actor: Caller, version: ModelVersion, document: Any) -> Evidence:
    """Keep a `pressmark/target_measurement/1` about exactly this version. It is never shown as our own measurement."""
    role = permissions.require(actor, "target_measurement.record", version.model.team_id)
    spec = _spec(actor, version, targets.check_document(document))
    digest = sha256(check_evidence(spec, version.digest))
    with unit(actor, role=role) as opened:
        RegisteredModel.objects.select_for_update(no_key=True, of=("self",)).get(pk=version.model_id)
        if Evidence.objects.filter(version=version, digest=digest).exists():
            raise Conflict("This measurement is kept already.", hint=f"It is {digest}.", code="duplicate")
        creator = Actor.objects.get(pk=actor.actor_id)
        return add_evidence(opened, version=version, specs=[spec], created_by=creator)[0]


def _spec(actor: Caller, version: ModelVersion, document: targets.Document) -> EvidenceSpec:
    _check_version(version, document["version_digest"], document["weights"]["digest"])
    ancestry = queries.load_ancestors(version)
    parent = _parent(ancestry.parents, document["parent"])
    rows = document["data"]["digest"]
    subjects = [("version", version.digest), ("dataset", rows)]
    subjects += [("parent", parent.digest)] if parent is not None else []
    seen = any(edge.role == EdgeRole.DATA and edge.parent_digest == rows for edge in ancestry.edges)
    held = DatasetVersion.objects.filter(digest=rows).exists()
    data = provenance.dataset_versions(actor).filter(digest=rows).order_by("pk").first()
    body = targets.evidence_document(document, subjects, document["data"]["rows"] if seen else 0, registered=held)
    return EvidenceSpec(TARGET_KIND, Source.DECLARED.value, body, parent, data)


def _check_version(version: ModelVersion, digest: str | None, weights: str) -> None:
    if digest not in (None, version.digest) or weights not in _weights(version):
        raise Invalid(
            f"Other files were measured than those of {version}.",
            hint="Pull the version with `pressmark pull`, measure what came, and push to the version that was measured.",
            code="target-measurement",
        )


def _parent(ancestors: list[ModelVersion], measured: Any) -> ModelVersion | None:
    """The ancestor that stood beside the version on the host; Invalid when it is none."""
    if measured is None:
        return None
    for ancestor in ancestors:
        named = measured["version_digest"] in (None, ancestor.digest)
        if named and measured["weights"]["digest"] in _weights(ancestor):
            return ancestor
    raise Invalid(
        "The version was measured beside another one that it was not derived from.",
        hint="Measure it beside its parent, or alone.",
        code="target-measurement",
    )


def _weights(version: ModelVersion) -> set[str]:
    return set(version.artifacts.filter(role="weights").values_list("digest", flat=True))
