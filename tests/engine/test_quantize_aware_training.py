"""Training with rounded numbers: what is written answers as it was trained to, and better than without training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compression_engine.errors import DataError, EngineError, RecipeError
from compression_engine.mapping.map_making import map_of_child
from compression_engine.mapping.map_reading import still_true
from compression_engine.methods import quantize_aware_training as method
from compression_engine.methods.quantization_aware.check import Apart
from compression_engine.methods.report import Report
from compression_engine.methods.static_quantization.writer import Numbers
from compression_engine.plan import Plan
from compression_engine.recipe import Step
from compression_engine.training import keeping
from compression_engine.training.material import Training
from compression_engine.training.resume import ResumePoint
from tests.engine import nets
from tests.engine.static_nets import fused, images, residual, static, wide

METHOD = "quantize_aware_training"
SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 16, "learning_rate_per_million": 1000}
Given = Callable[..., Training]


@pytest.fixture
def given(tmp_path: Path) -> Given:
    """Training rows of arrays for a net, which is saved as the parent that teaches."""

    def made(net: onnx.ModelProto, **arrays: Any) -> Training:
        path = nets.save_rows(arrays, tmp_path / f"training-{len(list(tmp_path.iterdir()))}.npz")
        return Training.of(path, None, None, seed=3, parent=nets.save(net, tmp_path / "parent"))

    return made


def trained(net: onnx.ModelProto, training: Training, **parameters: Any) -> tuple[onnx.ModelProto, Any]:
    changed, report = nets.applied(net, METHOD, training, **SHORT | parameters)
    onnx.checker.check_model(changed)
    return changed, report


def apart(net: onnx.ModelProto, child: onnx.ModelProto, feed: dict[str, Any]) -> float:
    """The root of the mean squared difference of answers."""
    return float(np.sqrt(np.mean(np.square(nets.answer(net, feed)[0] - nets.answer(child, feed)[0]))))


@pytest.mark.parametrize("bits", [2, 4, *(pytest.param(bits, marks=pytest.mark.long) for bits in (3, 8))])
def test_what_is_written_answers_as_it_was_trained_to(given: Given, bits: int, tmp_path: Path) -> None:
    net = residual()
    changed, report = trained(net, given(net, x=images(120, 0, 3, 16, 16)), weight_bits=bits, epochs=1)
    (simulated,) = report.more["simulated"]
    assert simulated["rows"] == simulated["equal_rows"] == 12
    assert simulated["apart_steps"] == "0"
    found = fused(changed, tmp_path)
    assert found["QLinearConv"] == 4
    assert not set(found) & {"Conv", "Gemm", "Add", "Relu", "Clip"}, "it was measured with integer kernels"


def test_training_wins_back_what_rounding_to_4_bits_loses(given: Given, rows: Any) -> None:
    net, shown, fresh = wide(), images(1000, 0, 256), {"x": images(100, 1, 256)}
    changed, report = trained(net, given(net, x=shown), epochs=4)
    without, _ = static(net, rows(x=shown), weight_bits=4)
    assert apart(net, changed, fresh) < 0.8 * apart(net, without, fresh)
    points = report.training[0]["points"]
    assert float(points[-1]["validation"]) < float(points[0]["validation"])


def test_learned_scales_are_nearer_than_fixed_ones(given: Given) -> None:
    net, fresh = wide(), {"x": images(100, 1, 256)}
    found = [
        apart(net, trained(net, given(net, x=images(300, 0, 256)), learn_scales=learned, epochs=6)[0], fresh)
        for learned in (True, False)
    ]
    assert found[0] < found[1]


def test_the_same_rows_and_recipe_give_the_same_bytes_whatever_the_threads(given: Given) -> None:
    import torch

    net, before = residual(), torch.get_num_threads()
    training = given(net, x=images(60, 0, 3, 16, 16))
    first, _ = trained(net, training, epochs=1)
    try:
        torch.set_num_threads(2)
        again, _ = trained(net, training, epochs=1)
    finally:
        torch.set_num_threads(before)
    assert first.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)


def test_an_attempt_that_was_killed_goes_on_to_the_same_bytes(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resume point holds the scales beside the weights; one is written after every update, however fast they are."""
    monkeypatch.setattr(keeping, "_SHARE_OF_TIME", float("inf"))
    net = wide()
    training = given(net, x=images(100, 0, 256))
    whole, _ = trained(net, training, epochs=3)
    point = ResumePoint.of(tmp_path / "points", parent="p", recipe="r", step=1, rows=training.rows.digest)

    class Killed(Exception):
        """As a worker is that loses its machine."""

    def attempt(killed_at: str) -> tuple[onnx.ModelProto, list[str]]:
        copy, said = onnx.ModelProto(), []
        copy.CopyFrom(net)

        def progress(stage: str, done: int, total: int, message: str) -> None:
            said.append(message)
            if message.startswith(killed_at):
                raise Killed

        parameters = dict(Step(METHOD, SHORT | {"epochs": 3}).parameters)
        method.apply(copy, parameters, Report(), progress, replace(training, resume=point))
        return copy, said

    with pytest.raises(Killed):
        attempt("epoch 3")
    again, said = attempt("never")
    assert any(message.startswith("going on in epoch 3") for message in said)
    assert again.SerializeToString(deterministic=True) == whole.SerializeToString(deterministic=True)


