"""Model and recipe in, model and measurements out: the steps in order, each of which must have succeeded to count.

Rules:
- the parent is inspected before it is parsed; it is never changed;
- an output counts only after it loads, takes and gives what the parent does, runs on real rows (where there are none, on generated
  inputs, and the evidence says so), differs and is smaller (unless no step of the recipe is there to save bytes);
- of several steps each is judged on the same rows (`step_evidence`); one that breaks a declared budget ends the work, and the child
  is the model before it (`budget_kept`): its recipe are the steps that were done;
- the same parent, recipe and seed give the same bytes; what is measured is kept apart from what is made;
- an output appears whole or not at all (`placing`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compression_engine.answers.outputs import FIRST, INCUMBENT, PARENT, VERSION
from compression_engine.canonical import JSON, digest_of
from compression_engine.carrying.entered import agreement, as_given, described, named, through_the_door
from compression_engine.checking.outcome import check_smaller
from compression_engine.checking.structure_check import check_comparable, check_room, check_structure
from compression_engine.environment import environment
from compression_engine.errors import DataError
from compression_engine.evaluation import Beside, judge
from compression_engine.evaluation import Settings as Settings
from compression_engine.facts import check_licence
from compression_engine.formats import onnx_io
from compression_engine.formats.onnx_external import FileRecord
from compression_engine.formats.safetensors_model import safetensors_path
from compression_engine.formats.spool import spooling
from compression_engine.mapping.quantization_map import entry
from compression_engine.opening import ModelFile, model_files, other_records
from compression_engine.opening import open_pair as open_pair
from compression_engine.packed.beside import pack_child, with_packed_size
from compression_engine.placing import Place, place
from compression_engine.plan import Plan
from compression_engine.progress import Progress, silent
from compression_engine.recipe import Recipe
from compression_engine.result import Evidence, Result
from compression_engine.safetensors_pipeline import compress_tensors, refuse_rows
from compression_engine.sparsity import with_sparsity
from compression_engine.steps.budget_kept import StepBudget
from compression_engine.steps.call_material import CallMaterial
from compression_engine.steps.finished_before import saying_what_stands
from compression_engine.steps.making import Made as Made
from compression_engine.steps.making import calibration_rows as calibration_rows
from compression_engine.steps.making import make as make
from compression_engine.steps.step_evidence import StepJudge, judging
from compression_engine.steps.step_states import StepStates
from compression_engine.steps.training_files import TrainingFiles, TrainingMaterial
from compression_engine.steps.work_files import alone_in
from compression_engine.training.device import CPU
from compression_engine.training.left_out import with_left_out


@through_the_door
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
    training: TrainingFiles | None = None,
    budget: StepBudget | None = None,
    pack: bool = False,
    progress: Progress = silent,
) -> Result:
    """Makes the child of `parent` by `recipe` at `output_folder` and measures it.

    `output_folder` gets weights and RESULT.json, or is itself a path that ends in .onnx (see `placing`). `parent` is an ONNX
    file or a folder with model.onnx; `evaluation` and `calibration` are files of rows, see `data`: without the first the child is
    run on generated inputs (`structure_check`). `incumbent` and `first` are models that the child is compared with beside its
    parent. `licence`: of the parent, as the caller states it. `training`: what steps that train are handed in. `budget`: what must
    be left after every step; the child is the model after the last one that kept it. `pack`: writes the child packed beside it, for
    storage and transfer. Raises EngineError with a stable code; then there is no output.

    A `parent` in safetensors has no graph to run, so that its child is only compared (`safetensors_pipeline`). Models of torch, in
    the other roles too, are carried to ONNX first (`carrying`).
    """
    licence = None if licence is None else check_licence(licence)
    settings, beside = settings or Settings(seed=recipe.seed), beside or Beside()
    training, budget = training or TrainingFiles(), budget or StepBudget()
    asked = _asked(beside, incumbent, first) | budget.named()
    tensors = safetensors_path(parent)
    if tensors is not None:
        given = {"--evaluation": evaluation, "--calibration": calibration, "--plan": plan}
        refuse_rows(given | asked | training.named() | {"--pack": pack or None})
        return compress_tensors(tensors, recipe, output_folder, licence, progress)
    _check_rows_needed(evaluation, asked)
    training.check(recipe)
    progress("read", 0, 1, "reading the parent")
    material = CallMaterial.read(recipe, evaluation, calibration, training, plan, parent)
    # what a step looked at was seen, whether whoever asks says so or not
    beside = replace(beside, seen=[*beside.seen, *material.looked_at])
    loaded = as_given(onnx_io.load(onnx_io.weights_file(parent)))
    if evaluation is None:
        check_comparable(loaded.size_bytes, recipe)
    progress("read", 1, 1, f"{loaded.inspection.parameter_count:,} parameters")
    call = _Call(parent, recipe, incumbent, first, plan, beside, settings, licence, budget, pack, progress)
    standing = saying_what_stands(output_folder, loaded.digest, recipe)
    with standing, alone_in(training.resume), place(output_folder, loaded.path.name) as target, spooling(target.folder):
        states = _states(training, loaded, recipe, material, plan)
        result = replace(_carried_out(call, loaded, material, states, target), folder=output_folder)
        progress("write", 0, 1, "writing the result")
        target.result.write_bytes(result.canonical())
    progress("write", 1, 1, "done")
    return result


@dataclass(frozen=True)
class _Call:
    """What `compress` was asked for, checked."""

    parent: Path
    recipe: Recipe
    incumbent: Path | None
    first: Path | None
    plan: Plan | None
    beside: Beside
    settings: Settings
    licence: str | None
    budget: StepBudget
    pack: bool
    progress: Progress


def _carried_out(
    call: _Call, loaded: onnx_io.Loaded, material: CallMaterial, states: StepStates | None, target: Place
) -> Result:
    """Makes the child at its place and measures it; the result is not yet written."""
    settings, plan, progress = call.settings, call.plan, call.progress
    carried_as = agreement(material.rows, plan, environment(settings.threads, provider=settings.provider))
    asked = (call.parent, material.rows, plan, call.recipe, call.budget, call.beside, settings.seed, progress)
    with judging(*asked) as judge_of_steps:
        after = None if judge_of_steps is None else judge_of_steps.after
        made = make(
            loaded, call.recipe, progress, material.calibration, training=material.training, licence=call.licence,
            after=after, states=states,
        )  # fmt: skip
        by_step = [] if judge_of_steps is None else judge_of_steps.evidence()
    written = onnx_io.write(made.model, target.weights, apart=bool(loaded.inspection.external_files))
    size_bytes = sum(file.size_bytes for file in written)
    check_smaller(made.recipe, size_bytes, loaded.size_bytes)
    given = {VERSION: target.weights, PARENT: call.parent, INCUMBENT: call.incumbent, FIRST: call.first}
    files = {role: named(file) for role, file in model_files(given).items()}
    known = replace(call.beside, run_cpu_seconds=time.process_time())
    if material.rows is None:  # who trained took memory too
        check_comparable(loaded.size_bytes, made.recipe)
    found = _judge(files, material, plan, known, settings, progress)
    packed = pack_child(target.weights, progress) if call.pack else None
    measured = with_sparsity(found.evidence, made.steps, target.weights, loaded.path)
    return replace(
        _described(loaded, made, written, settings, material.training),
        budget=_budget(call.budget, call.recipe, judge_of_steps),
        licence=call.licence,
        others=other_records(files),
        data=found.data,
        evidence=with_left_out(
            [*with_packed_size(measured, packed, size_bytes), *by_step, *carried_as], material.left_out
        ),
        packed=packed,
        plan=plan,
        outputs_file=found.outputs_file,
    )


def _budget(budget: StepBudget, asked: Recipe, judge_of_steps: StepJudge | None) -> dict[str, JSON] | None:
    """What was promised and where it ended; None where nothing was."""
    if judge_of_steps is None or not budget.is_given:
        return None
    return budget.document(asked, judge_of_steps.ended)


def _described(
    loaded: onnx_io.Loaded,
    made: Made,
    written: Sequence[FileRecord],
    settings: Settings,
    training: TrainingMaterial | None,
) -> Result:
    """What a result says of the child before anything is measured."""
    parent, device = described(loaded), None if training is None else training.device
    return Result(
        command="compress",
        seed=settings.seed,
        environment=environment(settings.threads, provider=settings.provider, device=device),
        outputs=[file.document() | {"role": file.role} for file in written],
        parent=parent,
        origins=[] if training is None else training.origins(made.recipe, parent),
        recipe=made.recipe,
        steps=made.steps,
        tensors=onnx_io.tensor_digests(made.model),
        quantization_map=[entry(mark) for mark in made.marks],
        graph_digest=onnx_io.graph_digest(made.model),
    )


def _states(
    files: TrainingFiles, loaded: onnx_io.Loaded, recipe: Recipe, material: CallMaterial, plan: Plan | None
) -> StepStates | None:
    """Where finished steps are kept, and what they belong to; None where nobody named a folder."""
    if files.resume is None:
        return None
    trained = material.training
    belongs_to: dict[str, JSON] = {
        "calibration": None if material.calibration is None else material.calibration.rows.digest,
        "parent": digest_of(" ".join([loaded.digest, *(file.digest for file in loaded.external)]).encode()),
        "plan": None if plan is None else plan.digest(),
        "recipe": recipe.digest(),
        "student": None if trained is None or trained.student is None else digest_of(trained.student.content.encode()),
        "teacher": None if trained is None or trained.teacher is None else digest_of(trained.teacher.content.encode()),
        "training": None if trained is None else trained.rows.rows.digest,
    }
    return StepStates(files.resume, belongs_to, CPU if trained is None else trained.device, files.begun)


@dataclass(frozen=True)
class _Found:
    """What a result says of the child beside how it was made."""

    evidence: list[Evidence]
    data: list[dict[str, JSON]]
    outputs_file: dict[str, JSON] | None = None


def _judge(
    files: Mapping[str, ModelFile],
    material: CallMaterial,
    plan: Plan | None,
    beside: Beside,
    settings: Settings,
    progress: Progress,
) -> _Found:
    """Measures the child on rows; without any, runs it on generated inputs."""
    if material.rows is None:
        return _Found(check_structure(files, settings, progress), material.records())
    check_room(files[PARENT])
    judged = judge(files, material.rows, plan, beside, settings, progress)
    return _Found(judged.evidence, [*material.records(), *judged.data()], judged.outputs_file)


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
