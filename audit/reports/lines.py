"""How versions, edges and budgets are named in the tables of a report. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.facts.case import Case
from audit.reports import wording
from audit.snapshots import Record


def version_line(case: Case, version: Record) -> dict[str, Any]:
    """How a version is named in tables."""
    licence = case.licence_of(version)
    return {
        "digest": str(version.row["digest"]),
        "format": str(version.row["format"]),
        "licence": "" if licence is None else str(licence.row["expression"]),
        "number": int(version.row["number"]),
        "origin": str(version.row["origin"]),
        "position": version.position,
        "registered_at": version.first_at,
        "size": wording.size(version.row["size_bytes"]),
        "training_data": case.training_data_of(version),
    }


def edges_to_models(case: Case, version: Record) -> list[Record]:
    """What the version was made from, its data apart."""
    return [edge for edge in case.edges(version) if edge.row["role"] != "data"]


def edge_line(case: Case, edge: Record) -> dict[str, Any]:
    """An edge of the lineage in tables."""
    parent = case.version(edge.row["parent_id"])
    return {
        "digest": str(edge.row["parent_digest"]),
        "grade": str(edge.row["grade"]),
        "model": "" if parent is None else _other_model(case, parent),
        "operations": [str(item) for item in edge.row["operations"]],
        "parent": None if parent is None else version_line(case, parent),
        "role": str(edge.row["role"]),
    }


def _other_model(case: Case, version: Record) -> str:
    """What the model of the version is called, where it is another one than the report's; empty where it is that."""
    if case.model is None or version.row["model_id"] == case.model.id:
        return ""
    model = case.snapshot.get("catalog.model", str(version.row["model_id"]))
    own = model is not None and model.row["team_id"] == case.model.row["team_id"]
    return str(model.row["slug"]) if model is not None and own else "a model of another team"


def budget_words(row: Mapping[str, Any]) -> str:
    """What every step had to keep, in words; empty where nothing was asked, or the run is of before steps had a budget."""
    kept, lost = row.get("at_least"), row.get("loses_at_most")
    asked = [] if kept is None else [f"keeps at least {wording.number(kept)} of the parent's answers"]
    asked += [] if lost is None else [f"loses at most {wording.number(lost)} of the quality by the labels"]
    return f"every step {' and '.join(asked)}" if asked else ""
