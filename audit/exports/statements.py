"""Machine statements about a model: SLSA provenance for each run, and one statement for each piece of evidence. Pure.

Formats: in-toto Statement v1; SLSA provenance v1 (predicate type https://slsa.dev/provenance/v1); for evidence our own predicate
`urn:pressmark:predicate:evidence:1`, whose body is the evidence document as it is bound by digest. These are foreign documents:
they keep their own key names and are signed as they are, as DSSE envelopes by the issuer key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from audit.facts.case import Case
from audit.snapshots import Record
from registry.digests import hex_of

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
SLSA_PROVENANCE = "https://slsa.dev/provenance/v1"
EVIDENCE_PREDICATE = "urn:pressmark:predicate:evidence:1"
BUILD_TYPE = "urn:pressmark:build:compression:1"


def statements(case: Case, *, model: str, origin: str) -> Iterator[tuple[str, bytes]]:
    """(file name, payload bytes) of every statement about the model, in a stable order."""
    for run in case.snapshot.all("compression.run"):
        child = case.version(run.row["child_id"])
        if run.row["state"] == "succeeded" and run.row["kind"] == "compression" and child is not None:
            yield f"run-{run.id}", to_bytes(provenance(case, run, child, model=model, origin=origin))
    for version in case.versions:
        for evidence in reversed(case.evidence(version)):
            name = f"evidence-{evidence.record.id}"
            yield name, to_bytes(evidence_statement(case, version, evidence.document, model=model))


def to_bytes(statement: Mapping[str, Any]) -> bytes:
    """Sorted keys, no white space: same statement, same bytes."""
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _subject(name: str, digest: str) -> dict[str, Any]:
    return {"digest": {"sha256": hex_of(digest)}, "name": name}


def _version_name(model: str, version: Record) -> str:
    return f"{model}@{version.row['number']}"


def provenance(case: Case, run: Record, child: Record, *, model: str, origin: str) -> dict[str, Any]:
    """How a version was made: what went in by digest, by which recipe, on which builder, when."""
    files = [a for a in case.snapshot.all("catalog.artifact") if a.row["version_id"] == child.id]
    subjects = [_subject(_version_name(model, child), str(child.row["digest"]))]
    subjects += [_subject(str(a.row["path"]), str(a.row["digest"])) for a in sorted(files, key=lambda a: a.row["path"])]
    recipe = case.snapshot.get("compression.recipe", str(run.row["recipe_id"]))
    return {
        "_type": STATEMENT_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"recipe": _recipe(case, recipe), "seed": run.row["seed"]},
                "internalParameters": {"attempt": run.row["attempt"], "engine": run.row["engine_version"]},
                "resolvedDependencies": _dependencies(case, run, child, recipe),
            },
            "runDetails": {
                "builder": {"id": f"urn:pressmark:{origin}", "version": {"engine": str(run.row["engine_version"])}},
                "byproducts": _log(run),
                "metadata": {
                    "finishedOn": run.row["finished_at"],
                    "invocationId": f"urn:uuid:{run.id}",
                    "startedOn": run.row["started_at"],
                },
            },
        },
        "predicateType": SLSA_PROVENANCE,
        "subject": subjects,
    }


def _recipe(case: Case, recipe: Record | None) -> Any:
    return None if recipe is None else case.snapshot.document(str(recipe.row["digest"]))


def _dependency(name: str, uri: str, digest: str) -> dict[str, Any]:
    return {"digest": {"sha256": hex_of(digest)}, "name": name, "uri": uri}


def _dependencies(case: Case, run: Record, child: Record, recipe: Record | None) -> list[dict[str, Any]]:
    found = [
        _dependency(f"parent ({edge.row['role']})", f"urn:pressmark:version:{edge.row['parent_id']}", digest)
        for edge in case.edges(child)
        if edge.row["role"] != "data" and (digest := str(edge.row["parent_digest"]))
    ]
    for use in ("calibration", "evaluation"):
        data = case.snapshot.get("provenance.dataset_version", run.row[f"{use}_id"])
        if data is not None:
            found.append(_dependency(use, f"urn:pressmark:dataset_version:{data.id}", str(data.row["digest"])))
    if recipe is not None:
        found.append(_dependency("recipe", f"urn:pressmark:recipe:{recipe.id}", str(recipe.row["digest"])))
    return found


def _log(run: Record) -> list[dict[str, Any]]:
    digest = run.row["log_digest"]
    return [{"digest": {"sha256": hex_of(str(digest))}, "name": "log"}] if digest else []


def evidence_statement(case: Case, version: Record, document: Mapping[str, Any], *, model: str) -> dict[str, Any]:
    """A piece of evidence about exactly one version."""
    return {
        "_type": STATEMENT_TYPE,
        "predicate": dict(document),
        "predicateType": EVIDENCE_PREDICATE,
        "subject": [_subject(_version_name(model, version), str(version.row["digest"]))],
    }
