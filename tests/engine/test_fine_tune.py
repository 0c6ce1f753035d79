"""fine_tune: the weights of a model trained further, what is said of each, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compression_engine.checking.outcome import nothing_to_do
from compression_engine.errors import DataError, EngineError, RecipeError
from compression_engine.evaluation import Settings
from compression_engine.facts import PREFIX
from compression_engine.methods import METHODS
from compression_engine.pipeline import compress
from compression_engine.plan import Plan
from compression_engine.progress import Progress, silent
from compression_engine.recipe import Recipe, Step
from compression_engine.steps.training_files import TrainingFiles
from tests.engine import nets
from tests.engine.learning import CLASSES, FEATURES, PLAN, Weights, handed, net, rows
from tests.engine.made import metadata

QUICK: dict[str, Any] = {"epochs": 4, "batch_size": 16, "learning_rate_per_million": 10_000}


def tuned(folder: Path, model: onnx.ModelProto | None = None, **parameters: Any) -> tuple[Weights, Any]:
    """The weights after the method alone, and its report."""
    made, report = nets.applied(model or net(), "fine_tune", handed(folder), **(QUICK | parameters))
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}, report


def before(model: onnx.ModelProto | None = None) -> Weights:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in (model or net()).graph.initializer}


def recipe(**parameters: Any) -> Recipe:
    return Recipe("tuned", (Step("fine_tune", QUICK | parameters),), seed=5)


def made(
    folder: Path, name: str = "child.onnx", how: Recipe | None = None, told: Progress = silent, **given: Any
) -> Any:
    """The child of the net by the pipeline, measured on rows of its own."""
    nets.save(net(), folder)
    files = {"training": nets.save_rows(rows(), folder / "training.npz")} | given.pop("files", {})
    evaluation = nets.save_rows(rows(80, seed=2), folder / "evaluation.npz")
    return compress(
        folder / "model.onnx",
        how or recipe(),
        output_folder=folder / name,
        evaluation=evaluation,
        plan=Plan(task="classification", label="label", measures=("quality", "fidelity")),
        settings=Settings(rounds=2, memory_repeats=1),
        training=TrainingFiles(rows=files["training"], **given),
        progress=told,
    )


def test_one_epoch_is_told_as_one(tmp_path: Path) -> None:
    said: list[str] = []
    made(tmp_path, how=recipe(epochs=1), told=lambda stage, done, total, message: said.append(message))
    assert "done after 1 epoch, the best is 1" in said


def test_the_child_answers_better_and_says_what_it_was_trained_on(tmp_path: Path) -> None:
    result = made(tmp_path)
    document = result.document()
    assert result.value("accuracy") > 0.95
    entry = next(entry for entry in document["data"] if entry["role"] == "training")
    assert entry["rows"] == 300
    assert metadata(tmp_path / "child.onnx")[f"{PREFIX}training_digest"] == entry["digest"]
    training = document["steps"][0]["training"][0]
    assert training["learning_rows"] + training["validation_rows"] == 300
    assert [point["epoch"] for point in training["points"]] == [0, 1, 2, 3, 4]
    assert training["settings"]["learning_rate"] == "0.01"
    assert [entry["name"] for entry in document["steps"][0]["changed"]] == list(before())


def test_evaluation_rows_that_were_trained_on_are_refused(tmp_path: Path) -> None:
    files = {"training": nets.save_rows(rows(300, seed=2), tmp_path / "seen.npz")}
    both = rows(80, seed=2)
    files["training"] = nets.save_rows(
        {name: np.concatenate([value, both[name]]) for name, value in rows().items()}, tmp_path / "seen.npz"
    )
    with pytest.raises(DataError) as caught:
        made(tmp_path, files=files)
    assert caught.value.code == "evaluation_seen"
    assert not (tmp_path / "child.onnx").exists()


def test_the_same_recipe_rows_and_parent_give_the_same_file(tmp_path: Path) -> None:
    made(tmp_path, "one.onnx")
    made(tmp_path, "two.onnx")
    made(tmp_path, "other.onnx", Recipe("tuned", (Step("fine_tune", QUICK),), seed=6))
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()
    assert (tmp_path / "one.onnx").read_bytes() != (tmp_path / "other.onnx").read_bytes()


def test_each_weight_is_named_once(tmp_path: Path) -> None:
    _, report = tuned(tmp_path, frozen=["second*"])
    names = [entry["name"] for entry in (*report.changed, *report.left)]
    assert sorted(names) == sorted(before())
    assert {entry["name"]: entry["reason"] for entry in report.left} == {
        "second": "the recipe freezes it",
        "second_bias": "the recipe freezes it",
    }


def test_frozen_weights_are_named_exactly_or_by_their_beginning(tmp_path: Path) -> None:
    start = before()
    for frozen, kept in ((["first"], {"first"}), (["first*"], {"first", "first_bias"}), (["*"], set(start))):
        if frozen == ["*"]:
            with pytest.raises(EngineError) as caught:
                tuned(tmp_path, frozen=frozen)
            assert caught.value.code == "nothing_to_train"
            continue
        weights, _ = tuned(tmp_path, frozen=frozen)
        assert {name for name in start if weights[name].tobytes() == start[name].tobytes()} == kept


@pytest.mark.parametrize("name", ["firs", "third", "second_b", "x*"])
def test_a_name_that_no_weight_has_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        tuned(tmp_path, frozen=[name])
    assert caught.value.code == "recipe_does_not_fit"
    assert name in caught.value.message


def test_a_training_that_made_nothing_better_changes_nothing_and_says_so(tmp_path: Path) -> None:
    """Nothing is nearer to the parent's answers than the parent itself."""
    model, report = nets.applied(net(), "fine_tune", handed(tmp_path), **QUICK, loss="teacher")
    assert not report.changed
    assert {name: value.tobytes() for name, value in before(model).items()} == {
        name: value.tobytes() for name, value in before().items()
    }
    assert {entry["reason"] for entry in report.left} == {
        "no epoch answered the held-out rows better than the model did before"
    }
    with pytest.raises(RecipeError) as caught:
        made(tmp_path, how=recipe(loss="teacher"))
    assert caught.value.code == "nothing_to_compress"
    assert "no epoch" in caught.value.message
    assert "smaller learning rate" in caught.value.hint
    compressed_before = nothing_to_do(1, Step("distill"), report, "The model was compressed before.")
    assert (compressed_before.code, compressed_before.hint) == (caught.value.code, caught.value.hint)
    assert "no epoch" in compressed_before.message


