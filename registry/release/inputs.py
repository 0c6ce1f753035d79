"""Gathers what a gate may look at about one version: evidence, terms, lineage, use case, waivers. Reads only, judges nothing."""

from __future__ import annotations

import datetime
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.catalog import queries as catalog
from registry.catalog.evidence import JUDGED_FILE
from registry.catalog.evidence_order import last_measured
from registry.catalog.models import Artifact, Edge, EdgeRole, Evidence, ModelVersion, RegisteredModel, VersionOrigin
from registry.catalog.terms import EffectiveTerms
from registry.compression.measured_again import measured_again_of
from registry.oversight.models import UseCase
from registry.provenance.models import DatasetVersion
from registry.release import gates, inputs_governance, queries
from registry.release.evidence_choice import FIRST, SERVED
from registry.release.gate_facts import OpenFindingInput, RecallInput
from registry.release.inputs_rows import Rows, foreign
from registry.release.models import Approval, Waiver
from registry.release.policy_language import PolicyRules


@dataclass(frozen=True)
class Asked:
    """What takes long to read, and whether some rule reads it."""

    terms: bool = True
    ancestors: bool = True
    incumbent: bool = True
    first: bool = True
    documents: bool = True
    reviews: bool = True
    findings: bool = True
    profiles: bool = True

    @classmethod
    def by(cls, *policies: PolicyRules) -> Asked:
        """What the rules of these policies read."""
        rules = [rule for policy in policies for rule in policy.rules]
        checks = {rule.check for rule in rules}
        kinds = {str(rule.parameters.get("kind", "")) for rule in rules}
        return cls(
            terms="terms" in checks,
            ancestors="parent_rollback_target" in checks,
            incumbent=any(kind.endswith(SERVED) for kind in kinds),
            first=any(kind.endswith(FIRST) for kind in kinds),
            documents="document_attached" in checks,
            reviews="review_in_force" in checks,
            findings="open_findings" in checks,
            profiles=bool({"data_quality", "contamination"} & checks),
        )


EVERYTHING = Asked()


def gather(
    version: ModelVersion,
    at: datetime.datetime,
    incumbent: ModelVersion | None = None,
    asked: Asked = EVERYTHING,
    *,
    back_on: str | None = None,
) -> gates.GateInputs:
    """The inputs of the gate for a version at a moment. `incumbent`: what it stands beside where it would be served.

    `back_on` names the alias of a roll-back: what its own emergency left open is told, and marked. `asked` leaves out what no rule
    reads, for whoever judges many versions and keeps no verdict.
    """
    return gather_many([version], at, asked, {version.pk: incumbent}, back_on=back_on)[version.pk]


def gather_many(
    versions: Sequence[ModelVersion],
    at: datetime.datetime,
    asked: Asked = EVERYTHING,
    incumbents: Mapping[uuid.UUID, ModelVersion | None] | None = None,
    *,
    back_on: str | None = None,
) -> dict[uuid.UUID, gates.GateInputs]:
    """The same for several versions, in about as many questions as for one: a few hundred at a time fit into a statement."""
    read = _Read.of(versions, at, asked, back_on)
    beside = incumbents or {}
    return {version.pk: _inputs(version, read, beside.get(version.pk), back_on) for version in versions}


