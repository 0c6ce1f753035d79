"""Recurrent models are trained along whole sequences, with the state that they carry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compression_engine.errors import DataError
from compression_engine.plan import Plan, State
from compression_engine.training.material import Training
from compression_engine.training.schedule import Schedule
from tests.engine import nets
from tests.engine.learning import Weights, handed, learned, place, same

WIDTH = 8
PLAN = Plan(task="classification", label="label", sequence="sequence", states=(State("state", "next"),), output="y")
SCHEDULE = Schedule(epochs=8, batch_size=32, learning_rate=2e-2)


def recurrent(*, rows: int | str = "n", seed: int = 0) -> onnx.ModelProto:
    """x [n, 2], state [n, 8] -> tanh of both -> y [n, 2], next [n, 8]."""
    draw = np.random.default_rng(seed)
    tensors = {
        "into": draw.normal(size=(2, WIDTH)).astype(np.float32),
        "again": (draw.normal(size=(WIDTH, WIDTH)) * 0.3).astype(np.float32),
        "out": (draw.normal(size=(WIDTH, 2)) * 0.3).astype(np.float32),
        "out_bias": np.zeros(2, np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "into"], ["a"]),
        helper.make_node("MatMul", ["state", "again"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Tanh", ["c"], ["next"]),
        helper.make_node("Gemm", ["next", "out", "out_bias"], ["y"]),
    ]
    kind = TensorProto.FLOAT
    inputs: Any = {"x": (kind, [rows, 2]), "state": (kind, [rows, WIDTH])}
    return nets.model(nodes, tensors, inputs, {"y": (kind, [rows, 2]), "next": (kind, [rows, WIDTH])})


def remembered(sequences: int = 60, seed: int = 1) -> Weights:
    """A sign at the beginning of each sequence, then noise: the label of every row is that sign, which only a state can know."""
    draw = np.random.default_rng(seed)
    parts: dict[str, list[Any]] = {"x": [], "label": [], "sequence": []}
    for number in range(sequences):
        length, sign = int(draw.integers(3, 9)), int(draw.integers(0, 2))
        x = np.concatenate([draw.normal(size=(length, 1)) * 0.1, np.zeros((length, 1))], axis=1)
        x[0, 1] = 2 * sign - 1
        parts["x"].append(x.astype(np.float32))
        parts["label"].append(np.full(length, sign))
        parts["sequence"].append(np.full(length, number))
    return {name: np.concatenate(values) for name, values in parts.items()}


def answered(weights: Weights, arrays: Weights) -> nets.Array:
    """Which class each row is given, with the state carried along its sequence."""
    found, state, before = [], np.zeros(WIDTH), -1
    for x, sequence in zip(arrays["x"], arrays["sequence"], strict=True):
        state = np.zeros(WIDTH) if sequence != before else state
        before = sequence
        state = np.tanh(x @ weights["into"] + state @ weights["again"])
        found.append(int((state @ weights["out"] + weights["out_bias"]).argmax()))
    return np.array(found)


@pytest.mark.parametrize("rows", ["n", 1, 3])
def test_what_only_a_state_can_know_is_learned(tmp_path: Path, rows: int | str) -> None:
    schedule = replace(SCHEDULE, epochs=SCHEDULE.epochs if rows == "n" else 6)
    weights, curve = learned(handed(tmp_path, remembered(), PLAN), recurrent(rows=rows), schedule)
    fresh = remembered(seed=2)
    assert (answered(weights, fresh) == fresh["label"]).mean() > 0.95
    assert curve.learned


def test_states_are_those_of_the_sequence_and_gradients_end_with_the_stretch(tmp_path: Path) -> None:
    """Sequences of other lengths side by side answer as each does alone."""
    from compression_engine.training.along_sequences import AlongSequences
    from compression_engine.training.network import Network

    arrays = remembered(30)
    training = handed(tmp_path, arrays, PLAN)
    model = recurrent()
    parts = training.parts(model, labelled=True)
    feeding = AlongSequences(Network(model), parts, 64, None, ())
    seen: dict[int, nets.Array] = {}
    for portion in (*feeding.updates(0, 1), *feeding.held_out()):
        for outputs, batch in feeding.answers(portion):
            assert batch.labels is not None
            assert batch.labels.tolist() == arrays["label"][batch.rows].tolist()
            assert set(outputs) == {"y"}
            found = outputs["y"].detach().numpy()
            seen |= {int(row): value for row, value in zip(batch.rows, found, strict=True)}
    assert sorted(seen) == list(range(len(arrays["x"])))
    state = np.zeros((1, WIDTH), np.float32)
    for row in range(len(arrays["x"])):
        if row == 0 or arrays["sequence"][row] != arrays["sequence"][row - 1]:
            state = np.zeros((1, WIDTH), np.float32)
        y, state = nets.answer(model, {"x": arrays["x"][row : row + 1], "state": state})
        assert np.allclose(y[0], seen[row], atol=1e-5)


def test_long_sequences_are_cut_into_stretches_between_which_training_does_not_rest(tmp_path: Path) -> None:
    from compression_engine.training.along_sequences import AlongSequences
    from compression_engine.training.network import Network

    arrays: Weights = {
        "x": np.random.default_rng(0).normal(size=(700, 2)).astype(np.float32),
        "label": np.arange(700) % 2,
        "sequence": np.repeat(np.arange(10), 70),
    }
    parts = handed(tmp_path, arrays, PLAN).parts(recurrent(), labelled=True)
    portions = AlongSequences(Network(recurrent()), parts, 32, None, ()).updates(0, 1)
    assert [(len(one.rows), one.begins, one.ends) for one in portions[:3]] == [
        (32, True, False),
        (32, False, False),
        (6, False, True),
    ]
    assert len(portions) == 27  # of ten sequences one is held out


def test_a_killed_training_along_sequences_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compression_engine.training import keeping
    from tests.engine.test_resume_points import Killed, killed_at

    monkeypatch.setattr(keeping, "_SHARE_OF_TIME", float("inf"))
    schedule = replace(SCHEDULE, epochs=2, batch_size=4)
    whole, _ = learned(handed(tmp_path, remembered(30), PLAN), recurrent(), schedule)
    training = handed(tmp_path, remembered(30), PLAN, resume=place(tmp_path / "points"))
    for update in (15, 30):
        with pytest.raises(Killed):
            learned(training, recurrent(), schedule, after_update=killed_at(update))
    again, _ = learned(training, recurrent(), schedule)
    assert same(again, whole)


def test_a_recurrent_teacher_is_asked_along_the_sequences(tmp_path: Path) -> None:
    taught, _ = learned(handed(tmp_path / "one", remembered(), PLAN), recurrent(), SCHEDULE)
    teacher = recurrent()
    for tensor in teacher.graph.initializer:
        tensor.CopyFrom(onnx.numpy_helper.from_array(taught[tensor.name], tensor.name))
    path = nets.save(teacher, tmp_path / "teacher")
    bare = {name: value for name, value in remembered().items() if name != "label"}
    training = handed(tmp_path / "two", bare, PLAN, teacher=path)
    weights, _ = learned(training, recurrent(seed=4), SCHEDULE, kind="teacher")
    fresh = remembered(seed=2)
    assert (answered(weights, fresh) == answered(taught, fresh)).mean() > 0.95


def test_rows_that_name_no_sequences_cannot_train_a_recurrent_model(tmp_path: Path) -> None:
    arrays = {name: value for name, value in remembered().items() if name != "sequence"}
    with pytest.raises(DataError) as caught:
        handed(tmp_path, arrays, PLAN)
    assert caught.value.code == "data_does_not_fit"
    assert "sequence" in caught.value.message


def test_sequences_are_held_out_as_a_whole(tmp_path: Path) -> None:
    arrays = remembered()
    training: Training = handed(tmp_path, arrays, PLAN)
    parts = training.parts(recurrent(), labelled=True)
    held = set(arrays["sequence"][parts.validation].tolist())
    assert held
    assert not held & set(arrays["sequence"][parts.learning].tolist())
