"""Applies the steps of a recipe to a model, one after the other; a model after the first steps is one that these alone would make.

Rules:
- a step that changes nothing is an error; but one that trained and found nothing better, beside others that changed something, is
  told (`changed` is empty, `left` says why);
- what lies in files stays there until a step needs all of it at once; what steps make of it goes to the spool (`spooling`);
- a model after k steps is finished as if the recipe had k: with the facts and the map of what was done, and of nothing else. So its
  digest is that of the child of these steps, and anybody can make it again;
- the same parent, recipe, seed and rows give the same bytes, also where steps that an earlier attempt had done are not done again
  (`step_states`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import onnx

from compression_engine.canonical import JSON
from compression_engine.checking.outcome import nothing_to_do
from compression_engine.environment import ENGINE_VERSION
from compression_engine.errors import DataError, RecipeError
from compression_engine.facts import Facts
from compression_engine.formats import onnx_io
from compression_engine.mapping.map_making import map_of_child
from compression_engine.mapping.quantization_map import in_file
from compression_engine.methods.already import quantised_by
from compression_engine.methods.report import Report, Stored
from compression_engine.opening import TOKENIZER_NAME
from compression_engine.plan import Plan
from compression_engine.progress import Progress
from compression_engine.recipe import Recipe, Step
from compression_engine.steps.bringing_in import bring_in
from compression_engine.steps.calibration import Calibration
from compression_engine.steps.looking_ahead import kept_at, look_ahead
from compression_engine.steps.step_states import State, StepStates
from compression_engine.steps.training_files import TrainingMaterial


@dataclass(frozen=True)
class Made:
    """A model after the steps of a recipe, not yet written."""

    model: onnx.ModelProto
    recipe: Recipe
    """The steps that made it: all that were asked for, or the first of them."""
    steps: list[dict[str, JSON]]
    marks: list[Stored]
    """The quantisation map: see `map_making`."""


class Verdict(Enum):
    """What is said of the model after a step: it may be the child; the next step tells; it may not, and no more is done."""

    HOLDS, LATER, BROKEN = range(3)


AfterStep = Callable[[int, Made], Verdict]
"""Told of the model after a step, by the step's number. Where it is broken, the last one that held is what was made."""


@dataclass
class _Work:
    """A model in the making, and what was told of it so far."""

    model: onnx.ModelProto
    steps: list[dict[str, JSON]] = field(default_factory=list)
    marks: list[Stored] = field(default_factory=list)


@dataclass(frozen=True)
class _Maker:
    """What all steps are given."""

    loaded: onnx_io.Loaded
    recipe: Recipe
    progress: Progress
    calibration: Calibration | None
    training: TrainingMaterial | None
    licence: str | None
    written_by: str
    states: StepStates | None

    def applied(self, work: _Work, number: int, step: Step) -> State:
        """Does a step, in place; what it said of itself."""
        if self.loaded.inspection.format not in step.spec.formats:
            formats = ", ".join(step.spec.formats)
            message = f"Step {number}: {step.method} takes {formats}, the model is {self.loaded.inspection.format}."
            raise RecipeError("recipe_does_not_fit", message, "Use a method for this format, or export the model.")
        report, looked_at = Report(), self._looked_at(number, step)
        method = import_module(step.spec.module)
        if looked_at or not getattr(method, "BY_BLOCKS", False):
            bring_in(work.model, f"Step {number}: {step.method}")
        method.apply(work.model, dict(step.parameters), report, self.progress, *looked_at)
        # who trained and found nothing better leaves the model as it is, and says so; the recipe is no no-op while others change it
        if not report.changed and not (report.training and len(self.recipe.steps) > 1):
            raise nothing_to_do(number, step, report, quantised_by(work.model))
        record: dict[str, JSON] = {**report.more, "changed": report.changed, "left": report.left, "method": step.method}
        if report.training:
            record["training"] = report.training
        return State(work.model, record, report.marks)

    def finished(self, work: _Work, *, in_place: bool) -> Made:
        """The model after the steps that were done so far; `in_place` where nothing is done to it any more."""
        model = work.model
        if not in_place:
            model = onnx.ModelProto()
            model.CopyFrom(work.model)
        done = replace(self.recipe, steps=self.recipe.steps[: len(work.steps)])
        marks = map_of_child(model, work.marks)
        onnx_io.write_facts(model, self._facts(done, marks))
        return Made(model, done, list(work.steps), marks)

    def _looked_at(self, number: int, step: Step) -> tuple[Any, ...]:
        found: tuple[Any, ...] = (self.calibration,) if step.needs_calibration else ()
        if not step.needs_training:
            return found
        assert self.training is not None  # refused before anything was made
        points = None if self.states is None else self.states.training
        return (*found, self.training.for_step(number, self.recipe, self.loaded, points))

    def _facts(self, done: Recipe, marks: list[Stored]) -> Facts:
        """What a child of these steps says of itself."""
        calibrated = self.calibration if any(step.needs_calibration for step in done.steps) else None
        known = {} if self.training is None else self.training.digests(done)
        return Facts(
            self.loaded.digest,
            done.digest(),
            None if calibrated is None else calibrated.rows.digest,
            self.licence,
            in_file(marks),
            self.written_by,
            **known,
        )


