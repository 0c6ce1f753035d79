"""A model in safetensors and a recipe in, its child and what can be said of it out; nothing is ever in memory as a whole.

Rules:
- the steps are those of `pipeline`; methods that need a graph, or rows to look at, refuse by name;
- there is nothing that could be run: rows to measure with are refused, and the child counts once every tensor was compared
  (`safetensors_check`), something changed and it became smaller;
- shards stay shards of the same names, each with the facts about its own tensors; the index says where the new ones are;
- the same parent and recipe give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from compression_engine.canonical import JSON
from compression_engine.checking.outcome import check_smaller, nothing_to_do
from compression_engine.checking.safetensors_check import check_tensors
from compression_engine.environment import ENGINE_VERSION, environment
from compression_engine.errors import DataError, EngineError
from compression_engine.facts import Facts
from compression_engine.formats.safetensors_io import TensorFile
from compression_engine.formats.safetensors_model import TensorModel, digest_of_records, open_model, record, write_index
from compression_engine.mapping.quantization_map import entry, in_file, in_order
from compression_engine.methods.report import Stored
from compression_engine.methods.safetensors_weights import Choice, choose, step_records
from compression_engine.methods.safetensors_writing import write_file
from compression_engine.placing import is_file, place
from compression_engine.progress import Progress, by_name
from compression_engine.recipe import Recipe
from compression_engine.result import Result


@dataclass(frozen=True)
class MadeTensors:
    """A child whose files are written."""

    records: list[dict[str, JSON]]
    steps: list[dict[str, JSON]]
    tensors: list[dict[str, JSON]]
    marks: list[Stored]
    choices: Mapping[str, Choice]
    texts_digest: str
    """Of what the headers say beside the tensors, and of what the index says beside the shards."""


def compress_tensors(path: Path, recipe: Recipe, output: Path, licence: str | None, progress: Progress) -> Result:
    """Makes and checks the child of the file or index at `path`; `output` as for `pipeline.compress`. Raises EngineError."""
    with open_model(path) as parent:
        _check_place(parent, output)
        progress("read", 0, 1, "reading the parent")
        known = [record(one) for one in parent.paths]
        digest = digest_of_records(known)
        progress("read", 1, 1, f"{sum(one.elements for _, one in parent.tensors()):,} parameters")
        with place(output, path.name) as given:
            facts = facts_of(digest, recipe, licence)
            made = make_tensors(parent, recipe, given.folder, given.weights_name, facts, progress)
            with open_model(given.weights) as child:
                check_smaller(recipe, child.size_bytes, parent.size_bytes)
                evidence = check_tensors(parent, child, made.choices, by_name(progress, "check", _count(parent)))
            result = Result(
                command="compress",
                seed=recipe.seed,
                environment=environment(1),
                outputs=made.records,
                parent={"digest": digest, "path": path.name, "size_bytes": parent.size_bytes},
                recipe=recipe,
                evidence=evidence,
                steps=made.steps,
                tensors=made.tensors,
                quantization_map=[entry(mark) for mark in made.marks],
                licence=licence,
                graph_digest=made.texts_digest,
                folder=output,
            )
            progress("write", 0, 1, "writing the result")
            given.result.write_bytes(result.canonical())
    progress("write", 1, 1, "done")
    return result


def refuse_rows(given: Mapping[str, object]) -> None:
    """Refuses what only a model that runs can be measured with, by the names of the options; DataError (data_does_not_fit)."""
    named = [name for name, value in given.items() if value]
    if named:
        hint = (
            "Leave it out, and use a recipe that looks at no rows (smaller-same-speed, half-size): tensors are compared. "
            "To measure answers, or for other recipes, export the model to ONNX."
        )
        message = f"{named[0]} needs a model that runs, and safetensors holds tensors without a graph."
        raise DataError("data_does_not_fit", message, hint)


def make_tensors(
    parent: TensorModel, recipe: Recipe, folder: Path, name: str, facts: Callable[[bytes], Facts], progress: Progress
) -> MadeTensors:
    """Writes the child into `folder`, its file (or index) as `name`.

    Raises RecipeError (recipe_does_not_fit, nothing_to_compress), FileRefused (weights_not_finite, structure_invalid).
    """
    choices, reports = choose(parent, recipe, by_name(progress, "compress", _count(parent)))
    for changed, found in choices.items():
        reports[found.step].change(changed, found.how)
    for number, (step, report) in enumerate(zip(recipe.steps, reports, strict=True), start=1):
        if not report.changed:
            raise nothing_to_do(number, step, report)
    told = by_name(progress, "compress", _count(parent))
    marks: list[Stored] = []
    tensors: list[dict[str, JSON]] = []
    names = {file.path.name: file.path.name if parent.index is not None else name for file in parent.files}
    for file in parent.files:
        written = write_file(file, folder / names[file.path.name], choices, _texts(file, facts), told)
        marks += written.marks
        tensors += written.tensors
    files = [folder / names[file.path.name] for file in parent.files]
    records = [record(file) | {"role": "weights"} for file in files]
    if parent.index is not None:
        write_index(parent.index, files, folder / name)
        records.insert(0, record(folder / name) | {"role": "other"})
    said = _texts_digest(files, None if parent.index is None else folder / name)
    return MadeTensors(records, step_records(recipe, reports), tensors, in_order(marks), choices, said)


def facts_of(
    digest: str, recipe: Recipe, licence: str | None, written_by: str = ENGINE_VERSION
) -> Callable[[bytes], Facts]:
    """What a child's files say of themselves, given the map of what each of them holds."""
    return lambda found: Facts(digest, recipe.digest(), None, licence, found, written_by)


def _texts(file: TensorFile, facts: Callable[[bytes], Facts]) -> Callable[[list[Stored]], Mapping[str, str]]:
    return lambda marks: facts(in_file(in_order(marks))).beside(file.metadata)


def _texts_digest(files: list[Path], index: Path | None) -> str:
    running = hashlib.sha256() if index is None else hashlib.sha256(index.read_bytes())
    for path in files:
        with TensorFile(path) as file:
            running.update(json.dumps(file.metadata, sort_keys=True).encode())
    return f"sha256:{running.hexdigest()}"


def _check_place(parent: TensorModel, output: Path) -> None:
    if parent.index is not None and is_file(output):
        hint = "Give a folder: the child has as many shards as its parent."
        raise EngineError("output_exists", f"{output.name} is one file, the parent has {len(parent.files)}.", hint)


def _count(model: TensorModel) -> int:
    return sum(len(file.entries) for file in model.files)