def test_zeros_of_a_pruned_child_stay(tmp_path: Path) -> None:
    pruned = net()
    held = before()["first"].copy()
    held[np.abs(held) < np.median(np.abs(held))] = 0
    pruned.graph.initializer[0].CopyFrom(numpy_helper.from_array(held, "first"))
    weights, _ = tuned(tmp_path, pruned)
    assert ((weights["first"] == 0) == (held == 0)).all()


def test_the_parent_teaches_where_no_teacher_is_named(tmp_path: Path) -> None:
    files = {"training": nets.save_rows({"x": rows()["x"]}, tmp_path / "bare.npz")}
    noisy = net()
    held = before()["second"] + np.random.default_rng(0).normal(size=(16, CLASSES)).astype(np.float32)
    noisy.graph.initializer[2].CopyFrom(numpy_helper.from_array(held, "second"))
    parent = nets.save(net(), tmp_path / "parent")
    from compression_engine.training.material import Training

    training = Training.of(files["training"], PLAN, None, seed=1, parent=parent)
    changed, report = nets.applied(noisy, "fine_tune", training, **(QUICK | {"epochs": 25}), loss="teacher")
    fresh = {"x": rows(200, seed=2)["x"]}
    right = nets.answer(net(), fresh)[0].argmax(1)
    kept_before = (nets.answer(noisy, fresh)[0].argmax(1) == right).mean()
    kept_after = (nets.answer(changed, fresh)[0].argmax(1) == right).mean()
    assert report.changed
    assert kept_before < 0.7
    assert kept_after > 0.8


def test_numbers_are_learned_where_the_plan_is_of_regression(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, FEATURES)).astype(np.float32)
    arrays = {"x": x, "label": np.stack([x[:, 0], x[:, 1] - x[:, 2], x.sum(1)], axis=1)}
    training = handed(tmp_path, arrays, Plan(task="regression", label="label"))
    changed, _ = nets.applied(net(), "fine_tune", training, **(QUICK | {"epochs": 20}))
    error = np.square(nets.answer(changed, {"x": x})[0] - arrays["label"]).mean()
    assert error < 0.1 * np.square(arrays["label"]).mean()


def test_a_language_model_learns_the_token_that_follows(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    starts = draw.integers(0, 12, size=(200, 1))
    ids = (starts + np.arange(8) * 5) % 12  # the token that follows is always five further
    tensors = {
        "words": draw.normal(size=(12, 16)).astype(np.float32),
        "head": (draw.normal(size=(16, 12)) / 4).astype(np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["e"]),
        helper.make_node("MatMul", ["e", "head"], ["logits"]),
    ]
    model = nets.model(
        nodes, tensors, {"input_ids": (TensorProto.INT64, ["n", "t"])}, {"logits": (TensorProto.FLOAT, ["n", "t", 12])}
    )
    # each sequence of tokens may stand once: equal rows are held out together
    training = handed(tmp_path, {"input_ids": ids}, Plan(task="language-model"))
    changed, _ = nets.applied(model, "fine_tune", training, **(QUICK | {"epochs": 8}))
    logits = nets.answer(changed, {"input_ids": ids})[0]
    assert (logits[:, :-1].argmax(2) == ids[:, 1:]).mean() > 0.95


@pytest.mark.parametrize(("dtype", "kind"), [(np.float16, TensorProto.FLOAT16), (np.float32, TensorProto.FLOAT)])
def test_weights_keep_their_type(tmp_path: Path, dtype: Any, kind: int) -> None:
    model = net()
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(dtype), tensor.name))
    model.graph.input[0].type.tensor_type.elem_type = kind
    model.graph.output[0].type.tensor_type.elem_type = kind
    onnx.checker.check_model(model)
    weights, report = tuned(tmp_path, model)
    assert report.changed
    assert {value.dtype for value in weights.values()} == {np.dtype(dtype)}


def test_it_saves_nothing_and_needs_training_rows_alone() -> None:
    spec, step = METHODS["fine_tune"], Step("fine_tune")
    assert (spec.shrinks, step.needs_training, step.needs_calibration) == (False, True, False)
    assert (step.takes_teacher, Step("fine_tune", {"loss": "both"}).takes_teacher) == (False, True)
