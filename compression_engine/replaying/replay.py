"""Makes a result again from its recipe and its parent, and says whether the bytes are the same.

Rules:
- everything that decides bytes is taken from the result: recipe, plan, licence, and the version of the engine that wrote it;
- another version of the engine writes the facts as the recorded one did (see `facts`): where its methods give the same, the bytes
  are the same; where they do not, that is said (replay_engine_differs) and is no word about the result;
- what a result says of the bytes beside their digest (tensors, graph, map, digest of the recipe) has to follow from them too, and
  what it says of how they came about (steps, curves, rows, models) has to be what comes about again: see `said_again`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from compression_engine.canonical import JSON, canonical
from compression_engine.carrying.door import check_carried
from compression_engine.carrying.entered import as_given, described, entered, through_the_door
from compression_engine.environment import ENGINE_VERSION, environment
from compression_engine.errors import EngineError
from compression_engine.facts import check_licence, check_version
from compression_engine.formats import onnx_io
from compression_engine.formats.safetensors_model import open_model, safetensors_path
from compression_engine.formats.spool import spooling
from compression_engine.mapping.quantization_map import entry
from compression_engine.methods.report import Stored
from compression_engine.placing import place
from compression_engine.plan import Plan
from compression_engine.progress import Progress, silent
from compression_engine.recipe import Recipe
from compression_engine.replaying.figures_again import Evaluated, asked_of, check_ended
from compression_engine.replaying.kernels import only_by_kernels, other_kernels
from compression_engine.replaying.made_again import write_as_recorded
from compression_engine.replaying.replay_material import recorded_calibration, recorded_training
from compression_engine.replaying.said_again import Again, Part, parts_of, refuse
from compression_engine.result import read_result
from compression_engine.safetensors_pipeline import facts_of, make_tensors, refuse_rows
from compression_engine.steps.calibration import Calibration
from compression_engine.steps.call_material import records_of
from compression_engine.steps.making import Made, make
from compression_engine.steps.training_files import TrainingFiles, TrainingMaterial


@dataclass(frozen=True)
class Replayed:
    """A model that was made again to the same bytes."""

    digest: str
    parts: Sequence[Part]
    """What the result says beside the bytes: none of it differs; what could not be told or was not compared says so."""


def replay(
    result: Path,
    *,
    parent: Path,
    output_folder: Path,
    calibration: Path | None = None,
    training: TrainingFiles | None = None,
    progress: Progress = silent,
) -> str:
    """The digest of a model that was made again to the same bytes; see `replayed`."""
    files = training or TrainingFiles()
    made = replayed(
        result, parent=parent, output_folder=output_folder, calibration=calibration, training=files, progress=progress
    )
    return made.digest


def replayed(
    result: Path,
    *,
    parent: Path,
    output_folder: Path,
    calibration: Path | None = None,
    training: TrainingFiles | None = None,
    evaluation: Path | None = None,
    progress: Progress = silent,
) -> Replayed:
    """Writes the model into `output_folder` (or as it, where it ends in .onnx) if all is as recorded.

    `calibration` are the rows that the recipe's steps looked at, `training` what they trained with, where some did; with
    `evaluation`, the rows that were judged by, figures and budget are made again too. Raises DataError (data_missing), EngineError:
    replay_parent_differs, replay_data_differs, or, with the tensor that differs, replay_differs, (the result is of another version
    of the engine) replay_engine_differs or (other kernels may be why) replay_processor_differs; with what differs beside the bytes,
    replay_said_differs. Then nothing is written.
    """
    document = read_result(result)
    _check_records_compression(document, result.name)
    return _replay(
        parent, document, output_folder, _Rows(calibration, evaluation), progress, training=training or TrainingFiles()
    )


@dataclass(frozen=True)
class _Rows:
    """The rows that a replay is handed in beside those that were learned from."""

    calibration: Path | None
    evaluation: Path | None


@through_the_door
def _replay(
    parent: Path, document: dict[str, JSON], output_folder: Path, handed: _Rows, progress: Progress, *,
    training: TrainingFiles,
) -> Replayed:  # fmt: skip
    check_carried(document, entered())
    tensors = safetensors_path(parent)
    if tensors is not None:
        refuse_rows(training.named() | {"--evaluation": handed.evaluation})
        return _replay_tensors(document, tensors, output_folder, progress)
    loaded = as_given(onnx_io.load(onnx_io.weights_file(parent)))
    _check_parent(document, loaded.digest)
    _check_external(document, loaded)
    recipe = Recipe.parse(canonical(document["recipe"]))
    plan = None if document.get("plan") is None else Plan.parse(document["plan"])
    tried = recipe if handed.evaluation is None else asked_of(document, recipe)
    material = recorded_calibration(document, tried, handed.calibration, plan, parent)
    trained = recorded_training(document, tried, training, plan, parent, environment_of(document))
    judged = None
    if handed.evaluation is not None:
        rows = (None if material is None else handed.calibration, None if trained is None else training.rows)
        judged = Evaluated.of(document, handed.evaluation, plan, tried, [path for path in rows if path is not None])
    with place(output_folder, document["outputs"][0]["path"], with_result=False) as given, spooling(given.folder):
        _check_name(document, given.weights_name)
        with nullcontext() if judged is None else judged.judging(parent, progress) as judge:
            made = make(
                loaded, tried, progress, material, training=trained, licence=_licence(document),
                written_by=engine_of(document), after=None if judge is None else judge.after,
            )  # fmt: skip
        check_ended(made.recipe, recipe)
        written = write_as_recorded(made.model, given.weights, apart=len(document["outputs"]) > 1)
        said = (onnx_io.tensor_digests(made.model), onnx_io.graph_digest(made.model))
        if [file.digest for file in written] != [entry["digest"] for entry in document["outputs"]]:
            raise _differs(document, *said, recipe, made.marks, None if trained is None else trained.device)
        _check_said(document, *said, recipe, made.marks)
        outputs = [file.document() | {"role": file.role} for file in written]
        figures = [] if judged is None else judged.parts(document, judge, made, given.weights, parent, progress)
        parts = parts_of(document, _again(loaded, made, outputs, plan, material, trained), figures)
        refuse(parts, _hint(document))
    return Replayed(written[0].digest, parts)


def _again(
    loaded: onnx_io.Loaded,
    made: Made,
    outputs: Sequence[dict[str, JSON]],
    plan: Plan | None,
    material: Calibration | None,
    trained: TrainingMaterial | None,
) -> Again:
    """What follows from what was handed in, as `compress` says it."""
    parent = described(loaded)
    return Again(
        made.recipe,
        made.steps,
        outputs,
        parent,
        data=records_of(None if material is None else material.rows, trained),
        origins=[] if trained is None else trained.origins(made.recipe, parent),
        plan_digest=None if plan is None else plan.digest(),
        device=None if trained is None else trained.device,
    )


def _replay_tensors(document: dict[str, JSON], path: Path, output_folder: Path, progress: Progress) -> Replayed:
    """The same for a parent in safetensors; the digest is that of the first output: the file, or the index of shards."""
    with open_model(path) as parent:
        digest, size_bytes = parent.digest(), parent.size_bytes
        _check_parent(document, digest)
        recipe = Recipe.parse(canonical(document["recipe"]))
        facts = facts_of(digest, recipe, _licence(document), engine_of(document))
        with place(output_folder, document["outputs"][0]["path"], with_result=False) as given:
            made = make_tensors(parent, recipe, given.folder, given.weights_name, facts, progress)
            if [one["digest"] for one in made.records] != [one["digest"] for one in document["outputs"]]:
                raise _differs(document, made.tensors, made.texts_digest, recipe, made.marks)
            _check_said(document, made.tensors, made.texts_digest, recipe, made.marks)
            record: dict[str, JSON] = {"digest": digest, "path": path.name, "size_bytes": size_bytes}
            parts = parts_of(document, Again(recipe, made.steps, made.records, record))
            refuse(parts, _hint(document))
    return Replayed(str(made.records[0]["digest"]), parts)


def _check_parent(document: dict[str, JSON], digest: str) -> None:
    expected = document["parent"]["digest"]
    if digest != expected:
        hint = "Replay needs exactly the bytes that the result was made from."
        raise EngineError("replay_parent_differs", f"The parent is {digest}, recorded is {expected}.", hint)


def _check_external(document: dict[str, JSON], loaded: onnx_io.Loaded) -> None:
    """The files with a parent's external data are the recorded ones, where these were said (since engine 0.4.0)."""
    recorded = document["parent"].get("external_data", [] if engine_of(document) == ENGINE_VERSION else None)
    if recorded is None:
        return
    known = {entry["path"]: entry["digest"] for entry in recorded}
    found = {file.name: file.digest for file in loaded.external}
    for name in sorted({*known, *found}):
        if known.get(name) != found.get(name):
            hint = "Replay needs exactly the bytes that the result was made from."
            message = f"Of the parent, {name} is {found.get(name, 'missing')}, recorded is {known.get(name, 'none')}."
            raise EngineError("replay_parent_differs", message, hint)


