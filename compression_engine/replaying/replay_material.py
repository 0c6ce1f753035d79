"""The rows and models that a recorded compression looked at, handed in once more: each is the recorded one, by its digest.

Rules:
- what is missing is named with the digest that is on record (data_missing); what is another is refused (replay_data_differs);
- a model that the result does not name as teacher or student is refused too: with it the child would be another;
- training is done where it was done: on the recorded device, unless another one is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from compression_engine.canonical import JSON
from compression_engine.carrying.door import check_form
from compression_engine.errors import DataError, EngineError
from compression_engine.plan import Plan
from compression_engine.recipe import Recipe
from compression_engine.steps.calibration import Calibration
from compression_engine.steps.making import calibration_rows
from compression_engine.steps.training_files import STUDENT, TEACHER, TrainingFiles, TrainingMaterial

_OPTIONS = {TEACHER: "--teacher", STUDENT: "--student"}


def recorded_calibration(
    document: dict[str, JSON], recipe: Recipe, path: Path | None, plan: Plan | None, parent: Path
) -> Calibration | None:
    """The recorded calibration rows, read as they were. Raises DataError, EngineError (replay_data_differs)."""
    found = calibration_rows(recipe, path, plan, parent)
    if found is not None:
        check_rows("calibration", found.rows.digest, _recorded(document, "calibration"))
    return found


def recorded_training(
    document: dict[str, JSON],
    recipe: Recipe,
    files: TrainingFiles,
    plan: Plan | None,
    parent: Path,
    environment: Mapping[str, str],
) -> TrainingMaterial | None:
    """What the recorded steps trained with. Raises DataError (data_missing), EngineError (replay_data_differs, option_unused)."""
    trains = any(step.needs_training for step in recipe.steps)
    rows = _recorded(document, "training")
    if trains and files.rows is None:
        hint = "Give them (in a shell --training FILE), unchanged."
        message = f"A step trained on rows that are not given: {', '.join(rows) or 'their digest is not on record'}."
        raise DataError("data_missing", message, hint)
    named = {role: digest for role, digest in _models(document).items() if digest != document["parent"]["digest"]}
    for role, path in ((TEACHER, files.teacher), (STUDENT, files.student)):
        if path is None and role in named:
            hint = f"Give it (in a shell {_OPTIONS[role]} MODEL), unchanged."
            raise DataError("data_missing", f"The {role} is not given: {named[role]}.", hint)
    if trains and files.device is None:
        files = replace(files, device=environment.get("device"))
    found = TrainingMaterial.read(recipe, files, plan, parent)
    if found is None:
        return None
    check_rows("training", found.rows.rows.digest, rows)
    for role, model in ((TEACHER, found.teacher), (STUDENT, found.student)):
        if model is not None and model.given_digest != _models(document).get(role):
            hint = f"Replay needs exactly the {role} that the result was made with."
            message = f"The {role} is {model.given_digest}, recorded is {_models(document).get(role, 'none')}."
            raise EngineError("replay_data_differs", message, hint)
        if model is not None:
            recorded = next(entry for entry in document["origins"] if entry["role"] == role)
            check_form(role, recorded, model.record())
    return found


def check_rows(role: str, digest: str, recorded: list[str]) -> None:
    """Raises EngineError (replay_data_differs) where the rows are not those on record."""
    if digest not in recorded:
        hint = f"Replay needs exactly the {role} rows that the result was made with."
        message = f"The {role} rows are {digest}, recorded is {', '.join(recorded) or 'none'}."
        raise EngineError("replay_data_differs", message, hint)


def _recorded(document: dict[str, JSON], role: str) -> list[str]:
    return [entry["digest"] for entry in document["data"] if entry["role"] == role]


def _models(document: dict[str, JSON]) -> dict[str, str]:
    """Digests of teacher and student that a result names; the parent's own where it taught."""
    try:
        return {str(entry["role"]): str(entry["digest"]) for entry in document.get("origins") or []}
    except (KeyError, TypeError, AttributeError) as error:
        hint = "Give the RESULT.json that compress wrote, unchanged."
        raise EngineError("result_invalid", "The result does not say by which models it was trained.", hint) from error
