"""Memory and size: a larger model needs more, in every role and at every batch size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compression_engine.answers.outputs import ANSWER, VERSION, Field, Outputs
from compression_engine.data import Encoder, Rows, read_rows
from compression_engine.measure import memory, size
from compression_engine.measure.context import Context
from compression_engine.plan import Plan
from compression_engine.runtime import Model
from tests.engine import nets

EMPTY = Outputs({VERSION: {ANSWER: Field(np.zeros((1, 1)))}})


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path, Encoder]:
    """A large and a small model that take the same rows."""
    paths = []
    for name, width in (("small", 64), ("large", 4096)):
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["h"]),
            helper.make_node("ReduceSum", ["h", "axis"], ["y"], keepdims=1),
        ]
        tensors = {"w": np.zeros((64, width * 40), dtype=np.float32), "axis": np.array([1])}
        ports = ({"x": (TensorProto.FLOAT, ["n", 64])}, {"y": (TensorProto.FLOAT, ["n", 1])})
        paths.append(nets.save(nets.model(nodes, tensors, *ports), tmp_path / name))
    rows = read_rows(nets.save_rows(nets.rows_for("x", 4), tmp_path / "rows.npz"))
    return paths[1], paths[0], Encoder(rows, Model(paths[0], 1).inputs(), None)


def test_memory_of_a_larger_model_is_larger(two: tuple[Path, Path, Encoder]) -> None:
    large_path, small_path, encoder = two
    paths = {"version": large_path, "parent": small_path}
    (measured,) = memory.measure(Context(EMPTY, Plan(), paths=paths, encoder=encoder, memory_repeats=1))
    found = {entry.metric: entry for entry in measured.measurements}
    large, small = found["model_memory_bytes"].value, found["parent_model_memory_bytes"].value
    assert large is not None
    assert small is not None
    assert large - small > 30_000_000  # its weights alone are 42 MB, the other's 0.7 MB
    ratio = found["peak_memory_ratio"].value
    assert ratio is not None
    assert ratio > 1.2


def test_a_larger_batch_needs_more_memory_and_stands_in_a_slice(two: tuple[Path, Path, Encoder]) -> None:
    large_path, _, encoder = two
    paths = {"version": large_path}
    context = Context(EMPTY, Plan(batch_sizes=(1, 64)), paths=paths, encoder=encoder, memory_repeats=1)
    (found,) = memory.measure(context)
    peaks = {entry.slice: entry.value for entry in found.measurements if entry.metric == "model_memory_bytes"}
    assert set(peaks) == {(), (("batch", "1"),), (("batch", "64"),)}
    assert peaks[(("batch", "64"),)] > peaks[(("batch", "1"),)] + 20_000_000  # type: ignore[operator]


def test_sizes_count_external_data_in_every_role(two: tuple[Path, Path, Encoder], tmp_path: Path) -> None:
    large_path, small_path, _ = two
    apart = tmp_path / "apart" / "model.onnx"
    apart.parent.mkdir()
    onnx.save_model(onnx.load(large_path), apart, save_as_external_data=True, location="weights.bin", size_threshold=0)
    paths = {"version": small_path, "parent": apart, "incumbent": small_path}
    (found,) = size.measure(Context(EMPTY, Plan(), paths=paths))
    figures = {entry.metric: entry.value for entry in found.measurements}
    assert figures["parent_size_bytes"] == sum(p.stat().st_size for p in apart.parent.iterdir()) > 40_000_000
    assert figures["incumbent_size_ratio"] == 1
    assert figures["size_ratio"] > 50  # type: ignore[operator]
    assert size.measure(Context(EMPTY, Plan())) == []


def test_an_input_may_be_called_as_anything(tmp_path: Path) -> None:
    names = ("file", "allow_pickle", "a.npy")
    nodes = [helper.make_node("Sum", list(names), ["y"])]
    ports = {name: (TensorProto.FLOAT, ["n", 2]) for name in names}
    path = nets.save(nets.model(nodes, {}, ports, {"y": (TensorProto.FLOAT, ["n", 2])}), tmp_path)
    rows = Rows("sha256:" + "0" * 64, (), {name: np.ones((3, 2), np.float32) for name in names}, ())
    encoder = Encoder(rows, Model(path, 1).inputs(), None)
    (found,) = memory.measure(Context(EMPTY, Plan(), paths={"version": path}, encoder=encoder, memory_repeats=1))
    assert all(entry.value for entry in found.measurements)