def _check_name(document: dict[str, JSON], name: str) -> None:
    """A model of two files names the second, which is called after the first."""
    recorded = document["outputs"][0]["path"]
    if len(document["outputs"]) > 1 and name != recorded:
        hint = "Give a folder, or a file of that name in another folder."
        message = f"The recorded model is {recorded} with a file of data beside it; as {name} it has other bytes."
        raise EngineError("replay_name_differs", message, hint)


def _licence(document: dict[str, JSON]) -> str | None:
    return None if document.get("licence") is None else check_licence(document["licence"])


def _check_records_compression(document: dict[str, JSON], name: str) -> None:
    """Everything that a replay reads is there and of its kind: a result may come from anywhere."""
    try:
        sound = document["command"] == "compress" and isinstance(document["recipe"], dict)
        texts = [document["parent"]["digest"]]
        texts += [one[part] for one in document["outputs"] for part in ("digest", "path")]
        texts += [one[part] for one in document["parent"].get("external_data", []) for part in ("digest", "path")]
        sound = sound and len(document["outputs"]) > 0
        texts += [one[part] for one in document["tensors"] for part in ("digest", "name")]
        texts += [one[part] for one in document["data"] for part in ("digest", "role")]
        texts += [one[part] for one in document["environment"] for part in ("name", "value")]
        sound = sound and all(isinstance(text, str) for text in [*texts, document["graph_digest"]])
    except (KeyError, IndexError, TypeError):
        sound = False
    if not sound:
        raise EngineError("result_invalid", f"{name} records no compression.", "Give the RESULT.json of a compression.")


