"""Whether later steps could do anything with the model at all, looked at before an earlier one trains for an hour.

Rules:
- a method says so by its function `look`, given what `apply` is given and a copy of the parent: it raises what `apply` would, and
  costs next to nothing;
- what is asked of the parent is what no step before can bring about: pruning takes away and training moves numbers. Where a
  student that is handed in takes the parent's place nothing is looked at;
- steps that can only be told of after training say then where the trained model lies (`kept_at`).
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import onnx

from compression_engine.errors import RecipeError
from compression_engine.formats import onnx_io
from compression_engine.methods.report import Report
from compression_engine.progress import Progress
from compression_engine.recipe import Recipe, Step, Value
from compression_engine.steps.bringing_in import bring_in
from compression_engine.steps.calibration import Calibration

_CODES = ("recipe_does_not_fit", "nothing_to_compress")


def look_ahead(parent: onnx.ModelProto, recipe: Recipe, calibration: Calibration | None, progress: Progress) -> None:
    """Looks at every step behind one that trains. Raises RecipeError (recipe_does_not_fit) that names the step."""
    first = next((number for number, step in enumerate(recipe.steps) if step.needs_training), len(recipe.steps))
    if any(step.takes_student for step in recipe.steps):
        return
    for number, step in enumerate(recipe.steps[first + 1 :], start=first + 2):
        look = getattr(import_module(step.spec.module), "look", None)
        if look is None:
            continue
        progress("look", number - 1, len(recipe.steps), f"whether step {number} ({step.method}) could do anything")
        model = onnx.ModelProto()
        model.CopyFrom(parent)
        onnx_io.prepare(model)
        bring_in(model, f"Step {number}: {step.method}")
        given = (calibration,) if step.needs_calibration else ()
        try:
            look(model, _unspared(step), Report(), progress, *given)
        except RecipeError as error:
            before = ", ".join(one.method for one in recipe.steps[: number - 1])
            message = f"Step {number} ({step.method}) could do nothing, and nothing was trained: {error.message}"
            hint = f"{error.hint} Or leave it out and do {before} alone."
            raise RecipeError(error.code, message, hint) from error


def _unspared(step: Step) -> dict[str, Value]:
    """Parameters without what is to be left alone: its names may be those of tensors that an earlier step makes."""
    return {name: () if name == "exclude" else value for name, value in step.parameters.items()}


def kept_at(error: RecipeError, number: int, recipe: Recipe, folder: Path | None) -> RecipeError:
    """The error of a step behind one that trained, with where the trained model lies, or how it would have been kept."""
    if error.code not in _CODES or not any(step.needs_training for step in recipe.steps[: number - 1]):
        return error
    if folder is None:
        hint = f"{error.hint} What was trained is lost: with --resume FOLDER the model after each step is kept there."
    else:
        hint = f"{error.hint} What was trained is kept: {folder / f'step-{number - 1}' / 'model.onnx'}."
    return RecipeError(error.code, error.message, hint)
