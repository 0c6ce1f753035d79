"""Makes a recorded model again from its parent and recipe, and says how far the two are apart: `pressmark/replay/1`.

Rules:
- what is given decides and nothing that is written in the recorded file: the parent, the recipe, the rows that steps look at, the
  licence; the file only chooses between the stated licence and none, and which engine's facts are written beside the tensors
  (see `facts`): what was made says the same of itself, or it is not bit-exact;
- a difference is an answer, not an error (`replay_report` has the words); an error is a recipe that does not fit, or rows that are
  missing;
- the same inputs on the same libraries give the same bytes of the report; what was made is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from compression_engine.carrying.door import torch_file
from compression_engine.carrying.entered import as_given, through_the_door
from compression_engine.errors import EngineError
from compression_engine.formats import onnx_io
from compression_engine.formats.safetensors_model import digest_of_records, open_model, safetensors_path
from compression_engine.formats.spool import spooling
from compression_engine.limits import scratch
from compression_engine.plan import Plan
from compression_engine.progress import Progress, silent
from compression_engine.recipe import Recipe
from compression_engine.replaying.made_again import write_as_recorded
from compression_engine.replaying.replay_report import Asked, Laid, Rederived, licence_of, report, written_by_of
from compression_engine.replaying.safetensors_differences import differences_of_files
from compression_engine.replaying.tensor_differences import Differences, differences
from compression_engine.safetensors_pipeline import facts_of, make_tensors, refuse_rows
from compression_engine.steps.making import calibration_rows, make
from compression_engine.steps.training_files import TrainingFiles, TrainingMaterial


def rederive(
    recorded: Path,
    *,
    parent: Path,
    recipe: Recipe,
    calibration: Path | None = None,
    training: TrainingFiles | None = None,
    plan: Plan | None = None,
    licence: str | None = None,
    recorded_on: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> Rederived:
    """Compares `recorded` with what `recipe` makes of `parent` now; `plan` says how rows are read, `training` is for some steps.

    `licence` is what is stated of the parent: a file that says another is not bit-exact. `recorded_on`: the environment that the
    recorded model's result names, where there is one. Raises EngineError with the codes of `compress` before anything is measured.
    """
    training = training or TrainingFiles()
    tensors = safetensors_path(parent) if torch_file(parent) is None else None
    if tensors is not None:
        refuse_rows({"--calibration": calibration, "--plan": plan} | training.named())
        return _tensors(recorded, tensors, Asked(recipe, None, None, licence, recorded_on), progress)
    training.check(recipe)
    asked = Asked(recipe, None, plan, licence, recorded_on)
    return _graph(parent, recorded, asked, calibration, progress, training=training)


@through_the_door
def _graph(
    parent: Path, recorded: Path, asked: Asked, calibration: Path | None, progress: Progress, *, training: TrainingFiles
) -> Rederived:
    """For models that are a graph: ONNX, and models of torch, which are carried there first."""
    recipe, plan, licence = asked.recipe, asked.plan, asked.licence
    progress("read", 0, 1, "reading parent and recorded model")
    loaded, known = (onnx_io.load(onnx_io.weights_file(path)) for path in (parent, recorded))
    loaded = as_given(loaded)
    material = calibration_rows(recipe, calibration, plan, parent)
    trained = TrainingMaterial.read(recipe, training, plan, parent)
    progress("read", 1, 1, f"{loaded.inspection.parameter_count:,} parameters")
    said = {one.key: one.value for one in known.model.metadata_props}
    stated, written_by = licence_of(said, licence), written_by_of(said)
    with scratch("pressmark-replay-") as folder, spooling(folder):
        made = make(loaded, recipe, progress, material, training=trained, licence=stated, written_by=written_by)
        files = write_as_recorded(made.model, folder / known.path.name, apart=bool(known.external))
        found = _compared(progress, lambda: differences(known.model, made.model))
    same = [file.digest for file in files] == [known.digest, *(file.digest for file in known.external)]
    rows = None if material is None else material.rows
    laid = Laid(loaded.digest, known.digest, files[0].digest, same, found, made.marks, said)
    return report(laid, Asked(recipe, rows, plan, licence, asked.recorded_on, trained))


def _tensors(recorded: Path, parent: Path, asked: Asked, progress: Progress) -> Rederived:
    """The same for models in safetensors, one file or shards: the digests are those that stand for all of their files."""
    path = safetensors_path(recorded)
    if path is None:
        hint = "Give the file that the recipe made: a file of safetensors, or the index of its shards."
        raise EngineError("structure_invalid", f"{recorded.name} is no safetensors, and its parent is.", hint)
    with open_model(parent) as before, open_model(path) as known, scratch("pressmark-replay-") as folder:
        said = known.files[0].metadata
        digest = before.digest()
        facts = facts_of(digest, asked.recipe, licence_of(said, asked.licence), written_by_of(said))
        # a parent of shards has a child of shards, whatever the recorded one is
        name = path.name if (before.index is None) == (known.index is None) else before.path.name
        made = make_tensors(before, asked.recipe, folder, name, facts, progress)
        with open_model(folder / name) as ours:
            found = _compared(progress, lambda: differences_of_files(known, ours))
        digests = known.digest(), digest_of_records(made.records)
    return report(Laid(digest, *digests, digests[0] == digests[1], found, made.marks, said), asked)


def _compared(progress: Progress, compare: Callable[[], Differences]) -> Differences:
    progress("check", 0, 1, "comparing tensor by tensor")
    found = compare()
    progress("check", 1, 1, f"{len(found.tensors):,} tensors compared")
    return found
