"""What a result says beside its bytes: forged in every member, it is found by a replay or said to be what no replay tells."""

from __future__ import annotations

import copy
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from compression_engine.canonical import canonical, parse_canonical
from compression_engine.errors import EngineError
from compression_engine.evaluation import Settings
from compression_engine.pipeline import compress
from compression_engine.plan import Plan
from compression_engine.recipe import Recipe, Step
from compression_engine.replaying.replay import Replayed, replayed
from compression_engine.steps.budget_kept import StepBudget
from compression_engine.steps.training_files import TrainingFiles
from tests.engine import pipelines

STEPS = (
    Step("prune_unstructured", {"min_elements": 400, "sparsity_per_mille": 300}),
    Step("fine_tune", {"epochs": 2, "batch_size": 64, "loss": "teacher"}),
    Step("quantize_weights", {"min_elements": 400}),
)
HARD = Step("prune_unstructured", {"min_elements": 400, "sparsity_per_mille": 990, "scope": "global"})
FALSE = "sha256:" + "0" * 64
Document = dict[str, Any]
Forge = Callable[[Document], None]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A parent, a teacher, their rows, and what a pipeline under a budget made of them."""
    folder = pipelines.write(tmp_path_factory.mktemp("said"))
    wide = pipelines.write(tmp_path_factory.mktemp("wide"), width=64)
    (folder / "teacher.onnx").write_bytes((wide / "model.onnx").read_bytes())
    compressed(folder, "out", STEPS, StepBudget(at_least=Decimal("0.5")))
    compressed(folder, "ended", (STEPS[0], HARD), StepBudget(at_least=Decimal("0.5")))
    return folder


def compressed(folder: Path, name: str, steps: tuple[Step, ...], budget: StepBudget) -> None:
    compress(
        folder / "model.onnx",
        Recipe("tried", steps, 5),
        output_folder=folder / name,
        evaluation=folder / "evaluation.npz",
        plan=Plan.parse((folder / "plan.json").read_bytes()),
        settings=Settings(5, rounds=3, memory_repeats=1),
        training=handed_in(folder) if Recipe("tried", steps, 5).steps[1].needs_training else None,
        budget=budget,
    )


def handed_in(folder: Path) -> TrainingFiles:
    return TrainingFiles(rows=folder / "training.npz", teacher=folder / "teacher.onnx")


def again(folder: Path, document: Document, where: Path, **more: Any) -> Replayed:
    path = where / "RESULT.json"
    path.write_bytes(canonical(document))
    given: dict[str, Any] = {"parent": folder / "model.onnx", "training": handed_in(folder)} | more
    return replayed(path, output_folder=where / "again", **given)


def recorded(folder: Path, name: str = "out") -> Document:
    return dict(parse_canonical((folder / name / "RESULT.json").read_bytes()))


def outcomes(found: Replayed) -> dict[str, str]:
    return {part.name: part.outcome for part in found.parts}


def test_all_that_follows_from_what_was_handed_in_is_the_same_and_the_rest_is_named(
    world: Path, tmp_path: Path
) -> None:
    found = again(world, recorded(world), tmp_path)
    same = {"steps", "rows", "models", "outputs", "parent", "plan"}
    assert {name for name, outcome in outcomes(found).items() if outcome == "same"} == same
    rest = {part.name: part for part in found.parts if part.outcome != "same"}
    assert set(rest) == {"budget", "evidence", "environment"}
    assert "--evaluation" in rest["evidence"].why
    assert "--evaluation" in rest["budget"].why
    assert "does not follow from its bytes" in rest["environment"].why


def curve(document: Document) -> None:
    document["steps"][1]["training"][0]["points"][1]["validation"] = "0.001"


def order(document: Document) -> None:
    document["steps"].reverse()


def dropped(document: Document) -> None:
    del document["steps"][1]


def changed_tensors(document: Document) -> None:
    document["steps"][0]["changed"][0]["how"] = "95.0 % of its numbers are zero"


def training_rows(document: Document) -> None:
    next(one for one in document["data"] if one["role"] == "training")["rows"] = 90_000


def training_digest(document: Document) -> None:
    next(one for one in document["data"] if one["role"] == "training")["digest"] = FALSE


def teacher_digest(document: Document) -> None:
    document["origins"][0]["digest"] = FALSE


def no_teacher(document: Document) -> None:
    document["origins"] = []


def budget_steps(document: Document) -> None:
    document["budget"]["asked_digest"] = FALSE


def budget_ended(document: Document) -> None:
    document["budget"]["ended"] = {
        "figures": [], "method": "quantize_weights", "not_done": [], "plain": "", "step": 3, "undone": []
    }  # fmt: skip


def plan_digest(document: Document) -> None:
    document["plan_digest"] = FALSE


def recipe_digest(document: Document) -> None:
    document["recipe_digest"] = FALSE


def size(document: Document) -> None:
    document["outputs"][0]["size_bytes"] = 100


def parent_size(document: Document) -> None:
    document["parent"]["size_bytes"] *= 10


@pytest.mark.parametrize(
    ("forge", "code", "names"),
    [
        (curve, "replay_said_differs", r"steps\[1\].training\[0\].points\[1\].validation is \"0.001\" on record"),
        (order, "replay_said_differs", r"steps\[0\].method is \"quantize_weights\" on record"),
        (dropped, "replay_said_differs", "steps has 2 entries on record, 3 made again"),
        (changed_tensors, "replay_said_differs", r"steps\[0\].changed\[0\].how"),
        (training_rows, "replay_said_differs", r"data\[0\].rows is 90000 on record, 900 made again"),
        (training_digest, "replay_data_differs", "training rows are"),
        (teacher_digest, "replay_data_differs", "teacher is"),
        (no_teacher, "replay_data_differs", "recorded is none"),
        (budget_steps, "replay_said_differs", "budget.asked_digest"),
        (budget_ended, "replay_said_differs", "budget.ended names no step"),
        (plan_digest, "replay_said_differs", "plan_digest"),
        (recipe_digest, "result_invalid", "recipe_digest"),
        (size, "replay_said_differs", r"outputs\[0\].size_bytes is 100"),
        (parent_size, "replay_said_differs", "parent.size_bytes"),
    ],
)
def test_what_was_forged_is_found_and_named_and_nothing_is_written(
    world: Path, tmp_path: Path, forge: Forge, code: str, names: str
) -> None:
    document = copy.deepcopy(recorded(world))
    forge(document)
    with pytest.raises(EngineError, match=names) as refused:
        again(world, document, tmp_path)
    assert refused.value.code == code
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(("name", "value"), [("torch", "1.0.0"), ("cpu_flags", "none"), ("blas_kernel", "other 1")])
def test_elsewhere_a_forged_curve_is_never_called_the_same(world: Path, tmp_path: Path, name: str, value: str) -> None:
    document = copy.deepcopy(recorded(world))
    for fact in document["environment"]:
        if fact["name"] == name:
            fact["value"] = value
    (untold,) = [part for part in again(world, document, tmp_path).parts if part.name == "steps"]
    assert untold.outcome == "cannot-be-told"
    assert f"{name} {value} ->" in untold.why
    assert "come out equal" in untold.why
    curve(document)
    (tmp_path / "x").mkdir()
    (forged,) = [part for part in again(world, document, tmp_path / "x").parts if part.name == "steps"]
    assert forged.outcome == "cannot-be-told"
    assert "points[1].validation" in forged.why


def learned_more(document: Document) -> None:
    document["steps"][1]["training"][0]["learning_rows"] = 270_000


def another_method(document: Document) -> None:
    document["steps"][1]["method"] = "another"


def faster(document: Document) -> None:
    document["steps"][1]["training"][0]["settings"]["learning_rate"] = "1"


def told_otherwise(document: Document) -> None:
    document["steps"][0]["changed"][0]["how"] = "nothing was taken from it"


@pytest.mark.parametrize("forge", [learned_more, another_method, faster, told_otherwise, dropped])
def test_another_processor_explains_sums_and_nothing_else(world: Path, tmp_path: Path, forge: Forge) -> None:
    document = copy.deepcopy(recorded(world))
    for fact in document["environment"]:
        fact["value"] = "other 1" if fact["name"] == "blas_kernel" else fact["value"]
    forge(document)
    with pytest.raises(EngineError, match="does not explain it") as refused:
        again(world, document, tmp_path)
    assert refused.value.code == "replay_said_differs"


def test_with_the_evaluation_rows_figures_and_budget_are_made_again(world: Path, tmp_path: Path) -> None:
    found = again(world, recorded(world), tmp_path, evaluation=world / "evaluation.npz")
    assert {name for name, outcome in outcomes(found).items() if outcome == "same"} == {
        "steps", "rows", "models", "outputs", "parent", "plan", "budget", "evaluation rows", "evidence",
    }  # fmt: skip
    assert set(outcomes(found).values()) == {"same", "cannot-be-told", "not-compared"}


def of_kind(document: Document, kind: str) -> Document:
    return next(one["document"] for one in document["evidence"] if one["document"]["kind"] == kind)


def child_figure(document: Document) -> None:
    of_kind(document, "fidelity")["figures"][0]["value"] = "1"


def slice_figure(document: Document) -> None:
    figures = of_kind(document, "step")["figures"]
    next(one for one in figures if one["slice"] and one["metric"] == "step_quality_lost")["high"] = "0"


def sentence(document: Document) -> None:
    next(one for one in document["evidence"] if one["document"]["kind"] == "step")["plain"][0] = "Nothing was lost."


def which_step(document: Document) -> None:
    for fact in of_kind(document, "step")["environment"]:
        fact["value"] = FALSE if fact["name"] == "step_model" else fact["value"]


def no_evidence_of_a_step(document: Document) -> None:
    document["evidence"] = [one for one in document["evidence"] if one["document"]["kind"] != "step"]


def more_rows(document: Document) -> None:
    next(one for one in document["data"] if one["role"] == "evaluation")["rows"] = 40_000


def seed(document: Document) -> None:
    of_kind(document, "fidelity")["seed"] = 99


@pytest.mark.parametrize(
    ("forge", "names"),
    [
        (child_figure, r"evidence fidelity \w+.figures\[0\].value is \"1\" on record"),
        (slice_figure, r"evidence step \w+ 1.figures\[\d+\].high is \"0\" on record"),
        (sentence, r"plain\[0\] is \"Nothing was lost.\" on record"),
        (which_step, "facts.step_model"),
        (no_evidence_of_a_step, "evidence step answers_beside_the_parent 1"),
        (more_rows, r"rows is 40000 on record, 400 made again"),
        (seed, "seed is 99 on record, 5 made again"),
    ],
)
def test_a_forged_figure_is_found_by_whoever_has_the_rows(
    world: Path, tmp_path: Path, forge: Forge, names: str
) -> None:
    document = copy.deepcopy(recorded(world, "ended"))
    forge(document)
    given: dict[str, Any] = {"training": None, "evaluation": world / "evaluation.npz"}
    with pytest.raises(EngineError, match=names) as refused:
        again(world, document, tmp_path, **given)
    assert refused.value.code == "replay_said_differs"
    assert not (tmp_path / "again").exists()
    without = again(world, document, tmp_path, training=None)
    assert outcomes(without)["evidence"] == "not-compared"


def softer(document: Document) -> None:
    document["budget"]["ended"]["figures"][0]["value"] = "0.49"


def as_if_kept(document: Document) -> None:
    document["budget"] |= {"asked": document["recipe"], "asked_digest": document["recipe_digest"], "ended": None}


def asked_less(document: Document) -> None:
    document["budget"]["at_least"] = "0.01"


@pytest.mark.parametrize(
    ("forge", "names"),
    [
        (softer, r"budget.ended.figures\[0\].value is \"0.49\" on record"),
        (asked_less, "the work ends after step 2; on record is step 1"),
    ],
)
def test_a_forged_verdict_of_a_budget_is_found_by_whoever_has_the_rows(
    world: Path, tmp_path: Path, forge: Forge, names: str
) -> None:
    document = copy.deepcopy(recorded(world, "ended"))
    assert document["budget"]["ended"]["step"] == 2
    honest = again(world, document, tmp_path, training=None, evaluation=world / "evaluation.npz")
    assert outcomes(honest)["budget"] == "same"
    forge(document)
    (tmp_path / "forged").mkdir()
    with pytest.raises(EngineError, match=names):
        again(world, document, tmp_path / "forged", training=None, evaluation=world / "evaluation.npz")


@pytest.mark.parametrize("evidence", [[1], {"a": 1}, [{"document": {"kind": "x"}}], "twice"])
def test_evidence_of_another_form_is_refused_in_words(world: Path, tmp_path: Path, evidence: Any) -> None:
    document = recorded(world, "ended")
    document["evidence"] = document["evidence"] * 2 if evidence == "twice" else evidence
    with pytest.raises(EngineError) as refused:
        again(world, document, tmp_path, training=None, evaluation=world / "evaluation.npz")
    assert refused.value.code == "result_invalid"


def test_what_a_clock_decides_and_what_it_was_made_on_are_never_called_the_same(world: Path, tmp_path: Path) -> None:
    """Whoever forges these is not found by a replay, and no replay says that they are right."""
    document = copy.deepcopy(recorded(world, "ended"))
    for fact in document["environment"]:
        fact["value"] = "9.9.9" if fact["name"] == "python" else fact["value"]
    document["evidence"].append(copy.deepcopy(next(e for e in document["evidence"] if e["document"]["kind"] == "size")))
    document["evidence"][-1]["document"]["kind"] = "timing"
    as_if_kept(document)
    found = again(world, document, tmp_path, training=None, evaluation=world / "evaluation.npz")
    told = {part.name: part for part in found.parts}
    assert "not the same here: python" in told["environment"].why
    assert next(part.outcome for name, part in told.items() if "timing" in name) == "not-compared"
    assert told["environment"].outcome == "cannot-be-told"
