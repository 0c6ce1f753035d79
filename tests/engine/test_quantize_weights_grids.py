"""Bits, blocks, zero points and ranges: what is stored, that the runtime expands it, and that nothing sealed before changed."""

from __future__ import annotations

import hashlib
import itertools
import math
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from compression_engine.errors import FileRefused
from compression_engine.methods.rounding import Grid, round_weight, view_of
from compression_engine.methods.storing import packed
from compression_engine.methods.weights import Weight
from tests.engine import nets

METHOD = "quantize_weights"
FOUR = {"bits": 4, "granularity": "block", "rounding": "mse"}


def one_product(shape: tuple[int, ...], *, operator: str = "MatMul", **attributes: int) -> tuple[onnx.ModelProto, Any]:
    """A net that hands out its one weight, read by an operator, so that what was stored can be looked at."""
    weight = nets.weights(*shape, seed=3)
    nodes = [helper.make_node(operator, ["x", "w"], ["y"], **attributes), helper.make_node("Identity", ["w"], ["seen"])]
    sizes: list[Any] = ["n", shape[1 if attributes.get("transB") else 0]]
    ports: Any = (
        {"x": (TensorProto.FLOAT, sizes)},
        {"y": (TensorProto.FLOAT, ["n", "out"]), "seen": (TensorProto.FLOAT, list(shape))},
    )
    return nets.model(nodes, {"w": weight}, *ports), weight


def seen(net: onnx.ModelProto, shape: list[int]) -> Any:
    return nets.answer(net, {"x": np.ones(shape, dtype=np.float32)})[1]


# sealed before there was a choice: these bytes and digests may only change together with the method's version
SEALED = {
    "mlp": "1c2a4c7820b8fc67", "half": "80c16ef3b45a9337", "encoder": "45edff44ae9921b1", "tied": "9f32992fb7dce25b",
    "convolution": "6f570b49b372a1cf", "branch": "64df4c2f27579e9b",
}  # fmt: skip


@pytest.mark.parametrize("name", SEALED)
def test_a_recipe_from_before_there_was_a_choice_gives_the_same_bytes(name: str) -> None:
    net = {
        "mlp": nets.mlp, "half": lambda: nets.mlp(dtype=np.float16), "encoder": nets.encoder,
        "tied": lambda: nets.encoder(tied=True), "convolution": nets.convolution, "branch": nets.with_constant_and_branch,
    }[name]()  # fmt: skip
    changed, _ = nets.applied(net, METHOD)
    assert hashlib.sha256(changed.SerializeToString(deterministic=True)).hexdigest()[:16] == SEALED[name]


@pytest.mark.parametrize(
    ("net", "rows"),
    [(nets.mlp(), "x"), (nets.encoder(), "ids"), (nets.encoder(tied=True), "ids"), (nets.convolution(), "images")],
)
@pytest.mark.parametrize("symmetric", [True, False])
def test_four_bits_run_and_the_file_is_almost_six_times_smaller(
    net: onnx.ModelProto, rows: str, symmetric: bool
) -> None:
    changed, _ = nets.applied(net, METHOD, symmetric=symmetric, **FOUR)
    feed = nets.rows_for(rows)
    # the encoder multiplies two products, which doubles the error of one
    assert nets.least_cosine(nets.answer(net, feed)[0], nets.answer(changed, feed)[0]) > 0.87
    largest = sum(int(np.prod(tensor.dims)) * 4 for tensor in net.graph.initializer)
    small = sum(len(tensor.raw_data) for tensor in changed.graph.initializer)
    assert largest / small > 5.5
    onnx.checker.check_model(changed, full_check=True)
    assert {entry.domain for entry in changed.graph.node} == {""}