@dataclass(frozen=True)
class _Read:
    """What was read, by version or by model."""

    at: datetime.datetime
    models: Mapping[uuid.UUID, RegisteredModel]
    evidence: Mapping[uuid.UUID, Sequence[tuple[Evidence, Mapping[str, Any]]]]
    again: Mapping[uuid.UUID, Mapping[str, datetime.datetime]]
    ancestry: Mapping[uuid.UUID, catalog.Ancestry]
    rows: Rows
    derived: Collection[uuid.UUID]
    stated: Mapping[uuid.UUID, catalog.Stated]
    terms: Mapping[uuid.UUID, EffectiveTerms]
    approved: Collection[uuid.UUID] | None
    """Ancestors that hold an approval; None where nobody asks."""
    first: Mapping[uuid.UUID, ModelVersion]
    waivers: Mapping[uuid.UUID, Sequence[gates.WaiverInput]]
    findings: Mapping[uuid.UUID, Sequence[OpenFindingInput]]
    recalls: Mapping[uuid.UUID, Sequence[RecallInput]]

    @classmethod
    def of(cls, versions: Sequence[ModelVersion], at: datetime.datetime, asked: Asked, back_on: str | None) -> _Read:
        """One question for each kind of thing, whatever the number of versions."""
        keys = [version.pk for version in versions]
        model_ids = {version.model_id for version in versions}
        models = RegisteredModel.objects.select_related("use_case__tier_table", "team").in_bulk(model_ids)
        evidence, ancestry = catalog.evidence_documents_of(keys), catalog.load_ancestors_of(keys)
        data = {key for one in keys for key in _data_keys(ancestry[one], evidence[one])}
        about = [key for v in versions for key in inputs_governance.of_version(v, _use_case_id(models[v.model_id]))]
        return cls(
            at=at,
            models=models,
            evidence=evidence,
            again=measured_again_of(versions, at),
            ancestry=ancestry,
            rows=Rows.read(versions, data, about, asked=asked),
            derived=_derived(keys),
            stated=catalog.stated(keys),
            terms=catalog.effective_terms_of(versions) if asked.terms else {},
            approved=_approved({row.pk for one in ancestry.values() for row in one.parents})
            if asked.ancestors
            else None,
            first=queries.first_approved_of(model_ids) if asked.first else {},
            waivers=_waivers(keys),
            findings=inputs_governance.open_findings(model_ids, back_on) if asked.findings else {},
            recalls=inputs_governance.recalls_of(versions),
        )


def _inputs(
    version: ModelVersion, read: _Read, incumbent: ModelVersion | None, back_on: str | None
) -> gates.GateInputs:
    key, model, data = version.pk, read.models[version.model_id], read.rows
    use_case, ancestry, first = _use_case(model), read.ancestry[key], read.first.get(version.model_id)
    evidence = _evidence(read.evidence[key], read.again[key], data.rows)
    brought = _data_keys(ancestry, read.evidence[key])
    return gates.GateInputs(
        version_digest=version.digest,
        origin=str(VersionOrigin.DERIVED) if key in read.derived else version.origin,
        at=read.at,
        tier=use_case.tier if use_case else None,
        use_case=f"{model.team.slug}/{use_case.slug}" if use_case else None,
        training_data=read.stated[key].training_data,
        structure=[
            e.digest
            for e in evidence
            if e.kind == "structure" and e.source == "measured" and e.version_digest == version.digest
        ],
        evidence=evidence,
        terms=_terms(read.terms[key]) if key in read.terms else {},
        edges=[_edge(e) for e in ancestry.edges if e.child_id == key and e.role != EdgeRole.DATA],
        datasets=data.of_lineage(version, ancestry),
        ancestors=_ancestors(ancestry, version, read.approved),
        waivers=read.waivers.get(key, ()),
        incumbent=incumbent.digest if incumbent else None,
        first_approved=first.digest if first else None,
        tier_answered=inputs_governance.tier_answered(use_case, back_on),
        evaluation_data=data.of_evidence(version, brought, evidence),
        findings=read.findings.get(version.model_id, ()),
        documents=data.documents_of(inputs_governance.of_version(version, _use_case_id(model))),
        reviews=data.reviews.get(key, ()),
        recalls=read.recalls[key],
    )


def _use_case(model: RegisteredModel) -> UseCase | None:
    return model.use_case if model.use_case and model.use_case.ended_at is None else None


def _use_case_id(model: RegisteredModel) -> uuid.UUID | None:
    use_case = _use_case(model)
    return use_case.pk if use_case else None


