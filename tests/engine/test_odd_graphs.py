"""Graphs as exporters really write them: every weight is found where it stands, or named with the reason why it was left."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from compression_engine.errors import FileRefused
from compression_engine.formats import onnx_io
from compression_engine.formats.onnx_graph import graphs_of
from tests.engine import nets

METHOD = "quantize_weights"
INT8: dict[str, Any] = {}
INT4: dict[str, Any] = {"bits": 4, "granularity": "block", "rounding": "mse"}
FLOAT = TensorProto.FLOAT


def gates(*shape: int, seed: int = 1) -> nets.Array:
    """Weights of a recurrent cell as they are initialised; larger ones make any of them chaotic."""
    return np.random.default_rng(seed).uniform(-0.18, 0.18, shape).astype(np.float32)


def closeness(net: onnx.ModelProto, changed: onnx.ModelProto, feed: dict[str, nets.Array]) -> float:
    onnx.checker.check_model(changed, full_check=True)
    return nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0])


def cell(operator: str, gates_count: int, *, split: bool) -> onnx.ModelProto:
    """x [time, batch, 16] -> LSTM or GRU of 32; with `split` its gates are cut and put together anew, as torch exports do."""
    tensors: dict[str, nets.Array] = {}
    nodes = []
    read = []
    for number, (name, width) in enumerate((("w", 16), ("r", 32))):
        whole = gates(1, gates_count * 32, width, seed=number)
        if not split:
            tensors[name] = whole
            read.append(name)
            continue
        tensors[name] = whole[0]
        tensors |= {"zero": np.array([0]), "one": np.array([32]), "end": np.array([10**6])}
        nodes += [
            helper.make_node("Slice", [name, "one", "end", "zero"], [f"{name}_rest"]),
            helper.make_node("Slice", [name, "zero", "one", "zero"], [f"{name}_first"]),
            helper.make_node("Concat", [f"{name}_rest", f"{name}_first"], [f"{name}_turned"], axis=0),
            helper.make_node("Unsqueeze", [f"{name}_turned", "zero"], [f"{name}_cell"]),
        ]
        read.append(f"{name}_cell")
    nodes.append(helper.make_node(operator, ["x", *read], ["", "y"], hidden_size=32))
    ports: Any = ({"x": (FLOAT, ["time", "batch", 16])}, {"y": (FLOAT, [1, "batch", 32])})
    return nets.model(nodes, tensors, *ports)


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize(("operator", "count"), [("LSTM", 4), ("GRU", 3)])
def test_cells_have_a_scale_for_every_row_of_every_gate(operator: str, count: int, split: bool) -> None:
    net = cell(operator, count, split=split)
    changed, report = nets.applied(net, METHOD)
    assert sorted(str(entry["name"]) for entry in report.changed) == ["r", "w"]
    scales = {tensor.name: list(tensor.dims) for tensor in changed.graph.initializer if tensor.name.endswith("_scale")}
    assert scales == {name: ([count * 32, 1] if split else [1, count * 32, 1]) for name in ("w_scale", "r_scale")}
    feed = {"x": np.random.default_rng(0).normal(size=(12, 5, 16)).astype(np.float32)}
    for parameters, least in ((INT8, 0.9999), (INT4, 0.98)):
        changed, _ = nets.applied(net, METHOD, **parameters)
        assert nets.least_cosine(nets.answer(net, feed)[0][0], nets.answer(changed, feed)[0][0]) > least


@pytest.mark.parametrize("parameters", [INT8, INT4])
@pytest.mark.parametrize("kind", ["Loop", "Scan"])
def test_weights_inside_of_loops_are_stored_small(kind: str, parameters: dict[str, Any]) -> None:
    weight = numpy_helper.from_array(nets.weights(64, 64), "inner")
    value = helper.make_tensor_value_info
    body_nodes = [
        helper.make_node("MatMul", ["state", "inner"], ["m"]),
        helper.make_node("Tanh", ["m"], ["state_out"]),
    ]
    state = value("state", FLOAT, ["n", 64]), value("state_out", FLOAT, ["n", 64])
    if kind == "Loop":
        body_nodes.append(helper.make_node("Identity", ["go"], ["go_out"]))
        inputs = [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), state[0]]
        body = helper.make_graph(
            body_nodes, "body", inputs, [value("go_out", TensorProto.BOOL, []), state[1]], [weight]
        )
        nodes = [helper.make_node("Loop", ["times", "", "x"], ["y"], body=body)]
        tensors = {"times": np.array(3)}
    else:
        body_nodes.append(helper.make_node("Identity", ["step"], ["seen"]))
        step = value("step", FLOAT, []), value("seen", FLOAT, [])
        body = helper.make_graph(body_nodes, "body", [state[0], step[0]], [state[1], step[1]], [weight])
        nodes = [helper.make_node("Scan", ["x", "steps"], ["y", "out"], body=body, num_scan_inputs=1)]
        tensors = {"steps": np.zeros(3, dtype=np.float32)}
    net = nets.model(nodes, tensors, {"x": (FLOAT, ["n", 64])}, {"y": (FLOAT, ["n", 64])})
    changed, report = nets.applied(net, METHOD, **parameters)
    assert [entry["name"] for entry in report.changed] == ["inner"]
    assert net.ByteSize() / changed.ByteSize() > 3
    assert closeness(net, changed, nets.rows_for("x")) > (0.999 if parameters is INT8 else 0.85)


@pytest.mark.parametrize("parameters", [INT8, INT4])
@pytest.mark.parametrize(
    ("operator", "shape", "attributes", "channels"),
    [
        ("Gemm", (64, 48), {"transA": 1}, 48),
        ("Conv", (32, 8, 3, 3), {"group": 1}, 32),
        ("Conv", (32, 4, 3, 3), {"group": 2}, 32),
        ("ConvTranspose", (8, 32, 3, 3), {}, 32),
        ("Conv", (40, 8, 9), {}, 40),
    ],
)
def test_products_and_convolutions_have_a_scale_for_every_output(
    operator: str, shape: tuple[int, ...], attributes: dict[str, int], channels: int, parameters: dict[str, Any]
) -> None:
    gemm = operator == "Gemm"
    read = ["w", "x"] if gemm else ["x", "w"]
    sizes: list[Any] = [64, "n"] if gemm else ["n", 8, *[12] * (len(shape) - 2)]
    ports: Any = ({"x": (FLOAT, sizes)}, {"y": (FLOAT, [f"d{axis}" for axis in range(len(sizes))])})
    net = nets.model([helper.make_node(operator, read, ["y"], **attributes)], {"w": nets.weights(*shape)}, *ports)
    feed = {
        "x": np.random.default_rng(0).normal(size=[5 if size == "n" else size for size in sizes]).astype(np.float32)
    }
    changed, _ = nets.applied(net, METHOD, **parameters)
    assert closeness(net, changed, feed) > (0.9995 if parameters is INT8 else 0.97)
    if parameters is INT8:
        scale = next(tensor for tensor in changed.graph.initializer if tensor.name == "w_scale")
        assert int(np.prod(scale.dims)) == channels


def test_a_weight_that_several_graphs_read_is_stored_once() -> None:
    branches = [
        helper.make_graph(
            [helper.make_node("MatMul", ["h", "w"], [f"{name}_out"])], name, [],
            [helper.make_tensor_value_info(f"{name}_out", FLOAT, ["n", 64])],
        )
        for name in ("then", "else")
    ]  # fmt: skip
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("If", ["yes"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    tensors = {"w": nets.weights(64, 64), "yes": np.array(True)}
    net = nets.model(nodes, tensors, {"x": (FLOAT, ["n", 64])}, {"y": (FLOAT, ["n", 64])})
    for parameters in (INT8, INT4):
        changed, _ = nets.applied(net, METHOD, **parameters)
        assert changed.ByteSize() < 64 * 64 * 1.3
        assert closeness(net, changed, nets.rows_for("x")) > 0.95


@pytest.mark.parametrize("parameters", [INT8, INT4])
def test_a_weight_in_a_constant_that_is_looked_up_stays_small_while_running(parameters: dict[str, Any]) -> None:
    value = numpy_helper.from_array(nets.weights(300, 64), "unused")
    nodes = [helper.make_node("Constant", [], ["w"], value=value), helper.make_node("Gather", ["w", "ids"], ["y"])]
    net = nets.model(nodes, {}, {"ids": (TensorProto.INT64, ["n"])}, {"y": (FLOAT, ["n", 64])})
    changed, report = nets.applied(net, METHOD, **parameters)
    assert "looked up" in report.changed[0]["how"]
    assert closeness(net, changed, {"ids": np.arange(300)}) > 0.97


def test_axes_of_old_operator_sets_are_those_of_the_new_one_after_conversion() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("ReduceSum", ["h"], ["s"], axes=[1], keepdims=0),
        helper.make_node("Unsqueeze", ["s"], ["u"], axes=[1]),
        helper.make_node("Sub", ["h", "u"], ["c"]),
        helper.make_node("Softmax", ["c"], ["y"], axis=1),  # flattened from this axis on before version 13
    ]
    ports: Any = ({"x": (FLOAT, ["n", 64])}, {"y": (FLOAT, ["n", 48])})
    net = nets.model(nodes, {"w": nets.weights(64, 48)}, *ports, opset=11)
    changed, _ = nets.applied(net, METHOD)
    assert onnx_io.default_opset(changed) == onnx_io.OLDEST_OPSET
    assert closeness(net, changed, nets.rows_for("x")) > 0.97


def test_an_old_operator_without_a_successor_is_refused_with_what_to_do() -> None:
    net = nets.mlp(opset=9)
    net.graph.node[1].op_type = "ScaledTanh"  # experimental once, and never taken over
    with pytest.raises(FileRefused, match="operator set 9 and cannot be converted") as refused:
        nets.applied(net, METHOD)
    assert refused.value.code == "opset_not_convertible"
    assert "13" in refused.value.hint


def test_a_weight_whose_numbers_are_all_channels_is_left_since_scales_would_take_more_room() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("MatMul", ["h", "v"], ["y"])]
    tensors = {"w": nets.weights(1, 2000), "v": nets.weights(2000, 48)}
    net = nets.model(nodes, tensors, {"x": (FLOAT, ["n", 1])}, {"y": (FLOAT, ["n", 48])})
    _, report = nets.applied(net, METHOD)
    assert report.left == [{"name": "w", "reason": "each of its numbers would need a scale of its own"}]


def test_weights_behind_an_operator_of_another_domain_are_left_and_named() -> None:
    nodes = [
        helper.make_node("Gelu", ["x"], ["g"], domain="com.microsoft"),
        helper.make_node("FusedMatMul", ["g", "fused"], ["h"], domain="com.microsoft"),
        helper.make_node("MatMul", ["h", "w"], ["y"]),
    ]
    tensors = {"fused": nets.weights(64, 64), "w": nets.weights(64, 48)}
    net = nets.model(nodes, tensors, {"x": (FLOAT, ["n", 64])}, {"y": (FLOAT, ["n", 48])}, domains=["com.microsoft"])
    changed, report = nets.applied(net, METHOD)
    assert report.left == [{"name": "fused", "reason": "it is read by com.microsoft::FusedMatMul only"}]
    assert closeness(net, changed, nets.rows_for("x")) > 0.999


@st.composite
def graphs(draw: st.DrawFn) -> onnx.ModelProto:
    """A chain of up to five odd steps over [n, 16], with weights in initializers, Constants or branches."""
    nodes: list[onnx.NodeProto] = []
    tensors: dict[str, nets.Array] = {}
    last = "x"
    for number in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["matmul", "gemm", "turned", "tied", "constant", "branch", "bias", "relu"]))
        name, out = f"w{number}", f"h{number}"
        weight = nets.weights(16, 16, seed=draw(st.integers(0, 5)))
        if kind in ("matmul", "tied", "gemm", "turned"):
            tensors[name] = weight
        if kind == "matmul":
            nodes.append(helper.make_node("MatMul", [last, name], [out]))
        elif kind == "gemm":
            turned, factor = draw(st.integers(0, 1)), draw(st.sampled_from([1.0, 0.5]))
            nodes.append(helper.make_node("Gemm", [last, name], [out], transB=turned, alpha=factor))
        elif kind == "turned":
            nodes.append(helper.make_node("Transpose", [name], [f"{name}_t"], perm=[1, 0]))
            nodes.append(helper.make_node("MatMul", [last, f"{name}_t"], [out]))
        elif kind == "tied":
            nodes.append(helper.make_node("MatMul", [last, name], [f"{out}_a"]))
            nodes.append(helper.make_node("Gemm", [f"{out}_a", name], [out], transB=1))
        elif kind == "constant":
            value = numpy_helper.from_array(weight, f"{name}_value")
            nodes.append(helper.make_node("Constant", [], [name], value=value))
            nodes.append(helper.make_node("MatMul", [last, name], [out]))
        elif kind == "branch":
            nodes += _branch(last, out, weight, number)
        elif kind == "bias":
            tensors[name] = weight[0]
            nodes.append(helper.make_node("Add", [last, name], [out]))
        else:
            nodes.append(helper.make_node("LeakyRelu", [last], [out]))
        last = out
    nodes.append(helper.make_node("Identity", [last], ["y"]))
    opset = draw(st.sampled_from([11, 13, 17, 21]))
    return nets.model(nodes, tensors, {"x": (FLOAT, ["n", 16])}, {"y": (FLOAT, ["n", 16])}, opset=opset)


def _branch(last: str, out: str, weight: nets.Array, number: int) -> list[onnx.NodeProto]:
    made = []
    for name, factor in (("then", 1), ("else", -1)):
        tensor = numpy_helper.from_array((weight * factor).astype(np.float32), f"{name}{number}_w")
        node = helper.make_node("MatMul", [last, tensor.name], [f"{name}{number}_out"])
        info = helper.make_tensor_value_info(f"{name}{number}_out", FLOAT, ["n", 16])
        made.append(helper.make_graph([node], name, [], [info], [tensor]))
    yes = numpy_helper.from_array(np.array(number % 2 == 0), f"yes{number}_value")
    return [
        helper.make_node("Constant", [], [f"yes{number}"], value=yes),
        helper.make_node("If", [f"yes{number}"], [out], then_branch=made[0], else_branch=made[1]),
    ]


@settings(max_examples=40, deadline=None)
@given(
    net=graphs(), parameters=st.sampled_from([INT8, INT4, INT4 | {"symmetric": False}, {"bits": 8, "symmetric": False}])
)
def test_any_chain_of_odd_steps_runs_as_before_and_nothing_is_skipped_unnamed(
    net: onnx.ModelProto, parameters: dict[str, Any]
) -> None:
    changed, report = nets.applied(net, METHOD, min_elements=100, **parameters)
    large = _large_floats(net)
    named = [str(entry["name"]) for entry in (*report.changed, *report.left)]
    assert len(named) == len(set(named)) == large
    assert _large_floats(changed) == len(report.left)
    feed = {"x": np.random.default_rng(0).normal(size=(7, 16)).astype(np.float32)}
    before, after = nets.answer(net, feed)[0], nets.answer(changed, feed)[0]
    least = 0.99 if parameters.get("bits", 8) == 8 else 0.6  # five layers of 16 numbers, each with errors of four bits
    assert float((before * after).sum() / np.linalg.norm(before) / np.linalg.norm(after)) > least
    onnx.checker.check_model(changed, full_check=True)


def _large_floats(net: onnx.ModelProto) -> int:
    count = 0
    for graph in graphs_of(net.graph):
        constants = [a.t for n in graph.node if n.op_type == "Constant" for a in n.attribute if a.name == "value"]
        tensors = [*graph.initializer, *constants]
        count += sum(tensor.data_type == FLOAT and int(np.prod(tensor.dims)) >= 100 for tensor in tensors)
    return count
