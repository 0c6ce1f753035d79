"""What was measured where the version is served, newest first, each with why it is stale. It is no part of a run.

Rules: whether a measurement is stale is the catalog's word; a page never passes over one that is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.catalog.models import Evidence, ModelVersion
from registry.catalog.queries import EvidenceReader, target_measurements
from registry.catalog.targets import HOST_DIGEST, SETTINGS_DIGEST
from registry.desk.measured import Measured, measured_document
from registry.events import Caller


@dataclass(frozen=True)
class OnTarget:
    """One measurement from a serving host."""

    evidence: Evidence
    document: Mapping[str, Any]
    stale: str
    """Why it is stale; empty while it stands."""

    def _fact(self, name: str) -> str:
        return next((str(f["value"]) for f in self.document["environment"] if f["name"] == name), "")

    @property
    def host(self) -> str:
        """Digest of what is known of the host; empty where a document does not say."""
        return self._fact(HOST_DIGEST)

    @property
    def settings(self) -> str:
        """Digest of how the model was served."""
        return self._fact(SETTINGS_DIGEST)

    @property
    def group(self) -> Measured:
        """Its figures, for a page."""
        return measured_document(900, self.evidence, self.document, {}, [])


def on_target(caller: Caller, version: ModelVersion) -> Sequence[OnTarget]:
    """Every measurement of the version from a host that serves it, newest first."""
    found = target_measurements(version, EvidenceReader(caller))
    return [OnTarget(row, document, stale or "") for row, document, stale in found]
