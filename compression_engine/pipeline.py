"""Model and recipe in, model and measurements out: the steps in order, each of which must have succeeded to count.

Rules:
- the parent is inspected before it is parsed; it is never changed;
- an output counts only after it loads, takes and gives what the parent does, runs on real rows, differs and is smaller (unless
  no step of the recipe is there to save bytes);
- the same parent, recipe and seed give the same bytes; what is measured is kept apart from what is made;
- an output folder appears whole, by a rename, or not at all.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import onnx

from compression_engine.calibration import Calibration
from compression_engine.canonical import JSON, shown
from compression_engine.data import read_rows
from compression_engine.environment import ENGINE_VERSION, environment
from compression_engine.errors import DataError, EngineError, OutputRefused, RecipeError
from compression_engine.evaluation import Beside, judge
from compression_engine.evaluation import Settings as Settings
from compression_engine.formats import onnx_io
from compression_engine.limits import limits
from compression_engine.methods.report import Report
from compression_engine.opening import TOKENIZER_NAME, model_files, other_records
from compression_engine.opening import open_pair as open_pair
from compression_engine.outputs import FIRST, INCUMBENT, PARENT, VERSION
from compression_engine.plan import Plan
from compression_engine.progress import Progress, silent
from compression_engine.recipe import Recipe, Step
from compression_engine.result import RESULT_NAME, Result

_NAMED_MOST = 3


@dataclass(frozen=True)
class Made:
    """A model after all steps, not yet written."""

    model: onnx.ModelProto
    steps: list[dict[str, JSON]]


def compress(
    parent: Path,
    recipe: Recipe,
    *,
    evaluation: Path | None,
    output_folder: Path,
    calibration: Path | None = None,
    incumbent: Path | None = None,
    first: Path | None = None,
    plan: Plan | None = None,
    beside: Beside | None = None,
    settings: Settings | None = None,
    progress: Progress = silent,
) -> Result:
    """Makes the child of `parent` by `recipe` in `output_folder` (weights and RESULT.json) and measures it.

    `parent` is an ONNX file or a folder with model.onnx; `evaluation` (needed) and `calibration` are files of rows, see
    `data`; `incumbent` and `first` are models that the child is compared with beside its parent. Raises EngineError with a
    stable code; then no output folder exists.
    """
    settings, beside = settings or Settings(seed=recipe.seed), beside or Beside()
    given = _needed(evaluation)
    progress("read", 0, 1, "reading the parent")
    rows, material = read_rows(given, plan), calibration_rows(recipe, calibration, plan, parent)
    extra = material.rows if material else read_rows(calibration) if calibration else None
    loaded = onnx_io.load(onnx_io.weights_file(parent))
    progress("read", 1, 1, f"{loaded.inspection.parameter_count:,} parameters")
    with new_folder(output_folder) as folder:
        path = folder / loaded.path.name
        made = make(loaded, recipe, progress, material)
        limits().count(path, made.model.ByteSize())
        digest = onnx_io.save(made.model, path)
        _check_smaller(recipe, path.stat().st_size, loaded.size_bytes)
        files = model_files({VERSION: path, PARENT: parent, INCUMBENT: incumbent, FIRST: first})
        # what a step looked at was seen, whether whoever asks says so or not
        seen = [*beside.seen, *([calibration] if material is not None and calibration is not None else [])]
        known = replace(beside, seen=seen, run_cpu_seconds=time.process_time())
        judged = judge(files, rows, plan, known, settings, progress)
        result = Result(
            command="compress",
            seed=settings.seed,
            environment=environment(settings.threads, provider=settings.provider),
            outputs=[_file_record(path, digest) | {"role": "weights"}],
            parent=_parent_record(loaded),
            others=other_records(files),
            recipe=recipe,
            data=judged.data(extra),
            evidence=judged.evidence,
            plan=plan,
            outputs_file=judged.outputs_file,
            steps=made.steps,
            tensors=onnx_io.tensor_digests(made.model),
            graph_digest=onnx_io.graph_digest(made.model),
            folder=output_folder,
        )
        progress("write", 0, 1, "writing the result")
        (folder / RESULT_NAME).write_bytes(result.canonical())
    progress("write", 1, 1, "done")
    return result


def _needed(evaluation: Path | None) -> Path:
    if evaluation is None:
        hint = "Give evaluation rows: an output counts only after it ran on real inputs."
        raise DataError("data_missing", "There are no rows to run the compressed model on.", hint)
    return evaluation


def calibration_rows(recipe: Recipe, path: Path | None, plan: Plan | None, parent: Path) -> Calibration | None:
    """What the recipe's steps look at; None where none looks at data. Raises DataError (data_missing, ...)."""
    needing = [number for number, step in enumerate(recipe.steps, start=1) if step.needs_calibration]
    if not needing:
        return None
    labelled = any(step.spec.needs_labels for step in recipe.steps)
    if path is None:
        hint = "Give calibration rows: inputs of the model" + (
            ", with the right class in the column 'label'." * labelled or "."
        )
        method = recipe.steps[needing[0] - 1].method
        raise DataError("data_missing", f"Step {needing[0]}: {method} needs calibration rows, there are none.", hint)
    read = Calibration.of if labelled else Calibration.of_inputs
    return read(path, plan, onnx_io.weights_file(parent).parent / TOKENIZER_NAME)


