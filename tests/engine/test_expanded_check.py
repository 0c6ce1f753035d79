"""A child that is not run counts only if its numbers are near its parent's, whatever its own quantisation map says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compression_engine import Recipe, Step, compress, facts
from compression_engine.checking.expanded_check import compare_tensors
from compression_engine.errors import OutputRefused
from compression_engine.mapping.quantization_map import from_file, in_file
from compression_engine.mapping.stored_form import form_of, in_layers
from compression_engine.methods.report import digest_of_tensors
from compression_engine.progress import silent
from compression_engine.steps.calibration import Calibration
from tests.engine import nets, static_nets

Change = Callable[[np.ndarray[Any, Any]], None]
EIGHT, SEARCHED = Step("quantize_weights"), Step("quantize_weights", {"rounding": "mse"})
FOUR, HALF, BRAIN = (
    Step("quantize_weights", {"bits": 4}), Step("convert_fp16"), Step("convert_fp16", {"storage": "bfloat16"}),
)  # fmt: skip


def child_of(step: Step, folder: Path) -> tuple[Path, Path]:
    """A child and its parent."""
    parent = nets.save(nets.mlp(), folder / "parent")
    compress(parent, Recipe("r", (step,)), output_folder=folder / "child")
    return folder / "child" / "model.onnx", parent


def change(child: Path, part: str | None, how: Change) -> str:
    """Changes the numbers of a weight (of a bias, without `part`), lets the map say the same; the name that an error must say."""
    model = onnx.load(child)
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    text = next(entry for entry in model.metadata_props if entry.key == facts.MAP)
    marks = from_file(text.value)
    parts = {name for mark in marks for name in (mark.parts.values, mark.parts.scale, mark.parts.zero)}
    mark = next(mark for mark in marks if mark.tensor == "first")
    name = "first_bias" if part is None else str(getattr(mark.parts, part))
    assert (name in parts) == (part is not None)
    array = numpy_helper.to_array(held[name]).copy()
    how(array.reshape(-1))
    held[name].CopyFrom(numpy_helper.from_array(array, name))
    scales = [held[one] for one in (mark.parts.scale, mark.parts.zero) if one is not None]
    lied = replace(
        mark,
        values_digest=digest_of_tensors([held[str(mark.parts.values)]]),
        scale_digest=digest_of_tensors(scales) if scales else None,
    )
    text.value = in_file([lied if one is mark else one for one in marks]).decode()
    onnx.save(model, child)
    return mark.tensor if part is not None else name


def another_number(array: np.ndarray[Any, Any]) -> None:
    array[7] = array[7] + 2 if array[7] < 100 else array[7] - 2


def another_bit(array: np.ndarray[Any, Any]) -> None:
    array.view(np.uint16)[7] ^= 2


def larger_scale(array: np.ndarray[Any, Any]) -> None:
    array[:] *= 50


def infinity(array: np.ndarray[Any, Any]) -> None:
    array[0] = np.inf


@pytest.mark.parametrize(
    ("step", "part", "how", "message"),
    [
        (EIGHT, "values", another_number, "steps away at worst, at most 0.6"),
        (FOUR, "scale", larger_scale, "steps away at worst, at most 1.1"),
        (SEARCHED, "scale", larger_scale, "steps away at worst, at most 34"),
        (HALF, "values", another_bit, "to the nearest"),
        (BRAIN, "values", another_bit, "to the nearest"),
        (EIGHT, None, another_number, "the quantisation map does not name it"),
        (EIGHT, "scale", infinity, "expands to NaN or infinity"),
        (HALF, "values", infinity, "expands to NaN or infinity"),
    ],
)
def test_numbers_that_are_not_the_parents_are_refused_though_the_map_says_them(
    step: Step, part: str | None, how: Change, message: str, tmp_path: Path
) -> None:
    child, parent = child_of(step, tmp_path)
    assert compare_tensors(child, parent, silent)
    name = change(child, part, how)
    with pytest.raises(OutputRefused, match=message) as refused:
        compare_tensors(child, parent, silent)
    assert repr(name)[1:-1] in str(refused.value)


@pytest.mark.parametrize("weight_bits", [8, 4])
def test_weights_of_layers_in_integers_are_read_back_as_the_runtime_reads_them(
    weight_bits: int, tmp_path: Path
) -> None:
    """Square ones too, of which the shapes do not tell along which axis their scales run."""
    nodes = [
        helper.make_node("MatMul", ["x", "square"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "narrow"], ["y"]),
    ]
    tensors = {"square": nets.weights(255, 255), "narrow": nets.weights(255, 101, seed=1)}
    for number, array in enumerate(tensors.values()):
        array *= np.float32(np.random.default_rng(number).uniform(0.2, 5, (1, array.shape[1])))
    net = nets.model(nodes, tensors, {"x": (TensorProto.FLOAT, ["n", 255])}, {"y": (TensorProto.FLOAT, ["n", 101])})
    x = np.random.default_rng(0).normal(size=(40, 255)).astype(np.float32)
    looked_at = Calibration.of_inputs(nets.save_rows({"x": x}, tmp_path / "rows.npz"), None, None)
    child, report = static_nets.static(net, looked_at, weight_bits=weight_bits, min_elements=1)
    held = {tensor.name: tensor for tensor in child.graph.initializer}
    before = {tensor.name: tensor for tensor in net.graph.initializer}
    layers = in_layers(child)
    for mark in (mark for mark in report.marks if mark.tensor in before):
        form = form_of(mark, before[mark.tensor].dims, held, layers)
        assert form is not None
        made = next(node for node in child.graph.node if mark.parts.scale in node.input)
        probe = onnx.ModelProto()
        probe.CopyFrom(child)
        probe.graph.output.append(helper.make_tensor_value_info(made.output[0], TensorProto.FLOAT, None))
        wanted = nets.answer(probe, {"x": x})[-1]
        ours = np.concatenate([block.reshape(-1) for _, block, _ in form.blocks(before[mark.tensor])])
        np.testing.assert_allclose(ours.reshape(wanted.shape), wanted, rtol=1e-6)
    assert len(layers) == 2
