"""What the engine handed back, checked before anything of it counts.

Rules:
- RESULT.json is canonical, has the shape of its schema, and is about the bytes that the run gave to the engine: same parent file,
  same data, same recipe, same versions beside it, same plan; otherwise nothing of it counts;
- evidence becomes ours by naming its subjects: the registry alone knows the digests of versions, datasets and recipes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, cast

from jsonschema import Draft202012Validator

from registry.catalog import distributions
from registry.compression.rules import Failure
from registry.digests import CanonicalError, canonical, evidence_document, parse_canonical, sha256

SIZE_LIMIT_BYTES = 16 * 1024 * 1024
Document = dict[str, Any]


class WorkFailed(Exception):
    """The run cannot succeed; the failure says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True)
class Expected:
    """The bytes that the engine was given: digests of files."""

    parent: str | None
    outputs: str | None
    recipe: str | None
    data: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)
    plan: str | None = None
    licence: str | None = None
    external: frozenset[str] = frozenset()
    """Of a compression, the files with the parent's external data."""
    learned: Mapping[str, str] = field(default_factory=dict)
    """Of a compression, the weights of the teacher and of the student that it was handed."""
    architectures: Mapping[str, str] = field(default_factory=dict)
    """Of models of torch whose tensors are declared, the declaring file, by the role of the model in a result."""


@dataclass(frozen=True)
class EngineResult:
    """A RESULT.json that may count."""

    raw: bytes
    document: Document

    @property
    def engine_version(self) -> str:
        return str(self.document["engine"]["version"])

    @property
    def output(self) -> Document:
        """digest, path and size of the weights that were made or measured."""
        return cast(Document, self.document["outputs"][0])

    @property
    def made(self) -> list[Document]:
        """digest, path, role and size of every file of the model: the weights first."""
        return list(self.document["outputs"])

    @property
    def done(self) -> Document | None:
        """The recipe of the steps that were done: fewer than were asked for where one broke the budget. None: nothing was made."""
        return cast("Document | None", self.document["recipe"])

    @property
    def evidence(self) -> list[Document]:
        """Evidence documents, still without subjects."""
        return [entry["document"] for entry in self.document["evidence"]]

    @property
    def licence(self) -> str | None:
        """The licence expression that stands in what was made; None where none does."""
        return cast("str | None", self.document.get("licence"))

    @property
    def quantization_map(self) -> list[Document]:
        """How each tensor of what was made is stored; of a replay only where it made the same bytes."""
        if self.document.get("outcome", "bit-exact") != "bit-exact":
            return []
        return list(self.document.get("quantization_map") or [])

    @property
    def outputs_file(self) -> Document | None:
        """digest, path and size of what the models answered row by row, where it was kept."""
        return cast("Document | None", self.document.get("outputs_file"))

    @property
    def outputs_digest(self) -> str | None:
        """Of what the models answered; only an evaluation keeps it."""
        return None if self.outputs_file is None else str(self.outputs_file["digest"])


