"""Layers go to integers only where that saves more time than the way there and back takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from compression_engine.errors import RecipeError
from compression_engine.methods.static_quantization.gain import REASON
from tests.engine import nets
from tests.engine.static_nets import conv, fused, images, static

F = TensorProto.FLOAT
PADS = [1, 1, 1, 1]


def chain(*layers: onnx.NodeProto, size: int, channels: int = 64, **tensors: Any) -> onnx.ModelProto:
    """x [n, channels, size, size] -> layers -> y."""
    shape = ["n", channels, size, size]
    return nets.model(list(layers), tensors, {"x": (F, shape)}, {"y": (F, [None] * 4)})


def test_layers_too_small_to_pay_stay_in_floats_and_are_told(rows: Any) -> None:
    with pytest.raises(RecipeError, match="would take longer than they save"):
        static(nets.mlp(), rows(x=nets.rows_for("x")["x"]))


@pytest.mark.parametrize("group", [4, 64])
def test_convolutions_in_groups_do_not_pay_alone(group: int, rows: Any) -> None:
    """Measured: 0.5 to 0.8 of the speed of floats."""
    alone = chain(conv("x", "w", "y", group=group, pads=PADS), size=28, w=nets.weights(64, 64 // group, 3, 3))
    with pytest.raises(RecipeError, match=REASON):
        static(alone, rows(x=images(8, 0, 64, 28, 28)))


def test_a_convolution_that_pays_does_so_alone(rows: Any, tmp_path: Path) -> None:
    """Measured: 2.7 times the speed of floats for two of these."""
    net = chain(conv("x", "w", "y", pads=PADS), size=14, w=nets.weights(64, 64, 3, 3))
    changed, report = static(net, rows(x=images(8, 0, 64, 14, 14)))
    assert fused(changed, tmp_path)["QLinearConv"] == 1
    assert not report.left


def test_each_island_is_weighed_by_itself(rows: Any, tmp_path: Path) -> None:
    """A layer in groups behind Tanh is an island; one directly behind another layer is none."""
    groups = nets.weights(64, 1, 3, 3)
    apart = [
        conv("x", "w", "a", pads=PADS), helper.make_node("Tanh", ["a"], ["b"]), conv("b", "d", "y", group=64, pads=PADS)
    ]  # fmt: skip
    together = [conv("x", "w", "a", pads=PADS), conv("a", "d", "y", group=64, pads=PADS)]
    given = rows(x=images(8, 0, 64, 14, 14))
    found = {}
    for name, layers in (("apart", apart), ("together", together)):
        changed, report = static(chain(*layers, size=14, w=nets.weights(64, 64, 3, 3), d=groups), given)
        found[name] = fused(changed, tmp_path)["QLinearConv"], [entry["name"] for entry in report.left]
    assert found == {"apart": (1, ["y"]), "together": (2, [])}


def test_what_pays_does_not_depend_on_how_many_rows_there_are(rows: Any) -> None:
    for count in (1, 5, 40):
        with pytest.raises(RecipeError, match=REASON):
            static(nets.mlp(), rows(x=nets.rows_for("x", count)["x"]))
