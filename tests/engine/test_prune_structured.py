"""prune_structured: what falls together goes together, in networks of many kinds, and the rest answers as it did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from compression_engine.errors import RecipeError
from compression_engine.formats import onnx_io
from compression_engine.formats.onnx_graph import lift_constants
from compression_engine.methods.prune_structured import apply
from compression_engine.methods.report import Report
from compression_engine.methods.structured_pruning import axes
from compression_engine.methods.structured_pruning.choice import groups_of
from compression_engine.methods.structured_pruning.cut import Cutting, check, cut
from compression_engine.methods.structured_pruning.following import RULES
from compression_engine.methods.structured_pruning.shapes import look
from compression_engine.progress import silent
from compression_engine.recipe import Step
from compression_engine.steps.calibration import Calibration
from tests.engine import nets, structured_nets

ALL_LEGACY = [(name, structured_nets.LEGACY) for name in structured_nets.NETS]
NEWER = [pytest.param(name, structured_nets.DYNAMO, marks=pytest.mark.long) for name in structured_nets.NETS]
"""The newer exporter takes seconds for each, and seconds to be imported."""


def pruned(net: onnx.ModelProto, *rows: Calibration, **parameters: Any) -> tuple[onnx.ModelProto, Report]:
    copy, report = onnx.ModelProto(), Report()
    copy.CopyFrom(net)
    onnx_io.prepare(copy)
    step = Step("prune_structured", {"share_per_mille": 300, "round_to": 1} | parameters)
    apply(copy, dict(step.parameters), report, silent, *rows)
    return copy, report


def run(net: onnx.ModelProto, feed: dict[str, Any]) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return list(onnxruntime.InferenceSession(net.SerializeToString(), options).run(None, feed))


def dims(net: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tuple(tensor.dims) for tensor in net.graph.initializer}


def numbers(net: onnx.ModelProto) -> int:
    return sum(int(np.prod(tensor.dims)) for tensor in net.graph.initializer)


def zeroed(net: onnx.ModelProto, cutting: Cutting) -> None:
    """Makes everything zero that will go."""
    for tensor in net.graph.initializer:
        array = numpy_helper.to_array(tensor).copy()
        for axis, atoms in enumerate(cutting.found.of(tensor.name)):
            array[(slice(None),) * axis + (~cutting.mask(atoms),)] = 0
        if cutting.loses(tensor.name):
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def half_of_all(net: onnx.ModelProto, options: axes.Options) -> Cutting:
    """Half of every group, drawn."""
    found = axes.trace(net, look(net), RULES, options, {})
    classes = axes.classes_of(found)
    kept, draw = np.ones(classes.count, dtype=bool), np.random.default_rng(5)
    for group in groups_of(net, found, classes):
        kept[draw.permutation(group.classes)[: len(group.classes) // 2]] = False
    return Cutting(found, classes, kept)


@pytest.mark.parametrize(("name", "exporter"), [*ALL_LEGACY, *NEWER])
def test_channels_that_are_zero_can_go_without_changing_an_answer(name: str, exporter: str) -> None:
    net = structured_nets.export(name, exporter)
    onnx_io.prepare(net)
    axes_before = [(value.name, str(value.type)) for value in (*net.graph.input, *net.graph.output)]
    lift_constants(net.graph, 1)
    cutting = half_of_all(net, axes.Options())
    zeroed(net, cutting)
    child = onnx.ModelProto()
    child.CopyFrom(net)
    cut(child, cutting)
    check(child, cutting.found.seen, cutting)
    assert axes_before == [(value.name, str(value.type)) for value in (*child.graph.input, *child.graph.output)]
    assert numbers(child) < 0.75 * numbers(net)
    for feed in cutting.found.seen.feeds:
        for ours, theirs in zip(run(child, feed), run(net, feed), strict=True):
            assert np.abs(ours - theirs).max() < 1e-5
    assert np.abs(theirs).max() > 1e-2


@pytest.mark.parametrize("name", structured_nets.NETS)
def test_every_network_of_the_list_loses_what_is_asked_for(name: str) -> None:
    net = structured_nets.export(name, structured_nets.LEGACY)
    child, report = pruned(net, share_of="numbers", share_per_mille=200)
    assert numbers(child) < numbers(net)
    assert report.changed
    assert all(entry["reason"] for entry in report.left)


def test_whole_heads_go_and_nothing_else_where_the_rest_is_left_out() -> None:
    net = structured_nets.export("attention", structured_nets.LEGACY)
    spared = [name for name, size in dims(net).items() if 24 in size]
    child, _ = pruned(net, exclude=spared, share_per_mille=250)
    lost = {tuple(now) for name, now in dims(child).items() if now != dims(net).get(name, now)}
    assert lost == {(16, 8), (8, 16), (8,)}


def test_heads_are_left_where_the_recipe_says_so() -> None:
    net = structured_nets.export("attention", structured_nets.LEGACY)
    child, report = pruned(net, heads="leave", share_of="numbers", share_per_mille=100)
    assert not [now for now in dims(child).values() if now in ((16, 8), (16, 12))]
    assert any("heads" in str(entry["reason"]) for entry in report.left)


def test_heads_lose_places_where_the_recipe_says_so() -> None:
    net = structured_nets.export("attention", structured_nets.LEGACY)
    spared = [name for name, size in dims(net).items() if 24 in size]
    child, _ = pruned(net, exclude=spared, share_per_mille=250, heads="size")
    assert (16, 8) in dims(child).values()


def test_the_width_of_a_transformer_goes_only_where_the_recipe_allows_it() -> None:
    net = structured_nets.export("attention", structured_nets.LEGACY)
    table = next(name for name, size in dims(net).items() if size == (50, 16))
    with_it, _ = pruned(net, width=True, share_per_mille=700, share_of="numbers")
    without, report = pruned(net, share_per_mille=250, share_of="numbers")
    assert dims(with_it)[table][1] < 16
    assert dims(without)[table] == (50, 16)
    assert any("means" in str(entry["reason"]) for entry in report.left if entry["name"] == table)


@pytest.mark.parametrize("share", [300, 600])
def test_the_share_of_multiply_adds_is_saved_and_hardly_more(share: int) -> None:
    net = structured_nets.export("residual", structured_nets.LEGACY)
    child, _ = pruned(net, share_per_mille=share)

    def multiply_adds(of: onnx.ModelProto) -> float:
        shapes = onnx.shape_inference.infer_shapes(of).graph.value_info
        places = {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in shapes}
        sizes, total = dims(of), 0
        for node in of.graph.node:
            if node.op_type == "Conv":
                total += int(np.prod(places[node.output[0]][1:])) * int(np.prod(sizes[node.input[1]][1:]))
            if node.op_type == "Gemm":
                total += int(np.prod(sizes[node.input[1]]))
        return total

    saved = 1 - multiply_adds(child) / multiply_adds(net)
    assert share / 1000 <= saved < share / 1000 + 0.1


def test_what_is_left_of_a_layer_is_a_multiple_as_asked() -> None:
    net = structured_nets.export("residual", structured_nets.LEGACY)
    child, _ = pruned(net, round_to=4, share_per_mille=400)
    assert {size[0] % 4 for size in dims(child).values() if len(size) == 4 and size[0] != 10} == {0}
    assert dims(child) != dims(net)


def test_no_layer_loses_more_than_the_recipe_allows() -> None:
    net = structured_nets.export("plain", structured_nets.LEGACY)
    child, _ = pruned(net, keep_at_least_per_mille=700, share_per_mille=200)
    for name, now in dims(child).items():
        if len(now) == 4:
            assert now[0] >= 0.7 * dims(net)[name][0]


def test_a_share_that_cannot_go_is_refused_with_what_can() -> None:
    net = structured_nets.export("plain", structured_nets.LEGACY)
    with pytest.raises(RecipeError, match="per mille of the multiply-adds can be pruned"):
        pruned(net, keep_at_least_per_mille=900, share_per_mille=900)


def test_the_same_share_goes_of_every_layer_where_the_recipe_says_so() -> None:
    net = structured_nets.export("plain", structured_nets.LEGACY)
    child, _ = pruned(net, scope="layer", share_per_mille=600)
    left = [now[0] / dims(net)[name][0] for name, now in dims(child).items() if len(now) == 4]
    assert max(left) - min(left) < 0.15


@pytest.mark.parametrize("importance", ["magnitude", "activation"])
def test_channels_without_importance_go_first(importance: str, rows: Callable[..., Calibration]) -> None:
    net = nets.mlp()
    first = next(tensor for tensor in net.graph.initializer if tensor.name == "first")
    bias = next(tensor for tensor in net.graph.initializer if tensor.name == "first_bias")
    array, shift = numpy_helper.to_array(first).copy(), numpy_helper.to_array(bias).copy()
    if importance == "magnitude":
        second = next(tensor for tensor in net.graph.initializer if tensor.name == "second")
        other = numpy_helper.to_array(second).copy()
        other[::2] *= 1e-3
        second.CopyFrom(numpy_helper.from_array(other, "second"))
        array[::2] *= 1e-3
    else:
        array[::2], shift[::2] = 0, 5  # large, and always the same
    first.CopyFrom(numpy_helper.from_array(array, "first"))
    bias.CopyFrom(numpy_helper.from_array(shift, "first_bias"))
    looked_at = (rows(x=np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)),)
    child, _ = pruned(
        net, *(looked_at if importance == "activation" else ()), importance=importance, share_per_mille=500
    )
    kept = next(numpy_helper.to_array(tensor) for tensor in child.graph.initializer if tensor.name == "first")
    assert {tuple(row) for row in kept} == {tuple(row) for row in array[1::2]}


def test_layers_learn_from_rows_to_answer_as_before(rows: Callable[..., Calibration]) -> None:
    net = structured_nets.export("residual", structured_nets.LEGACY)
    draw = np.random.default_rng(1)
    forms = draw.normal(size=(4, 3 * 8 * 8))  # as real images, these have fewer degrees of freedom than pixels
    seen, held = ((draw.normal(size=(200, 4)) @ forms).reshape(-1, 3, 8, 8).astype(np.float32) for _ in range(2))
    wanted = run(net, {"x": held})[0]
    errors = {}
    for how in ("none", "bias", "weights"):
        looked_at = () if how == "none" else (rows(x=seen),)
        child, _ = pruned(net, *looked_at, compensation=how, share_per_mille=500)
        errors[how] = float(((run(child, {"x": held})[0] - wanted) ** 2).mean())
    assert errors["weights"] < 0.7 * errors["bias"]
    assert errors["bias"] < errors["none"]


def test_a_product_without_a_bias_gets_one(rows: Callable[..., Calibration]) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "one"], ["a"]),
        helper.make_node("Sigmoid", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "two"], ["y"]),
    ]
    tensors = {"one": nets.weights(16, 32), "two": nets.weights(32, 8, seed=1)}
    ports: Any = ({"x": (TensorProto.FLOAT, ["n", 16])}, {"y": (TensorProto.FLOAT, ["n", 8])})
    net = nets.model(nodes, tensors, *ports)
    x = np.random.default_rng(0).normal(size=(400, 16)).astype(np.float32)
    child, _ = pruned(net, rows(x=x), compensation="bias", share_per_mille=500)
    assert [node.op_type for node in child.graph.node] == ["MatMul", "Sigmoid", "MatMul", "Add"]
    moved = np.abs((run(child, {"x": x})[0] - run(net, {"x": x})[0]).mean(axis=0)).max()
    assert moved < 1e-4


@pytest.mark.parametrize("opset", [11, 13, 21])
def test_models_of_old_and_new_operator_sets(opset: int) -> None:
    net = structured_nets.export("dense", structured_nets.LEGACY, opset=min(opset, 17))
    if opset > 17:
        net = onnx.version_converter.convert_version(net, opset)
    child, _ = pruned(net)
    assert numbers(child) < numbers(net)


def test_normalisations_that_are_nodes_lose_their_channels_too() -> None:
    net = structured_nets.export("residual", structured_nets.LEGACY, fold=False)
    child, _ = pruned(net, share_per_mille=500)
    scales = {node.input[1] for node in child.graph.node if node.op_type == "BatchNormalization"}
    assert scales
    assert any(dims(child)[name] != dims(net)[name] for name in scales)


def test_models_of_16_bit_floats_keep_their_types() -> None:
    net = nets.mlp(dtype=np.float16)
    child, _ = pruned(net, share_per_mille=500)
    assert {tensor.data_type for tensor in child.graph.initializer} == {TensorProto.FLOAT16}
    assert run(child, {"x": np.zeros((2, 64), dtype=np.float16)})[0].shape == (2, 48)


def test_an_operator_that_is_not_known_keeps_what_it_touches_and_is_told() -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "one"], ["a"]),
        helper.make_node("CumSum", ["a", "axis"], ["b"], name="sums"),
        helper.make_node("Gemm", ["b", "two"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Gemm", ["d", "three"], ["y"]),
    ]
    tensors = {
        "one": nets.weights(8, 16), "axis": np.array(1), "two": nets.weights(16, 20, seed=1),
        "three": nets.weights(20, 4, seed=2),
    }  # fmt: skip
    ports: Any = ({"x": (TensorProto.FLOAT, ["n", 8])}, {"y": (TensorProto.FLOAT, ["n", 4])})
    child, report = pruned(nets.model(nodes, tensors, *ports), share_per_mille=200)
    assert dims(child)["one"] == (8, 16)
    assert dims(child)["two"][1] < 20
    assert "CumSum 'sums' is not pruned through" in next(str(e["reason"]) for e in report.left if e["name"] == "one")


def test_nothing_to_take_out_is_said_with_the_reason() -> None:
    nodes = [helper.make_node("Gemm", ["x", "one"], ["y"])]
    ports: Any = ({"x": (TensorProto.FLOAT, ["n", 8])}, {"y": (TensorProto.FLOAT, ["n", 4])})
    net = nets.model(nodes, {"one": nets.weights(8, 4)}, *ports)
    with pytest.raises(RecipeError, match="'y' is an output of the model"):
        pruned(net)


def test_tied_weights_lose_the_same() -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "in"], ["a"]),
        helper.make_node("Gemm", ["a", "tied"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Gemm", ["c", "tied"], ["d"]),
        helper.make_node("Gemm", ["d", "out"], ["y"]),
    ]
    tensors = {"in": nets.weights(8, 16), "tied": nets.weights(16, 16, seed=1), "out": nets.weights(16, 4, seed=2)}
    ports: Any = ({"x": (TensorProto.FLOAT, ["n", 8])}, {"y": (TensorProto.FLOAT, ["n", 4])})
    child, _ = pruned(nets.model(nodes, tensors, *ports))
    assert dims(child)["tied"][0] == dims(child)["tied"][1] < 16


def test_the_same_recipe_gives_the_same_bytes(rows: Callable[..., Calibration]) -> None:
    net = structured_nets.export("residual", structured_nets.LEGACY)
    looked_at = rows(x=np.random.default_rng(1).normal(size=(40, 3, 8, 8)).astype(np.float32))
    made = [
        pruned(net, looked_at, compensation="weights", importance="activation")[0].SerializeToString(deterministic=True)
        for _ in range(2)
    ]
    assert made[0] == made[1]


def of_24() -> onnx.ModelProto:
    """x [n, t] with t written nowhere: only 24 can be cut into 4 x 6 -> MatMul -> Relu -> MatMul -> y."""
    nodes = [
        helper.make_node("Reshape", ["x", "cut"], ["a"]),
        helper.make_node("MatMul", ["a", "one"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("MatMul", ["c", "two"], ["y"]),
    ]
    tensors = {"cut": np.array([0, 4, 6]), "one": nets.weights(6, 16), "two": nets.weights(16, 8, seed=1)}
    ports: Any = ({"x": (TensorProto.FLOAT, ["n", "t"])}, {"y": (TensorProto.FLOAT, ["n", 4, 8])})
    return nets.model(nodes, tensors, *ports)


def test_sizes_are_those_of_real_rows_where_the_step_looks_at_some(rows: Callable[..., Calibration]) -> None:
    with pytest.raises(RecipeError, match="none of the inputs"):
        pruned(of_24(), share_per_mille=500)
    looked_at = rows(x=np.random.default_rng(0).normal(size=(50, 24)).astype(np.float32))
    child, _ = pruned(of_24(), looked_at, share_per_mille=500, importance="activation")
    assert dims(child)["one"] == (6, 8)


def test_a_size_that_is_the_same_in_all_rows_still_counts_as_free() -> None:
    ports: Any = ({"x": (TensorProto.FLOAT, ["n", "t"])}, {"y": (TensorProto.FLOAT, ["n", "t"])})
    net = nets.model([helper.make_node("Relu", ["x"], ["y"])], {}, *ports)
    seen = look(net, [{"x": np.zeros((rows, 9), dtype=np.float32)} for rows in (2, 1)])
    assert seen.shapes["x"] == (2, 9)
    assert not seen.is_fixed("y", 0)
    assert not seen.is_fixed("y", 1)


def test_what_many_layers_share_does_not_become_a_bottleneck() -> None:
    """A stream of 32 channels that four blocks of 32 hidden units read and add to, all of like numbers."""
    nodes, tensors = [helper.make_node("MatMul", ["x", "in"], ["s0"])], {"in": nets.weights(8, 32)}
    for block in range(4):
        nodes += [
            helper.make_node("MatMul", [f"s{block}", f"to{block}"], [f"h{block}"]),
            helper.make_node("Relu", [f"h{block}"], [f"a{block}"]),
            helper.make_node("MatMul", [f"a{block}", f"from{block}"], [f"b{block}"]),
            helper.make_node("Add", [f"s{block}", f"b{block}"], [f"s{block + 1}"]),
        ]
        tensors |= {
            f"to{block}": nets.weights(32, 32, seed=block),
            f"from{block}": nets.weights(32, 32, seed=9 + block),
        }
    nodes.append(helper.make_node("MatMul", ["s4", "out"], ["y"]))
    ports: Any = ({"x": (TensorProto.FLOAT, ["n", 8])}, {"y": (TensorProto.FLOAT, ["n", 4])})
    child, _ = pruned(nets.model(nodes, tensors | {"out": nets.weights(32, 4)}, *ports), share_per_mille=700)
    left = [dims(child)["to0"][0], *(dims(child)[f"to{block}"][1] for block in range(4))]
    assert left[0] >= 16
    assert min(left) >= 7