@cache
def _schema() -> Draft202012Validator:
    text = (resources.files("registry.compression") / "schemas" / "engine_result-1.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))


def read_result(path: Path, expected: Expected) -> EngineResult:
    """The result in a file; WorkFailed (`result_invalid`, `bytes_differ`) when it may not count."""
    raw, document = read_document(path)
    error = next(iter(_schema().iter_errors(document)), None)
    if error is not None:
        raise _invalid(f"{path.name}: {error.json_path}: {error.message[:200]}")
    _check_material(document, expected)
    for evidence in document["evidence"]:
        named_evidence(evidence["document"], [])
    return EngineResult(raw, document)


def _check_material(document: Document, expected: Expected) -> None:
    """Every file and document that the engine says it worked on is the one that it was given, and none is left out."""
    found = {row["role"]: row["digest"] for row in document["data"]}
    others = {row["role"]: row["digest"] for row in document.get("others", [])}
    parent = document["parent"] and document["parent"]["digest"]
    if found != dict(expected.data) or parent != expected.parent or _asked(document) != expected.recipe:
        raise _differs("The engine worked on other bytes than the run names.")
    _check_architectures(document, expected)
    _check_origins(document, expected)
    if {row["digest"] for row in (document["parent"] or {}).get("external_data", [])} != expected.external:
        raise _differs("The engine read other external data than the run names.")
    if others != dict(expected.others):
        raise _differs("The engine compared with other versions than the run names.")
    if expected.outputs is not None and document["outputs"][0]["digest"] != expected.outputs:
        raise _differs("The engine measured another file than the run names.")
    if expected.plan is not None and document.get("plan_digest") != expected.plan:
        raise _differs("The engine evaluated by another plan than the run names.")
    if document.get("licence") != expected.licence:
        raise _differs("The engine wrote another licence than the run names.")
    plan = document.get("plan")
    if plan is not None and sha256(canonical(plan)) != document.get("plan_digest"):
        raise _differs("The plan in the result is not the one that its digest names.")


def _check_architectures(document: Document, expected: Expected) -> None:
    """Every model of torch was taken for what its version declares, in whatever role it stands."""
    beside = [*document.get("others", []), *document.get("origins", [])]
    named = [("parent", document["parent"] or {}), *((row["role"], row) for row in beside)]
    named += [] if expected.outputs is None else [("version", document["outputs"][0])]
    for role, record in named:
        declared = record.get("architecture")
        if (declared and declared["digest"]) != expected.architectures.get(role):
            raise _differs(f"The engine took tensors ({role}) for another architecture than the version declares.")


def _asked(document: Document) -> str | None:
    """The digest of the recipe as it was asked for: where a budget ended the work, what was done is the beginning of it."""
    budget, done = document.get("budget"), document["recipe_digest"]
    if budget is None:
        return cast("str | None", done)
    asked, steps = budget["asked"], document["recipe"]["steps"]
    if sha256(canonical(asked)) != budget["asked_digest"] or sha256(canonical(document["recipe"])) != done:
        raise _differs("A recipe in the result is not the one that its digest names.")
    if document["recipe"] != {**asked, "steps": asked["steps"][: len(steps)]}:
        raise _differs("The engine did other steps than the run names.")
    if budget["ended"] is None and len(steps) != len(asked["steps"]):
        raise _differs("The engine left steps out without saying why.")
    return str(budget["asked_digest"])


def _check_origins(document: Document, expected: Expected) -> None:
    """The models that the engine says it learned from are those that it was handed; without a teacher the parent taught."""
    taught = expected.learned.get("teacher", expected.parent)
    allowed = {"teacher": taught, "student-start": expected.learned.get("student")}
    for origin in document.get("origins", []):
        if origin["digest"] != allowed[origin["role"]]:
            raise _differs("The engine learned from another model than the run names.")


def read_distribution(path: Path) -> Document:
    """The distribution in a file; WorkFailed (`result_invalid`) when it is none."""
    document = read_document(path)[1]
    try:
        distributions.check(document)
    except CanonicalError as error:
        raise _invalid(f"{path.name}: {error}") from error
    return document


def distribution_evidence(distribution: Document, result: EngineResult) -> Document:
    """A distribution as an evidence document, still without subjects."""
    return {
        "environment": result.document["environment"],
        "figures": distributions.to_figures(distribution),
        "kind": distributions.KIND,
        "method": {"name": "observe", "version": result.engine_version},
        "seed": None,
        "source": "measured",
        "subjects": [],
        "type": "pressmark/evidence/1",
    }


def named_evidence(document: Document, subjects: Iterable[tuple[str, str]]) -> Document:
    """The evidence document about these (role, digest) subjects; WorkFailed when it breaks a rule of FORMATS."""
    rows = [{"digest": digest, "role": role} for role, digest in set(subjects)]
    rows.sort(key=canonical)
    try:
        written = evidence_document(
            kind=document["kind"],
            method=document["method"],
            source=document["source"],
            subjects=rows,
            figures=document["figures"],
            environment=document["environment"],
            seed=document["seed"],
        )
    except (CanonicalError, KeyError, TypeError) as error:
        raise _invalid(f"evidence {document.get('kind')!r}: {error}") from error
    return cast(Document, parse_canonical(written))


def read_document(path: Path) -> tuple[bytes, Document]:
    """The bytes of a file and the canonical object in them; WorkFailed (`result_invalid`) when it holds none."""
    try:
        if path.stat().st_size > SIZE_LIMIT_BYTES:
            raise _invalid(f"{path.name} has more than {SIZE_LIMIT_BYTES} bytes")
        raw = path.read_bytes()
        document = parse_canonical(raw)
    except OSError as error:
        raise _invalid(f"{path.name} cannot be read: {error.strerror}") from error
    except CanonicalError as error:
        raise _invalid(f"{path.name}: {error}") from error
    if not isinstance(document, dict):
        raise _invalid(f"{path.name} is no object")
    return raw, cast(Document, document)


def _invalid(message: str) -> WorkFailed:
    hint = "Check that registry and engine are of one version; nothing was kept."
    return WorkFailed(Failure("result_invalid", f"What the engine wrote cannot count: {message}.", hint))


def _differs(message: str) -> WorkFailed:
    hint = "Run `pressmark check` to read all stored bytes again; nothing was kept."
    return WorkFailed(Failure("bytes_differ", message, hint))
