"""What is quantised already is told by the operators that show it, and is not done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compression_engine import Recipe, Step, compress
from compression_engine.errors import EngineError
from compression_engine.recipe import shipped_recipes
from tests.engine import nets

FLOAT, INT8 = TensorProto.FLOAT, TensorProto.INT8
RECIPES = ("smaller-same-speed", "faster-int8", "half-size")
PORTS: Any = ({"x": (FLOAT, ["n", 64])}, {"y": (FLOAT, ["n", 48])})
STORED: dict[str, nets.Array] = {
    "w": np.random.default_rng(0).integers(-127, 128, (64, 48)).astype(np.int8),
    "s": np.array(0.01, dtype=np.float32),
    "z": np.array(0, dtype=np.int8),
}


def with_dequantised_weights() -> onnx.ModelProto:
    """int8 weights that DequantizeLinear expands, as static quantisers write them (QDQ)."""
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["f"]),
        helper.make_node("MatMul", ["x", "f"], ["y"]),
    ]
    return nets.model(nodes, STORED, *PORTS)


def with_integer_operators() -> onnx.ModelProto:
    """Products in integers with one scale for all rows, as dynamic quantisers write them."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["q", "w", "zero"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=FLOAT),
        helper.make_node("Mul", ["f", "scale"], ["a"]),
        helper.make_node("Mul", ["a", "s"], ["y"]),
    ]
    return nets.model(nodes, {name: STORED[name] for name in "ws"}, *PORTS)


def with_quantised_operators() -> onnx.ModelProto:
    """QLinearMatMul between QuantizeLinear and DequantizeLinear (QOperator)."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("QLinearMatMul", ["q", "s", "z", "w", "s", "z", "s", "z"], ["p"]),
        helper.make_node("DequantizeLinear", ["p", "s", "z"], ["y"]),
    ]
    return nets.model(nodes, STORED, *PORTS)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(
    ("build", "by"),
    [
        (with_dequantised_weights, "DequantizeLinear"),
        (with_integer_operators, "MatMulInteger"),
        (with_quantised_operators, "DequantizeLinear, QLinearMatMul"),
    ],
)
def test_a_quantised_model_is_told_by_its_operators(build: object, by: str, recipe: str, tmp_path: Path) -> None:
    assert callable(build)
    with pytest.raises(EngineError, match=f"quantised already, by {by}") as refused:
        compress(nets.save(build(), tmp_path), shipped_recipes()[recipe].recipe, output_folder=tmp_path / "out")
    assert refused.value.code == "nothing_to_compress"
    assert "not done twice" in refused.value.hint
    assert not (tmp_path / "out").exists()


def test_weights_that_quantisation_is_only_played_on_are_left_alone_and_named(tmp_path: Path) -> None:
    """Floats that are rounded and expanded at every call, as training for quantisation leaves them."""
    nodes = [
        helper.make_node("QuantizeLinear", ["v", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["f"]),
        helper.make_node("MatMul", ["x", "f"], ["y"]),
    ]
    net = nets.model(nodes, {"v": nets.weights(64, 48), "s": STORED["s"], "z": STORED["z"]}, *PORTS)
    with pytest.raises(EngineError, match="'v' because it is read by QuantizeLinear only"):
        compress(nets.save(net, tmp_path), Recipe("r", (Step("quantize_weights"),)), output_folder=tmp_path / "out")


def test_what_we_made_is_told_by_the_recipe_it_was_made_with(mlp_folder: Path, tmp_path: Path) -> None:
    first = Recipe("weights", (Step("quantize_weights"),))
    compress(mlp_folder, first, output_folder=tmp_path / "one.onnx")
    with pytest.raises(EngineError, match=f"compressed before, by the recipe {first.digest()}"):
        compress(tmp_path / "one.onnx", first, output_folder=tmp_path / "two.onnx")
    assert not (tmp_path / "two.onnx").exists()