def make(
    loaded: onnx_io.Loaded,
    recipe: Recipe,
    progress: Progress,
    calibration: Calibration | None = None,
    *,
    training: TrainingMaterial | None = None,
    licence: str | None = None,
    written_by: str = ENGINE_VERSION,
    after: AfterStep | None = None,
    states: StepStates | None = None,
) -> Made:
    """Applies the steps of a recipe to a model, and writes into it what it is (see `facts`).

    `after` is asked after each step; the first that it calls broken ends the work, and so does what it raises. What was done of the
    recipe stands in `Made.recipe`. `states` keeps finished steps for a next attempt. Raises RecipeError (recipe_does_not_fit,
    nothing_to_compress), EngineError (model_does_not_fit) and what methods raise.
    """
    model = onnx.ModelProto()
    model.CopyFrom(loaded.model)
    onnx_io.prepare(model)
    maker, work = _Maker(loaded, recipe, progress, calibration, training, licence, written_by, states), _Work(model)
    look_ahead(loaded.model, recipe, calibration, progress)
    held: Made | None = None
    for number, step in enumerate(recipe.steps, start=1):
        state = None if states is None else states.read(number, progress)
        if state is None:
            state = _applied(maker, work, number, step)
            if states is not None:
                states.keep(number, state)
        work.model = state.model
        work.steps.append(state.record)
        work.marks += state.marks
        if after is None:
            continue
        made = maker.finished(work, in_place=number == len(recipe.steps))
        verdict = after(number, made)
        if verdict is Verdict.BROKEN:
            assert held is not None  # who has none that held raises
            return held
        held = made if verdict is Verdict.HOLDS else held
    if not any(one["changed"] for one in work.steps):
        raise nothing_to_do(len(work.steps), recipe.steps[-1], _said(work.steps[-1]))
    return maker.finished(work, in_place=True) if held is None else held


def _applied(maker: _Maker, work: _Work, number: int, step: Step) -> State:
    """Does a step; one that can do nothing says what becomes of what was trained before it."""
    try:
        return maker.applied(work, number, step)
    except RecipeError as error:
        raise kept_at(error, number, maker.recipe, None if maker.states is None else maker.states.folder) from error


def _said(record: dict[str, JSON]) -> Report:
    """What a finished step said it left alone."""
    return Report(left=list(record["left"]))


def calibration_rows(recipe: Recipe, path: Path | None, plan: Plan | None, parent: Path) -> Calibration | None:
    """What the recipe's steps look at; None where none looks at data. Raises DataError (data_missing, ...)."""
    needing = [number for number, step in enumerate(recipe.steps, start=1) if step.needs_calibration]
    if not needing:
        return None
    labelled = any(step.spec.needs_labels for step in recipe.steps)
    if path is None:
        hint = "Give calibration rows (in a shell --calibration FILE): inputs of the model" + (
            ", with the right class in the column 'label'." * labelled or "; they need no labels."
        )
        method = recipe.steps[needing[0] - 1].method
        raise DataError("data_missing", f"Step {needing[0]}: {method} needs calibration rows, there are none.", hint)
    read = Calibration.of if labelled else Calibration.of_inputs
    return read(path, plan, onnx_io.weights_file(parent).parent / TOKENIZER_NAME)
