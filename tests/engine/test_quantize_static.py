"""Layers computed in integers with fixed steps: what the runtime fuses, what stays in floats, and the same bytes every time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from threadpoolctl import threadpool_limits

from compression_engine.calibration import Calibration
from compression_engine.errors import DataError, RecipeError
from compression_engine.methods.report import Report
from compression_engine.pipeline import Settings, calibration_rows, compress
from compression_engine.recipe import Recipe, Step
from tests.engine import nets

METHOD = "quantize_static"
ANY: dict[str, Any] = {"most_change_per_mille": 1000}


def images(count: int = 40, seed: int = 0, *shape: int) -> Any:
    return np.random.default_rng(seed).normal(size=(count, *(shape or (3, 8, 8)))).astype(np.float32)


@pytest.fixture
def rows(tmp_path: Path) -> Any:
    """Makes calibration rows of arrays."""

    def made(**arrays: Any) -> Calibration:
        path = nets.save_rows(arrays, tmp_path / f"rows-{len(list(tmp_path.iterdir()))}.npz")
        return Calibration.of_inputs(path, None, None)

    return made


def static(net: onnx.ModelProto, looked_at: Calibration, **parameters: Any) -> tuple[onnx.ModelProto, Report]:
    changed, report = nets.applied(net, METHOD, looked_at, **ANY | parameters)
    onnx.checker.check_model(changed)
    return changed, report


def fused(net: onnx.ModelProto, folder: Path) -> Counter[str]:
    """The operators that onnxruntime runs, after it has rewritten the graph."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "fused.onnx")
    onnxruntime.InferenceSession(net.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "fused.onnx").graph.node)


def conv(source: str, weight: str, output: str, bias: str = "", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weight, *([bias] if bias else [])], [output], **attributes)


def residual() -> onnx.ModelProto:
    """x [n, 3, 16, 16] -> Conv, Relu -> two Convs with a way round them -> pools -> Gemm -> y [n, 10]."""
    nodes = [
        conv("x", "stem", "a", "stem_bias", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        conv("b", "one", "c", pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["c", "zero", "six"], ["d"]),
        conv("d", "two", "e", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["e", "b"], ["f"]),
        helper.make_node("Relu", ["f"], ["g"]),
        helper.make_node("MaxPool", ["g"], ["h"], kernel_shape=[2, 2], strides=[2, 2]),
        conv("h", "three", "i", pads=[1, 1, 1, 1]),
        helper.make_node("Concat", ["i", "h"], ["j"], axis=1),
        helper.make_node("GlobalAveragePool", ["j"], ["k"]),
        helper.make_node("Flatten", ["k"], ["l"]),
        helper.make_node("Gemm", ["l", "last", "last_bias"], ["y"], transB=1),
    ]
    tensors = {
        "stem": nets.weights(32, 3, 3, 3), "stem_bias": nets.weights(32), "zero": np.float32(0), "six": np.float32(6),
        "one": nets.weights(32, 32, 3, 3, seed=1), "two": nets.weights(32, 32, 3, 3, seed=2),
        "three": nets.weights(32, 32, 3, 3, seed=3), "last": nets.weights(10, 64, seed=4), "last_bias": nets.weights(10),
    }  # fmt: skip
    ports: Any = ({"x": (TensorProto.FLOAT, ["n", 3, 16, 16])}, {"y": (TensorProto.FLOAT, ["n", 10])})
    return nets.model(nodes, {name: np.asarray(array) for name, array in tensors.items()}, *ports)


def test_a_net_of_convolutions_runs_in_integers_from_end_to_end(rows: Any, tmp_path: Path) -> None:
    net, feed = residual(), {"x": images(40, 1, 3, 16, 16)}
    changed, report = static(net, rows(x=images(40, 0, 3, 16, 16)))
    found = fused(changed, tmp_path)
    assert found["QLinearConv"] == 4
    assert found["QLinearAdd"] == found["QLinearConcat"] == found["QLinearGlobalAveragePool"] == found["QGemm"] == 1
    assert not set(found) & {"Conv", "Gemm", "Add", "Relu", "Clip", "Concat", "GlobalAveragePool"}
    assert found["QuantizeLinear"] == 1, "what enters is rounded once, and nothing is rounded again"
    assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.995
    assert not report.left
    assert {entry["name"] for entry in report.changed} == {"stem", "one", "two", "three", "last"}


def test_every_weight_and_every_rounded_tensor_is_marked(rows: Any) -> None:
    changed, report = static(residual(), rows(x=images(40, 0, 3, 16, 16)))
    held = {tensor.name: tensor for tensor in changed.graph.initializer}
    weights = [mark for mark in report.marks if mark.dtype == "int8"]
    flowing = [mark for mark in report.marks if mark.dtype == "uint8"]
    assert {mark.tensor for mark in weights} == {"stem", "one", "two", "three", "last"}
    assert {mark.tensor for mark in flowing} == {"x", "b", "d", "e", "g", "i", "j", "k"}
    assert all(mark.scheme == "symmetric" and mark.granularity == "channel" for mark in weights)
    assert all(mark.scheme == "asymmetric" and mark.granularity == "tensor" for mark in flowing)
    assert all(held[mark.parts.values].data_type == TensorProto.INT8 for mark in weights)


def test_biases_are_32_bit_integers_with_the_scale_of_input_times_weight(rows: Any) -> None:
    changed, _ = static(residual(), rows(x=images(40, 0, 3, 16, 16)), bias_correction=False)
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in changed.graph.initializer}
    assert held["stem_bias_int32"].dtype == np.int32
    assert np.allclose(held["stem_bias_bias_scale"], held["x_scale"] * held["stem_scale"])
    expanded = held["stem_bias_int32"] * held["stem_bias_bias_scale"]
    assert np.allclose(expanded, nets.weights(32), atol=float(held["stem_bias_bias_scale"].max()))


