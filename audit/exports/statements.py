"""Machine statements about a model: SLSA provenance for each run, one statement for each piece of evidence and each verdict. Pure.

Formats: in-toto Statement v1; SLSA provenance v1; in-toto test-result v0.1 for what a gate judged; for evidence itself our own
predicate `urn:pressmark:predicate:evidence:1`, whose body is the evidence document as it is bound by digest. These are foreign
documents: they keep their own key names and are signed as they are, as DSSE envelopes by the issuer key.
Rules:
- a statement is held against the shape of its format before anybody signs it;
- a subject's name is the version, `team/model@7`, or a file of it, `team/model@7/PATH`: no file can be given the name of a
  version, nor of a file of another one. What counts is the digest beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from audit.exports import shapes
from audit.exports.shapes import SLSA_PROVENANCE, STATEMENT_TYPE
from audit.exports.verdicts import test_result
from audit.facts.case import Case
from audit.snapshots import Record
from registry.digests import hex_of

EVIDENCE_PREDICATE = "urn:pressmark:predicate:evidence:1"
BUILD_TYPE = "urn:pressmark:build:compression:1"


@dataclass
class _Records:
    """The records of a model that statements look up again and again, oldest first."""

    artifacts: dict[str, list[Record]] = field(default_factory=dict)
    verdicts: dict[str, list[Record]] = field(default_factory=dict)
    evidence: dict[str, Record] = field(default_factory=dict)


def _records(case: Case) -> _Records:
    found = _Records()
    for artifact in case.snapshot.all("catalog.artifact"):
        found.artifacts.setdefault(str(artifact.row["version_id"]), []).append(artifact)
    for verdict in case.snapshot.all("release.verdict"):
        found.verdicts.setdefault(str(verdict.row["version_id"]), []).append(verdict)
    for evidence in case.snapshot.all("catalog.evidence"):
        found.evidence.setdefault(str(evidence.row["digest"]), evidence)
    return found


def statements(case: Case, *, model: str, origin: str, version: str | None = None) -> Iterator[tuple[str, bytes]]:
    """(file name, payload bytes) of every statement about the model, or about one version of it, in a stable order."""
    for name, made in _statements(case, model, origin, version):
        yield name, to_bytes(made())


def count_statements(case: Case, *, version: str | None = None) -> int:
    """How many there are, without making them."""
    return sum(1 for _ in _statements(case, "", "", version))


def _statements(
    case: Case, model: str, origin: str, version: str | None
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """The name of each, and how it is made."""
    records = _records(case)
    about = {v.id: v for v in case.versions if version in (None, v.id)}
    subjects = {key: _subjects(found, records, model) for key, found in about.items()}
    for run in case.snapshot.all("compression.run"):
        child = about.get(str(run.row["child_id"]))
        if run.row["state"] == "succeeded" and run.row["kind"] == "compression" and child is not None:
            yield f"run-{run.id}", partial(_provenance, case, run, child, subjects[child.id], origin)
    for key, found in about.items():
        for evidence in reversed(case.evidence(found)):
            yield f"evidence-{evidence.record.id}", partial(_evidence_statement, subjects[key][0], evidence.document)
        for verdict in records.verdicts.get(key, []):
            document = case.snapshot.document(str(verdict.row["digest"]))
            if document is not None:  # purged: what it said is known by digest alone
                yield f"verdict-{verdict.id}", partial(test_result, verdict, document, records.evidence, subjects[key])


def to_bytes(statement: Mapping[str, Any]) -> bytes:
    """Sorted keys, no white space: same statement, same bytes. Raises ShapeError for what its format would refuse."""
    shapes.check(statement)
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _subject(name: str, digest: str) -> dict[str, Any]:
    return {"digest": {"sha256": hex_of(digest)}, "name": name}


def _subjects(version: Record, records: _Records, model: str) -> list[dict[str, Any]]:
    """The version by the digest of its manifest, and each of its files."""
    name = f"{model}@{version.row['number']}"
    files = sorted(records.artifacts.get(version.id, []), key=lambda a: str(a.row["path"]))
    return [
        _subject(name, str(version.row["digest"])),
        *(_subject(f"{name}/{a.row['path']}", str(a.row["digest"])) for a in files),
    ]


def _provenance(case: Case, run: Record, child: Record, subjects: list[dict[str, Any]], origin: str) -> dict[str, Any]:
    """How a version was made: what went in by digest, by which recipe, on which builder, when."""
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
                "metadata": _times(run) | {"invocationId": f"urn:uuid:{run.id}"},
            },
        },
        "predicateType": SLSA_PROVENANCE,
        "subject": subjects,
    }


def _times(run: Record) -> dict[str, str]:
    named = {"finishedOn": run.row["finished_at"], "startedOn": run.row["started_at"]}
    return {name: str(at) for name, at in named.items() if at is not None}


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
    for use in ("training", "calibration", "evaluation", "baseline", "out_of_distribution"):
        data = case.snapshot.get("provenance.dataset_version", run.row.get(f"{use}_id"))
        if data is not None:
            bound = str(data.row["digest"] or data.row["document_digest"])
            uri = f"urn:pressmark:dataset_version:{data.id}"
            found.append(_dependency(use, uri, bound))
            found += [
                _dependency(f"{use} file", f"urn:pressmark:dataset_file:{f.id}", d)
                for f, d in _read(case, run, use, data)
            ]
    if recipe is not None:
        found.append(_dependency("recipe", f"urn:pressmark:recipe:{recipe.id}", str(recipe.row["digest"])))
    return found


def _read(case: Case, run: Record, use: str, data: Record) -> list[tuple[Record, str]]:
    """Which of several files were read: the one that the run names to judge on, else each of them."""
    named = run.row["evaluation_file"] if use == "evaluation" else None
    return [(f, str(f.row["digest"])) for f in case.files_of(data) if named in (None, f.row["path"])]


def _log(run: Record) -> list[dict[str, Any]]:
    digest = run.row["log_digest"]
    return [{"digest": {"sha256": hex_of(str(digest))}, "name": "log"}] if digest else []


def _evidence_statement(subject: dict[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """A piece of evidence about exactly one version."""
    return {
        "_type": STATEMENT_TYPE,
        "predicate": dict(document),
        "predicateType": EVIDENCE_PREDICATE,
        "subject": [subject],
    }
