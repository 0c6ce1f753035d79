"""Integer products with a scale per token: fast on the right processors, and never dependent on batch mates."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.engine import nets

METHOD = "quantize_dynamic"


def operators(net: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in net.graph.node]


def products(net: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Integer products of inputs; those with a row of ones, which sum columns, are computed once at load."""
    return [node for node in net.graph.node if node.op_type == "MatMulInteger" and "_ones_" not in node.input[0]]


@pytest.mark.parametrize("net", [nets.mlp(), nets.mlp(opset=18), nets.encoder(), nets.encoder(tied=True)])
def test_answers_stay_close_and_the_file_shrinks(net: onnx.ModelProto) -> None:
    changed, _ = nets.applied(net, METHOD)
    feed = nets.rows_for("x" if net.graph.input[0].name == "x" else "ids")
    assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.99
    assert net.ByteSize() / changed.ByteSize() > 3.3
    onnx.checker.check_model(changed, full_check=True)


def test_a_row_is_answered_the_same_alone_and_among_very_different_rows() -> None:
    changed, _ = nets.applied(nets.mlp(), METHOD)
    feed = nets.rows_for("x", 16)
    feed["x"][3] *= 1000  # one scale for the whole batch would crush all other rows
    together = nets.answer(changed, feed)[0]
    for row in range(16):
        alone = nets.answer(changed, {"x": feed["x"][row : row + 1]})[0][0]
        assert np.array_equal(alone, together[row])


def test_products_of_the_same_input_share_one_rounding() -> None:
    changed, report = nets.applied(nets.encoder(), METHOD)
    assert len(products(changed)) == 3
    assert operators(changed).count("Round") == 1
    assert "MatMul" not in operators(changed)
    assert {entry["name"] for entry in report.changed} == {"words", "wq", "wk", "wv"}


def test_only_standard_operators_are_used() -> None:
    changed, _ = nets.applied(nets.encoder(), METHOD)
    assert {node.domain for node in changed.graph.node} == {""}
    assert "DynamicQuantizeLinear" not in operators(changed)


def test_a_convolution_is_never_computed_in_integers() -> None:
    net = nets.convolution()
    changed, report = nets.applied(net, METHOD)
    assert "ConvInteger" not in operators(changed)
    assert operators(changed).count("Conv") == 2
    assert {entry["how"] for entry in report.changed} == {"int8, expanded when the model is loaded"}
    assert net.ByteSize() / changed.ByteSize() > 3.3


def test_a_tied_weight_is_stored_once_and_its_product_stays_float() -> None:
    changed, _ = nets.applied(nets.encoder(tied=True), METHOD)
    large = [tensor.name for tensor in changed.graph.initializer if np.prod(tensor.dims) >= 700 * 64]
    assert large == ["words_int8"]


def test_a_weight_read_by_both_kinds_of_product_is_stored_once() -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["h"], transB=1),
        helper.make_node("MatMul", ["h", "w"], ["y"]),
    ]
    ports = ({"x": (TensorProto.FLOAT, ["n", 64])}, {"y": (TensorProto.FLOAT, ["n", 64])})
    net = nets.model(nodes, {"w": nets.weights(64, 64)}, *ports)
    changed, _ = nets.applied(net, METHOD)
    assert [tensor.name for tensor in changed.graph.initializer if np.prod(tensor.dims) == 64 * 64] == ["w_int8"]
    feed = nets.rows_for("x")
    assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.99


def test_a_weight_read_transposed_by_a_product_and_looked_up_by_rows_is_stored_once() -> None:
    nodes = [
        helper.make_node("Gather", ["w", "ids"], ["e"]),
        helper.make_node("Gemm", ["e", "w"], ["y"], transB=1),
    ]
    ports = ({"ids": (TensorProto.INT64, ["n"])}, {"y": (TensorProto.FLOAT, ["n", 700])})
    net = nets.model(nodes, {"w": nets.weights(700, 64)}, *ports)
    changed, _ = nets.applied(net, METHOD)
    assert [tensor.name for tensor in changed.graph.initializer if np.prod(tensor.dims) == 700 * 64] == ["w_int8"]
    feed = {"ids": np.arange(50)}
    assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.99


