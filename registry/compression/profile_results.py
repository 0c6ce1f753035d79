"""A data profile that the engine handed back, before it counts: its shape, and that it is about the bytes that were given."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from registry.compression.results import WorkFailed, read_document
from registry.compression.rules import Failure
from registry.provenance.models import DataProfile
from registry.provenance.profiles import label_of

_HINT = "Check that registry and engine are of one version; nothing was kept."


@dataclass(frozen=True)
class ReadProfile:
    """A profile that may count."""

    raw: bytes
    document: dict[str, Any]

    @property
    def engine_version(self) -> str:
        return str(self.document["engine"]["version"])


@cache
def _schema() -> Draft202012Validator:
    text = (resources.files("compression_engine") / "schemas" / "data_profile-1.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))


def read_profile(path: Path, asked: DataProfile) -> ReadProfile:
    """The profile in a file; WorkFailed (`result_invalid`, `bytes_differ`) when it may not count."""
    raw, document = read_document(path)
    error = next(iter(_schema().iter_errors(document)), None)
    if error is not None:
        said = f"What the engine wrote cannot count: {path.name}: {error.json_path}: {error.message[:200]}."
        raise WorkFailed(Failure("result_invalid", said, _HINT))
    settings = asked.settings
    previous = document["previous"] and document["previous"]["digest"]
    given = (
        asked.dataset_version.digest, sorted(entry["digest"] for entry in settings["against"]),
        settings["previous"] and settings["previous"]["digest"], label_of(asked), settings["seed"],
    )  # fmt: skip
    column = document["label"] and document["label"]["column"]
    told = (
        document["data"]["digest"], sorted(entry["digest"] for entry in document["against"]), previous, column,
        document["seed"],
    )  # fmt: skip
    if told != given:
        raise WorkFailed(Failure("bytes_differ", "The engine looked at other data than the profile names.", _HINT))
    return ReadProfile(raw, document)
