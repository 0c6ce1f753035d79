"""Models of old operator sets answer after their conversion as before, also where the package's converter is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compression_engine.errors import FileRefused
from compression_engine.formats import onnx_io
from tests.engine import nets

FLOAT = TensorProto.FLOAT
X = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
SCALES = [[1.0, 1, 2, 2], [1.0, 1, 1.5, 1.7], [1.0, 1, 3, 1], [1.0, 1, 0.5, 0.6]]


def net_of(
    operator: str, opset: int, read: dict[str, nets.Array] | None = None, outputs: int = 1, **attributes: Any
) -> onnx.ModelProto:
    names = ["y", *(f"more{number}" for number in range(outputs - 1))]
    node = helper.make_node(operator, ["x", *(read or {})], names, **attributes)
    rank: list[Any] = [None] * (2 if operator == "Flatten" else 4)
    if attributes.get("keepdims") == 0:
        rank = rank[len(attributes["axes"]) :]
    ports: Any = ({"x": (FLOAT, [2, 3, 4, 5])}, dict.fromkeys(names, (FLOAT, rank)))
    return nets.model([node], read or {}, *ports, opset=opset, ir_version=5)


def prepared(net: onnx.ModelProto) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(net)
    onnx_io.prepare(changed)
    assert onnx_io.default_opset(changed) == onnx_io.OLDEST_OPSET
    return changed


def assert_same_answers(net: onnx.ModelProto) -> None:
    for before, after in zip(nets.answer(net, {"x": X}), nets.answer(prepared(net), {"x": X}), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(("operator", "opset"), [("Upsample", 8), ("Upsample", 9), ("Resize", 10)])
def test_pictures_are_resized_from_the_corner_as_before(
    operator: str, opset: int, mode: str, scales: list[float]
) -> None:
    if operator == "Upsample" and min(scales) < 1:
        return  # it only makes larger
    if opset == 8:
        assert_same_answers(net_of(operator, opset, scales=scales, mode=mode))
    else:
        assert_same_answers(net_of(operator, opset, {"scales": np.array(scales, dtype=np.float32)}, mode=mode))


def test_a_resize_whose_rounding_newer_sets_have_not_is_refused_by_the_node() -> None:
    net = net_of("Resize", 10, {"scales": np.array([1, 1, 2, 0.5], dtype=np.float32)}, mode="nearest")
    with pytest.raises(FileRefused, match=r"the node 'y' \(Resize\)") as refused:
        prepared(net)
    assert refused.value.code == "opset_not_convertible"


@pytest.mark.parametrize("opset", [7, 9, 11, 12])
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax", "Flatten"])
def test_what_ran_over_all_axes_from_one_on_still_does(operator: str, axis: int, opset: int) -> None:
    assert_same_answers(net_of(operator, opset, axis=axis))


@pytest.mark.parametrize("axis", [None, 1, 3])
def test_a_hardmax_over_several_axes_is_refused_since_newer_sets_have_none(axis: int | None) -> None:
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    with pytest.raises(FileRefused, match=r"the node 'y' \(Hardmax\)"):
        prepared(net_of("Hardmax", 11, **attributes))


@pytest.mark.parametrize("opset", [7, 9, 11, 12])
@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("ReduceMean", {"axes": [1, 3]}),
        ("ReduceSum", {"axes": [1, 2]}),
        ("ReduceL2", {"axes": [2], "keepdims": 0}),
        ("ReduceMax", {"axes": [2]}),
        ("MaxPool", {"kernel_shape": [2, 2]}),
        ("AveragePool", {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]}),
        ("GlobalAveragePool", {}),
    ],
)
def test_reductions_and_pools_keep_their_axes(operator: str, attributes: dict[str, Any], opset: int) -> None:
    assert_same_answers(net_of(operator, opset, **attributes))


@pytest.mark.parametrize(
    ("operator", "opset", "attributes", "outputs"),
    [
        ("Pad", 7, {"pads": [0, 0, 1, 1, 0, 0, 1, 1], "value": 2.0}, 1),
        ("Slice", 9, {"starts": [1], "ends": [3], "axes": [2]}, 1),
        ("Clip", 8, {"min": -0.5, "max": 0.5}, 1),
        ("Split", 11, {"axis": 3, "split": [2, 3]}, 2),
        ("Dropout", 7, {"ratio": 0.5}, 1),
        ("Dropout", 10, {"ratio": 0.5}, 1),
    ],
)
def test_attributes_that_became_inputs_say_the_same(
    operator: str, opset: int, attributes: dict[str, Any], outputs: int
) -> None:
    assert_same_answers(net_of(operator, opset, outputs=outputs, **attributes))


@pytest.mark.parametrize("opset", [7, 8, 9, 12])
def test_normalisation_by_stored_figures_stays(opset: int) -> None:
    read = {name: np.abs(nets.weights(3, seed=number)) for number, name in enumerate(("s", "b", "m", "v"))}
    assert_same_answers(net_of("BatchNormalization", opset, read))


def test_ports_that_were_declared_without_sizes_or_wrongly_stay_as_they_were_declared() -> None:
    net = net_of("Relu", 11)
    net.graph.output[0].type.tensor_type.ClearField("shape")
    changed = prepared(net)
    assert changed.graph.output[0] == net.graph.output[0]
    assert changed.graph.input[0] == net.graph.input[0]
    assert not changed.graph.value_info  # what the converter infers is not taken over


def test_axes_inside_of_branches_are_converted_too() -> None:
    def branch(name: str, axis: int) -> onnx.GraphProto:
        nodes = [
            helper.make_node("ReduceSum", ["x"], [f"{name}_sum"], axes=[axis], keepdims=1),
            helper.make_node("Sub", ["x", f"{name}_sum"], [f"{name}_rest"]),
            helper.make_node("Softmax", [f"{name}_rest"], [f"{name}_out"], axis=axis),
        ]
        return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(f"{name}_out", FLOAT, [2, 3, 4, 5])])

    node = helper.make_node("If", ["yes"], ["y"], then_branch=branch("then", 1), else_branch=branch("else", 2))
    for yes in (True, False):
        ports: Any = ({"x": (FLOAT, [2, 3, 4, 5])}, {"y": (FLOAT, [2, 3, 4, 5])})
        assert_same_answers(nets.model([node], {"yes": np.array(yes)}, *ports, opset=11, ir_version=6))


def test_a_sparse_tensor_of_an_old_model_is_refused_by_its_name() -> None:
    values = helper.make_tensor("thin", FLOAT, [2], [1.0, 2.0])
    sparse = helper.make_sparse_tensor(values, helper.make_tensor("places", TensorProto.INT64, [2], [0, 5]), [5, 4])
    net = net_of("Relu", 11)
    net.graph.sparse_initializer.append(sparse)
    with pytest.raises(FileRefused, match="the sparse tensor 'thin'") as refused:
        prepared(net)
    assert refused.value.code == "opset_not_convertible"
