"""Evidence for a reader: documents as they were sealed, and what of them stays for those who may not read the data behind them.

Rules:
- a slice by a column of the data names what stands in it (`race = 2`). Who may not read the data reads `group 1` instead;
- the numbers belong to version and data: they follow the order in which the values came, so that all documents agree and later ones
  change nothing;
- parts that the engine makes itself keep their values: batches, severities, how sure a model is, and its answers, whose names
  stand in the plan;
- why a part has no figure may quote a value as well, and is said to readers of the data alone, as the sealed document is.
"""

from __future__ import annotations

import uuid
from typing import Any

from registry import storage
from registry.access.queries import readable_team_ids
from registry.catalog.models import Evidence
from registry.digests import parse_canonical
from registry.errors import NotFound
from registry.events import Caller

Document = dict[str, Any]
_OWN_PARTS = frozenset(
    {
        "answer", "attack", "batch", "cache", "confidence_bin", "context_tokens", "corruption", "dtype", "feature",
        "file", "first_answer", "first_confidence", "from", "incumbent_answer", "incumbent_confidence", "parent_answer",
        "parent_confidence", "predicted_class", "sequence_position", "severity", "threads", "to", "upper_edge",
    }
)  # fmt: skip
_AGAINST, _ALL_GROUPS = "against", "all groups"
_WITHHELD = "the reason is for readers of the data"
Values = dict[tuple[str, str], str]


def evidence_body(row: Evidence) -> Document:
    """The document of an evidence row as it was sealed, checked against its digest."""
    body = parse_canonical(storage.read_bytes(row.digest))
    assert isinstance(body, dict)
    return body


class EvidenceReader:
    """One reader, for one page or answer: what was worked out once is kept."""

    def __init__(self, caller: Caller) -> None:
        self._teams = readable_team_ids(caller.actor_id)
        self._values: dict[tuple[uuid.UUID, uuid.UUID | None], Values] = {}

    def reads(self, row: Evidence) -> bool:
        """Whether the reader may see what the document says of its data. No query where `dataset_version__dataset` is loaded."""
        data = row.dataset_version
        return self._teams is None or data is None or data.dataset.team_id in self._teams

    def document(self, row: Evidence) -> Document:
        """The document as this reader may see it."""
        body = evidence_body(row)
        if self.reads(row):
            return body
        values = self._values_of(row)
        return {**body, "figures": [_reduced(figure, values) for figure in body["figures"]]}

    def require(self, row: Evidence) -> None:
        """NotFound where the sealed document would name what stands in data that the reader may not read."""
        if not self.reads(row):
            raise NotFound(
                "There is no such document, or you may not see it.",
                hint="A document over data of another team is for readers of that data; the page has its figures.",
            )

    def _values_of(self, row: Evidence) -> Values:
        key = (row.version_id, row.dataset_version_id)
        if key not in self._values:
            rows = Evidence.objects.filter(version_id=key[0], dataset_version_id=key[1]).order_by("created_at", "id")
            self._values[key] = _numbered([evidence_body(found) for found in rows])
        return self._values[key]


def _numbered(documents: list[Document]) -> Values:
    """What stands for each value: counted within its column, in the order of the documents."""
    found: Values = {}
    counts: dict[str, int] = {}
    for document in documents:
        for figure in document["figures"]:
            for column, value in _contents(figure["slice"]):
                if (column, value) not in found:
                    counts[column] = counts.get(column, 0) + 1
                    found[column, value] = f"group {counts[column]}"
    return found


def _contents(where: list[dict[str, str]]) -> list[tuple[str, str]]:
    """The parts of a slice that name contents of the data, each with its column; `against` speaks of the column before it."""
    found, column = [], ""
    for part in where:
        column = column if part["name"] == _AGAINST else part["name"]
        if column not in _OWN_PARTS and part["value"] != _ALL_GROUPS:
            found.append((column, part["value"]))
    return found


def _reduced(figure: dict[str, Any], values: Values) -> dict[str, Any]:
    if not _contents(figure["slice"]):
        return figure
    where, column = [], ""
    for part in figure["slice"]:
        column = column if part["name"] == _AGAINST else part["name"]
        where.append({"name": part["name"], "value": values.get((column, part["value"]), part["value"])})
    return {**figure, "slice": where, "reason": figure["reason"] and _WITHHELD}