@pytest.mark.parametrize(
    ("bits", "granularity", "symmetric", "rounding"),
    list(itertools.product((8, 4), ("channel", "block"), (True, False), ("nearest", "mse"))),
)
def test_what_the_runtime_expands_is_as_near_as_the_grid_allows(
    bits: int, granularity: str, symmetric: bool, rounding: str
) -> None:
    net, weight = one_product((70, 48))  # 70 inputs: the last block of 32 has six
    changed, _ = nets.applied(net, METHOD, bits=bits, granularity=granularity, symmetric=symmetric, rounding=rounding)
    found = seen(changed, [1, 70])
    assert found.shape == weight.shape
    for start, stop in ((0, 70),) if granularity == "channel" else ((0, 32), (32, 64), (64, 70)):
        part, ours = weight[start:stop], found[start:stop]
        largest = np.abs(part).max(axis=0)
        step = 2 * largest / (2**bits - 1)
        if rounding == "nearest":
            # a number on the far side of -8 is cut off: at most a whole step away
            assert (np.abs(ours - part) <= step * 1.1).all()
        assert (((ours - part) ** 2).mean(axis=0) <= (step * 0.45) ** 2).all()


def test_clipped_ranges_have_less_squared_error_than_whole_ones() -> None:
    errors = {}
    for rounding in ("nearest", "mse"):
        net, weight = one_product((256, 64))
        changed, _ = nets.applied(net, METHOD, bits=4, granularity="block", block_size=128, rounding=rounding)
        errors[rounding] = float(((seen(changed, [1, 256]) - weight) ** 2).sum())
    assert errors["mse"] < 0.9 * errors["nearest"]


def test_zero_stays_zero_under_every_grid() -> None:
    weight = nets.weights(64, 48)
    weight[::3] = 0
    weight += (weight != 0) * 0.05  # far from centred
    for bits, symmetric in itertools.product((8, 4), (True, False)):
        net, _ = one_product((64, 48))
        net.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w"))
        changed, _ = nets.applied(net, METHOD, bits=bits, symmetric=symmetric, granularity="block", rounding="mse")
        assert (seen(changed, [1, 64])[weight == 0] == 0).all()


@pytest.mark.parametrize("transposed", [0, 1])
def test_blocks_run_along_the_inputs_of_a_channel(transposed: int) -> None:
    shape = (40, 64) if transposed else (64, 40)
    net, weight = one_product(shape, operator="Gemm", transB=transposed)
    rows = weight if transposed else weight.T
    rows *= np.array([1, 100]).repeat(32)  # the second block of every channel is a hundred times larger
    net.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w"))
    changed, _ = nets.applied(net, METHOD, **FOUR)
    found = seen(changed, [1, 64])
    small = (found if transposed else found.T)[:, :32]
    assert nets.least_cosine(small, rows[:, :32]) > 0.98


def test_a_convolution_has_blocks_over_what_one_channel_sums() -> None:
    assert view_of((16, 8, 3, 3), frozenset({0}), 32).shape == (16, 3, 32, 1)
    assert view_of((64, 48), frozenset({1}), 32).shape == (1, 2, 32, 48)
    assert view_of((4, 10), frozenset({0}), 32).shape == (4, 1, 10, 1)


