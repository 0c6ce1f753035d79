"""Channels taken out in rounds with training between them, and judged by how answers would change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from compression_engine.errors import EngineError, RecipeError
from compression_engine.methods.prune_structured import apply
from compression_engine.methods.report import Report
from compression_engine.plan import Plan
from compression_engine.progress import Progress, silent
from compression_engine.recipe import Step
from compression_engine.training.material import Training
from tests.engine import learning, nets
from tests.engine.test_prune_structured import dims

TRAINS: dict[str, Any] = {
    "round_to": 1,
    "epochs_per_round": 3,
    "batch_size": 16,
    "learning_rate_per_million": 10_000,
}


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    """The small net, after it has learned its problem."""
    weights, _ = learning.learned(learning.handed(tmp_path_factory.mktemp("parent")))
    net = learning.net()
    for tensor in net.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    return net


def pruned(
    net: onnx.ModelProto, *rows: Any, progress: Progress = silent, **parameters: Any
) -> tuple[onnx.ModelProto, Report]:
    child, report = onnx.ModelProto(), Report()
    child.CopyFrom(net)
    apply(child, dict(Step("prune_structured", parameters).parameters), report, progress, *rows)
    onnx.checker.check_model(child)
    return child, report


def right(net: onnx.ModelProto) -> float:
    fresh = learning.rows(500, seed=2)
    (scores,) = nets.answer(net, {"x": fresh["x"]})
    return float((scores.argmax(1) == fresh["label"]).mean())


def hidden(net: onnx.ModelProto) -> int:
    return dims(net)["second"][0]


def test_rounds_with_training_keep_what_one_cut_loses(parent: onnx.ModelProto, tmp_path: Path) -> None:
    at_once, _ = pruned(parent, share_per_mille=750, round_to=1)
    in_rounds, report = pruned(parent, learning.handed(tmp_path), share_per_mille=750, rounds=2, **TRAINS)
    rounds = report.more["rounds"]
    assert right(parent) > 0.95
    assert right(at_once) < right(parent) - 0.1
    assert right(in_rounds) > right(parent) - 0.03
    # the share is of what there was before the first round: 16 units become 4, whether at once or in rounds
    assert hidden(in_rounds) == hidden(at_once) == 4
    assert [entry["left_per_mille"] for entry in rounds] == [312, 250]
    assert rounds[-1]["numbers"] == sum(int(np.prod(size)) for size in dims(in_rounds).values())
    assert {entry["lost"]["measure"] for entry in rounds} == {"rightly answered"}
    assert [entry["round"] for entry in rounds] == [1, 2]
    assert [curve["phase"] for curve in report.training] == [0, 1]
    said = {str(entry["name"]): str(entry["how"]) for entry in report.changed}
    assert said["second"] == "16 x 3 became 4 x 3, trained"
    assert said["second_bias"] == "trained"


def test_the_last_round_that_keeps_the_budget_is_the_outcome(parent: onnx.ModelProto, tmp_path: Path) -> None:
    slow = TRAINS | {"learning_rate_per_million": 1, "epochs_per_round": 1}
    how: dict[str, Any] = {"share_per_mille": 930, "keep_at_least_per_mille": 1, "rounds": 8, "most_loss_per_mille": 40}
    child, report = pruned(parent, learning.handed(tmp_path), **how, **slow)
    rounds = report.more["rounds"]
    assert [entry["kept"] for entry in rounds] == [True] * (len(rounds) - 1) + [False]
    assert 1 < len(rounds) < 8
    assert float(rounds[-1]["lost"]["per_mille"]) > 40 >= float(rounds[-2]["lost"]["per_mille"])
    assert sum(int(np.prod(size)) for size in dims(child).values()) == rounds[-2]["numbers"]
    with pytest.raises(EngineError, match="first round of prune_structured") as refused:
        pruned(parent, learning.handed(tmp_path / "2"), **how | {"rounds": 1}, **slow)
    assert refused.value.code == "budget_broken"


def test_each_group_keeps_its_least_share_of_what_it_had_before_all_rounds(
    parent: onnx.ModelProto, tmp_path: Path
) -> None:
    how: dict[str, Any] = {"share_per_mille": 500, "keep_at_least_per_mille": 500, "rounds": 4}
    child, _ = pruned(parent, learning.handed(tmp_path), **how, **TRAINS)
    assert hidden(child) == 8
    with pytest.raises(RecipeError, match="can be pruned"):
        pruned(parent, learning.handed(tmp_path / "2"), **how | {"share_per_mille": 600}, **TRAINS)


def test_rounds_go_on_where_the_first_one_took_all_that_can_go(tmp_path: Path) -> None:
    net = learning.net()
    for tensor in net.graph.initializer:
        two = {"first": np.s_[:, :2], "first_bias": np.s_[:2], "second": np.s_[:2]}.get(tensor.name, np.s_[:])
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[two].copy(), tensor.name))
    asked = TRAINS | {"epochs_per_round": 1, "rounds": 2}
    child, report = pruned(net, learning.handed(tmp_path), share_per_mille=300, **asked)
    assert hidden(child) == 1
    assert [entry["left_per_mille"] for entry in report.more["rounds"]] == [500, 500]
    with pytest.raises(RecipeError, match="At most 500 per mille"):
        pruned(net, learning.handed(tmp_path), share_per_mille=510, **asked)


def test_work_that_is_ended_in_a_later_round_goes_on_to_the_same_bytes(parent: onnx.ModelProto, tmp_path: Path) -> None:
    how = TRAINS | {"share_per_mille": 700, "rounds": 3}
    whole, _ = pruned(parent, learning.handed(tmp_path / "whole"), **how)
    resume = learning.place(tmp_path / "points")
    resume.folder.mkdir(exist_ok=True)
    said: list[str] = []

    def ends(stage: str, done: int, total: int, message: str) -> None:
        if stage == "prune" and message.startswith("round 3"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pruned(parent, learning.handed(tmp_path / "1", resume=resume), progress=ends, **how)
    again, _ = pruned(
        parent, learning.handed(tmp_path / "2", resume=resume), progress=lambda *what: said.append(what[-1]), **how
    )
    assert again.SerializeToString() == whole.SerializeToString()
    third = next(place for place, line in enumerate(said) if line.startswith("round 3"))
    assert not any(line.startswith("epoch 1 of") for line in said[:third])
    assert any(line.startswith("epoch 1 of") for line in said[third:])


def test_without_labels_a_teacher_is_learned_and_answers_say_what_goes(parent: onnx.ModelProto, tmp_path: Path) -> None:
    bare = {"x": learning.rows()["x"]}
    training = replace(learning.handed(tmp_path, bare), teacher=nets.save(parent, tmp_path / "teacher"))
    how: dict[str, Any] = {"share_per_mille": 750, "importance": "answers", "loss": "teacher", "rounds": 2}
    child, report = pruned(parent, training, **how, **TRAINS)
    assert right(child) > right(parent) - 0.05
    assert {entry["lost"]["measure"] for entry in report.more["rounds"]} == {"first class kept"}


@pytest.mark.parametrize("plan", [None, Plan(), Plan(task="embedding", output="y")])
def test_units_that_no_answer_feels_go_first_without_labels(plan: Plan | None, tmp_path: Path) -> None:
    """A shift of all classes alike changes no probability and no direction of what is left; magnitude would keep these units."""
    net = learning.net()
    tensors = {tensor.name: tensor for tensor in net.graph.initializer}
    second = numpy_helper.to_array(tensors["second"]).copy()
    if plan is None:
        second[::2] = 5.0
    else:
        second[::2] = 1e-6
        first = numpy_helper.to_array(tensors["first"]).copy()
        first[:, ::2] *= 100
        tensors["first"].CopyFrom(numpy_helper.from_array(first, "first"))
    tensors["second"].CopyFrom(numpy_helper.from_array(second, "second"))
    rows = {"x": learning.rows()["x"]} if plan is not None else None
    training: Training = learning.handed(tmp_path, rows, *([] if plan is None else [plan]))
    kept = {}
    for importance in ("magnitude", "answers"):
        looked_at = [training] if importance == "answers" else []
        child, _ = pruned(net, *looked_at, importance=importance, share_per_mille=500, round_to=1)
        kept[importance] = numpy_helper.to_array({one.name: one for one in child.graph.initializer}["second"])
    np.testing.assert_array_equal(kept["answers"], second[1::2])
    assert not np.array_equal(kept["magnitude"], second[1::2])
