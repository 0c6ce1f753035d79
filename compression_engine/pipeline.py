"""Model and recipe in, model and measurements out: the steps in order, each of which must have succeeded to count.

Rules:
- the parent is inspected before it is parsed; it is never changed;
- an output counts only after it loads, takes and gives what the parent does, runs on real rows, differs and is smaller;
- the same parent, recipe and seed give the same bytes; what is measured is kept apart from what is made;
- an output folder appears whole, by a rename, or not at all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import onnx

from compression_engine.canonical import JSON, digest_of_stream
from compression_engine.data import Encoder, Rows, read_rows
from compression_engine.environment import ENGINE_VERSION, environment
from compression_engine.errors import DataError, EngineError, OutputRefused, RecipeError
from compression_engine.formats import onnx_io
from compression_engine.inspect import Inspection
from compression_engine.measure import fidelity, latency, memory, outputs, size
from compression_engine.methods.int8_weights import Report
from compression_engine.progress import Progress, silent
from compression_engine.recipe import Recipe
from compression_engine.result import RESULT_NAME, Evidence, Result
from compression_engine.runtime import Model, batches

TOKENIZER_NAME = "tokenizer.json"


@dataclass(frozen=True)
class Settings:
    """How to measure: threads of the runtime, rounds of latency, repeats of memory, seed of intervals."""

    seed: int = 0
    threads: int = 1
    rounds: int = latency.ROUNDS
    memory_repeats: int = memory.REPEATS


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
    settings: Settings | None = None,
    progress: Progress = silent,
) -> Result:
    """Makes the child of `parent` by `recipe` in `output_folder` (weights and RESULT.json) and measures it.

    `parent` is an ONNX file or a folder with model.onnx; `evaluation` (needed) and `calibration` are files of rows, see
    `data`. Raises EngineError with a stable code; then no output folder exists.
    """
    settings = settings or Settings(seed=recipe.seed)
    if evaluation is None:
        hint = "Give evaluation rows: an output counts only after it ran on real inputs."
        raise DataError("data_missing", "There are no rows to run the compressed model on.", hint)
    progress("read", 0, 1, "reading the parent")
    rows, extra = read_rows(evaluation), read_rows(calibration) if calibration else None
    loaded = onnx_io.load(onnx_io.weights_file(parent))
    progress("read", 1, 1, f"{loaded.inspection.parameter_count:,} parameters")
    with new_folder(output_folder) as folder:
        path = folder / loaded.path.name
        made = make(loaded, recipe, progress)
        digest = onnx_io.save(made.model, path)
        _check_smaller(path.stat().st_size, loaded.size_bytes)
        evidence = _measure_child(path, loaded, rows, settings, progress)
        result = Result(
            command="compress",
            seed=settings.seed,
            environment=environment(settings.threads),
            outputs=[_file_record(path, digest) | {"role": "weights"}],
            parent=_parent_record(loaded),
            recipe=recipe,
            data=_data_records(rows, extra),
            evidence=evidence,
            steps=made.steps,
            tensors=onnx_io.tensor_digests(made.model),
            graph_digest=onnx_io.graph_digest(made.model),
            folder=output_folder,
        )
        progress("write", 0, 1, "writing the result")
        (folder / RESULT_NAME).write_bytes(result.canonical())
    progress("write", 1, 1, "done")
    return result


def make(loaded: onnx_io.Loaded, recipe: Recipe, progress: Progress) -> Made:
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
        import_module(step.spec.module).apply(model, dict(step.parameters), report, progress)
        if not report.changed:
            raise _nothing_to_do(number, step.method, report)
        steps.append({"changed": report.changed, "left": report.left, "method": step.method})
    facts = {
        "pressmark.engine_version": ENGINE_VERSION,
        "pressmark.parent_digest": loaded.digest,
        "pressmark.recipe_digest": recipe.digest(),
    }
    onnx_io.write_facts(model, facts)
    return Made(model, steps)


def evaluate(
    child: Path,
    *,
    data: Path,
    parent: Path | None = None,
    settings: Settings | None = None,
    progress: Progress = silent,
) -> Result:
    """Measures a model, against its parent where one is given; compresses nothing and writes nothing."""
    settings = settings or Settings()
    progress("read", 0, 1, "reading the rows")
    rows = read_rows(data)
    child_path = onnx_io.weights_file(child)
    inspection = _inspected(child_path)
    digest, size_bytes = _digest_and_size(child_path, inspection.external_files)
    if parent is None:
        evidence = _measure_alone(child_path, size_bytes, rows, settings, progress)
        parent_record = None
    else:
        loaded = onnx_io.load(onnx_io.weights_file(parent))
        evidence = _measure_child(child_path, loaded, rows, settings, progress, size_bytes)
        parent_record = _parent_record(loaded)
    return Result(
        command="evaluate",
        seed=settings.seed,
        environment=environment(settings.threads),
        outputs=[{"digest": digest, "path": child_path.name, "role": "weights", "size_bytes": size_bytes}],
        parent=parent_record,
        data=_data_records(rows, None),
        evidence=evidence,
    )


def open_pair(child: Path, parent: Path | None, rows: Rows, threads: int) -> tuple[Model, Model | None, Encoder]:
    """Opens a model and its parent, and the rows in the form that both take; raises EngineError."""
    original = None if parent is None else Model(parent, threads, what="The original")
    model = Model(child, threads, what="The model" if parent is None else "The compressed model")
    if original is not None and model.signature != original.signature:
        hint = "A child takes and gives what its parent does; compare it with the model that it came from."
        raise OutputRefused("output_does_not_run", "Inputs or outputs differ from the original's.", hint)
    folders = [child.parent] if parent is None else [child.parent, parent.parent]
    found = (folder / TOKENIZER_NAME for folder in folders)
    tokenizer = next((path for path in found if path.is_file()), None)
    return model, original, Encoder(rows, model.inputs(), tokenizer)


def _measure_child(
    path: Path,
    parent: onnx_io.Loaded,
    rows: Rows,
    settings: Settings,
    progress: Progress,
    size_bytes: int | None = None,
) -> list[Evidence]:
    progress("check", 0, 1, "opening the compressed model and its parent")
    child, original, encoder = open_pair(path, parent.path, rows, settings.threads)
    assert original is not None
    child.run(next(batches(encoder, 1)).feed)
    progress("check", 1, 1, "it loads and runs")
    sizes = size.measure_size(size_bytes or path.stat().st_size, parent.size_bytes)
    progress("size", 1, 1, sizes[-1].plain)
    agreement = fidelity.measure_fidelity(child, original, encoder, settings.seed, progress)
    timing = latency.measure_latency(child, original, encoder, settings.rounds, settings.threads, progress)
    peaks = memory.measure_memory(path, parent.path, encoder, settings.memory_repeats, settings.threads, progress)
    facts = environment(settings.threads, encoder.preprocessing)
    return [
        Evidence("size", size.METHOD, None, facts, sizes),
        Evidence("fidelity", fidelity.METHOD, settings.seed, facts, agreement),
        Evidence("timing", latency.METHOD, None, facts, timing),
        Evidence("memory", memory.METHOD, None, facts, peaks),
    ]


def _measure_alone(path: Path, size_bytes: int, rows: Rows, settings: Settings, progress: Progress) -> list[Evidence]:
    model, _, encoder = open_pair(path, None, rows, settings.threads)
    facts = environment(settings.threads, encoder.preprocessing)
    described = outputs.measure_outputs(model, encoder, settings.seed, progress)
    timing = latency.measure_latency(model, None, encoder, settings.rounds, settings.threads, progress)
    peaks = memory.measure_memory(path, None, encoder, settings.memory_repeats, settings.threads, progress)
    return [
        Evidence("size", size.METHOD, None, facts, size.measure_size(size_bytes, None)),
        Evidence("outputs", outputs.METHOD, settings.seed, facts, described),
        Evidence("timing", latency.METHOD, None, facts, timing),
        Evidence("memory", memory.METHOD, None, facts, peaks),
    ]


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


def _check_smaller(size_bytes: int, parent_size_bytes: int) -> None:
    if size_bytes >= parent_size_bytes:
        message = f"The output has {size_bytes} bytes, the parent {parent_size_bytes}."
        hint = "The model is too small for this recipe to pay, or is compressed already; keep the parent."
        raise OutputRefused("output_not_smaller", message, hint)


def _nothing_to_do(number: int, method: str, report: Report) -> RecipeError:
    reasons = sorted({str(entry["reason"]) for entry in report.left})
    why = f" Weights were left alone because {'; '.join(reasons)}." if reasons else " It has no large float weights."
    hint = "The model may be compressed already; use another method, or a smaller min_elements."
    return RecipeError("nothing_to_compress", f"Step {number}: {method} found nothing to change.{why}", hint)


def _inspected(path: Path) -> Inspection:
    inspection = onnx_io.inspect_model(path)
    if inspection.format != "onnx":
        message = f"{path.name} is {inspection.format}; this version runs ONNX."
        raise EngineError("format_unknown", message, "Export the model to ONNX.")
    return inspection


def _digest_and_size(path: Path, external_files: tuple[str, ...]) -> tuple[str, int]:
    with path.open("rb") as file:
        digest = digest_of_stream(file)
    return digest, path.stat().st_size + sum((path.parent / name).stat().st_size for name in external_files)


def _file_record(path: Path, digest: str) -> dict[str, JSON]:
    return {"digest": digest, "path": path.name, "size_bytes": path.stat().st_size}


def _parent_record(loaded: onnx_io.Loaded) -> dict[str, JSON]:
    return {"digest": loaded.digest, "path": loaded.path.name, "size_bytes": loaded.size_bytes}


def _data_records(evaluation: Rows, calibration: Rows | None) -> list[dict[str, JSON]]:
    found = [evaluation.record("evaluation")]
    return found if calibration is None else [calibration.record("calibration"), *found]
