"""Layers computed in integers with fixed steps: what the runtime fuses, what stays in floats, and the same bytes every time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from threadpoolctl import threadpool_limits

from compression_engine.errors import DataError, RecipeError
from compression_engine.pipeline import Settings, calibration_rows, compress
from compression_engine.recipe import Recipe, Step
from tests.engine import nets
from tests.engine.static_nets import ANY, METHOD, fused, images, residual, static, wide


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


def test_without_calibration_rows_the_method_is_refused(tmp_path: Path) -> None:
    recipe = Recipe("static", (Step(METHOD),))
    with pytest.raises(DataError, match="quantize_static needs calibration rows") as refused:
        calibration_rows(recipe, None, None, tmp_path)
    assert refused.value.code == "data_missing"
    assert "need no labels" in refused.value.hint
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
