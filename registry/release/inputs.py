"""Gathers what a gate may look at about one version: evidence, terms, lineage, use case, waivers. Reads only, judges nothing."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.catalog import queries as catalog
from registry.catalog.evidence import JUDGED_FILE
from registry.catalog.evidence_order import last_measured
from registry.catalog.models import Artifact, Edge, EdgeRole, Evidence, ModelVersion, RegisteredModel, VersionOrigin
from registry.compression.measured_again import measured_again
from registry.provenance.licences import TermsDocument
from registry.provenance.models import DatasetVersion
from registry.provenance.queries import terms_in_force
from registry.provenance.stated import TEXTS, StatedData, stated_data
from registry.release import gates, inputs_governance, queries
from registry.release.evidence_choice import FIRST, SERVED
from registry.release.gate_facts import DocumentInput, ProfileInput, ReviewInput
from registry.release.inputs_data import profiles
from registry.release.models import Approval, Waiver
from registry.release.policy_language import PolicyRules

_DECISIVE_TERMS = ("commercial_use", "redistribution", "modification")


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
    model = RegisteredModel.objects.select_related("use_case__tier_table", "team").get(pk=version.model_id)
    use_case = model.use_case if model.use_case and model.use_case.ended_at is None else None
    rows = catalog.evidence_documents(version)
    ancestry = catalog.load_ancestors(version)
    first = queries.first_approved(model) if asked.first else None
    data = _Data.read(version, use_case.pk if use_case else None, ancestry, rows, asked)
    evidence = _evidence(version, rows, at, data.rows)
    return gates.GateInputs(
        version_digest=version.digest,
        origin=_origin(version),
        at=at,
        tier=use_case.tier if use_case else None,
        use_case=f"{model.team.slug}/{use_case.slug}" if use_case else None,
        training_data=catalog.stated([version.pk])[version.pk].training_data,
        structure=[
            e.digest
            for e in evidence
            if e.kind == "structure" and e.source == "measured" and e.version_digest == version.digest
        ],
        evidence=evidence,
        terms=_terms(version) if asked.terms else {},
        edges=[_edge(e) for e in ancestry.edges if e.child_id == version.pk and e.role != EdgeRole.DATA],
        datasets=data.of_lineage(ancestry),
        ancestors=_ancestors(ancestry, version) if asked.ancestors else [],
        waivers=[_waiver(w) for w in Waiver.objects.filter(version=version).order_by("pk")],
        incumbent=incumbent.digest if incumbent else None,
        first_approved=first.digest if first else None,
        tier_answered=inputs_governance.tier_answered(use_case, back_on),
        evaluation_data=data.of_evidence(evidence),
        findings=inputs_governance.open_findings(version, back_on) if asked.findings else [],
        documents=data.documents_of(inputs_governance.of_version(version, use_case.pk if use_case else None)),
        reviews=data.reviews.get(version.pk, ()),
        recalls=inputs_governance.recalls(version),
    )


def _origin(version: ModelVersion) -> str:
    """Weights that a run made are derived, whoever brings them again: a child that fails its limits does not pass as an upload."""
    weights = version.artifacts.filter(role="weights").values("digest")
    made = Artifact.objects.filter(role="weights", digest__in=weights, version__origin=VersionOrigin.DERIVED)
    return str(VersionOrigin.DERIVED) if made.exists() else version.origin


def _evidence(
    version: ModelVersion,
    rows: Sequence[tuple[Evidence, Mapping[str, Any]]],
    at: datetime.datetime,
    data: Mapping[uuid.UUID, DatasetVersion],
) -> list[gates.EvidenceInput]:
    """What was measured again to the byte is as new as the last time that it was found."""
    again = measured_again(version, at)
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


@dataclass(frozen=True)
class _Data:
    """The dataset versions that stand behind a version, with what is kept and was found about them."""

    version: ModelVersion
    rows: Mapping[uuid.UUID, DatasetVersion]
    stated: Mapping[uuid.UUID, StatedData]
    terms: Mapping[uuid.UUID, TermsDocument]
    documents: Mapping[uuid.UUID, Sequence[DocumentInput]]
    reviews: Mapping[uuid.UUID, Sequence[ReviewInput]]
    profiles: Mapping[uuid.UUID, ProfileInput]

    @classmethod
    def read(
        cls,
        version: ModelVersion,
        use_case_id: uuid.UUID | None,
        ancestry: catalog.Ancestry,
        evidence: Sequence[tuple[Evidence, Mapping[str, Any]]],
        asked: Asked,
    ) -> _Data:
        """Everything at once: a lineage may name many datasets."""
        keys = {e.dataset_version_id for e in ancestry.edges} | {row.dataset_version_id for row, _ in evidence}
        related = ("dataset__team", "licence", *TEXTS)
        rows = DatasetVersion.objects.select_related(*related).in_bulk([key for key in keys if key is not None])
        found = list(rows.values())
        stated = stated_data(found)
        about = (*inputs_governance.of_datasets(found), *inputs_governance.of_version(version, use_case_id))
        states = [(version.pk, version.digest), *((row.pk, row.bound_digest) for row in found)]
        return cls(
            version,
            rows,
            stated,
            terms_in_force(said.licence.pk for said in stated.values()),
            inputs_governance.documents(about) if asked.documents else {},
            inputs_governance.reviews(states) if asked.reviews else {},
            profiles(rows) if asked.profiles else {},
        )

    def of_lineage(self, ancestry: catalog.Ancestry) -> list[gates.DatasetInput]:
        """What edges of the lineage name, data outside of this registry too."""
        found = [
            self._input(self.rows[edge.dataset_version_id])
            if edge.dataset_version_id
            else gates.DatasetInput("data outside of this registry", edge.parent_digest, "not recorded", False, False)
            for edge in ancestry.edges
            if edge.role == EdgeRole.DATA
        ]
        if ancestry.truncated:
            beyond = "what lies beyond the limit of the lineage"
            found.append(gates.DatasetInput(beyond, self.version.digest, "none", False, False))
        return found

    def of_evidence(self, evidence: Sequence[gates.EvidenceInput]) -> list[gates.DatasetInput]:
        """The rows that measured evidence is about, by digest; rows that are not registered here stand there by it alone."""
        named = sorted({digest for e in evidence if e.source == "measured" for digest in e.datasets})
        known = {row.bound_digest: row for row in self.rows.values()}
        return [
            self._input(known[digest])
            if digest in known
            else gates.DatasetInput(
                f"data outside of this registry ({digest[:19]})", digest, "not recorded", False, False
            )
            for digest in named
        ]

    def documents_of(self, about: Sequence[uuid.UUID]) -> list[DocumentInput]:
        return [document for key in about for document in self.documents.get(key, ())]

    def _input(self, row: DatasetVersion) -> gates.DatasetInput:
        own = row.dataset.team_id == self.version.model.team_id
        said = self.stated[row.pk]
        return gates.DatasetInput(
            reference=f"{row.dataset.team.slug}/{row.dataset.slug}@{row.number}"
            if own
            else _foreign("data", row.bound_digest),
            digest=row.bound_digest,
            licence=str(said.licence),
            licence_known=_terms_known(self.terms[said.licence.pk]),
            origin_known=bool(said.said("origin").strip()),
            uses=tuple(said.uses),
            documents=self.documents_of([row.pk, row.dataset_id]),
            reviews=self.reviews.get(row.pk, ()),
            profile=self.profiles.get(row.pk),
        )


def _terms_known(terms: TermsDocument) -> bool:
    return all(terms["answers"][term]["answer"] != "unknown" for term in _DECISIVE_TERMS)


def _ancestors(ancestry: catalog.Ancestry, version: ModelVersion) -> list[gates.AncestorInput]:
    """Parent versions, nearest first, each with whether it holds an approval that was granted and not revoked."""
    rows = Approval.objects.filter(version_id__in=[row.pk for row in ancestry.parents]).prefetch_related("decisions")
    approved = {row.version_id for row in rows if queries.was_granted(row)}
    return [gates.AncestorInput(_name(row, version), row.digest, row.pk in approved) for row in ancestry.parents]


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
