"""Rounding for real inputs: less error in the answers than rounding number by number, with the same bytes every time."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from threadpoolctl import threadpool_limits

from compression_engine.errors import DataError, RecipeError
from compression_engine.formats.windows import Source, Window
from compression_engine.methods.gptq import Inputs, round_rows
from compression_engine.methods.report import Report
from compression_engine.methods.rounding import Grid
from compression_engine.methods.weights import Product, find_weights, product_of
from compression_engine.pipeline import Settings, calibration_rows, compress
from compression_engine.plan import Plan
from compression_engine.progress import silent
from compression_engine.recipe import Recipe, Step
from compression_engine.replaying.replay import replay
from compression_engine.steps import activations
from compression_engine.steps.activations import Wanted, grams
from compression_engine.steps.calibration import Calibration
from tests.engine import nets

METHOD = "quantize_weights"
GPTQ: dict[str, Any] = {"bits": 4, "granularity": "block", "rounding": "gptq"}
GRID = Grid(bits=4, block_size=32, clipped=True)


def correlated(count: int, size: int, seed: int = 0) -> Any:
    """Inputs as they flow through a trained net: few directions carry most of them."""
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(size, size)) * np.geomspace(1, 0.01, size)[:, None]
    return (generator.normal(size=(count, size)) @ mixing).astype(np.float32)


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    return nets.save_rows({"x": correlated(200, 64)}, tmp_path / "calibration.npz")


def calibration(path: Path) -> Calibration:
    return Calibration.of_inputs(path, None, None)


@pytest.mark.parametrize("grid", [GRID, replace(GRID, symmetric=False), replace(GRID, block_size=None), Grid(8)])
@pytest.mark.parametrize("inner", [64, 150])
def test_the_answers_are_nearer_than_with_every_number_rounded_alone(grid: Grid, inner: int) -> None:
    inputs, rows = correlated(400, inner), nets.weights(40, inner)
    values, scale, zero = round_rows(rows, Inputs.of(inputs.T.astype(float) @ inputs), grid, np.dtype(np.float32))
    ours = ((values - zero[..., None]) * scale[..., None]).reshape(40, -1)[:, :inner]
    size = min(grid.block_size or inner, inner)
    alone = np.concatenate([_alone(rows[:, at : at + size], grid) for at in range(0, inner, size)], axis=1)
    fresh = correlated(400, inner, seed=0)[200:]
    errors = [float(((fresh @ (found - rows).T) ** 2).sum()) for found in (ours, alone)]
    assert errors[0] < 0.5 * errors[1]


def _alone(rows: Any, grid: Grid) -> Any:
    scale, zero = grid.fit(rows, np.dtype(np.float32))
    return (grid.rounded(rows, scale, zero) - zero) * scale


def test_inputs_that_are_always_zero_leave_their_numbers_to_the_nearest() -> None:
    rows = nets.weights(8, 32)
    plain = Grid(bits=4, block_size=32)
    values, scale, zero = round_rows(rows, Inputs.of(np.zeros((32, 32))), plain, np.dtype(np.float32))
    assert np.allclose(((values - zero[..., None]) * scale[..., None])[:, 0], _alone(rows, plain))


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_net_rounded_for_its_inputs_answers_nearer_to_its_parent(rows_file: Path, symmetric: bool) -> None:
    net = nets.mlp()
    feed = {"x": correlated(100, 64, seed=0)}
    least = {}
    for rounding in ("mse", "gptq"):
        looked_at = calibration(rows_file) if rounding == "gptq" else None
        changed, report = nets.applied(net, METHOD, looked_at, **GPTQ | {"rounding": rounding, "symmetric": symmetric})
        least[rounding] = 1 - nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0])
    assert least["gptq"] < 0.7 * least["mse"]
    assert all("rounded for its inputs" in entry["how"] for entry in report.changed)


def test_a_weight_that_is_turned_before_its_product_is_rounded_for_its_inputs_too(rows_file: Path) -> None:
    nodes = [helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]), helper.make_node("MatMul", ["x", "t"], ["y"])]
    ports = ({"x": (TensorProto.FLOAT, ["n", 64])}, {"y": (TensorProto.FLOAT, ["n", 48])})
    turned = nets.model(nodes, {"w": nets.weights(48, 64)}, *ports)
    straight = nets.model([helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)], {"w": nets.weights(48, 64)}, *ports)
    ours, theirs = (nets.applied(net, METHOD, calibration(rows_file), **GPTQ)[0] for net in (turned, straight))
    stored = [next(t.raw_data for t in net.graph.initializer if t.name == "w_int4") for net in (ours, theirs)]
    assert stored[0] == stored[1]


def test_a_weight_that_layers_share_is_rounded_for_the_inputs_of_all_of_them(rows_file: Path) -> None:
    nodes = [
        helper.make_node("Identity", ["w"], ["shared"]),
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Tanh", ["h"], ["a"]),
        helper.make_node("MatMul", ["a", "shared"], ["y"]),
    ]
    ports = ({"x": (TensorProto.FLOAT, ["n", 64])}, {"y": (TensorProto.FLOAT, ["n", 64])})
    net = nets.model(nodes, {"w": nets.weights(64, 64)}, *ports)
    weight = find_weights(net, 100, Report())[0]
    assert product_of(weight, net.graph) == Product((Source("a"), Source("x")), 0)
    _, report = nets.applied(net, METHOD, calibration(rows_file), **GPTQ)
    assert "rounded for its inputs" in report.changed[0]["how"]


def test_weights_that_no_product_reads_are_rounded_with_least_squared_error_and_said_so(tmp_path: Path) -> None:
    rows = nets.save_rows(nets.rows_for("ids"), tmp_path / "ids.npz")
    _, report = nets.applied(nets.encoder(), METHOD, calibration(rows), **GPTQ)
    how = {entry["name"]: entry["how"] for entry in report.changed}
    assert "ranges of least squared error" in how["words"]
    assert all("rounded for its inputs" in how[name] for name in ("wq", "wk", "wv"))


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((5, 4, 3, 3), {}),
        ((5, 4, 3, 2), {"strides": [2, 1], "pads": [1, 0, 2, 1]}),
        ((5, 4, 2, 2), {"dilations": [2, 3]}),
        ((5, 4, 3), {"strides": [2], "pads": [1, 1]}),
    ],
)
def test_windows_times_kernels_are_what_the_runtime_convolves(
    shape: tuple[int, ...], attributes: dict[str, Any]
) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], **attributes)
    spatial = [9, 11][: len(shape) - 2]
    ports: Any = ({"x": (TensorProto.FLOAT, [2, 4, *spatial])}, {"y": (TensorProto.FLOAT, list("abcd")[: len(shape)])})
    weight, images = nets.weights(*shape), np.random.default_rng(0).normal(size=(2, 4, *spatial)).astype(np.float32)
    window = Window.of(node, shape[2:])
    assert window is not None
    ours = [rows @ weight.reshape(5, -1).T for rows in window.rows(images)]
    theirs = nets.answer(nets.model([node], {"w": weight}, *ports), {"x": images})[0]
    assert np.allclose(np.stack(ours), theirs.reshape(2, 5, -1).swapaxes(1, 2), atol=1e-5)


def test_kernels_are_rounded_for_the_windows_they_look_at(tmp_path: Path) -> None:
    mixed = correlated(60, 3 * 8 * 8).reshape(60, 3, 8, 8)
    rows = nets.save_rows({"x": mixed[:40]}, tmp_path / "images.npz")
    net = nets.convolution()
    errors = {}
    for rounding in ("mse", "gptq"):
        looked_at = calibration(rows) if rounding == "gptq" else None
        changed, report = nets.applied(net, METHOD, looked_at, **GPTQ | {"rounding": rounding})
        errors[rounding] = 1 - nets.least_cosine(
            nets.answer(net, {"x": mixed[40:]})[0], nets.answer(changed, {"x": mixed[40:]})[0]
        )
    assert all("rounded for its inputs" in entry["how"] for entry in report.changed)
    assert errors["gptq"] < 0.7 * errors["mse"]


def test_kernels_in_groups_are_rounded_with_least_squared_error(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"], group=2),
        helper.make_node("Conv", ["h", "v"], ["y"], auto_pad="SAME_UPPER"),
        helper.make_node("Conv", ["h", "u"], ["z"]),
    ]
    tensors = {"w": nets.weights(16, 4, 3, 3), "v": nets.weights(32, 16, 3, 3), "u": nets.weights(32, 16, 3, 3)}
    ports: Any = (
        {"x": (TensorProto.FLOAT, ["n", 8, 6, 6])},
        {name: (TensorProto.FLOAT, ["n", 32, f"{name}h", f"{name}w"]) for name in "yz"},
    )
    rows = nets.save_rows(
        {"x": np.random.default_rng(0).normal(size=(4, 8, 6, 6)).astype(np.float32)}, tmp_path / "x.npz"
    )
    _, report = nets.applied(nets.model(nodes, tensors, *ports), METHOD, calibration(rows), min_elements=100, **GPTQ)
    how = {str(entry["name"]): "its inputs" in str(entry["how"]) for entry in report.changed}
    assert how == {"w": False, "v": False, "u": True}


def test_a_net_without_any_product_is_refused_with_what_to_use(tmp_path: Path) -> None:
    rows = nets.save_rows({"ids": np.arange(40)}, tmp_path / "ids.npz")
    nodes = [helper.make_node("Gather", ["w", "ids"], ["y"])]
    ports = ({"ids": (TensorProto.INT64, ["n"])}, {"y": (TensorProto.FLOAT, ["n", 64])})
    net = nets.model(nodes, {"w": nets.weights(50, 64)}, *ports)
    with pytest.raises(RecipeError, match="gptq has nothing to do") as refused:
        nets.applied(net, METHOD, calibration(rows), **GPTQ)
    assert "mse" in refused.value.hint


def test_the_bytes_are_the_same_whatever_the_number_of_threads(rows_file: Path) -> None:
    found = set()
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            changed, _ = nets.applied(nets.mlp(), METHOD, calibration(rows_file), **GPTQ)
        found.add(changed.SerializeToString(deterministic=True))
    assert len(found) == 1


def test_the_bytes_are_the_same_whatever_fits_into_memory_together(
    rows_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = nets.applied(nets.mlp(), METHOD, calibration(rows_file), **GPTQ)
    monkeypatch.setattr(activations, "_BYTES_TOGETHER", 1)
    apart, _ = nets.applied(nets.mlp(), METHOD, calibration(rows_file), **GPTQ)
    assert whole == apart


def test_sums_of_inputs_are_those_counted_by_hand(rows_file: Path) -> None:
    net = nets.mlp()
    of_inputs, of_hidden = Wanted((Source("x"),), 64), Wanted((Source("a"),), 256)
    found = dict(grams(net, calibration(rows_file), [of_inputs, of_hidden], silent))
    inputs = np.load(rows_file)["x"].astype(np.float64)
    assert np.allclose(found[of_inputs], inputs.T @ inputs)
    hidden = nets.mlp()
    hidden.graph.output.append(onnx.ValueInfoProto(name="a"))
    values = nets.answer(hidden, {"x": inputs.astype(np.float32)})[1].astype(np.float64)
    assert np.allclose(found[of_hidden], values.T @ values, rtol=1e-5)


@pytest.mark.parametrize("flat", [False, True])
def test_padding_does_not_count(tmp_path: Path, flat: bool) -> None:
    """Inputs of a product are twos at real positions and ones at padded ones, with or without an axis of rows."""
    nodes = [
        helper.make_node("Unsqueeze", ["attention_mask", "last"], ["m"]),
        helper.make_node("Cast", ["m"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["f", "one"], ["a"]),
        helper.make_node("Reshape", ["a", "flat"], ["wide"]) if flat else helper.make_node("Identity", ["a"], ["wide"]),
        helper.make_node("MatMul", ["wide", "w"], ["p"]),
        helper.make_node("Reshape", ["p", "whole"], ["y"]),
    ]
    tensors = {"flat": np.array([-1, 8]), "whole": np.array([3, 4, 8])} | {
        "last": np.array([2]),
        "one": np.ones((1, 1, 8), dtype=np.float32),
        "w": nets.weights(8, 8),
    }
    ports = ({"attention_mask": (TensorProto.INT64, ["n", "t"])}, {"y": (TensorProto.FLOAT, ["n", "t", 8])})
    net = nets.model(nodes, tensors, *ports)
    mask = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]])
    rows = nets.save_rows({"attention_mask": mask}, tmp_path / "rows.npz")
    ((_, found),) = grams(net, calibration(rows), [Wanted((Source("wide"),), 8)], silent)
    assert np.allclose(found, 7 * 4)


def test_rows_that_end_in_infinity_are_refused_by_the_tensor(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", "x"], ["squared"]), helper.make_node("MatMul", ["squared", "w"], ["y"])]
    ports = ({"x": (TensorProto.FLOAT, ["n", 64])}, {"y": (TensorProto.FLOAT, ["n", 48])})
    net = nets.model(nodes, {"w": nets.weights(64, 48)}, *ports)
    rows = nets.save_rows({"x": np.full((4, 64), 1e30, dtype=np.float32)}, tmp_path / "rows.npz")
    with pytest.raises(DataError, match="NaN or infinity at 'squared'"):
        nets.applied(net, METHOD, calibration(rows), **GPTQ)


def recipe(**parameters: Any) -> Recipe:
    return Recipe("four", (Step(METHOD, GPTQ | parameters),))


def test_only_gptq_asks_for_calibration_rows_and_they_need_no_labels(mlp_folder: Path, rows_file: Path) -> None:
    with pytest.raises(DataError, match="Step 1: quantize_weights needs calibration rows") as refused:
        calibration_rows(recipe(), None, None, mlp_folder)
    assert "need no labels" in refused.value.hint
    with pytest.raises(DataError, match="gptq needs calibration rows"):
        nets.applied(nets.mlp(), METHOD, **GPTQ)
    assert calibration_rows(recipe(rounding="mse"), None, None, mlp_folder) is None
    plan = Plan(task="classification", label="class", slices=("who",))
    assert calibration_rows(recipe(), rows_file, plan, mlp_folder) is not None


def test_a_child_is_made_and_made_again_from_a_shell(mlp_folder: Path, rows_file: Path, tmp_path: Path) -> None:
    made = recipe()
    out = tmp_path / "out"
    compress(
        mlp_folder, made, evaluation=mlp_folder / "rows.npz", calibration=rows_file, output_folder=out,
        settings=Settings(rounds=3, memory_repeats=1),
    )  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "compression_engine",
        "replay",
        str(out / "RESULT.json"),
        "--parent",
        str(mlp_folder),
    ]
    command += ["--calibration", str(rows_file), "--output", str(tmp_path / "again")]
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "PYTHONHASHSEED": "7"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "again" / "model.onnx").read_bytes() == (out / "model.onnx").read_bytes()
    other = nets.save_rows({"x": correlated(200, 64, seed=5)}, tmp_path / "other.npz")
    with pytest.raises(DataError, match="needs calibration rows"):
        replay(out / "RESULT.json", parent=mlp_folder, output_folder=tmp_path / "none")
    with pytest.raises(Exception, match="recorded is sha256"):
        replay(out / "RESULT.json", parent=mlp_folder, calibration=other, output_folder=tmp_path / "none")
