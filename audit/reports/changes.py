"""What changed since the last issued assessment of the same model: the page that is most read at a second audit. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.facts.case import Case
from audit.statuses import WORST_FIRST


def changes_since(document: Mapping[str, Any], case: Case) -> dict[str, Any] | None:
    """The rows whose word changed, or None when there was no assessment before."""
    before = _previous(document, case)
    if before is None:
        return None
    record, old = before
    words = {row["id"]: row["status"] for row in old["requirements"]}
    moved = [
        {
            "better": WORST_FIRST.index(row["status"]) > WORST_FIRST.index(words[row["id"]]),
            "from": words[row["id"]],
            "id": row["id"],
            "reason": row["reason"],
            "to": row["status"],
        }
        for row in document["requirements"]
        if row["id"] in words and words[row["id"]] != row["status"]
    ]
    return {
        "assessment": record.id,
        "at": old["as_of"]["time"],
        "digest": record.row["digest"],
        "rows": sorted(moved, key=lambda m: m["better"]),
        "same_rules": old["framework"]["digest"] == document["framework"]["digest"],
    }


def _previous(document: Mapping[str, Any], case: Case) -> tuple[Any, Mapping[str, Any]] | None:
    for record in reversed(case.snapshot.all("audit.assessment")):
        old = case.snapshot.document(str(record.row["digest"]))
        if isinstance(old, dict) and old["framework"]["id"] == document["framework"]["id"]:
            return record, old
    return None