def test_every_weight_is_marked_as_what_it_is_and_the_map_holds(given: Given) -> None:
    net = residual()
    changed, report = trained(net, given(net, x=images(60, 0, 3, 16, 16)), epochs=1)
    marks = map_of_child(changed, report.marks)
    assert still_true(changed, marks) == marks
    weights = {mark.tensor: mark for mark in marks if mark.dtype == "int4"}
    assert set(weights) == {"stem", "one", "two", "three", "last"}
    assert {mark.rounding for mark in weights.values()} == {"learned"}
    assert {mark.tensor for mark in marks if mark.dtype == "uint8"} == {"x", "b", "d", "e", "g", "i", "j", "k"}


def test_zeros_of_pruned_weights_stay_zeros(given: Given) -> None:
    net = wide()
    weight = next(tensor for tensor in net.graph.initializer if tensor.name == "one")
    array = numpy_helper.to_array(weight).copy()
    zeros = np.random.default_rng(0).random(array.shape) < 0.5
    array[zeros] = 0
    weight.CopyFrom(numpy_helper.from_array(array, "one"))
    changed, _ = trained(net, given(net, x=images(100, 0, 256)))
    changed.graph.output.append(onnx.ValueInfoProto(name="one_expanded"))
    found = nets.answer(changed, {"x": images(1, 1, 256)})[1]
    assert (found[zeros] == 0).all()
    assert (found[~zeros] != 0).any()


def test_an_excluded_weight_stays_as_it_is(given: Given) -> None:
    net = wide()
    changed, report = trained(net, given(net, x=images(100, 0, 256)), exclude=("two",), epochs=1)
    held = {tensor.name: tensor for tensor in changed.graph.initializer}
    assert np.array_equal(numpy_helper.to_array(held["two"]), nets.weights(64, 512, seed=1))
    assert "two" not in {mark.tensor for mark in report.marks}
    assert {"name": "two", "reason": "the recipe leaves it out"} in report.left


@pytest.mark.parametrize("bits", [4, 8])
def test_weights_alone_are_stored_while_what_flows_stays_floats(given: Given, bits: int, tmp_path: Path) -> None:
    net = nets.mlp()
    rows = nets.rows_for("x", 80)
    changed, report = trained(net, given(net, **rows), weight_bits=bits, activation_bits=32)
    (simulated,) = report.more["simulated"]
    assert float(simulated["apart_steps"]) < 1e-3
    assert {mark.dtype for mark in report.marks} == {f"int{bits}"}
    assert not set(fused(changed, tmp_path)) & {"QuantizeLinear", "DequantizeLinear"}
    assert changed.ByteSize() < (0.25 if bits == 4 else 0.4) * net.ByteSize()