def test_a_row_alone_and_among_others_gets_the_same_answer(rows: Any) -> None:
    changed, _ = static(residual(), rows(x=images(40, 0, 3, 16, 16)))
    fresh = images(16, 2, 3, 16, 16)
    together = nets.answer(changed, {"x": fresh})[0]
    alone = np.concatenate([nets.answer(changed, {"x": fresh[at : at + 1]})[0] for at in range(16)])
    assert np.array_equal(together, alone)


def wide(*, opset: int = 17) -> onnx.ModelProto:
    """x [n, 256] -> MatMul, Add -> Relu -> Gemm -> y [n, 64]."""
    nodes = [
        helper.make_node("MatMul", ["x", "one"], ["a"]),
        helper.make_node("Add", ["one_bias", "a"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Gemm", ["c", "two", "two_bias"], ["y"], transB=1),
    ]
    tensors = {
        "one": nets.weights(256, 512), "one_bias": nets.weights(512),
        "two": nets.weights(64, 512, seed=1), "two_bias": nets.weights(64),
    }  # fmt: skip
    ports: Any = ({"x": (TensorProto.FLOAT, ["n", 256])}, {"y": (TensorProto.FLOAT, ["n", 64])})
    return nets.model(nodes, tensors, *ports, opset=opset)


def test_a_product_gives_floats_where_nobody_reads_integers(rows: Any, tmp_path: Path) -> None:
    """The hidden layer is rounded once, with its Relu; the answer is as fine as floats are."""
    changed, _ = static(wide(), rows(x=images(40, 0, 256)), equalization=False)
    assert fused(changed, tmp_path) == {"QuantizeLinear": 1, "QGemm": 2}


def test_a_product_with_its_bias_added_becomes_one_layer(rows: Any, tmp_path: Path) -> None:
    """Else onnxruntime makes a Gemm of it when it loads the model, whose bias is floats, and computes it in floats."""
    changed, _ = static(wide(), rows(x=images(40, 0, 256)))
    assert fused(changed, tmp_path)["QGemm"] == 2
    feed = {"x": images(40, 1, 256)}
    assert nets.least_cosine(nets.answer(wide(), feed)[0], nets.answer(changed, feed)[0]) > 0.995


def test_layers_too_small_to_pay_stay_in_floats_and_are_told(rows: Any) -> None:
    with pytest.raises(RecipeError, match="would take longer than they save"):
        static(nets.mlp(), rows(x=nets.rows_for("x")["x"]))


def test_without_calibration_rows_the_method_is_refused(tmp_path: Path) -> None:
    recipe = Recipe("static", (Step(METHOD),))
    with pytest.raises(DataError, match="quantize_static needs calibration rows") as refused:
        calibration_rows(recipe, None, None, tmp_path)
    assert refused.value.code == "data_missing"
    assert "label" not in refused.value.hint
    with pytest.raises(DataError, match="needs calibration rows"):
        nets.applied(nets.mlp(), METHOD)


def test_a_net_with_nothing_to_compute_in_integers_is_refused(rows: Any) -> None:
    nodes = [helper.make_node("Gather", ["w", "ids"], ["y"])]
    ports = ({"ids": (TensorProto.INT64, ["n"])}, {"y": (TensorProto.FLOAT, ["n", 64])})
    net = nets.model(nodes, {"w": nets.weights(50, 64)}, *ports)
    with pytest.raises(RecipeError, match="no Conv, Gemm or MatMul") as refused:
        static(net, rows(ids=np.arange(40)))
    assert refused.value.code == "recipe_does_not_fit"
    assert "quantize_weights" in refused.value.hint


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bytes_are_the_same_whatever_the_number_of_threads(rows: Any, threads: int) -> None:
    looked_at = rows(x=images(40, 0, 3, 16, 16))
    with threadpool_limits(1):
        first, _ = static(residual(), looked_at)
    with threadpool_limits(threads):
        again, _ = static(residual(), looked_at)
    assert first.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)


def test_a_child_is_made_and_made_again_from_a_shell(tmp_path: Path) -> None:
    parent, out = nets.save(residual(), tmp_path / "parent"), tmp_path / "out"
    given = nets.save_rows({"x": images(40, 0, 3, 16, 16)}, tmp_path / "calibration.npz")
    recipe = Recipe("static", (Step(METHOD, ANY),))
    settings = Settings(rounds=3, memory_repeats=1)
    others = nets.save_rows({"x": images(40, 1, 3, 16, 16)}, tmp_path / "evaluation.npz")
    compress(parent, recipe, evaluation=others, calibration=given, output_folder=out, settings=settings)
    command = [sys.executable, "-m", "compression_engine", "replay", str(out / "RESULT.json")]
    command += ["--parent", str(parent), "--calibration", str(given), "--output", str(tmp_path / "again")]
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "PYTHONHASHSEED": "7"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "again" / "model.onnx").read_bytes() == (out / "model.onnx").read_bytes()