def test_an_embedding_of_four_bits_stays_four_bits_until_it_is_looked_up() -> None:
    changed, report = nets.applied(nets.encoder(), METHOD, **FOUR)
    how = {entry["name"]: entry["how"] for entry in report.changed}
    assert how["words"].startswith("int4 rows, expanded when they are looked up")
    stored = {tensor.name: tensor for tensor in changed.graph.initializer}
    assert list(stored["words_int4"].dims) == [700, 32]
    gathered = {node.input[0] for node in changed.graph.node if node.op_type == "Gather"}
    assert "words_int4" in gathered


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@pytest.mark.parametrize("width", [33, 64])
def test_rows_looked_up_are_the_rows_that_are_stored_whatever_the_shape_of_the_look_up(
    shape: tuple[int, ...], width: int
) -> None:
    nodes = [helper.make_node("Gather", ["w", "ids"], ["y"])]
    ports = ({"ids": (TensorProto.INT64, list(shape))}, {"y": (TensorProto.FLOAT, [*shape, width])})
    weight = nets.weights(50, width)
    net = nets.model(nodes, {"w": weight}, *ports)
    for bits, granularity, symmetric in itertools.product((8, 4), ("channel", "block"), (True, False)):
        changed, _ = nets.applied(net, METHOD, bits=bits, granularity=granularity, symmetric=symmetric)
        ids = np.asarray(7 + np.arange(math.prod(shape), dtype=np.int64).reshape(shape))
        found = nets.answer(changed, {"ids": ids})[0]
        assert found.shape == (*shape, width)
        assert nets.least_cosine(found.reshape(-1, width), weight[ids].reshape(-1, width)) > 0.97


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
@pytest.mark.parametrize("parameters", [FOUR, {"rounding": "mse"}, {"symmetric": False}, {"granularity": "block"}])
def test_other_floats_are_given_back_in_their_own_type(dtype: Any, parameters: dict[str, Any]) -> None:
    net = nets.mlp(dtype=dtype)
    changed, _ = nets.applied(net, METHOD, **parameters)
    feed = {"x": nets.rows_for("x")["x"].astype(dtype)}
    answer = nets.answer(changed, feed)[0]
    assert answer.dtype == dtype
    assert nets.least_cosine(nets.answer(net, feed)[0], answer) > 0.92


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=4).map(tuple),
    channel=st.integers(0, 3),
    bits=st.sampled_from((8, 4)),
    block=st.sampled_from((None, 32, 128)),
    symmetric=st.booleans(),
    clipped=st.booleans(),
    power=st.integers(-40, 30),
    data=st.data(),
)
def test_integers_times_scale_are_the_weight_whatever_its_shape_and_size(
    sizes: tuple[int, ...],
    channel: int,
    bits: int,
    block: int | None,
    symmetric: bool,
    clipped: bool,
    power: int,
    data: Any,
) -> None:
    seed = data.draw(st.integers(0, 9))
    array = (np.random.default_rng(seed).normal(size=sizes) * 2.0**power).astype(np.float32)
    array.flat[0] = 0
    weight = Weight(onnx.GraphProto(), numpy_helper.from_array(array, "w"), (), frozenset({channel % len(sizes)}))
    grid = Grid(bits, block, symmetric, clipped)
    rounded = round_weight(weight, grid)
    view = rounded.view
    groups = view.groups(array)
    values, scale = (view_groups(rounded, part) for part in (rounded.values, rounded.scale))
    zero = 0.0 if bits == 8 else 8.0
    zeros = zero if rounded.zero is None else view_groups(rounded, rounded.zero)
    back = (values.astype(np.float64) - zeros) * scale.astype(np.float64)
    largest = np.abs(groups).max(axis=1, keepdims=True)
    # a clipped range may cut off up to half of the largest number, and no more
    allowed = largest * ((0.55 if clipped else 0.0) + 2.2 / (2**bits - 1))
    assert (np.abs(back - groups) <= allowed + 1e-30).all()
    assert (back[groups == 0] == 0).all()


def view_groups(rounded: Any, array: Any) -> Any:
    """[groups, size] of an array in the view's shape; scales have the size one."""
    kept = [axis for axis in range(array.ndim) if axis not in rounded.view.reduced]
    return np.transpose(array, [*kept, *rounded.view.reduced]).reshape(
        math.prod(array.shape[axis] for axis in kept), -1
    )


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_two_four_bit_integers_share_a_byte(count: int) -> None:
    values = np.arange(count, dtype=np.uint8) * 2 % 16
    bytes_ = packed(values)
    assert len(bytes_) == (count + 1) // 2
    assert np.concatenate([bytes_ & 15, bytes_ >> 4])[:count].tolist() == values.tolist()


def test_scales_too_small_for_half_precision_are_kept_whole() -> None:
    net, weight = one_product((64, 48))
    tiny = (weight * 1e-7).astype(np.float32)
    net.graph.initializer[0].CopyFrom(numpy_helper.from_array(tiny, "w"))
    changed, _ = nets.applied(net, METHOD, **FOUR)
    scale = next(tensor for tensor in changed.graph.initializer if tensor.name == "w_scale")
    assert scale.data_type == TensorProto.FLOAT
    assert nets.least_cosine(seen(changed, [1, 64]), tiny) > 0.97
    usual, _ = nets.applied(one_product((64, 48))[0], METHOD, **FOUR)
    scale = next(tensor for tensor in usual.graph.initializer if tensor.name == "w_scale")
    assert scale.data_type == TensorProto.FLOAT16


def test_a_weight_that_is_not_finite_is_refused_by_name_under_every_grid() -> None:
    net, weight = one_product((64, 48))
    weight[5, 5] = np.inf
    net.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w"))
    with pytest.raises(FileRefused, match="'w' holds NaN or infinity"):
        nets.applied(net, METHOD, **FOUR)
