"""What the formats of others ask of a statement, held before it is signed: JSON Schemas written from their pages.

Sources: Statement v1 and ResourceDescriptor v1 of the in-toto attestation framework, SLSA provenance v1, in-toto test-result v0.1.
A schema cannot say that the names of the subjects must differ, so that is asked here as well: two files that answer to one name are
how a statement about one is passed off as one about the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
SLSA_PROVENANCE = "https://slsa.dev/provenance/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
ADMISSION = "urn:pressmark:predicate:admission:1"

_PREDICATES = {
    SLSA_PROVENANCE: "slsa_provenance-1.json",
    TEST_RESULT: "test_result-0.1.json",
    ADMISSION: "admission-1.json",
}


class ShapeError(ValueError):
    """A statement that its own format would refuse; the message says where and why."""


def check(statement: Mapping[str, Any]) -> None:
    """Raise ShapeError unless the statement has the shape of its format."""
    _check(_schema("in_toto_statement-1.json"), statement)
    names = [subject["name"] for subject in statement["subject"] if "name" in subject]
    if len(set(names)) != len(names):
        raise ShapeError("two subjects have the same name")
    predicate = _PREDICATES.get(statement["predicateType"])
    if predicate is not None:
        _check(_schema(predicate), statement["predicate"])


def _check(validator: Draft202012Validator, value: Any) -> None:
    error = next(iter(validator.iter_errors(value)), None)
    if error is not None:
        where = "/".join(str(part) for part in error.absolute_path) or "the whole"
        raise ShapeError(f"{where}: {error.message[:300]}")


@cache
def _schema(name: str) -> Draft202012Validator:
    schema = json.loads(files("audit").joinpath("schemas", name).read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)
