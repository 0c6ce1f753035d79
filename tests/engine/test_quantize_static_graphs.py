"""Networks as people have them: every operator that is computed in integers or beside them, and graphs of odd forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compression_engine.errors import DataError, FileRefused
from compression_engine.methods.static_quantization import gain as quantize_static_gain
from tests.engine import nets
from tests.engine.static_nets import conv, fused, images, residual, static, wide

F = TensorProto.FLOAT
PADS = [1, 1, 1, 1]
IMAGE: Any = {"x": (F, ["n", 16, 14, 14])}


@pytest.fixture(autouse=True)
def nothing_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nets of tests would not pay; what pays is tested in test_quantize_static_gain."""
    monkeypatch.setattr(quantize_static_gain, "_CROSSING_NS", 0.0)
    monkeypatch.setattr(quantize_static_gain, "_CROSSING_NS_PER_NUMBER", 0.0)


def between(*nodes: onnx.NodeProto, channels: int = 32, **tensors: Any) -> onnx.ModelProto:
    """x [n, 16, 14, 14] -> Conv -> `h`; the given nodes make `m` of it; then Conv -> y."""
    first, last = nets.weights(32, 16, 3, 3), nets.weights(16, channels, 3, 3, seed=1)
    parts = [conv("x", "first", "h", pads=PADS), *nodes, conv("m", "last", "y", pads=PADS)]
    shape = ["n", 16, "height", "width"]
    return nets.model(parts, {"first": first, "last": last, **tensors}, IMAGE, {"y": (F, shape)})


def node(operator: str, *read: str, output: str = "m", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, list(read), [output], **attributes)


IN_INTEGERS: dict[str, tuple[onnx.ModelProto, str]] = {
    "Relu": (between(node("Relu", "h")), ""),
    "Clip": (between(node("Clip", "h", "zero", "six"), zero=np.float32(0), six=np.float32(6)), ""),
    "MaxPool": (between(node("MaxPool", "h", kernel_shape=[2, 2], strides=[2, 2])), "NhwcMaxPool"),
    "AveragePool": (between(node("AveragePool", "h", kernel_shape=[2, 2], strides=[2, 2])), "QLinearAveragePool"),
    "Add": (between(node("Add", "h", "h")), "QLinearAdd"),
    "Add and Relu": (between(node("Add", "h", "h", output="a"), node("Relu", "a")), "QLinearAdd"),
    "Sum": (between(node("Sum", "h", "h")), "QLinearAdd"),
    "Concat": (between(node("Concat", "h", "h", axis=1), channels=64), "QLinearConcat"),
    "Transpose": (between(node("Transpose", "h", perm=[0, 1, 3, 2])), ""),
    "Reshape": (between(node("Reshape", "h", "shape"), shape=np.array([0, 32, 7, 28])), "Reshape"),
    "Identity": (between(node("Identity", "h")), ""),
}


@pytest.mark.parametrize("name", IN_INTEGERS)
def test_what_stands_between_layers_is_computed_in_integers(name: str, rows: Any, tmp_path: Path) -> None:
    net, operator = IN_INTEGERS[name]
    changed, _ = static(net, rows(x=images(24, 0, 16, 14, 14)))
    found, feed = fused(changed, tmp_path), {"x": images(24, 1, 16, 14, 14)}
    assert found["QuantizeLinear"] == found["DequantizeLinear"] == 1, "in at the beginning and out at the end"
    assert found["QLinearConv"] == 2
    assert not operator or found[operator] == 1
    assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.995


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Tanh", "h")],
        [node("Sigmoid", "h", output="s"), node("Mul", "h", "s")],
        [node("Clip", "h", "low", "six")],
        [node("Add", "h", "one")],
    ],
)
def test_what_has_no_integer_form_between_layers_stays_in_floats(nodes: Any, rows: Any, tmp_path: Path) -> None:
    net = between(*nodes, low=np.float32(-0.5), six=np.float32(6), one=np.ones((1, 32, 14, 14), dtype=np.float32))
    changed, _ = static(net, rows(x=images(24, 0, 16, 14, 14)))
    feed = {"x": images(24, 1, 16, 14, 14)}
    assert fused(changed, tmp_path)["QLinearConv"] == 2
    assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.99


