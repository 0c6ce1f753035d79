"""What entries never hold, for people who read history: names, texts and the names of ancestors elsewhere.

Rules:
- a text is shown only if it opens the commitment that the ledger holds; an erased one is said to be erased, whatever the moment;
- a person has the name of today beside the id that is sealed;
- an ancestor of another team is its digest alone; one that the reader may see has its name, if the table has the digest that was
  sealed in the edge.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from audit.snapshots import Record
from registry.access.models import Actor, Text
from registry.access.queries import readable_team_ids
from registry.catalog.models import ModelVersion
from registry.digests import commitment, time_text
from registry.events import Caller
from registry.provenance.models import DatasetVersion

OPEN, ERASED, MISSING, DIFFERS = "open", "erased", "missing", "differs"
_BATCH = 500
Shape = dict[str, Any]


class Names:
    """Everything that one answer names, each table read once."""

    def __init__(self, caller: Caller) -> None:
        self._teams = readable_team_ids(caller.actor_id)
        self._people: dict[str, str] = {}
        self._texts: dict[str, Text] = {}
        self._parents: dict[str, tuple[str, str | None]] = {}

    # --- read once ---

    def load_people(self, ids: Iterable[object]) -> None:
        for part in _parts(ids):
            self._people |= {str(key): str(row) for key, row in Actor.objects.in_bulk(part).items()}

    def load_texts(self, ids: Iterable[object]) -> None:
        for part in _parts(ids):
            self._texts |= {str(key): row for key, row in Text.objects.in_bulk(part).items()}

    def load_parents(self, edges: Iterable[Record]) -> None:
        """The versions and dataset versions that edges name: digest, and the name where the reader may see it."""
        rows = [edge.row for edge in edges]
        for part in _parts(row["parent_id"] for row in rows):
            for version in ModelVersion.objects.filter(pk__in=part).select_related("model__team"):
                self._keep(version, version.digest, version.model.team_id, str(version))
        for part in _parts(row["dataset_version_id"] for row in rows):
            for data in DatasetVersion.objects.filter(pk__in=part).select_related("dataset__team"):
                name = f"{data.dataset.team.slug}/{data}"
                self._keep(data, data.bound_digest, data.dataset.team_id, name)

    def _keep(self, row: ModelVersion | DatasetVersion, digest: str, team_id: Any, name: str) -> None:
        shown = self._teams is None or team_id in self._teams
        self._parents[str(row.pk)] = (digest, name if shown else None)

    # --- shapes ---

    def person(self, key: object, role: str | None = None) -> Shape | None:
        """Who: the sealed id with today's name, and the role under which it was done where that is known."""
        if key is None:
            return None
        return {"id": str(key), "name": self._people.get(str(key)), "role": role}

    def text(self, sealed: Record | None) -> Shape | None:
        """What somebody typed, if it still opens the commitment."""
        if sealed is None:
            return None
        row = self._texts.get(sealed.id)
        if row is None:
            return {"erased_at": None, "state": MISSING, "value": None}
        if row.value is None or row.salt is None:
            erased_at = time_text(row.erased_at) if row.erased_at else None
            return {"erased_at": erased_at, "state": ERASED if erased_at else MISSING, "value": None}
        if commitment(bytes(row.salt), row.value) != sealed.row["commitment"]:
            return {"erased_at": None, "state": DIFFERS, "value": None}
        return {"erased_at": None, "state": OPEN, "value": row.value}

    def edge(self, edge: Record) -> Shape:
        """Where a version came from, by name where the reader may see it, else by digest."""
        row = edge.row
        digest, name = self._parents.get(str(row["parent_id"] or row["dataset_version_id"]), ("", None))
        outside = row["parent_id"] is None and row["dataset_version_id"] is None
        return {
            "digest": row["parent_digest"],
            "grade": row["grade"],
            "kind": "outside" if outside else "dataset" if row["dataset_version_id"] else "version",
            "name": name if digest == row["parent_digest"] else None,
            "operations": list(row["operations"]),
            "position": edge.position,
            "role": row["role"],
        }


def _parts(ids: Iterable[object]) -> Iterable[list[str]]:
    every = sorted({str(key) for key in ids if key})
    return (every[start : start + _BATCH] for start in range(0, len(every), _BATCH))