def test_rows_of_an_embedding_are_trained_and_stored_as_integers(given: Given) -> None:
    nodes = [
        helper.make_node("Gather", ["words", "ids"], ["a"]),
        helper.make_node("ReduceMean", ["a"], ["b"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["b", "w"], ["y"]),
    ]
    tensors = {"words": nets.weights(200, 32), "w": nets.weights(32, 24, seed=1)}
    ports: Any = ({"ids": (TensorProto.INT64, ["n", 6])}, {"y": (TensorProto.FLOAT, ["n", 24])})
    net = nets.model(nodes, tensors, *ports)
    rows = {"ids": np.random.default_rng(0).integers(0, 200, size=(80, 6))}
    changed, report = trained(net, given(net, **rows), activation_bits=32)
    assert {mark.tensor: mark.dtype for mark in report.marks} == {"words": "int4", "w": "int4"}
    assert float(report.more["simulated"][0]["apart_steps"]) < 1e-3
    assert "words" not in {tensor.name for tensor in changed.graph.initializer}


def test_a_file_that_answers_otherwise_than_it_was_trained_to_is_refused(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = wide()
    whole = method._numbers

    def other(*given_: Any) -> Numbers:
        numbers = whole(*given_)
        first = next(iter(numbers.weight_scales))
        wrong = {**numbers.weight_scales, first: numbers.weight_scales[first] * np.float32(1.1)}
        return Numbers(numbers.steps, weight_bits=numbers.weight_bits, weight_scales=wrong)

    monkeypatch.setattr(method, "_numbers", other)
    with pytest.raises(EngineError, match="answers otherwise than it was trained to") as refused:
        trained(net, given(net, x=images(100, 0, 256)), epochs=1)
    assert refused.value.code == "answers_differ"


def test_a_layer_whose_weight_something_else_reads_stays_in_floats(given: Given) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "one"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "two"], ["c"]),
        helper.make_node("ReduceSum", ["two"], ["s"], keepdims=0),
        helper.make_node("Add", ["c", "s"], ["y"]),
    ]
    tensors = {"one": nets.weights(256, 512), "two": nets.weights(512, 256, seed=1)}
    ports: Any = ({"x": (TensorProto.FLOAT, ["n", 256])}, {"y": (TensorProto.FLOAT, ["n", 256])})
    net = nets.model(nodes, tensors, *ports)
    changed, report = trained(net, given(net, x=images(60, 0, 256)), epochs=1)
    assert any("read by something else" in entry["reason"] for entry in report.left)
    assert float(report.more["simulated"][0]["apart_steps"]) < 0.01
    onnx.checker.check_model(changed)


def test_layers_that_share_a_bias_get_one_each(given: Given) -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "one", "bias"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "two", "bias"], ["y"]),
    ]
    tensors = {"one": nets.weights(256, 256), "two": nets.weights(256, 256, seed=1), "bias": nets.weights(256)}
    ports: Any = ({"x": (TensorProto.FLOAT, ["n", 256])}, {"y": (TensorProto.FLOAT, ["n", 256])})
    net = nets.model(nodes, tensors, *ports)
    changed, report = trained(net, given(net, x=images(60, 0, 256)), epochs=1)
    biases = [
        tensor for tensor in changed.graph.initializer if tensor.data_type == TensorProto.INT32 and tensor.dims == [256]
    ]
    assert len(biases) == 2
    assert float(report.more["simulated"][0]["apart_steps"]) < 0.01


def test_without_rows_or_layers_it_is_refused(given: Given) -> None:
    with pytest.raises(DataError, match="needs training rows") as missing:
        nets.applied(nets.mlp(), METHOD)
    assert missing.value.code == "data_missing"
    with pytest.raises(RecipeError, match="would take longer than they save"):
        trained(nets.mlp(), given(nets.mlp(), **nets.rows_for("x", 60)))


def test_classes_that_have_axes_of_size_one_behind_them_are_compared_as_classes() -> None:
    one, other = np.zeros((3, 4, 1, 1), np.float32), np.zeros((3, 4, 1, 1), np.float32)
    one[:, 1], other[:, 1] = 2.0, 2.0
    other[2, 3] = 3.0  # nothing changes its sign, and the class is another one
    one += 1.0
    other += 1.0
    apart = Apart()
    apart.add(one, other)
    assert (apart.rows, apart.equal) == (3, 2)


def test_columns_that_a_plan_puts_together_are_put_together_once(tmp_path: Path) -> None:
    net, plan = wide(), Plan(inputs=(("x", "measured"),))
    path = nets.save_rows({"measured": images(60, 0, 256)}, tmp_path / "columns.npz")
    training = Training.of(path, plan, None, seed=3, parent=nets.save(net, tmp_path / "parent"))
    _, report = trained(net, training, epochs=1)
    assert report.more["simulated"]
