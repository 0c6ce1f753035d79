"""What a document, review, hold or purge is about: one record, its stream, and the team that answers for it. No tables here."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from registry.digests import is_digest

KINDS = ("model", "version", "dataset", "dataset_version", "licence", "use_case")


@dataclass(frozen=True)
class Subject:
    """One record: `team_id` is None for what belongs to the instance (a licence); `digest` is the state that a version is."""

    kind: str
    stream: str
    about: uuid.UUID
    name: str
    team_id: uuid.UUID | None
    digest: str | None = None
    brought_by: uuid.UUID | None = None

    def __post_init__(self) -> None:
        assert self.kind in KINDS
        assert self.digest is None or is_digest(self.digest)

    @property
    def reference(self) -> str:
        """How it is named in a request: `version:team/model@3`."""
        return f"{self.kind}:{self.name}"
