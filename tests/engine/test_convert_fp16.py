"""Weights stored as 16-bit floats: half the size, float32 outside, and nothing that would become infinite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compression_engine.errors import FileRefused, RecipeError
from compression_engine.pipeline import Settings, compress
from compression_engine.recipe import Recipe, Step
from tests.engine import nets

METHOD = "convert_fp16"
KINDS = {"float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}


@pytest.mark.parametrize("storage", KINDS)
@pytest.mark.parametrize(
    ("net", "rows"),
    [(nets.mlp(), "x"), (nets.encoder(tied=True), "ids"), (nets.convolution(), "images")],
)
def test_answers_stay_and_the_file_is_half_as_large(net: onnx.ModelProto, rows: str, storage: str) -> None:
    changed, _ = nets.applied(net, METHOD, storage=storage)
    feed = nets.rows_for(rows)
    before, after = nets.answer(net, feed)[0], nets.answer(changed, feed)[0]
    assert after.dtype == np.float32
    assert nets.least_cosine(before, after) > (0.99999 if storage == "float16" else 0.999)
    assert not np.array_equal(before, after)
    assert 1.85 < net.ByteSize() / changed.ByteSize() < 2
    onnx.checker.check_model(changed, full_check=True)


@pytest.mark.parametrize(("storage", "bits"), [("float16", 11), ("bfloat16", 8)])
def test_numbers_are_rounded_to_the_nearest_and_ties_to_even(storage: str, bits: int) -> None:
    step = 2.0 ** (1 - bits)  # between 1 and 2
    given = np.array(
        [1, 1 + 0.49 * step, 1 + 0.5 * step, 1 + 1.5 * step, -(1 + 0.51 * step), 0, -0.0, 1.5e-5], np.float32
    )
    expected = [1, 1, 1, 1 + 2 * step, -(1 + step), 0, -0.0]
    nodes = [helper.make_node("Mul", ["x", "w"], ["y"])]
    ports: Any = ({"x": (TensorProto.FLOAT, [8])}, {"y": (TensorProto.FLOAT, [8])})
    changed, _ = nets.applied(nets.model(nodes, {"w": given}, *ports), METHOD, min_elements=1, storage=storage)
    assert changed.graph.initializer[0].data_type == KINDS[storage]
    found = nets.answer(changed, {"x": np.ones(8, dtype=np.float32)})[0]
    assert found[:7].tolist() == expected
    assert found[7] == pytest.approx(1.5e-5, rel=0.01)


def test_an_embedding_is_looked_up_before_it_is_expanded() -> None:
    changed, report = nets.applied(nets.encoder(), METHOD)
    how = {entry["name"]: entry["how"] for entry in report.changed}
    assert "looked up" in how["words"]
    gather = next(node for node in changed.graph.node if node.op_type == "Gather")
    assert gather.input[0] == "words_float16"


def test_biases_branches_and_constants_are_stored_too() -> None:
    net = nets.with_constant_and_branch()
    changed, report = nets.applied(net, METHOD)
    assert {entry["name"] for entry in report.changed} == {"w", "then_weight", "else_weight"}
    feed = nets.rows_for("x")
    assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.9999
    _, biases = nets.applied(nets.mlp(), METHOD, min_elements=40)
    assert {"first_bias", "second_bias"} <= {entry["name"] for entry in biases.changed}


def test_a_number_that_float16_cannot_hold_leaves_its_weight_alone_and_bfloat16_holds_it() -> None:
    net = nets.mlp()
    weight = numpy_helper.to_array(net.graph.initializer[0]).copy()
    weight[0, 0] = 70_000
    net.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "first"))
    changed, report = nets.applied(net, METHOD)
    assert report.left == [{"name": "first", "reason": "it holds a number that float16 cannot; bfloat16 can"}]
    assert np.isfinite(nets.answer(changed, nets.rows_for("x"))[0]).all()
    _, held = nets.applied(net, METHOD, storage="bfloat16")
    assert held.left == []


def test_what_is_not_finite_is_refused_and_what_is_no_float32_is_left() -> None:
    net = nets.mlp()
    weight = numpy_helper.to_array(net.graph.initializer[0]).copy()
    weight[0, 0] = np.nan
    net.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "first"))
    with pytest.raises(FileRefused, match="'first' holds NaN"):
        nets.applied(net, METHOD)
    _, report = nets.applied(nets.mlp(dtype=np.float16), METHOD)
    assert {entry["reason"] for entry in report.left} == {"it is float16, not float32"}


def test_a_child_is_made_by_a_recipe_and_a_model_of_halves_is_refused(mlp_folder: Path, tmp_path: Path) -> None:
    recipe = Recipe("half", (Step(METHOD),))
    result = compress(
        mlp_folder, recipe, evaluation=mlp_folder / "rows.npz", output_folder=tmp_path / "out",
        settings=Settings(rounds=3, memory_repeats=1),
    )  # fmt: skip
    ratio = result.value("size_ratio")
    assert ratio is not None
    assert ratio > 1.85
    with pytest.raises(RecipeError, match="because it is float16"):
        compress(
            tmp_path / "out", recipe, evaluation=mlp_folder / "rows.npz", output_folder=tmp_path / "again",
            settings=Settings(rounds=3, memory_repeats=1),
        )  # fmt: skip
