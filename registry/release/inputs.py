"""Gathers what a gate may look at about one version: evidence, terms, lineage, use case, waivers. Reads only, judges nothing."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from typing import Any

from registry.catalog import queries as catalog
from registry.catalog.models import Artifact, Edge, EdgeRole, ModelVersion, RegisteredModel, VersionOrigin
from registry.compression.measured_again import measured_again
from registry.provenance.licences import TermsDocument
from registry.provenance.queries import terms_in_force
from registry.release import gates, queries
from registry.release.models import Approval, DecisionKind, Waiver

_DECISIVE_TERMS = ("commercial_use", "redistribution", "modification")


def gather(version: ModelVersion, at: datetime.datetime, incumbent: ModelVersion | None = None) -> gates.GateInputs:
    """The inputs of the gate for a version at a moment. `incumbent`: what it stands beside where it would be served."""
    model = RegisteredModel.objects.select_related("use_case", "team").get(pk=version.model_id)
    use_case = model.use_case if model.use_case and model.use_case.ended_at is None else None
    evidence = _evidence(version, at)
    ancestry = catalog.load_ancestors(version)
    first = queries.first_approved(model)
    return gates.GateInputs(
        version_digest=version.digest,
        origin=_origin(version),
        at=at,
        tier=use_case.tier if use_case else None,
        use_case=f"{model.team.slug}/{use_case.slug}" if use_case else None,
        training_data=catalog.stated([version.pk])[version.pk].training_data,
        structure=[e.digest for e in evidence if e.kind == "structure" and e.source == "measured"],
        evidence=evidence,
        terms=_terms(version),
        edges=[_edge(e) for e in ancestry.edges if e.child_id == version.pk and e.role != EdgeRole.DATA],
        datasets=_datasets(ancestry, version),
        ancestors=_ancestors(ancestry, version),
        waivers=[_waiver(w) for w in Waiver.objects.filter(version=version).order_by("pk")],
        incumbent=incumbent.digest if incumbent else None,
        first_approved=first.digest if first else None,
    )


def _origin(version: ModelVersion) -> str:
    """Weights that a run made are derived, whoever brings them again: a child that fails its limits does not pass as an upload."""
    weights = version.artifacts.filter(role="weights").values("digest")
    made = Artifact.objects.filter(role="weights", digest__in=weights, version__origin=VersionOrigin.DERIVED)
    return str(VersionOrigin.DERIVED) if made.exists() else version.origin


def _evidence(version: ModelVersion, at: datetime.datetime) -> list[gates.EvidenceInput]:
    """What was measured again to the byte is as new as the last time that it was found."""
    again = measured_again(version, at)
    return [
        gates.EvidenceInput(
            kind=row.kind,
            source=row.source,
            digest=row.digest,
            version_digest=row.version_digest,
            created_at=max(row.created_at, again.get(row.digest, row.created_at)),
            figures=document["figures"],
            environment={str(fact["name"]): str(fact["value"]) for fact in document["environment"]},
            datasets=_named(document, "dataset"),
            compared_with=_named(document, "incumbent"),
        )
        for row, document in catalog.evidence_documents(version)
    ]


def _named(document: Mapping[str, Any], role: str) -> list[str]:
    return [subject["digest"] for subject in document["subjects"] if subject["role"] == role]


def _terms(version: ModelVersion) -> dict[str, gates.TermInput]:
    found = catalog.effective_terms(version)
    terms = {}
    for term, answer in found.answers.items():
        proof = found.because(term)
        decided_by = f"{proof[0].licence} of {proof[0].source}" if proof else ""
        terms[term] = gates.TermInput(answer, decided_by)
    return terms


def _edge(edge: Edge) -> gates.EdgeInput:
    return gates.EdgeInput(parent_digest=edge.parent_digest, role=edge.role, grade=edge.grade)


def _datasets(ancestry: catalog.Ancestry, version: ModelVersion) -> list[gates.DatasetInput]:
    edges = [e for e in ancestry.edges if e.role == EdgeRole.DATA]
    terms = terms_in_force(e.dataset_version.licence_id for e in edges if e.dataset_version is not None)
    found = [_dataset(e, version, terms) for e in edges]
    if ancestry.truncated:
        found.append(
            gates.DatasetInput("what lies beyond the limit of the lineage", version.digest, "none", False, False)
        )
    return found


def _dataset(edge: Edge, version: ModelVersion, terms: Mapping[uuid.UUID, TermsDocument]) -> gates.DatasetInput:
    row = edge.dataset_version
    if row is None:
        return gates.DatasetInput("data outside of this registry", edge.parent_digest, "not recorded", False, False)
    own = row.dataset.team_id == version.model.team_id
    return gates.DatasetInput(
        reference=f"{row.dataset.team.slug}/{row.dataset.slug}@{row.number}"
        if own
        else _foreign("data", row.bound_digest),
        digest=row.bound_digest,
        licence=str(row.licence),
        licence_known=_terms_known(terms[row.licence_id]),
        origin_known=row.origin.erased_at is None and bool((row.origin.value or "").strip()),
    )


def _terms_known(terms: TermsDocument) -> bool:
    return all(terms["answers"][term]["answer"] != "unknown" for term in _DECISIVE_TERMS)


def _ancestors(ancestry: catalog.Ancestry, version: ModelVersion) -> list[gates.AncestorInput]:
    """Parent versions, nearest first, each with whether it holds an approval that was granted and not revoked."""
    rows = Approval.objects.filter(version_id__in=[row.pk for row in ancestry.parents]).prefetch_related("decisions")
    approved = {row.version_id for row in rows if _was_granted(row)}
    return [gates.AncestorInput(_name(row, version), row.digest, row.pk in approved) for row in ancestry.parents]


def _was_granted(approval: Approval) -> bool:
    decisions = list(approval.decisions.all())
    grants = {d.decided_by_id for d in decisions if d.kind == DecisionKind.GRANTED}
    return len(grants) >= approval.required and not any(d.kind == DecisionKind.REVOKED for d in decisions)


def _name(parent: ModelVersion, version: ModelVersion) -> str:
    """Readers of the version may not be readers of the parent's team: an ancestor from elsewhere is named by digest alone."""
    if parent.model.team_id == version.model.team_id:
        return str(parent)
    return _foreign("a version", parent.digest)


def _foreign(what: str, digest: str) -> str:
    return f"{what} of another team ({digest[:19]})"


def _waiver(row: Waiver) -> gates.WaiverInput:
    return gates.WaiverInput(
        id=str(row.pk),
        rule=row.rule,
        rule_digest=row.rule_digest,
        version_digest=row.version_digest,
        signed_by=str(row.signed_by_id),
        expires_at=row.expires_at,
        ended_at=row.ended_at,
    )
