"""Gathers what stands behind versions as data for their gates: what is stated, kept and was found about it. Reads, judges nothing.

Readers of a version may not be readers of the data's team: data from elsewhere is named by digest alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from registry.catalog.models import EdgeRole, ModelVersion
from registry.catalog.queries import Ancestry
from registry.provenance.licences import TermsDocument
from registry.provenance.models import DatasetVersion
from registry.provenance.queries import terms_in_force
from registry.provenance.stated import TEXTS, StatedData, stated_data
from registry.release import gates, inputs_governance
from registry.release.gate_facts import DocumentInput, ProfileInput, ReviewInput
from registry.release.inputs_data import profiles

_DECISIVE_TERMS = ("commercial_use", "redistribution", "modification")
_BATCH = 500


class Kept(Protocol):
    """What takes long to read, and whether some rule reads it."""

    @property
    def documents(self) -> bool: ...
    @property
    def reviews(self) -> bool: ...
    @property
    def profiles(self) -> bool: ...


@dataclass(frozen=True)
class Rows:
    """The dataset versions that stand behind versions, with what is kept and was found about them and these versions."""

    rows: Mapping[uuid.UUID, DatasetVersion]
    stated: Mapping[uuid.UUID, StatedData]
    terms: Mapping[uuid.UUID, TermsDocument]
    documents: Mapping[uuid.UUID, Sequence[DocumentInput]]
    reviews: Mapping[uuid.UUID, Sequence[ReviewInput]]
    profiles: Mapping[uuid.UUID, ProfileInput]

    @classmethod
    def read(
        cls,
        versions: Iterable[ModelVersion],
        keys: Collection[uuid.UUID],
        about: Iterable[uuid.UUID],
        *,
        asked: Kept,
    ) -> Rows:
        """Everything at once: a lineage may name many datasets. `about`: what else documents may be kept about."""
        related = ("dataset__team", "licence", *TEXTS)
        rows: dict[uuid.UUID, DatasetVersion] = {}
        wanted = sorted(keys)
        for start in range(0, len(wanted), _BATCH):
            rows |= DatasetVersion.objects.select_related(*related).in_bulk(wanted[start : start + _BATCH])
        found = list(rows.values())
        stated = stated_data(found)
        states = [(v.pk, v.digest) for v in versions] + [(row.pk, row.bound_digest) for row in found]
        kept = (*inputs_governance.of_datasets(found), *about)
        return cls(
            rows,
            stated,
            terms_in_force(said.licence.pk for said in stated.values()),
            inputs_governance.documents(kept) if asked.documents else {},
            inputs_governance.reviews(states) if asked.reviews else {},
            profiles(rows) if asked.profiles else {},
        )

    def of_lineage(self, version: ModelVersion, ancestry: Ancestry) -> list[gates.DatasetInput]:
        """What edges of the lineage name, data outside of this registry too."""
        found = [
            self._input(version, self.rows[edge.dataset_version_id])
            if edge.dataset_version_id
            else gates.DatasetInput("data outside of this registry", edge.parent_digest, "not recorded", False, False)
            for edge in ancestry.edges
            if edge.role == EdgeRole.DATA
        ]
        if ancestry.truncated:
            beyond = "what lies beyond the limit of the lineage"
            found.append(gates.DatasetInput(beyond, version.digest, "none", False, False))
        return found

    def of_evidence(
        self, version: ModelVersion, brought: Iterable[uuid.UUID], evidence: Sequence[gates.EvidenceInput]
    ) -> list[gates.DatasetInput]:
        """The rows that measured evidence is about, by digest; rows that are not registered here stand there by it alone.

        `brought`: the registered ones of its lineage and its evidence.
        """
        named = sorted({digest for e in evidence if e.source == "measured" for digest in e.datasets})
        known = {row.bound_digest: row for row in map(self.rows.get, brought) if row is not None}
        return [
            self._input(version, known[digest])
            if digest in known
            else gates.DatasetInput(
                f"data outside of this registry ({digest[:19]})", digest, "not recorded", False, False
            )
            for digest in named
        ]

    def documents_of(self, about: Sequence[uuid.UUID]) -> list[DocumentInput]:
        return [document for key in about for document in self.documents.get(key, ())]

    def _input(self, version: ModelVersion, row: DatasetVersion) -> gates.DatasetInput:
        own = row.dataset.team_id == version.model.team_id
        said = self.stated[row.pk]
        return gates.DatasetInput(
            reference=f"{row.dataset.team.slug}/{row.dataset.slug}@{row.number}"
            if own
            else foreign("data", row.bound_digest),
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


def foreign(what: str, digest: str) -> str:
    return f"{what} of another team ({digest[:19]})"
