"""Layers computed in integers whose weights have 4 bits: as fused as with 8, half the room, and told as what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from compression_engine.identifying.identify import identify
from compression_engine.mapping.map_making import map_of_child
from compression_engine.mapping.map_reading import still_true
from compression_engine.methods.static_quantization.weights import LIMITS, rounded_weight, weight_scale
from compression_engine.recipe import Recipe, Step
from tests.engine import nets
from tests.engine.static_nets import METHOD, conv, fused, images, residual, static, wide


def test_the_runtime_computes_with_4_bit_weights_in_the_same_integer_layers(rows: Any, tmp_path: Path) -> None:
    looked_at = rows(x=images(40, 0, 3, 16, 16))
    eight, four = (static(residual(), looked_at, weight_bits=bits)[0] for bits in (8, 4))
    assert fused(four, tmp_path) == fused(eight, tmp_path)
    feed = {"x": images(40, 1, 3, 16, 16)}
    assert nets.least_cosine(nets.answer(residual(), feed)[0], nets.answer(four, feed)[0]) > 0.97


def test_weights_of_4_bits_lie_two_to_a_byte(rows: Any) -> None:
    changed, report = static(wide(), rows(x=images(40, 0, 256)), weight_bits=4)
    held = {tensor.name: tensor for tensor in changed.graph.initializer}
    marks = {mark.tensor: mark for mark in report.marks if mark.dtype == "int4"}
    assert set(marks) == {"one", "two"}
    for name, numbers in (("one", 256 * 512), ("two", 64 * 512)):
        stored = held[str(marks[name].parts.values)]
        assert (stored.data_type, list(stored.dims)) == (TensorProto.UINT8, [numbers // 2])
    eight, _ = static(wide(), rows(x=images(40, 0, 256)))
    assert changed.ByteSize() < 0.56 * eight.ByteSize()


def test_an_odd_number_of_4_bit_numbers_comes_back_whole(rows: Any, tmp_path: Path) -> None:
    """Three channels of 5 x 5 x 5: the last byte holds one number, and what fills it up is cut off."""
    nodes = [conv("x", "w", "a", pads=[2, 2, 2, 2]), conv("a", "v", "y", pads=[2, 2, 2, 2])]
    tensors = {"w": nets.weights(63, 5, 5, 5), "v": nets.weights(5, 63, 5, 5, seed=1)}
    ports: Any = ({"x": (TensorProto.FLOAT, ["n", 5, 24, 24])}, {"y": (TensorProto.FLOAT, ["n", 5, 24, 24])})
    net = nets.model(nodes, tensors, *ports)
    changed, report = static(net, rows(x=images(8, 0, 5, 24, 24)), weight_bits=4, bias_correction=False)
    assert not report.left
    scale = weight_scale(tensors["w"], 0, None, 1.0, 4)
    expected = rounded_weight(tensors["w"], 0, scale, 4) * scale[:, None, None, None]
    changed.graph.output.append(onnx.ValueInfoProto(name="w_expanded"))
    found = nets.answer(changed, {"x": images(1, 1, 5, 24, 24)})[1]
    assert np.array_equal(found, expected)


def test_the_map_of_4_bit_layers_holds_against_the_file(rows: Any) -> None:
    changed, report = static(residual(), rows(x=images(40, 0, 3, 16, 16)), weight_bits=4)
    marks = map_of_child(changed, report.marks)
    assert still_true(changed, marks) == marks
    weights = [mark for mark in marks if mark.dtype == "int4"]
    assert {mark.tensor for mark in weights} == {"stem", "one", "two", "three", "last"}
    broken = onnx.ModelProto()
    broken.CopyFrom(changed)
    tensor = next(tensor for tensor in broken.graph.initializer if tensor.name == weights[0].parts.values)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) ^ 1, tensor.name))
    assert len(still_true(broken, marks)) == len(marks) - 1


def test_the_range_of_4_bits_is_no_worse_than_all_of_it() -> None:
    array = np.random.default_rng(0).standard_t(3, size=(16, 300)).astype(np.float32)
    whole = (np.abs(array).max(axis=1) / LIMITS[4][1]).astype(np.float32)
    found = weight_scale(array, 0, None, 1.0, 4)
    errors = [np.square(rounded_weight(array, 0, scale, 4) * scale[:, None] - array).sum() for scale in (found, whole)]
    assert errors[0] < 0.9 * errors[1]
    assert (found <= whole).all()


@pytest.mark.parametrize(("bits", "few"), [(4, 16), (3, 8), (2, 4)])
def test_a_weight_has_as_many_different_numbers_as_its_bits_allow(rows: Any, bits: int, few: int) -> None:
    changed, report = static(wide(), rows(x=images(40, 0, 256)), weight_bits=bits, equalization=False)
    changed.graph.output.append(onnx.ValueInfoProto(name="one_int8"))
    found = np.unique(nets.answer(changed, {"x": images(1, 1, 256)})[1])
    assert (len(found), found.min(), found.max()) == (few, -few // 2, few // 2 - 1)
    assert all(f"int{bits} product" in str(entry["how"]) for entry in report.changed)
    assert still_true(changed, map_of_child(changed, report.marks)) == map_of_child(changed, report.marks)


def test_a_recipe_with_8_bits_keeps_the_digest_that_it_had() -> None:
    assert Recipe("r", (Step(METHOD),)) == Recipe("r", (Step(METHOD, {"weight_bits": 8}),))
    assert "weight_bits" not in str(Recipe("r", (Step(METHOD, {"weight_bits": 8}),)).document())
    assert "weight_bits" in str(Recipe("r", (Step(METHOD, {"weight_bits": 4}),)).document())


def test_a_file_of_4_bit_layers_is_named_after_its_parent(rows: Any, tmp_path: Path) -> None:
    """The numbers are read through the table in which a byte's two integers are looked up."""
    parent, other = nets.save(residual(), tmp_path / "among" / "one"), residual()
    for tensor in other.graph.initializer:
        if len(tensor.dims) > 1:
            fresh = np.random.default_rng(9).normal(size=list(tensor.dims)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(fresh, tensor.name))
    nets.save(other, tmp_path / "among" / "other")
    changed, _ = static(residual(), rows(x=images(40, 0, 3, 16, 16)), weight_bits=4)
    nearest = identify(nets.save(changed, tmp_path / "child"), tmp_path / "among").nearest
    assert nearest is not None
    assert nearest.path == parent
    assert nearest.share > 0.9