def make(loaded: onnx_io.Loaded, recipe: Recipe, progress: Progress, calibration: Calibration | None = None) -> Made:
    """Applies the steps of a recipe to a model in memory; raises RecipeError (recipe_does_not_fit, nothing_to_compress)."""
    model = onnx.ModelProto()
    model.CopyFrom(loaded.model)
    onnx_io.prepare(model)
    steps: list[dict[str, JSON]] = []
    for number, step in enumerate(recipe.steps, start=1):
        if loaded.inspection.format not in step.spec.formats:
            formats = ", ".join(step.spec.formats)
            message = f"Step {number}: {step.method} takes {formats}, the model is {loaded.inspection.format}."
            raise RecipeError("recipe_does_not_fit", message, "Use a method for this format, or export the model.")
        report = Report()
        looked_at = (calibration,) if step.needs_calibration else ()
        import_module(step.spec.module).apply(model, dict(step.parameters), report, progress, *looked_at)
        if not report.changed:
            raise _nothing_to_do(number, step, report)
        steps.append({"changed": report.changed, "left": report.left, "method": step.method})
    facts = {
        "pressmark.engine_version": ENGINE_VERSION,
        "pressmark.parent_digest": loaded.digest,
        "pressmark.recipe_digest": recipe.digest(),
    }
    onnx_io.write_facts(model, facts)
    return Made(model, steps)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to write in that becomes `target` at the end, or vanishes when anything goes wrong."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise EngineError("output_exists", f"{target} exists already.", "Give a new folder, or an empty one.")
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.parent / f".{target.name}.partial-{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
        folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _check_smaller(recipe: Recipe, size_bytes: int, parent_size_bytes: int) -> None:
    if any(step.spec.shrinks for step in recipe.steps) and size_bytes >= parent_size_bytes:
        message = f"The output has {size_bytes} bytes, the parent {parent_size_bytes}."
        hint = "The model is too small for this recipe to pay, or is compressed already; keep the parent."
        raise OutputRefused("output_not_smaller", message, hint)


def _nothing_to_do(number: int, step: Step, report: Report) -> RecipeError:
    reasons = sorted({str(entry["reason"]) for entry in report.left})
    if not step.spec.shrinks:
        message = f"Step {number}: {step.method} found nothing to change: {'; '.join(reasons)}."
        return RecipeError("nothing_to_compress", message, "The model may stay as it is; leave this step out.")
    named = "; ".join(f"{shown(entry['name'])} because {entry['reason']}" for entry in report.left[:_NAMED_MOST])
    more = f"; and {len(report.left) - _NAMED_MOST} more" if len(report.left) > _NAMED_MOST else ""
    why = f" Left alone: {named}{more}." if reasons else " It has no large float weights."
    hint = "The model may be compressed already; use another method, or a smaller min_elements."
    return RecipeError("nothing_to_compress", f"Step {number}: {step.method} found nothing to change.{why}", hint)


def _file_record(path: Path, digest: str) -> dict[str, JSON]:
    return {"digest": digest, "path": path.name, "size_bytes": path.stat().st_size}


def _parent_record(loaded: onnx_io.Loaded) -> dict[str, JSON]:
    return {"digest": loaded.digest, "path": loaded.path.name, "size_bytes": loaded.size_bytes}