def spatial(axes: int, shape: tuple[int, ...], **attributes: Any) -> tuple[onnx.ModelProto, Any]:
    """x [n, 32, ...] -> Conv -> Relu -> Conv -> y."""
    nodes = [conv("x", "a", "h", **attributes), node("Relu", "h", output="r"), conv("r", "b", "y", **attributes)]
    group = attributes.get("group", 1)
    tensors = {"a": nets.weights(64, 64 // group, *shape), "b": nets.weights(64, 64 // group, *shape, seed=1)}
    size = [64, 14, 6][axes - 1]
    ports: Any = ({"x": (F, ["n", 64, *[size] * axes])}, {"y": (F, ["n", 64, *"abc"[:axes]])})
    return nets.model(nodes, tensors, *ports), images(24, 0, 64, *[size] * axes)


@pytest.mark.parametrize(
    ("axes", "shape", "attributes"),
    [
        (1, (5,), {}),
        (1, (3,), {"strides": [2], "pads": [1, 1]}),
        (2, (3, 3), {"dilations": [2, 2]}),
        (2, (3, 3), {"auto_pad": "SAME_UPPER"}),
        (2, (1, 1), {}),
        (3, (3, 3, 3), {"pads": [1, 1, 1, 1, 1, 1]}),
    ],
)
def test_convolutions_of_every_form_are_computed_in_integers(
    axes: int, shape: tuple[int, ...], attributes: Any, rows: Any, tmp_path: Path
) -> None:
    net, x = spatial(axes, shape, **attributes)
    changed, _ = static(net, rows(x=x))
    assert fused(changed, tmp_path)["QLinearConv"] == 2
    assert nets.least_cosine(nets.answer(net, {"x": x})[0], nets.answer(changed, {"x": x})[0]) > 0.995


@pytest.mark.parametrize("group", [4, 32])
def test_convolutions_in_groups_are_computed_in_integers(group: int, rows: Any, tmp_path: Path) -> None:
    within = between(conv("h", "d", "m", group=group, pads=PADS), d=nets.weights(32, 32 // group, 3, 3))
    changed, report = static(within, rows(x=images(24, 0, 16, 14, 14)))
    assert fused(changed, tmp_path)["QLinearConv"] == 3
    assert not report.left


def test_a_transposed_convolution_is_left_alone_and_told(rows: Any, tmp_path: Path) -> None:
    turned = node("ConvTranspose", "h", "t", strides=[2, 2])
    changed, report = static(between(turned, t=nets.weights(32, 32, 2, 2)), rows(x=images(24, 0, 16, 14, 14)))
    assert {
        "name": "m",
        "reason": "ConvTranspose is computed in floats: the runtime has no integer form of it",
    } in report.left
    assert fused(changed, tmp_path)["ConvTranspose"] == 1
    assert {entry["name"]: entry["how"] for entry in report.changed}["t"].startswith("int8, expanded")


def test_a_normalisation_behind_a_convolution_becomes_part_of_it(rows: Any, tmp_path: Path) -> None:
    norm = node("BatchNormalization", "h", "scale", "shift", "mean", "variance", epsilon=1e-3)
    parts: dict[str, Any] = {name: nets.weights(32, seed=at) for at, name in enumerate(("scale", "shift", "mean"))}
    net = between(norm, **parts, variance=np.abs(nets.weights(32, seed=9)) + 0.1)
    changed, report = static(net, rows(x=images(24, 0, 16, 14, 14)))
    feed = {"x": images(24, 1, 16, 14, 14)}
    assert not set(fused(changed, tmp_path)) & {"BatchNormalization", "Conv"}
    assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.995
    assert {entry["name"] for entry in report.changed} == {"first", "last"}


def test_numbers_for_each_channel_behind_a_convolution_become_part_of_it(rows: Any, tmp_path: Path) -> None:
    """As exporters of older frameworks write scaling layers; behind a normalisation too."""
    nodes = [
        node("BatchNormalization", "h", "scale", "shift", "mean", "variance", output="n"),
        node("Mul", "times", "n", output="t"),
        node("Add", "t", "plus"),
    ]
    parts: dict[str, Any] = {name: nets.weights(32, seed=at) for at, name in enumerate(("scale", "shift", "mean"))}
    parts |= {"times": nets.weights(32, 1, 1, seed=5), "plus": nets.weights(1, 32, 1, 1, seed=6)}
    net = between(*nodes, **parts, variance=np.abs(nets.weights(32, seed=9)) + np.float32(0.1))
    changed, _ = static(net, rows(x=images(24, 0, 16, 14, 14)))
    feed = {"x": images(24, 1, 16, 14, 14)}
    assert not set(fused(changed, tmp_path)) & {"BatchNormalization", "Mul", "Add", "Conv"}
    assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.995


@pytest.mark.parametrize("opset", [11, 13, 15, 18, 20, 21])
def test_every_operator_set_from_11_to_21_works(opset: int, rows: Any, tmp_path: Path) -> None:
    net = residual() if opset == 17 else _at(residual(), opset)
    x = images(24, 0, 3, 16, 16)
    changed, _ = static(net, rows(x=x))
    assert fused(changed, tmp_path)["QLinearConv"] == 4
    assert nets.least_cosine(nets.answer(net, {"x": x})[0], nets.answer(changed, {"x": x})[0]) > 0.995


def _at(net: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    net.opset_import[0].version = opset
    onnx.checker.check_model(net)
    return net


def test_weights_in_constant_nodes_are_found(rows: Any, tmp_path: Path) -> None:
    net = residual()
    constants = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in net.graph.initializer]
    nodes = [*constants, *net.graph.node]
    del net.graph.initializer[:], net.graph.node[:]
    net.graph.node.extend(nodes)
    changed, report = static(net, rows(x=images(24, 0, 3, 16, 16)))
    assert fused(changed, tmp_path)["QLinearConv"] == 4
    assert {entry["name"] for entry in report.changed} == {"stem", "one", "two", "three", "last"}


def halves(net: onnx.ModelProto) -> onnx.ModelProto:
    """A net of 32-bit floats as one of 16-bit ones, inputs and outputs included."""
    for tensor in net.graph.initializer:
        if tensor.data_type == F:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for value in (*net.graph.input, *net.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.checker.check_model(net)
    return net


def test_a_net_of_16_bit_floats_keeps_what_goes_in_and_comes_out(rows: Any, tmp_path: Path) -> None:
    net, x = halves(residual()), images(24, 0, 3, 16, 16).astype(np.float16)
    changed, _ = static(net, rows(x=x), exclude=("two",))
    assert fused(changed, tmp_path)["QLinearConv"] == 3
    theirs, ours = (nets.answer(one, {"x": x})[0] for one in (net, changed))
    assert ours.dtype == theirs.dtype == np.float16
    assert nets.least_cosine(theirs, ours) > 0.99
    held = {tensor.name: tensor.data_type for tensor in changed.graph.initializer}
    assert held["two"] == TensorProto.FLOAT16, "what the recipe leaves out stays as it is"


def test_excluded_weights_stay_and_keep_their_layer_in_floats(rows: Any, tmp_path: Path) -> None:
    changed, report = static(residual(), rows(x=images(24, 0, 3, 16, 16)), exclude=("one",))
    kept = {tensor.name: tensor for tensor in changed.graph.initializer}
    assert numpy_helper.to_array(kept["one"]).dtype == np.float32
    assert fused(changed, tmp_path)["QLinearConv"] == 3
    assert {"name": "one", "reason": "the recipe leaves it out"} in report.left


def test_the_runtime_does_not_round_by_itself_what_was_left_in_floats(rows: Any, tmp_path: Path) -> None:
    """Between DequantizeLinear and QuantizeLinear it would, with the weight that the recipe leaves out."""
    for excluded, plain in (("one", "Conv"), ("two", "Conv"), ("last", "Gemm")):
        changed, _ = static(residual(), rows(x=images(24, 0, 3, 16, 16)), exclude=(excluded,))
        assert fused(changed, tmp_path)[plain] == 1


def test_a_weight_that_two_layers_share_is_stored_once(rows: Any, tmp_path: Path) -> None:
    nodes = [
        conv("x", "w", "a", "b", pads=PADS),
        node("Relu", "a", output="r"),
        conv("r", "w", "y", "c", pads=PADS),
    ]
    tensors = {"w": nets.weights(16, 16, 3, 3), "b": nets.weights(16), "c": nets.weights(16, seed=1)}
    net = nets.model(nodes, tensors, IMAGE, {"y": (F, ["n", 16, 14, 14])})
    changed, report = static(net, rows(x=images(24, 0, 16, 14, 14)))
    assert fused(changed, tmp_path)["QLinearConv"] == 2
    assert sum(len(tensor.raw_data) == 16 * 16 * 9 for tensor in changed.graph.initializer) == 1
    assert [entry["name"] for entry in report.changed] == ["w"]
    feed = {"x": images(24, 1, 16, 14, 14)}
    assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.995


def test_several_inputs_and_outputs_stay_what_they_are(rows: Any) -> None:
    nodes = [
        conv("x", "w", "a", pads=PADS),
        conv("z", "v", "b", pads=PADS),
        node("Add", "a", "b", output="s"),
        conv("s", "u", "y", pads=PADS),
        node("GlobalAveragePool", "a", output="mean"),
    ]
    tensors = {name: nets.weights(16, 16, 3, 3, seed=at) for at, name in enumerate("wvu")}
    ports: Any = (IMAGE | {"z": (F, ["n", 16, 14, 14])}, {"y": (F, ["n", 16, 14, 14]), "mean": (F, ["n", 16, 1, 1])})
    net = nets.model(nodes, tensors, *ports)
    x, z = images(24, 0, 16, 14, 14), images(24, 1, 16, 14, 14)
    changed, _ = static(net, rows(x=x, z=z))
    assert [value.name for value in changed.graph.output] == ["y", "mean"]
    for theirs, ours in zip(*(nets.answer(one, {"x": x, "z": z}) for one in (net, changed)), strict=True):
        assert nets.least_cosine(theirs, ours) > 0.99


def test_a_layer_inside_a_branch_stays_in_floats_with_its_weight_stored_small(rows: Any, tmp_path: Path) -> None:
    net = nets.with_constant_and_branch()
    changed, report = static(net, rows(x=nets.rows_for("x", 1)["x"]))
    how = {entry["name"]: entry["how"] for entry in report.changed}
    assert how["w"].startswith("int8 product")
    assert how["then_weight"] == how["else_weight"] == "int8, expanded when the model is loaded"
    feed = {"x": nets.rows_for("x", 1)["x"]}
    assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.99


def test_rows_of_different_lengths_work(rows: Any) -> None:
    """Texts of every length: the histogram of what flows knows no shapes."""
    nodes = [
        node("Gather", "words", "input_ids", output="e"),
        node("MatMul", "e", "w", output="a"),
        node("MatMul", "a", "v", output="y"),
    ]
    tensors = {"words": nets.weights(700, 128), "w": nets.weights(128, 512), "v": nets.weights(512, 128)}
    ids: Any = {"input_ids": (TensorProto.INT64, ["n", "t"])}
    net = nets.model(nodes, tensors, ids, {"y": (F, ["n", "t", 128])})
    changed, _ = static(net, rows(input_ids=np.random.default_rng(0).integers(0, 700, size=(20, 9))))
    for length in (3, 30):
        feed = {"input_ids": np.random.default_rng(1).integers(0, 700, size=(4, length))}
        assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.99


def test_weights_that_are_no_numbers_are_refused(rows: Any) -> None:
    net = wide()
    array = numpy_helper.to_array(net.graph.initializer[0]).copy()
    array[0, 0] = np.nan
    net.graph.initializer[0].CopyFrom(numpy_helper.from_array(array, "one"))
    with pytest.raises(FileRefused, match="'one' holds NaN") as refused:
        static(net, rows(x=images(24, 0, 256)))
    assert refused.value.code == "weights_not_finite"


def test_rows_that_end_in_infinity_are_refused_by_the_tensor(rows: Any) -> None:
    x = images(24, 0, 3, 16, 16)
    x[3] = 3e38
    with pytest.raises(DataError, match="NaN or infinity at") as refused:
        static(residual(), rows(x=x))
    assert refused.value.code == "data_does_not_fit"


def test_a_bias_far_larger_than_its_weights_still_fits(rows: Any) -> None:
    net = residual()
    for tensor in net.graph.initializer:
        if tensor.name == "stem":
            small = numpy_helper.to_array(tensor).copy()
            small[3], small[4] = 1e-9, 0
            tensor.CopyFrom(numpy_helper.from_array(small, "stem"))
        elif tensor.name == "stem_bias":
            bias = numpy_helper.to_array(tensor).copy()
            bias[3] = bias[4] = 40
            tensor.CopyFrom(numpy_helper.from_array(bias, "stem_bias"))
    x = images(24, 0, 3, 16, 16)
    changed, report = static(net, rows(x=x))
    assert not report.left
    assert nets.least_cosine(nets.answer(net, {"x": x})[0], nets.answer(changed, {"x": x})[0]) > 0.99


def test_a_weight_that_is_read_both_ways_has_the_scales_of_its_first_layer_alone(rows: Any) -> None:
    nodes = [
        node("MatMul", "x", "w", output="a"),
        node("Tanh", "a", output="b"),
        node("Gemm", "b", "w", transB=1, output="y"),
    ]
    net = nets.model(nodes, {"w": nets.weights(64, 64)}, {"x": (F, ["n", 64])}, {"y": (F, ["n", 64])})
    changed, report = static(net, rows(x=images(24, 0, 64)))
    assert {"name": "y", "reason": "Gemm is computed in floats: its weight is read the other way too"} in report.left
    feed = {"x": images(24, 1, 64)}
    assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.98


def test_a_product_of_more_than_a_matrix_stays_a_product_beside_its_bias(rows: Any) -> None:
    """Gemm takes matrices alone."""
    nodes = [node("MatMul", "x", "w", output="a"), node("Add", "a", "b", output="y")]
    tensors = {"w": nets.weights(64, 64), "b": nets.weights(64)}
    net = nets.model(nodes, tensors, {"x": (F, ["n", 5, 64])}, {"y": (F, ["n", 5, 64])})
    changed, _ = static(net, rows(x=images(24, 0, 5, 64)))
    assert "Gemm" not in {made.op_type for made in changed.graph.node}
    feed = {"x": images(24, 1, 5, 64)}
    assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.99


def test_layers_with_fewer_numbers_than_asked_stay_in_floats_and_are_told(rows: Any, tmp_path: Path) -> None:
    changed, report = static(residual(), rows(x=images(24, 0, 3, 16, 16)), min_elements=1000)
    told = {entry["name"]: entry["reason"] for entry in report.left}
    assert told["a"] == "Conv is computed in floats: its weight has fewer than 1000 numbers"
    assert told["y"] == "Gemm is computed in floats: its weight has fewer than 1000 numbers"
    assert fused(changed, tmp_path)["QLinearConv"] == 3
