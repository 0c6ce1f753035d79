"""Zeros that pruning left stay exact zeros, whatever stores or computes the weights afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compression_engine.facts import Facts
from compression_engine.formats import onnx_io
from compression_engine.mapping.quantization_map import in_file
from compression_engine.methods.gptq import Inputs, round_rows
from compression_engine.methods.rounding import Grid
from compression_engine.methods.zeros import kept_zeros
from compression_engine.sparsity import zeros_of
from compression_engine.steps.calibration import Calibration
from tests.engine import nets, static_nets

IN, OUT = 64, 96
GRIDS = [
    {"bits": bits, "granularity": granularity, "symmetric": symmetric, "rounding": rounding}
    for bits in (8, 4)
    for granularity in ("channel", "block")
    for symmetric in (True, False)
    for rounding in ("nearest", "mse", "gptq")
]


def pruned(*shape: int, seed: int = 1) -> Any:
    """A weight of which six tenths, the smallest, are zero."""
    array = nets.weights(*shape, seed=seed)
    array[np.abs(array) < np.quantile(np.abs(array), 0.6)] = 0
    return array


def product(weight: Any) -> onnx.ModelProto:
    """x [batch, 64] times a weight: rows of the identity answer with the weight itself."""
    ports = ({"x": (TensorProto.FLOAT, ["batch", IN])}, {"y": (TensorProto.FLOAT, ["batch", OUT])})
    return nets.model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weight}, *ports)


@pytest.fixture
def rows(tmp_path: Path) -> Calibration:
    """Inputs that hang together, so that gptq has something to make good."""
    generator = np.random.default_rng(3)
    mixed = generator.normal(size=(200, IN)) @ (generator.normal(size=(IN, IN)) * np.geomspace(1, 0.02, IN)[:, None])
    return Calibration.of_inputs(nets.save_rows({"x": mixed.astype(np.float32)}, tmp_path / "rows.npz"), None, None)


def stays(weight: Any, child: onnx.ModelProto) -> None:
    (answer,) = nets.answer(child, {"x": np.eye(IN, dtype=np.float32)})
    assert np.abs(answer).max() > 0
    assert (answer[weight == 0] == 0).all()
    assert np.abs(answer - weight).max() < np.abs(weight).max()


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: "-".join(map(str, grid.values())))
def test_integers_of_every_grid_and_rounding_keep_every_zero(grid: dict[str, Any], rows: Calibration) -> None:
    weight = pruned(IN, OUT)
    looked_at = rows if grid["rounding"] == "gptq" else None
    child, _ = nets.applied(product(weight), "quantize_weights", looked_at, min_elements=1, **grid)
    stays(weight, child)


@pytest.mark.parametrize(("method", "more"), [
    ("quantize_dynamic", {}), ("convert_fp16", {}), ("convert_fp16", {"storage": "bfloat16"}),
])  # fmt: skip
def test_dynamic_integers_and_short_floats_keep_every_zero(method: str, more: dict[str, Any]) -> None:
    weight = pruned(IN, OUT)
    child, _ = nets.applied(product(weight), method, min_elements=1, **more)
    stays(weight, child)


def integers(held: Any, shape: tuple[int, ...]) -> Any:
    """A kernel's integers: bytes, or two signed ones to a byte, the first in its low half."""
    if held.shape == shape:
        return held.astype(np.int64)
    both = np.stack([held & 15, held >> 4], axis=1).astype(np.int64).reshape(-1)[: np.prod(shape)].reshape(shape)
    return np.where(both < 8, both, both - 16)


@pytest.mark.parametrize("bits", [8, 4])
def test_rows_of_embeddings_keep_every_zero(bits: int) -> None:
    words = pruned(300, 64, seed=2)
    node = helper.make_node("Gather", ["words", "ids"], ["y"])
    ports = ({"ids": (TensorProto.INT64, ["batch"])}, {"y": (TensorProto.FLOAT, ["batch", 64])})
    child, _ = nets.applied(nets.model([node], {"words": words}, *ports), "quantize_weights", bits=bits)
    (answer,) = nets.answer(child, {"ids": np.arange(300)})
    assert (answer[words == 0] == 0).all()
    assert (answer[words != 0] != 0).mean() > 0.5


