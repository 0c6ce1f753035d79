"""What a channel's importance by the loss is made of, and at which products it is judged and made good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from compression_engine.errors import RecipeError
from compression_engine.methods.structured_pruning.axes import Classes
from compression_engine.methods.structured_pruning.gradients import Directed, by_labels
from compression_engine.methods.structured_pruning.readers import Reader
from compression_engine.progress import silent
from compression_engine.steps.calibration import Calibration
from compression_engine.training.losses import SCORES, TOKENS, Answer
from compression_engine.training.material import Batch, Training
from tests.engine import learning, nets
from tests.engine import test_along_sequences as along
from tests.engine.test_prune_structured import dims, pruned


def scores(model: onnx.ModelProto, source: str, weight: str, training: Training) -> nets.Array:
    """The importance of each input of a product."""
    size = next(tensor.dims[0] for tensor in model.graph.initializer if tensor.name == weight)
    numbers = np.arange(size + 1)
    classes = Classes({}, numbers, size + 1, {}, numbers)
    reader = Reader("MatMul", source, weight, None, "", False, None, numbers[1:], numbers[1:])
    found: nets.Array = by_labels(model, classes, [reader], training, silent)[1:]
    return found


@pytest.mark.parametrize("size", [1, 3])
def test_rows_that_are_answered_one_by_one_count_as_those_of_a_batch(size: int, tmp_path: Path) -> None:
    training, fixed = learning.handed(tmp_path), learning.net()
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = size
    found = [scores(net, "a", "second", training) for net in (learning.net(), fixed)]
    assert found[0].min() >= 0 < found[0].max()
    np.testing.assert_allclose(found[1], found[0], rtol=1e-3)


def test_what_reads_the_state_is_judged_along_sequences(tmp_path: Path) -> None:
    training = learning.handed(tmp_path, along.remembered(), along.PLAN)
    assert scores(along.recurrent(), "state", "again", training).min() > 0


def layered(last: onnx.NodeProto, *between: onnx.NodeProto, **more: nets.Array) -> onnx.ModelProto:
    """x [n, 16] -> MatMul -> Sigmoid -> b [n, 32], then what is given -> y [n, 8]."""
    nodes = [helper.make_node("MatMul", ["x", "one"], ["a"]), helper.make_node("Sigmoid", ["a"], ["b"])]
    tensors = {"one": nets.weights(16, 32), "two": nets.weights(32, 8, seed=1)} | more
    ports: Any = ({"x": (TensorProto.FLOAT, ["n", 16])}, {"y": (TensorProto.FLOAT, ["n", 8])})
    return nets.model([*nodes, *between, last], tensors, *ports)


def made_good(net: onnx.ModelProto, how: str, rows: Callable[..., Calibration]) -> tuple[onnx.ModelProto, float]:
    """The pruned net, and its mean squared error on the rows that it learned from."""
    x = np.random.default_rng(0).normal(size=(400, 16)).astype(np.float32)
    looked_at = [rows(x=x)] if how != "none" else []
    child, _ = pruned(net, *looked_at, compensation=how, share_per_mille=500)
    return child, float(np.square(nets.answer(child, {"x": x})[0] - nets.answer(net, {"x": x})[0]).mean())


def test_what_is_calculated_and_added_to_a_product_is_no_bias_to_be_replaced(rows: Callable[..., Calibration]) -> None:
    side = helper.make_node("MatMul", ["x", "aside"], ["s"])
    net = layered(helper.make_node("Gemm", ["b", "two", "s"], ["y"]), side, aside=nets.weights(16, 8, seed=2))
    child, _ = made_good(net, "bias", rows)
    assert child.graph.node[-1].input[2] == "s"


@pytest.mark.parametrize("factors", [{"alpha": 3.0}, {"beta": 0.25}])
def test_layers_with_factors_do_not_get_worse_by_what_makes_good(
    factors: dict[str, float], rows: Callable[..., Calibration]
) -> None:
    last = helper.make_node("Gemm", ["b", "two", "shift"], ["y"], **factors)
    net = layered(last, shift=nets.weights(8, seed=3))
    assert made_good(net, "weights", rows)[1] <= made_good(net, "none", rows)[1]


def test_a_shape_that_is_shorter_than_what_it_expands_to_is_followed() -> None:
    spread = helper.make_node("Expand", ["b", "sizes"], ["wide"])
    net = layered(helper.make_node("MatMul", ["wide", "two"], ["y"]), spread, sizes=np.array([32]))
    child, _ = pruned(net, share_per_mille=500)
    assert dims(child)["two"] == (16, 8)


def test_what_expands_to_a_shape_that_is_given_stays() -> None:
    spread = helper.make_node("Expand", ["b", "sizes"], ["wide"])
    net = layered(helper.make_node("MatMul", ["wide", "two"], ["y"]), spread, sizes=np.array([32]))
    net.graph.initializer.pop()
    net.graph.input.append(helper.make_tensor_value_info("sizes", TensorProto.INT64, [1]))
    with pytest.raises(RecipeError) as caught:
        pruned(net, share_per_mille=500)
    assert caught.value.code == "recipe_does_not_fit"


@pytest.mark.parametrize("classes", [1, 4])
def test_drawn_directions_measure_how_far_probabilities_move(classes: int) -> None:
    """The mean of squares is the Kullback-Leibler divergence's second order: Fisher information."""
    directed = Directed([Answer("y", SCORES)], torch.Generator().manual_seed(0))
    logits = torch.linspace(-1, 1.5, classes)[None].requires_grad_()
    step = torch.arange(1.0, classes + 1)
    squares = []
    for _ in range(1500):
        (slope,) = torch.autograd.grad(directed({"y": logits}, Batch({}, np.arange(1))), logits)
        squares.append(float((slope[0] * step).sum()) ** 2)
    chance = logits.detach()[0].softmax(0) if classes > 1 else logits.detach()[0].sigmoid()
    mean = (chance * step).sum()
    information = (chance * (step - mean) ** 2).sum() if classes > 1 else chance * (1 - chance)
    assert np.mean(squares) == pytest.approx(float(information), rel=0.15)


def test_padding_moves_no_answer() -> None:
    directed = Directed([Answer("y", TOKENS)], torch.Generator().manual_seed(0))
    logits = torch.zeros(2, 3, 5, requires_grad=True)
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    batch = Batch({"attention_mask": mask}, np.arange(2))
    (slope,) = torch.autograd.grad(directed({"y": logits}, batch), logits)
    assert (slope.abs().sum(-1) > 0).tolist() == (mask != 0).tolist()
