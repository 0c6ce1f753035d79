"""A model that is trained is held to the time of a batch and to the memory at hand, as one that onnxruntime runs."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from compression_engine.errors import EngineError
from compression_engine.limits import Limits, within
from compression_engine.training import pass_limits
from compression_engine.training.device import settled
from compression_engine.training.network import Network
from tests.engine import learning, nets

_FLOAT = TensorProto.FLOAT
_STATE = ("s", "s2")


def behind(nodes: list[onnx.NodeProto], **tensors: nets.Array) -> onnx.ModelProto:
    """The small net with these nodes between `y` and its output, which is `z`."""
    model = learning.net()
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in tensors.items())
    model.graph.output[0].name = "z"
    return model


def endless(*body: onnx.NodeProto) -> onnx.ModelProto:
    """A Loop without count or condition; a body without nodes gives back what it is given."""
    given = [helper.make_tensor_value_info(name, kind, None) for name, kind in (("i", TensorProto.INT64), ("c", 9))]
    state, made = (helper.make_tensor_value_info(name, _FLOAT, None) for name in _STATE)
    graph = helper.make_graph([*body], "body", [*given, state], [given[1], made if body else state])
    return behind([helper.make_node("Loop", ["", "", "y"], ["z"], body=graph)])


def refused(model: onnx.ModelProto, rows: int = 4) -> EngineError:
    """What a pass through the network ends with, where a batch has one second."""
    network = Network(model)
    with within(Limits(seconds_per_batch=1)), settled("cpu"), pytest.raises(EngineError) as found:
        network({"x": torch.zeros(rows, learning.FEATURES)})
    return found.value


@pytest.mark.parametrize("body", [[], [helper.make_node("Tanh", ["s"], ["s2"])]], ids=["empty", "tanh"])
def test_a_loop_that_never_ends_is_ended_in_training_too(body: list[onnx.NodeProto]) -> None:
    error = refused(endless(*body))
    assert error.code == "batch_does_not_end"
    assert "1 seconds" in error.message
    assert "--seconds-per-batch" in error.hint


def test_a_pass_that_ends_is_not_touched_by_the_time_of_the_one_before() -> None:
    refused(endless())
    with within(Limits(seconds_per_batch=1)):
        assert Network(learning.net())({"x": torch.zeros(4, learning.FEATURES)})["y"].shape == (4, 3)


def test_a_tensor_beyond_all_memory_is_told_as_such_by_its_node() -> None:
    shape = np.array([10**13], np.int64)
    error = refused(behind([helper.make_node("ConstantOfShape", ["shape"], ["z"], name="vast")], shape=shape))
    assert error.code == "out_of_memory"
    assert "ConstantOfShape (node 'vast')" in error.message
    assert "batch_size" in error.hint


def test_no_more_is_taken_than_is_at_hand_and_only_while_something_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    monkeypatch.setattr(pass_limits, "memory_at_hand_bytes", lambda: 100.0 * 1024**2)
    with pytest.raises(EngineError) as found, settled("cpu"):
        torch.zeros(300 * 1024**2, dtype=torch.uint8)
    assert found.value.code == "out_of_memory"
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert len(torch.zeros(300 * 1024**2, dtype=torch.uint8)) == 300 * 1024**2


def test_a_model_that_drops_rows_of_a_large_batch_is_refused(tmp_path: Path) -> None:
    model = behind([helper.make_node("Slice", ["y", "from", "to"], ["z"])], **{
        "from": np.array([0], np.int64), "to": np.array([16], np.int64),
    })  # fmt: skip
    with pytest.raises(EngineError) as found:
        learning.learned(learning.handed(tmp_path), model, replace(learning.FAST, batch_size=32))
    assert found.value.code == "output_does_not_run"
    assert "16 answers to 30 rows" in found.value.message