@pytest.mark.parametrize("weight_bits", [8, 4])
def test_static_integers_keep_every_zero_of_kernels_and_matrices(weight_bits: int, tmp_path: Path) -> None:
    net = static_nets.residual()
    for tensor in net.graph.initializer:
        if len(tensor.dims) > 1:
            tensor.CopyFrom(numpy_helper.from_array(pruned(*tensor.dims, seed=7), tensor.name))
    file = nets.save_rows({"x": static_nets.images(40, 0, 3, 16, 16)}, tmp_path / "rows.npz")
    looked_at = Calibration.of_inputs(file, None, None)
    child, report = static_nets.static(net, looked_at, weight_bits=weight_bits)
    parent = {tensor.name: numpy_helper.to_array(tensor) for tensor in net.graph.initializer}
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in child.graph.initializer}
    weights = [mark for mark in report.marks if mark.tensor in parent and mark.parts.values in held]
    assert len(weights) >= 4
    onnx_io.write_facts(
        child, Facts("sha256:" + "0" * 64, "sha256:" + "0" * 64, None, None, in_file(report.marks), "tests")
    )
    counted = zeros_of(nets.save(child, tmp_path / "child"), nets.save(net, tmp_path / "parent"))
    wide = [array for array in parent.values() if array.ndim > 1]
    assert counted.unread == 0
    assert counted.numbers == sum(array.size for array in wide)
    assert sum(int((array == 0).sum()) for array in wide) <= counted.zeros < 0.9 * counted.numbers
    for mark in weights:
        assert mark.parts.values is not None
        values, was = integers(held[mark.parts.values], parent[mark.tensor].shape), parent[mark.tensor]
        assert (values[was == 0] == 0).all()
        assert (values[was != 0] != 0).mean() > 0.5


def test_gptq_leaves_dense_weights_as_they_were_rounded_before() -> None:
    """The path for pruned weights is not taken below a tenth of zeros: what was sealed with this rounding keeps its bytes."""
    generator = np.random.default_rng(0)
    inputs, rows = generator.normal(size=(300, IN)) @ generator.normal(size=(IN, IN)), nets.weights(OUT, IN)
    rows[:, -6:] = 0
    assert kept_zeros(rows) is None
    looked_at = Inputs.of(inputs.T @ inputs)
    values, scale, zero = round_rows(rows, looked_at, Grid(bits=4), np.dtype(np.float32))
    ours = ((values - zero[..., None]) * scale[..., None]).reshape(OUT, IN)
    # corrections of earlier errors moved numbers that were zero by chance
    assert (ours[:, -6:] != 0).any()


def test_gptq_makes_good_what_its_zeros_cannot_take() -> None:
    """With zeros held the answers are still nearer than with every number rounded alone."""
    generator = np.random.default_rng(5)
    inputs = generator.normal(size=(400, IN)) @ (generator.normal(size=(IN, IN)) * np.geomspace(1, 0.01, IN)[:, None])
    rows, grid = pruned(OUT, IN), Grid(bits=4, clipped=True)
    looked_at = Inputs.of(inputs.T @ inputs)
    values, scale, zero = round_rows(rows, looked_at, grid, np.dtype(np.float32))
    ours = ((values - zero[..., None]) * scale[..., None]).reshape(OUT, IN)
    scale_alone, zero_alone = grid.fit(rows, np.dtype(np.float32))
    alone = (grid.rounded(rows, scale_alone, zero_alone) - zero_alone) * scale_alone

    def error(found: Any) -> float:
        return float(np.square(inputs @ (found - rows).T).sum())

    assert (ours[rows == 0] == 0).all()
    assert error(ours) < 0.8 * error(alone)
