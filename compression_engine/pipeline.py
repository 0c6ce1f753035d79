"""Model and recipe in, model and measurements out: the steps in order, each of which must have succeeded to count.

Rules:
- the parent is inspected before it is parsed; it is never changed;
- an output counts only after it loads, takes and gives what the parent does, runs on real rows (where there are none, on generated
  inputs, and the evidence says so), differs and is smaller (unless no step of the recipe is there to save bytes);
- the same parent, recipe and seed give the same bytes; what is measured is kept apart from what is made;
- an output appears whole or not at all (`placing`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import onnx

from compression_engine.bringing_in import bring_in
from compression_engine.calibration import Calibration
from compression_engine.canonical import JSON
from compression_engine.data import Rows, read_rows
from compression_engine.environment import ENGINE_VERSION, environment
from compression_engine.errors import DataError, RecipeError
from compression_engine.evaluation import Beside, judge
from compression_engine.evaluation import Settings as Settings
from compression_engine.facts import Facts, check_licence
from compression_engine.formats import onnx_io
from compression_engine.formats.onnx_external import FileRecord
from compression_engine.formats.safetensors_model import safetensors_path
from compression_engine.formats.spool import spooling
from compression_engine.map_making import map_of_child
from compression_engine.methods.already import quantised_by
from compression_engine.methods.report import Report, Stored
from compression_engine.opening import TOKENIZER_NAME, ModelFile, model_files, other_records
from compression_engine.opening import open_pair as open_pair
from compression_engine.outcome import check_smaller, nothing_to_do
from compression_engine.outputs import FIRST, INCUMBENT, PARENT, VERSION
from compression_engine.placing import place
from compression_engine.plan import Plan
from compression_engine.progress import Progress, silent
from compression_engine.quantization_map import entry, in_file
from compression_engine.recipe import Recipe
from compression_engine.result import Evidence, Result
from compression_engine.safetensors_pipeline import compress_tensors, refuse_rows
from compression_engine.structure_check import check_room, check_structure


@dataclass(frozen=True)
class Made:
    """A model after all steps, not yet written."""

    model: onnx.ModelProto
    steps: list[dict[str, JSON]]
    marks: list[Stored]
    """The quantisation map: see `map_making`."""


def compress(
    parent: Path,
    recipe: Recipe,
    *,
    output_folder: Path,
    evaluation: Path | None = None,
    calibration: Path | None = None,
    incumbent: Path | None = None,
    first: Path | None = None,
    plan: Plan | None = None,
    beside: Beside | None = None,
    settings: Settings | None = None,
    licence: str | None = None,
    progress: Progress = silent,
) -> Result:
    """Makes the child of `parent` by `recipe` at `output_folder` and measures it.

    `output_folder` gets weights and RESULT.json, or is itself a path that ends in .onnx (see `placing`). `parent` is an ONNX
    file or a folder with model.onnx; `evaluation` and `calibration` are files of rows, see `data`: without the first the child is
    run on generated inputs (`structure_check`). `incumbent` and `first` are models that the child is compared with beside its
    parent. `licence`: of the parent, as the caller states it. Raises EngineError with a stable code; then there is no output.

    A `parent` in safetensors has no graph to run, so that its child is only compared (`safetensors_pipeline`).
    """
    licence = None if licence is None else check_licence(licence)
    settings, beside = settings or Settings(seed=recipe.seed), beside or Beside()
    asked = _asked(beside, incumbent, first)
    tensors = safetensors_path(parent)
    if tensors is not None:
        refuse_rows({"--evaluation": evaluation, "--calibration": calibration, "--plan": plan} | asked)
        return compress_tensors(tensors, recipe, output_folder, licence, progress)
    _check_rows_needed(evaluation, asked)
    progress("read", 0, 1, "reading the parent")
    rows, material = _rows(evaluation, plan), calibration_rows(recipe, calibration, plan, parent)
    extra = material.rows if material else _rows(calibration)
    loaded = onnx_io.load(onnx_io.weights_file(parent))
    progress("read", 1, 1, f"{loaded.inspection.parameter_count:,} parameters")
    with place(output_folder, loaded.path.name) as given, spooling(given.folder):
        made = make(loaded, recipe, progress, material, licence=licence)
        written = onnx_io.write(made.model, given.weights, apart=bool(loaded.inspection.external_files))
        check_smaller(recipe, sum(file.size_bytes for file in written), loaded.size_bytes)
        files = model_files({VERSION: given.weights, PARENT: parent, INCUMBENT: incumbent, FIRST: first})
        # what a step looked at was seen, whether whoever asks says so or not
        seen = [*beside.seen, *([calibration] if material is not None and calibration is not None else [])]
        known = replace(beside, seen=seen, run_cpu_seconds=time.process_time())
        found = _judge(files, rows, extra, plan, known, settings, progress)
        result = replace(
            _described(loaded, recipe, made, written, settings, licence),
            others=other_records(files),
            data=found.data,
            evidence=found.evidence,
            plan=plan,
            outputs_file=found.outputs_file,
            folder=output_folder,
        )
        progress("write", 0, 1, "writing the result")
        given.result.write_bytes(result.canonical())
    progress("write", 1, 1, "done")
    return result


def _described(
    loaded: onnx_io.Loaded,
    recipe: Recipe,
    made: Made,
    written: Sequence[FileRecord],
    settings: Settings,
    licence: str | None,
) -> Result:
    """What a result says of the child before anything is measured."""
    return Result(
        command="compress",
        seed=settings.seed,
        environment=environment(settings.threads, provider=settings.provider),
        outputs=[file.document() | {"role": file.role} for file in written],
        parent=_parent_record(loaded),
        recipe=recipe,
        steps=made.steps,
        tensors=onnx_io.tensor_digests(made.model),
        quantization_map=[entry(mark) for mark in made.marks],
        licence=licence,
        graph_digest=onnx_io.graph_digest(made.model),
    )


@dataclass(frozen=True)
class _Found:
    """What a result says of the child beside how it was made."""

    evidence: list[Evidence]
    data: list[dict[str, JSON]]
    outputs_file: dict[str, JSON] | None = None


def _judge(
    files: Mapping[str, ModelFile],
    rows: Rows | None,
    calibration: Rows | None,
    plan: Plan | None,
    beside: Beside,
    settings: Settings,
    progress: Progress,
) -> _Found:
    """Measures the child on rows; without any, runs it on generated inputs."""
    if rows is None:
        data = [] if calibration is None else [calibration.record("calibration")]
        return _Found(check_structure(files, settings, progress), data)
    check_room(files[PARENT])
    judged = judge(files, rows, plan, beside, settings, progress)
    return _Found(judged.evidence, judged.data(calibration), judged.outputs_file)


def _rows(path: Path | None, plan: Plan | None = None) -> Rows | None:
    return None if path is None else read_rows(path, plan)


def _asked(beside: Beside, incumbent: Path | None, first: Path | None) -> dict[str, object]:
    """What is asked for beside the child, by the names of the options."""
    return {
        "--incumbent": incumbent,
        "--first": first,
        "--out-of-distribution": beside.out_of_distribution,
        "--outputs": beside.outputs,
        "--work": beside.work,
        "--price-sheet": beside.price_sheet,
        "--seen": beside.seen or None,
    }


def _check_rows_needed(evaluation: Path | None, asked: Mapping[str, object]) -> None:
    """Without evaluation rows nothing is measured that is asked for beside the child."""
    given = [name for name, value in asked.items() if value is not None]
    if evaluation is None and given:
        message = f"{given[0]} needs evaluation rows, there are none."
        raise DataError("data_missing", message, f"Give evaluation rows, or leave out {', '.join(given)}.")


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


def make(
    loaded: onnx_io.Loaded,
    recipe: Recipe,
    progress: Progress,
    calibration: Calibration | None = None,
    *,
    licence: str | None = None,
    written_by: str = ENGINE_VERSION,
) -> Made:
    """Applies the steps of a recipe to a model, and writes into it what it is (see `facts`).

    What lies in files stays there until a step needs all of it at once; what steps make of it goes to the spool, see `spooling`.
    Raises RecipeError (recipe_does_not_fit, nothing_to_compress), EngineError (model_does_not_fit).
    """
    model = onnx.ModelProto()
    model.CopyFrom(loaded.model)
    onnx_io.prepare(model)
    steps: list[dict[str, JSON]] = []
    marks: list[Stored] = []
    for number, step in enumerate(recipe.steps, start=1):
        if loaded.inspection.format not in step.spec.formats:
            formats = ", ".join(step.spec.formats)
            message = f"Step {number}: {step.method} takes {formats}, the model is {loaded.inspection.format}."
            raise RecipeError("recipe_does_not_fit", message, "Use a method for this format, or export the model.")
        report = Report()
        looked_at = (calibration,) if step.needs_calibration else ()
        method = import_module(step.spec.module)
        if step.needs_calibration or not getattr(method, "BY_BLOCKS", False):
            bring_in(model, f"Step {number}: {step.method}")
        method.apply(model, dict(step.parameters), report, progress, *looked_at)
        if not report.changed:
            raise nothing_to_do(number, step, report, quantised_by(model))
        steps.append({"changed": report.changed, "left": report.left, "method": step.method})
        marks += report.marks
    marks = map_of_child(model, marks)
    used = calibration if any(step.needs_calibration for step in recipe.steps) else None
    calibrated = None if used is None else used.rows.digest
    known = Facts(loaded.digest, recipe.digest(), calibrated, licence, in_file(marks), written_by)
    onnx_io.write_facts(model, known)
    return Made(model, steps, marks)


def _parent_record(loaded: onnx_io.Loaded) -> dict[str, JSON]:
    record: dict[str, JSON] = {"digest": loaded.digest, "path": loaded.path.name, "size_bytes": loaded.size_bytes}
    return record | ({"external_data": [file.document() for file in loaded.external]} if loaded.external else {})