def _data_keys(ancestry: catalog.Ancestry, evidence: Iterable[tuple[Evidence, Mapping[str, Any]]]) -> set[uuid.UUID]:
    """The registered states of data that the lineage or the evidence names."""
    found = {e.dataset_version_id for e in ancestry.edges} | {row.dataset_version_id for row, _ in evidence}
    return {key for key in found if key is not None}


def _derived(keys: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Weights that a run made are derived, whoever brings them again: a child that fails its limits does not pass as an upload."""
    own = Artifact.objects.filter(role="weights", version__in=keys)
    made = Artifact.objects.filter(
        role="weights", digest__in=own.values("digest"), version__origin=VersionOrigin.DERIVED
    )
    return set(own.filter(digest__in=made.values("digest")).values_list("version_id", flat=True))


def _evidence(
    rows: Sequence[tuple[Evidence, Mapping[str, Any]]],
    again: Mapping[str, datetime.datetime],
    data: Mapping[uuid.UUID, DatasetVersion],
) -> list[gates.EvidenceInput]:
    """What was measured again to the byte is as new as the last time that it was found."""
    return [
        gates.EvidenceInput(
            kind=row.kind,
            source=row.source,
            digest=row.digest,
            version_digest=row.version_digest,
            created_at=last_measured(row, again),
            figures=document["figures"],
            environment={str(fact["name"]): str(fact["value"]) for fact in document["environment"]},
            datasets=_named(document, "dataset"),
            files=_file_read(document, data.get(row.dataset_version_id) if row.dataset_version_id else None),
            compared_with=_named(document, "incumbent"),
        )
        for row, document in rows
    ]


def _file_read(document: Mapping[str, Any], data: DatasetVersion | None) -> dict[str, str]:
    """By digest of the data the digest of the one file that was read; empty where the data are that file."""
    named = next((fact["value"] for fact in document["environment"] if fact["name"] == JUDGED_FILE), None)
    return {} if data is None or named in (None, data.bound_digest) else {data.bound_digest: str(named)}


def _named(document: Mapping[str, Any], role: str) -> list[str]:
    return [subject["digest"] for subject in document["subjects"] if subject["role"] == role]


def _terms(found: EffectiveTerms) -> dict[str, gates.TermInput]:
    terms = {}
    for term, answer in found.answers.items():
        proof = found.because(term)
        decided_by = f"{proof[0].licence} of {proof[0].source}" if proof else ""
        terms[term] = gates.TermInput(answer, decided_by)
    return terms


def _edge(edge: Edge) -> gates.EdgeInput:
    return gates.EdgeInput(parent_digest=edge.parent_digest, role=edge.role, grade=edge.grade)


def _approved(ancestors: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Those of the versions that hold an approval that was granted and not revoked."""
    rows = Approval.objects.filter(version_id__in=ancestors).prefetch_related("decisions")
    return {row.version_id for row in rows if queries.was_granted(row)}


def _ancestors(
    ancestry: catalog.Ancestry, version: ModelVersion, approved: Collection[uuid.UUID] | None
) -> list[gates.AncestorInput]:
    """Parent versions, nearest first, each with whether it holds an approval."""
    if approved is None:
        return []
    return [gates.AncestorInput(_name(row, version), row.digest, row.pk in approved) for row in ancestry.parents]


def _name(parent: ModelVersion, version: ModelVersion) -> str:
    """Readers of the version may not be readers of the parent's team: an ancestor from elsewhere is named by digest alone."""
    if parent.model.team_id == version.model.team_id:
        return str(parent)
    return foreign("a version", parent.digest)


def _waivers(keys: Collection[uuid.UUID]) -> dict[uuid.UUID, list[gates.WaiverInput]]:
    found: dict[uuid.UUID, list[gates.WaiverInput]] = defaultdict(list)
    for row in Waiver.objects.filter(version__in=keys).order_by("pk"):
        found[row.version_id].append(_waiver(row))
    return found


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
