"""What a gate may look at about one version, and what a check answers. Plain values: no Django, no clock, no reading."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EvidenceInput:
    """One evidence document about the version."""

    kind: str
    source: str
    digest: str
    version_digest: str
    created_at: datetime.datetime
    figures: Sequence[Mapping[str, Any]]
    environment: Mapping[str, str] = field(default_factory=dict)
    datasets: Sequence[str] = ()
    """Digests of the data that it is about."""
    files: Mapping[str, str] = field(default_factory=dict)
    """By digest of data of several files the digest of the one whose rows it is about; other data is read whole."""
    compared_with: Sequence[str] = ()
    """Digests of the versions other than the parent that stood beside it (subjects in the role incumbent)."""


@dataclass(frozen=True)
class TermInput:
    """What the whole lineage says about one term, and who decides it."""

    answer: str
    decided_by: str


@dataclass(frozen=True)
class EdgeInput:
    """One edge to a parent version."""

    parent_digest: str
    role: str
    grade: str


@dataclass(frozen=True)
class DocumentInput:
    """A file kept as proof about something."""

    kind: str
    digest: str


@dataclass(frozen=True)
class ReviewInput:
    """The newest review of a kind of exactly this state, and until which day it counts (None: without an end)."""

    kind: str
    accepted: bool
    reviewed_at: datetime.datetime
    next_on: datetime.date | None = None
    corrected_at: datetime.datetime | None = None
    """When what it speaks of was last corrected."""


@dataclass(frozen=True)
class OverlapInput:
    """How many rows of a dataset stand in another one as well: the same row, or nearly the same."""

    other_digest: str
    exact_rows: int
    near_rows: int = 0
    rows_without_identifiers: int | None = None
    """The same but for columns that only number or name rows; None where no column does."""
    files: Mapping[str, OverlapInput] | None = None
    """The same for each file that shares a row, by its digest; None where files are not told apart."""


@dataclass(frozen=True)
class ProfileInput:
    """The newest finished profile of a dataset version: what the engine found in its rows. Figures are decimals as text."""

    digest: str
    rows: int
    figures: Mapping[str, str | None] = field(default_factory=dict)
    overlaps: Sequence[OverlapInput] = ()
    files: Mapping[str, int] = field(default_factory=dict)
    """The rows of each file by its digest, where there are several."""


@dataclass(frozen=True)
class DatasetInput:
    """One dataset version that an edge of the lineage names, or that measured evidence is about."""

    reference: str
    digest: str
    licence: str
    licence_known: bool
    origin_known: bool
    uses: Sequence[str] = ()
    """What it is for: training, calibration, evaluation, baseline."""
    documents: Sequence[DocumentInput] = ()
    reviews: Sequence[ReviewInput] = ()
    profile: ProfileInput | None = None


@dataclass(frozen=True)
class OpenFindingInput:
    """Something to be mended about the model that nobody closed yet. `left_behind`: by the roll-back that is judged."""

    id: str
    kind: str
    subject: str
    due_on: datetime.date
    left_behind: bool = False


@dataclass(frozen=True)
class RecallInput:
    """An open recall of something that the version is, or was made from. `stops`: it is in quarantine because of it."""

    subject: str
    recalled_at: datetime.datetime
    stops: bool


@dataclass(frozen=True)
class WaiverInput:
    """A signed exception."""

    id: str
    rule: str
    rule_digest: str
    version_digest: str
    signed_by: str
    expires_at: datetime.datetime
    ended_at: datetime.datetime | None


@dataclass(frozen=True)
class AncestorInput:
    """An ancestor, and whether it holds (or held) a granted approval that was not revoked."""

    reference: str
    digest: str
    approved: bool


@dataclass(frozen=True)
class GateInputs:
    """Everything that the rules may look at."""

    version_digest: str
    origin: str
    at: datetime.datetime
    tier: str | None
    use_case: str | None
    training_data: str
    structure: Sequence[str]
    evidence: Sequence[EvidenceInput]
    terms: Mapping[str, TermInput]
    edges: Sequence[EdgeInput]
    datasets: Sequence[DatasetInput]
    ancestors: Sequence[AncestorInput]
    waivers: Sequence[WaiverInput]
    incumbent: str | None = None
    """Digest of what a comparison with the incumbent must have been made with; None where nothing is served."""
    first_approved: str | None = None
    """Digest of the version of the line that was approved first; None before the first."""
    tier_answered: bool = False
    """Whether the tier is at least what the answers to the tier table in force say."""
    evaluation_data: Sequence[DatasetInput] = ()
    """The rows that measured evidence about the version is about."""
    findings: Sequence[OpenFindingInput] = ()
    documents: Sequence[DocumentInput] = ()
    """Kept about the version, its model or its use case."""
    reviews: Sequence[ReviewInput] = ()
    """Of exactly this state of the version."""
    recalls: Sequence[RecallInput] = ()


@dataclass(frozen=True)
class Finding:
    """Whether one check holds, why, and from what."""

    holds: bool
    reason: str
    inputs: tuple[str, ...] = ()
