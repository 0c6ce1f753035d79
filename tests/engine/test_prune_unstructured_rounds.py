"""Pruning in rounds: what is trained between them wins back what zeros cost, and a budget ends it in time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compression_engine.errors import EngineError, RecipeError
from compression_engine.methods.prune_unstructured import apply
from compression_engine.methods.report import Report
from compression_engine.plan import Plan
from compression_engine.progress import Progress, silent
from compression_engine.recipe import Step
from compression_engine.training.material import Training
from tests.engine import learning, nets
from tests.engine import test_along_sequences as along

METHOD = "prune_unstructured"
TRAINS: dict[str, Any] = {
    "min_elements": 1,
    "spare_ends": False,
    "epochs_per_round": 3,
    "batch_size": 16,
    "learning_rate_per_million": 10_000,
}
SIZE = learning.FEATURES * learning.HIDDEN + learning.HIDDEN * learning.CLASSES


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    """The small net, after it has learned its problem."""
    weights, _ = learning.learned(learning.handed(tmp_path_factory.mktemp("parent")))
    net = learning.net()
    for tensor in net.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    return net


def pruned(
    net: onnx.ModelProto, training: Training | None, progress: Progress = silent, **parameters: Any
) -> tuple[onnx.ModelProto, Report]:
    child, report = onnx.ModelProto(), Report()
    child.CopyFrom(net)
    apply(child, dict(Step(METHOD, parameters).parameters), report, progress, training)
    onnx.checker.check_model(child)
    return child, report


def right(net: onnx.ModelProto) -> float:
    fresh = learning.rows(500, seed=2)
    (scores,) = nets.answer(net, {"x": fresh["x"]})
    return float((scores.argmax(1) == fresh["label"]).mean())


def zeros(net: onnx.ModelProto) -> int:
    return sum(int((numpy_helper.to_array(one) == 0).sum()) for one in net.graph.initializer if len(one.dims) > 1)


def test_rounds_with_training_keep_what_one_shot_loses(parent: onnx.ModelProto, tmp_path: Path) -> None:
    how: dict[str, Any] = {"sparsity_per_mille": 800, "scope": "global"}
    at_once, _ = pruned(parent, None, min_elements=1, spare_ends=False, **how)
    in_rounds, report = pruned(parent, learning.handed(tmp_path), rounds=3, **how, **TRAINS)
    assert right(parent) > 0.95
    assert right(at_once) < right(parent) - 0.2
    assert right(in_rounds) > right(parent) - 0.03
    assert zeros(in_rounds) == zeros(at_once) == SIZE * 800 // 1000
    assert [entry["round"] for entry in report.more["rounds"]] == [1, 2, 3]
    assert [entry["zeros"] for entry in report.more["rounds"]] == sorted(
        entry["zeros"] for entry in report.more["rounds"]
    )
    assert report.more["rounds"][-1]["zeros"] == zeros(in_rounds)
    assert report.more["rounds"][-1]["lost"]["rows"] == 30
    assert {entry["lost"]["measure"] for entry in report.more["rounds"]} == {"rightly answered"}
    assert len(report.training) == 3
    assert {entry["name"] for entry in report.changed} == {"first", "first_bias", "second", "second_bias"}


def test_zeros_of_a_weight_with_few_of_them_do_not_grow_again(tmp_path: Path) -> None:
    """Below a tenth of zeros the training loop itself would let them grow."""
    child, report = pruned(learning.net(), learning.handed(tmp_path), sparsity_per_mille=60, **TRAINS)
    assert report.training[0]["best_epoch"] != 0
    assert zeros(child) == SIZE * 60 // 1000


def test_two_of_four_is_reached_in_rounds(parent: onnx.ModelProto, tmp_path: Path) -> None:
    child, report = pruned(parent, learning.handed(tmp_path), pattern="2:4", rounds=2, **TRAINS)
    first = numpy_helper.to_array(child.graph.initializer[0])
    assert ((np.moveaxis(first, 0, -1).reshape(-1, 4) == 0).sum(axis=1) == 2).all()
    assert report.more["rounds"][0]["zeros"] < report.more["rounds"][1]["zeros"]
    assert right(child) > right(parent) - 0.03


def test_the_last_round_that_keeps_the_budget_is_the_outcome(parent: onnx.ModelProto, tmp_path: Path) -> None:
    slow = TRAINS | {"learning_rate_per_million": 1, "epochs_per_round": 1}
    child, report = pruned(
        parent, learning.handed(tmp_path), sparsity_per_mille=980, rounds=8, most_loss_per_mille=40, **slow
    )
    rounds = report.more["rounds"]
    assert [entry["kept"] for entry in rounds] == [True] * (len(rounds) - 1) + [False]
    assert 1 < len(rounds) < 8
    assert float(rounds[-1]["lost"]["per_mille"]) > 40 >= float(rounds[-2]["lost"]["per_mille"])
    assert zeros(child) == rounds[-2]["zeros"]
    # what the last round did to the other numbers is gone as well
    fewer, again = pruned(
        parent, learning.handed(tmp_path / "2"), sparsity_per_mille=980, rounds=8, most_loss_per_mille=40, **slow
    )
    assert fewer.SerializeToString() == child.SerializeToString()
    assert again.more == report.more


def test_a_first_round_that_breaks_the_budget_gives_nothing(parent: onnx.ModelProto, tmp_path: Path) -> None:
    slow = TRAINS | {"learning_rate_per_million": 1, "epochs_per_round": 1}
    with pytest.raises(EngineError, match="first round") as refused:
        pruned(parent, learning.handed(tmp_path), sparsity_per_mille=980, most_loss_per_mille=10, **slow)
    assert refused.value.code == "budget_broken"
    assert "more rounds" in refused.value.hint


def test_without_labels_a_teacher_is_learned_and_first_classes_are_counted(
    parent: onnx.ModelProto, tmp_path: Path
) -> None:
    bare = {"x": learning.rows()["x"]}
    training = replace(learning.handed(tmp_path, bare), teacher=nets.save(parent, tmp_path / "teacher"))
    how: dict[str, Any] = {"sparsity_per_mille": 800, "scope": "global"}
    child, report = pruned(parent, training, rounds=3, loss="teacher", **how, **TRAINS)
    assert right(child) > right(parent) - 0.05
    assert {entry["lost"]["measure"] for entry in report.more["rounds"]} == {"first class kept"}
    with pytest.raises(EngineError) as refused:
        pruned(parent, learning.handed(tmp_path / "two", bare), sparsity_per_mille=850, **TRAINS)
    assert refused.value.code == "label_missing"


def test_numbers_are_judged_by_how_far_they_move(parent: onnx.ModelProto, tmp_path: Path) -> None:
    arrays = learning.rows()
    (targets,) = nets.answer(parent, {"x": arrays["x"]})
    plan = Plan(task="regression", label="label", output="y")
    one = onnx.ModelProto()
    one.CopyFrom(parent)
    training = learning.handed(tmp_path, {"x": arrays["x"], "label": targets[:, 0]}, plan)
    training = replace(training, teacher=nets.save(parent, tmp_path / "teacher"))
    child, report = pruned(one, training, sparsity_per_mille=500, loss="teacher", **TRAINS)
    (entry,) = report.more["rounds"]
    assert entry["lost"]["measure"] == "squared differences"
    held = training.parts(parent, labelled=False).validation
    before, after = (nets.answer(net, {"x": arrays["x"][held]})[0].astype(float) for net in (parent, child))
    expected = 1000 * np.square(after - before).mean() / np.square(before - before.mean(axis=0)).mean()
    assert float(entry["lost"]["per_mille"]) == pytest.approx(expected, rel=1e-3)


def test_the_same_recipe_and_rows_give_the_same_bytes_and_another_seed_others(
    parent: onnx.ModelProto, tmp_path: Path
) -> None:
    how = TRAINS | {"sparsity_per_mille": 700, "rounds": 2}
    one, _ = pruned(parent, learning.handed(tmp_path / "1"), **how)
    two, _ = pruned(parent, learning.handed(tmp_path / "2"), **how)
    other, _ = pruned(parent, learning.handed(tmp_path / "3", seed=8), **how)
    assert one.SerializeToString() == two.SerializeToString()
    assert one.SerializeToString() != other.SerializeToString()


def test_work_that_is_ended_in_a_later_round_goes_on_to_the_same_bytes(parent: onnx.ModelProto, tmp_path: Path) -> None:
    how = TRAINS | {"sparsity_per_mille": 800, "rounds": 3}
    whole, _ = pruned(parent, learning.handed(tmp_path / "whole"), **how)
    resume = learning.place(tmp_path / "points")
    resume.folder.mkdir(exist_ok=True)
    said: list[str] = []

    def ends(stage: str, done: int, total: int, message: str) -> None:
        if stage == "prune" and message.startswith("round 3"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pruned(parent, learning.handed(tmp_path / "1", resume=resume), ends, **how)
    kept = {path.name for path in resume.folder.iterdir()}
    assert any(name.startswith("step-1-1") for name in kept)
    again, _ = pruned(
        parent, learning.handed(tmp_path / "2", resume=resume), lambda *what: said.append(what[-1]), **how
    )
    assert again.SerializeToString() == whole.SerializeToString()
    # the rounds that were done are not trained again
    third = next(place for place, line in enumerate(said) if line.startswith("round 3"))
    assert not any(line.startswith("epoch 1 of") for line in said[:third])
    assert any(line.startswith("epoch 1 of") for line in said[third:])


def test_tokens_of_a_language_model_are_counted_without_padding(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["e"]),
        helper.make_node("Cast", ["attention_mask"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["real", "last"], ["column"]),
        helper.make_node("Mul", ["e", "column"], ["kept"]),
        helper.make_node("MatMul", ["kept", "head"], ["logits"]),
    ]
    draw = np.random.default_rng(0)
    tensors: dict[str, Any] = {
        "words": draw.normal(size=(12, 8)).astype(np.float32),
        "head": draw.normal(size=(8, 12)).astype(np.float32),
        "last": np.array([2], dtype=np.int64),
    }
    kind, many = TensorProto.INT64, ["n", "t"]
    ports = ({"input_ids": (kind, many), "attention_mask": (kind, many)}, {"logits": (TensorProto.FLOAT, [*many, 12])})
    net = nets.model(nodes, tensors, *ports)
    lengths = draw.integers(3, 7, 200)
    mask = (np.arange(6) < lengths[:, None]).astype(np.int64)
    # the token that follows is always the next number
    ids = ((draw.integers(0, 12, (200, 1)) + np.arange(6)) % 12) * mask
    training = learning.handed(
        tmp_path, {"input_ids": ids, "attention_mask": mask}, Plan(task="language-model", output="logits")
    )
    child, report = pruned(net, training, sparsity_per_mille=300, **TRAINS)
    (entry,) = report.more["rounds"]
    assert entry["lost"]["measure"] == "first class kept"
    held = training.parts(net, labelled=True).validation
    feed = {"input_ids": ids[held], "attention_mask": mask[held]}
    before, after = (nets.answer(one, feed)[0].argmax(-1)[mask[held] == 1] for one in (net, child))
    assert float(entry["lost"]["per_mille"]) == pytest.approx(1000 * (before != after).mean(), abs=0.01)
    assert (before != after).any()


def test_recurrent_models_are_judged_along_their_sequences(tmp_path: Path) -> None:
    arrays = along.remembered()
    weights, _ = learning.learned(
        learning.handed(tmp_path / "1", arrays, along.PLAN), along.recurrent(), along.SCHEDULE
    )
    net = along.recurrent()
    for tensor in net.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    training = learning.handed(tmp_path / "2", arrays, along.PLAN)
    how = TRAINS | {"batch_size": 32, "learning_rate_per_million": 20_000, "epochs_per_round": 6}
    child, report = pruned(net, training, sparsity_per_mille=400, rounds=2, **how)
    assert zeros(child) == (2 * 8 + 8 * 8 + 8 * 2) * 400 // 1000
    held = training.parts(net, labelled=True).validation
    assert {entry["lost"]["rows"] for entry in report.more["rounds"]} == {len(held)}
    after = {one.name: numpy_helper.to_array(one) for one in child.graph.initializer}

    def share(found: dict[str, Any]) -> float:
        return float((along.answered(found, arrays) == arrays["label"])[held].mean())

    lost = 1000 * (share(weights) - share(after))
    assert float(report.more["rounds"][-1]["lost"]["per_mille"]) == pytest.approx(lost, abs=0.01)
    assert share(after) > 0.9


def test_half_floats_are_trained_and_stay_half_floats(tmp_path: Path) -> None:
    net = learning.net()
    for tensor in net.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for value in (*net.graph.input, *net.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    child, _ = pruned(net, learning.handed(tmp_path), sparsity_per_mille=500, **TRAINS)
    assert {one.data_type for one in child.graph.initializer} == {TensorProto.FLOAT16}
    assert zeros(child) >= SIZE // 2
    fresh = learning.rows(300, seed=2)
    (scores,) = nets.answer(child, {"x": fresh["x"].astype(np.float16)})
    assert (scores.argmax(1) == fresh["label"]).mean() > 0.9


def test_scores_of_classes_behind_other_axes_are_judged_as_the_loss_reads_them(
    parent: onnx.ModelProto, tmp_path: Path
) -> None:
    net = onnx.ModelProto()
    net.CopyFrom(parent)
    net.graph.node[-1].output[0] = "flat"
    net.graph.node.append(helper.make_node("Unsqueeze", ["flat", "places"], ["y"]))
    net.graph.initializer.append(numpy_helper.from_array(np.array([2, 3]), "places"))
    for _ in range(2):
        net.graph.output[0].type.tensor_type.shape.dim.add().dim_value = 1
    told = [pruned(one, learning.handed(tmp_path / name), **TRAINS)[1] for name, one in (("a", parent), ("b", net))]
    assert told[0].more["rounds"] == told[1].more["rounds"]


def test_a_temperature_means_nothing_where_no_teacher_is_learned() -> None:
    with pytest.raises(RecipeError, match="temperature_percent"):
        Step(METHOD, TRAINS | {"temperature_percent": 400})
    assert (
        Step(METHOD, TRAINS | {"temperature_percent": 400, "loss": "teacher"}).parameters["temperature_percent"] == 400
    )