def test_a_scaled_product_keeps_its_factors_and_its_weight_is_stored_small() -> None:
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], alpha=0.5, beta=2.0)]
    tensors = {"w": nets.weights(64, 64), "b": nets.weights(64)}
    ports = ({"x": (TensorProto.FLOAT, ["n", 64])}, {"y": (TensorProto.FLOAT, ["n", 64])})
    net = nets.model(nodes, tensors, *ports)
    changed, _ = nets.applied(net, METHOD)
    assert "MatMulInteger" not in operators(changed)
    feed = nets.rows_for("x")
    assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.999


def test_a_row_of_zeros_is_answered_and_not_divided_by() -> None:
    net = nets.mlp()
    changed, _ = nets.applied(net, METHOD)
    feed = {"x": np.zeros((2, 64), dtype=np.float32)}
    ours, theirs = nets.answer(changed, feed)[0], nets.answer(net, feed)[0]
    assert np.isfinite(ours).all()
    assert nets.least_cosine(ours, theirs) > 0.99


def test_sums_too_long_for_32_bits_stay_float() -> None:
    inner = 66_000
    net = nets.model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"w": np.full((inner, 2), 0.01, dtype=np.float32)},
        {"x": (TensorProto.FLOAT, ["n", inner])},
        {"y": (TensorProto.FLOAT, ["n", 2])},
    )
    changed, _ = nets.applied(net, METHOD)
    assert "MatMulInteger" not in operators(changed)
    answer = nets.answer(changed, {"x": np.ones((1, inner), dtype=np.float32)})[0]
    assert answer == pytest.approx(660.0, rel=1e-3)


def test_inputs_named_like_our_own_parts_do_not_confuse_it() -> None:
    net = nets.mlp()
    data = net.SerializeToString()
    renamed = onnx.ModelProto.FromString(data)
    renamed.graph.input[0].name = "low"
    renamed.graph.node[0].input[0] = "low"
    changed, _ = nets.applied(renamed, METHOD)
    feed = nets.rows_for("x")
    ours = nets.answer(changed, {"low": feed["x"]})[0]
    assert nets.least_cosine(nets.answer(net, feed)[0], ours) > 0.99


def test_weights_of_branches_are_stored_small_and_stay_float_there() -> None:
    net = nets.with_constant_and_branch()
    changed, report = nets.applied(net, METHOD)
    assert len(products(changed)) == 1
    assert len(report.changed) == 3
    feed = nets.rows_for("x")
    assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.99


def test_every_token_uses_all_256_steps_of_its_own_range() -> None:
    net = nets.mlp()
    changed, _ = nets.applied(net, METHOD)
    rounded = products(changed)[0].input[0]
    changed.graph.output.append(helper.make_tensor_value_info(rounded, TensorProto.UINT8, None))
    feed = nets.rows_for("x")
    feed["x"] += 10 * np.arange(40, dtype=np.float32)[:, None]  # far from zero, each row elsewhere
    integers = nets.answer(changed, feed)[1]
    assert (integers.min(axis=1) == 0).all()
    assert (integers.max(axis=1) == 255).all()
    assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.999


def test_a_row_whose_entries_are_all_the_same_is_answered_exactly() -> None:
    net = nets.mlp()
    changed, _ = nets.applied(net, METHOD)
    feed = {"x": np.full((2, 64), -3.0, dtype=np.float32)}
    assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.999


def test_sums_of_columns_take_no_room_in_the_file() -> None:
    changed, _ = nets.applied(nets.mlp(), METHOD)
    floats = [tensor.name for tensor in changed.graph.initializer if tensor.data_type == TensorProto.FLOAT]
    assert not any("sums" in name for name in floats)