def engine_of(document: dict[str, JSON]) -> str:
    """The version of the engine that wrote a result; EngineError (result_invalid) where it names none."""
    try:
        return check_version(document["engine"]["version"])
    except (KeyError, TypeError) as error:
        hint = "Give the RESULT.json that compress wrote, unchanged."
        raise EngineError("result_invalid", "The result does not say which engine made it.", hint) from error


def environment_of(document: dict[str, JSON]) -> dict[str, str]:
    """The environment that a result names, by name; EngineError (result_invalid) where it names none."""
    try:
        return {str(entry["name"]): str(entry["value"]) for entry in document["environment"]}
    except (KeyError, TypeError) as error:
        hint = "Give the RESULT.json that compress wrote, unchanged."
        raise EngineError("result_invalid", "The result does not say where it was made.", hint) from error


def _differs(
    document: dict[str, JSON],
    tensors: list[dict[str, JSON]],
    graph: str,
    recipe: Recipe,
    marks: list[Stored],
    device: str | None = None,
) -> EngineError:
    recorded = {entry["name"]: entry["digest"] for entry in document["tensors"]}
    ours = {entry["name"]: entry["digest"] for entry in tensors}
    names = [name for name in ours if recorded.get(name) != ours[name]] + [
        name for name in recorded if name not in ours
    ]
    if names:
        what = f"the tensor {names[0]!r} differs" + (f", and {len(names) - 1} more" if len(names) > 1 else "")
    elif graph != document["graph_digest"]:
        what = "all tensors are the same, the graph around them differs"
    else:
        what = "all parts are the same, but the recorded digest of the file is not theirs"
    recorded_by = engine_of(document)
    if recorded_by != ENGINE_VERSION:
        message = (
            f"Engine {recorded_by} made this result, and {ENGINE_VERSION} makes other bytes of the same recipe: {what}."
        )
        hint = f"Replay it with engine {recorded_by}: whether the result is what it says cannot be told by another."
        return EngineError("replay_engine_differs", message, hint)
    other = other_kernels(environment_of(document), device)
    if names and other and only_by_kernels(recipe, marks, names):
        message = f"Whether the result is what it says cannot be told on this processor ({other}): {what}."
        hint = "A step looked at data, and sums depend on the processor. Replay it on the recorded kind of processor."
        return EngineError("replay_processor_differs", message, hint)
    return EngineError("replay_differs", f"The output is not the recorded one: {what}.", _hint(document))


def _check_said(
    document: dict[str, JSON], tensors: Sequence[JSON], graph: str, recipe: Recipe, marks: Iterable[Stored]
) -> None:
    """What a result says of the bytes that were made again is what follows from these; raises EngineError (result_invalid).

    Other versions of the engine may say it in another form, so that nothing is told of theirs.
    """
    if engine_of(document) != ENGINE_VERSION:
        return
    follows: dict[str, JSON] = {
        "graph_digest": graph,
        "quantization_map": [entry(mark) for mark in marks],
        "recipe_digest": recipe.digest(),
        "tensors": list(tensors),
    }
    wrong = [name for name, value in follows.items() if canonical(document.get(name)) != canonical(value)]
    if wrong:
        message = f"The bytes are the same, but what the result says of them is not so: {', '.join(wrong)}."
        raise EngineError("result_invalid", message, "Give the RESULT.json that compress wrote, unchanged.")


def _hint(document: dict[str, JSON]) -> str:
    before = environment_of(document)
    # what nobody can have written there is named as what has changed
    threads = before.get("threads", "1")
    count = int(threads) if re.fullmatch("[1-9][0-9]{0,3}", threads) else 1
    here = {one["name"]: one["value"] for one in environment(count)}
    changed = [f"{name} {before.get(name, 'none')} -> {here[name]}" for name in here if before.get(name) != here[name]]
    if not changed:
        return "The environment is the recorded one: the result or the recipe was changed."
    return f"The environment differs: {', '.join(changed)}. Replay with the recorded versions."
