"""What a replay found: its report checked before it counts, the evidence it brings, and its outcome for readers.

Rules:
- the report is about the bytes that the run gave: parent, recorded version, recipe, calibration rows, plan; its outcome agrees with
  its own digests and tensors;
- the evidence names version, parent, recipe and the calibration rows; bit-exact and within tolerance are told apart in it;
- that it cannot be told on this processor is an answer only where a step looked at data: all else is the same everywhere.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from django.db.models import QuerySet
from jsonschema import Draft202012Validator

from registry.access.queries import readable
from registry.catalog.models import ModelVersion
from registry.compression import queries
from registry.compression.job import model_file
from registry.compression.material import rows_file
from registry.compression.models import Run, RunKind, RunState
from registry.compression.results import EngineResult, WorkFailed, read_document
from registry.compression.rules import Failure, needs_calibration, parsed_recipe
from registry.compression.subjects import replay_spec
from registry.compression.training import trains
from registry.events import Caller

KIND = "replay"
BIT_EXACT, WITHIN, DIFFERS, UNTOLD = "bit-exact", "within-tolerance", "differs", "cannot-be-told"
_HINT = "Check that registry and engine are of one version; nothing was kept."


@cache
def _schema() -> Draft202012Validator:
    text = (resources.files("compression_engine") / "schemas" / "replay-1.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))


def read_report(path: Path, run: Run) -> EngineResult:
    """The report in a file; WorkFailed (`result_invalid`, `bytes_differ`) when it may not count."""
    raw, document = read_document(path)
    error = next(iter(_schema().iter_errors(document)), None)
    if error is not None:
        said = f"What the engine wrote cannot count: {path.name}: {error.json_path}: {error.message[:200]}."
        raise WorkFailed(Failure("result_invalid", said, _HINT))
    if _told(document) != _given(run, document):
        raise WorkFailed(Failure("bytes_differ", "The engine made other things again than the run names.", _HINT))
    found = EngineResult(raw, document)
    replay_spec(run, found.evidence[0])  # its evidence obeys the rules, or nothing of it counts
    return found


def _told(document: dict[str, Any]) -> tuple[Any, ...]:
    material = document["calibration"] and document["calibration"]["digest"]
    names = ("parent_digest", "recorded_digest", "recipe_digest", "outcome")
    trained = document.get("training") and document["training"]["digest"]
    return (*(document[name] for name in names), material, trained)


def _given(run: Run, document: dict[str, Any]) -> tuple[Any, ...]:
    """What the report has to say, its outcome as it follows from its own words."""
    assert run.rederives is not None
    assert run.recipe is not None
    within = document["graph_same"] and all(tensor["within"] for tensor in document["tensors"])
    exact = document["made_digest"] == document["recorded_digest"]
    if run.rederives.artifacts.filter(role="external_data").exists():
        # the digests are those of the first of two files: the numbers in the other one count as well
        same = document["graph_same"] and not any(tensor["differing"] for tensor in document["tensors"])
        exact = exact and same and document["outcome"] == BIT_EXACT
    parsed = parsed_recipe(queries.recipe_bytes(run.recipe))
    untold = document["outcome"] == UNTOLD and (needs_calibration(parsed) or trains(parsed))
    outcome = BIT_EXACT if exact else WITHIN if within else UNTOLD if untold else DIFFERS
    used = None if document["calibration"] is None or run.calibration is None else rows_file(run.calibration).digest
    parent, recorded = (model_file(version).digest for version in (run.parent, run.rederives))
    learned = None if run.training is None else rows_file(run.training).digest
    return parent, recorded, run.recipe.digest, outcome, used, learned


def outcome_of(run: Run) -> str | None:
    """bit-exact, within-tolerance, differs or cannot-be-told; None while nothing is known."""
    result = queries.result_of(run) if run.state == RunState.SUCCEEDED else None
    return None if result is None else str(result.document["outcome"])


def said_of(run: Run) -> str:
    """What the engine said about it, in one sentence."""
    result = queries.result_of(run) if run.state == RunState.SUCCEEDED else None
    return "" if result is None else str(result.document["evidence"][0]["plain"][0])


def replays_of(caller: Caller, version: ModelVersion) -> QuerySet[Run]:
    """The replays of a version, newest first."""
    rows = readable(queries.run_rows(), caller, team="model__team")
    return rows.filter(kind=RunKind.REPLAY, rederives=version).order_by("-requested_at", "-pk")
