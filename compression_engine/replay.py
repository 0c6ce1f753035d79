"""Makes a result again from its recipe and its parent, and says whether the bytes are the same."""

from __future__ import annotations

from pathlib import Path

from compression_engine.calibration import Calibration
from compression_engine.canonical import JSON, canonical
from compression_engine.environment import environment
from compression_engine.errors import EngineError
from compression_engine.formats import onnx_io
from compression_engine.pipeline import calibration_rows, make
from compression_engine.placing import place
from compression_engine.plan import Plan
from compression_engine.progress import Progress, silent
from compression_engine.recipe import Recipe
from compression_engine.result import read_result


def replay(
    result: Path,
    *,
    parent: Path,
    output_folder: Path,
    calibration: Path | None = None,
    progress: Progress = silent,
) -> str:
    """Writes the weights into `output_folder` (or as it, where it ends in .onnx); returns their digest if it is the recorded one.

    `calibration` are the rows that the recipe's steps looked at, where some did. Raises EngineError: replay_parent_differs,
    replay_data_differs, or replay_differs with the tensor that differs; then nothing is written.
    """
    document = read_result(result)
    if document["command"] != "compress" or document["recipe"] is None:
        hint = "Give the RESULT.json of a compression."
        raise EngineError("result_invalid", f"{result.name} records no compression.", hint)
    loaded = onnx_io.load(onnx_io.weights_file(parent))
    expected = document["parent"]["digest"]
    if loaded.digest != expected:
        hint = "Replay needs exactly the bytes that the result was made from."
        raise EngineError("replay_parent_differs", f"The parent is {loaded.digest}, recorded is {expected}.", hint)
    recipe = Recipe.parse(canonical(document["recipe"]))
    recorded = document["outputs"][0]
    material = _calibration(document, recipe, calibration, parent)
    with place(output_folder, recorded["path"], with_result=False) as given:
        made = make(loaded, recipe, progress, material)
        digest = onnx_io.save(made.model, given.weights)
        if digest != recorded["digest"]:
            raise _differs(document, onnx_io.tensor_digests(made.model), onnx_io.graph_digest(made.model))
    return digest


def _calibration(document: dict[str, JSON], recipe: Recipe, path: Path | None, parent: Path) -> Calibration | None:
    """The recorded calibration rows, read as they were."""
    plan = None if document.get("plan") is None else Plan.parse(document["plan"])
    found = calibration_rows(recipe, path, plan, parent)
    recorded = [entry["digest"] for entry in document["data"] if entry["role"] == "calibration"]
    if found is not None and found.rows.digest not in recorded:
        hint = "Replay needs exactly the calibration rows that the result was made with."
        message = f"The calibration rows are {found.rows.digest}, recorded is {', '.join(recorded) or 'none'}."
        raise EngineError("replay_data_differs", message, hint)
    return found


def _differs(document: dict[str, JSON], tensors: list[dict[str, JSON]], graph: str) -> EngineError:
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
    return EngineError("replay_differs", f"The output is not the recorded one: {what}.", _hint(document))


def _hint(document: dict[str, JSON]) -> str:
    before = {entry["name"]: entry["value"] for entry in document["environment"]}
    here = {entry["name"]: entry["value"] for entry in environment(int(before.get("threads", "1")))}
    changed = [f"{name} {before.get(name, 'none')} -> {here[name]}" for name in here if before.get(name) != here[name]]
    if not changed:
        return "The environment is the recorded one: the result or the recipe was changed."
    return f"The environment differs: {', '.join(changed)}. Replay with the recorded versions."
