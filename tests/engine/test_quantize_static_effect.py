"""What rounding does to answers: layers that hurt are left out, biases and inputs are helped only where that helps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from compression_engine.errors import RecipeError
from compression_engine.formats import onnx_io
from compression_engine.methods import quantize_static
from compression_engine.methods.report import Report
from compression_engine.methods.static_quantization import effect as quantize_static_effect
from compression_engine.methods.static_quantization import gain as quantize_static_gain
from compression_engine.methods.static_quantization.bias import shifts
from compression_engine.methods.static_quantization.effect import Effects, choose
from compression_engine.methods.static_quantization.equalize import Ranging, equalize, factors_of
from compression_engine.methods.static_quantization.net import Layer, Net
from compression_engine.methods.static_quantization.ranges import Steps
from compression_engine.plan import Plan, State
from compression_engine.progress import silent
from compression_engine.steps import observing
from compression_engine.steps.calibration import Calibration
from compression_engine.steps.observing import Watching
from tests.engine import nets
from tests.engine.static_nets import conv, fused, images, residual, static, wide

F = TensorProto.FLOAT
PADS = [1, 1, 1, 1]


def hurt_in_the_middle() -> onnx.ModelProto:
    """x -> three Convs -> y; what the second reads has one number in a thousand that is a thousand times too large."""
    nodes = [
        conv("x", "one", "a", pads=PADS),
        helper.make_node("Mul", ["a", "a"], ["a2"]),
        helper.make_node("Mul", ["a2", "a2"], ["a4"]),
        helper.make_node("Mul", ["a4", "a4"], ["b"]),
        conv("b", "two", "c", pads=PADS),
        helper.make_node("Tanh", ["c"], ["d"]),
        conv("d", "three", "y", pads=PADS),
    ]
    tensors = {name: nets.weights(64, 64, 3, 3, seed=at) for at, name in enumerate(("one", "two", "three"))}
    shape = ["n", 64, 14, 14]
    return nets.model(nodes, tensors, {"x": (F, shape)}, {"y": (F, shape)})


def watching(net: onnx.ModelProto, looked_at: Calibration) -> Watching:
    onnx_io.prepare(net)
    return Watching.of(net, looked_at, silent)


def test_the_layer_that_hurts_is_left_out_and_told_with_its_price(rows: Any, tmp_path: Path) -> None:
    net, given = hurt_in_the_middle(), rows(x=images(32, 0, 64, 14, 14))
    whole, _ = static(net, given)
    kept, report = static(net, given, most_change_per_mille=20)
    assert fused(whole, tmp_path)["QLinearConv"] == 3
    assert fused(kept, tmp_path)["QLinearConv"] < 3
    told = [entry for entry in report.left if "changes the answers by" in str(entry["reason"])]
    assert told[0]["name"] == "c"
    feed = {"x": images(32, 1, 64, 14, 14)}
    theirs, ours, all_of_it = (nets.answer(one, feed)[0] for one in (net, kept, whole))
    assert ((ours - theirs) ** 2).sum() < 0.05 * theirs.var() * theirs.size
    assert ((ours - theirs) ** 2).sum() < 0.5 * ((all_of_it - theirs) ** 2).sum()


def test_what_is_kept_together_was_measured_together(rows: Any) -> None:
    """Each of two layers alone keeps the limit, both do not: one of them goes."""
    net = watching(residual(), rows(x=images(32, 0, 3, 16, 16)))
    layers = Net(net.model).layers(1, (), Report())[:2]
    costs = {(): 0.0, layers[:1][0].output: 6.0, layers[1:][0].output: 7.0}

    class Counted(Effects):
        def of(self, model: onnx.ModelProto) -> float:
            self.measurements += 1
            outputs = tuple(model.doc_string.split("|")) if model.doc_string else ()
            return 15.0 if len(outputs) == 2 else costs[outputs[0] if outputs else ()]

    def made(some: Any) -> onnx.ModelProto:
        return onnx.ModelProto(doc_string="|".join(layer.output for layer in some))

    found = choose(Counted(net), layers, made, 10)
    assert found.layers == (layers[0],)
    assert found.together == 6.0
    assert [(left.layers, left.alone) for left in found.left] == [((layers[1],), 7.0)]


def test_where_every_layer_hurts_the_recipe_does_not_fit(rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize_static_effect, "_WHOLE", 1e9)
    with pytest.raises(RecipeError, match="changes the answers too much") as refused:
        static(residual(), rows(x=images(16, 0, 3, 16, 16)), most_change_per_mille=1)
    assert refused.value.code == "recipe_does_not_fit"
    assert "quantize_weights" in refused.value.hint


def test_the_change_is_the_squared_difference_as_a_share_of_the_answers_own_variation(rows: Any) -> None:
    looked_at = watching(wide(), rows(x=images(40, 0, 256)))
    other = onnx.ModelProto()
    other.CopyFrom(looked_at.model)
    bias = next(tensor for tensor in other.graph.initializer if tensor.name == "two_bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.25), "two_bias"))
    answers = nets.answer(looked_at.model, {"x": images(40, 0, 256)})[0].astype(np.float64)
    expected = 0.25**2 * answers.size / ((answers - answers.mean(0)) ** 2).sum() * 1000
    assert Effects(looked_at).of(other) == pytest.approx(expected, rel=1e-4)


def test_shifts_are_what_rounding_does_to_the_means_of_a_layer(rows: Any) -> None:
    net = nets.model(
        [conv("x", "w", "y", "b", pads=PADS)],
        {"w": nets.weights(16, 3, 3, 3), "b": nets.weights(16)},
        {"x": (F, ["n", 3, 8, 8])},
        {"y": (F, ["n", 16, 8, 8])},
    )
    x = np.abs(images(40)) + 0.3
    steps = Steps(0.4, 0)
    layer = Layer("y", "Conv", "x", "w", 0, "b")
    found = shifts(watching(net, rows(x=x)), [layer], {"x": steps})["y"]
    weight = numpy_helper.to_array(net.graph.initializer[0])
    scale = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / 127
    rough = onnx.ModelProto()
    rough.CopyFrom(net)
    rough.graph.initializer[0].CopyFrom(
        numpy_helper.from_array((np.rint(weight / scale) * scale).astype(np.float32), "w")
    )
    rounded = steps.rounded(x.astype(np.float64)).astype(np.float32)
    apart = nets.answer(net, {"x": x})[0] - nets.answer(rough, {"x": rounded})[0]
    assert np.allclose(found, apart.mean(axis=(0, 2, 3)), atol=1e-4)
    assert np.abs(found).max() > 1e-3


def test_biases_are_corrected_only_where_that_brings_answers_nearer(rows: Any) -> None:
    net, x = residual(), images(64, 0, 3, 16, 16)
    for ranges in ("mse", "percentile"):
        changed = [
            static(net, rows(x=x), ranges=ranges, bias_correction=corrected, percentile=percentile)[0]
            for corrected in (True, False)
            for percentile in [95_000 if ranges == "percentile" else 99_999]
        ]
        theirs = nets.answer(net, {"x": x})[0]
        errors = [float(((nets.answer(one, {"x": x})[0] - theirs) ** 2).sum()) for one in changed]
        assert errors[0] <= errors[1] * 1.0001
        if ranges == "percentile":
            assert errors[0] < 0.9 * errors[1], "where ranges cut much off, means move, and are taken back"


def test_a_correction_that_makes_answers_worse_is_not_kept(rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net, looked_at = residual(), rows(x=images(32, 0, 3, 16, 16))
    plain, _ = static(net, looked_at, bias_correction=False)
    monkeypatch.setattr(quantize_static, "shifts", lambda *_: {"a": np.full(32, 5.0)})
    kept, report = static(net, looked_at)
    assert kept == plain
    assert not any("bias corrected" in str(entry["how"]) for entry in report.changed)


def outlying() -> tuple[onnx.ModelProto, Any]:
    """x [n, t, 256] of which three channels are a hundred times larger -> two products -> y."""
    nodes = [
        helper.make_node("MatMul", ["x", "one"], ["a"]),
        helper.make_node("MatMul", ["x", "two"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    tensors = {"one": nets.weights(256, 256), "two": nets.weights(256, 256, seed=1)}
    x = images(32, 0, 6, 256)
    x[..., [3, 70, 200]] *= 100
    for name in tensors:
        tensors[name][[3, 70, 200]] /= 50
    return nets.model(nodes, tensors, {"x": (F, ["n", "t", 256])}, {"y": (F, ["n", "t", 256])}), x


def test_channels_that_are_hard_to_round_are_moved_into_weights(rows: Any, tmp_path: Path) -> None:
    net, x = outlying()
    errors = {}
    for helped in (True, False):
        changed, _ = static(net, rows(x=x[:16]), equalization=helped)
        apart = nets.answer(changed, {"x": x[16:]})[0] - nets.answer(net, {"x": x[16:]})[0]
        errors[helped] = float((apart**2).sum())
        found = fused(changed, tmp_path)
        assert found["QuantizeLinear"] == 1, "both products share one rounding"
        assert found["MatMulIntegerToFloat"] == 2
    assert errors[True] < 0.2 * errors[False]


def test_inputs_that_are_easy_to_round_stay_as_they_are(rows: Any) -> None:
    net = wide()
    for tensor in net.graph.initializer[:1]:
        flat = np.sign(numpy_helper.to_array(tensor)).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(flat, tensor.name))
    x = np.sign(images(32, 0, 256)) * np.float32(1)
    before = onnx.ModelProto()
    before.CopyFrom(net)
    looked_at = watching(net, rows(x=x))
    first = Net(net).layers(1, (), Report())[:1]
    assert equalize(net, looked_at, first, Ranging("minmax", 100_000)) == {}
    assert net.graph == before.graph


def test_factors_are_powers_of_two_and_share_out_the_range() -> None:
    largest, weight = np.array([1.0, 100.0, 0.0]), np.array([[1.0, -2.0], [0.5, 0.1], [3.0, 1.0]])
    for alpha in (0.25, 0.5, 0.75):
        factors = factors_of(largest, [weight], alpha)
        assert np.array_equal(np.log2(factors), np.rint(np.log2(factors)))
        assert factors[1] > factors[0]
    assert factors_of(largest, [weight], 0.75)[1] > factors_of(largest, [weight], 0.25)[1]


def test_padding_decides_no_range(rows: Any) -> None:
    """Padded positions hold numbers a thousand times larger; the steps are those of the real ones."""
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["real"], to=F),
        helper.make_node("Sub", ["one", "real"], ["padded"]),
        helper.make_node("Mul", ["padded", "thousand"], ["large"]),
        helper.make_node("Add", ["large", "real"], ["flat"]),
        helper.make_node("Unsqueeze", ["flat", "last"], ["narrow"]),
        helper.make_node("Expand", ["narrow", "shape"], ["h"]),
        helper.make_node("MatMul", ["h", "w"], ["y"]),
    ]
    tensors = {
        "one": np.ones((), dtype=np.float32), "thousand": np.float32(1000), "last": np.array([2]),
        "shape": np.array([1, 1, 256]), "w": nets.weights(256, 256),
    }  # fmt: skip
    ports: Any = ({"attention_mask": (TensorProto.INT64, ["n", "t"])}, {"y": (F, ["n", "t", 256])})
    net = nets.model(nodes, {name: np.asarray(array) for name, array in tensors.items()}, *ports)
    mask = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]] * 4)
    changed, _ = static(net, rows(attention_mask=mask), ranges="minmax", equalization=False)
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in changed.graph.initializer}
    assert held["h_scale"] == np.float32(1 / 255)


def counting() -> onnx.ModelProto:
    """A recurrent net: the state is doubled and grows by the row's numbers; y are products of what it has become."""
    nodes = [
        helper.make_node("Add", ["state", "state"], ["twice"]),
        helper.make_node("Add", ["twice", "x"], ["next"]),
        helper.make_node("Gemm", ["next", "w"], ["y"]),
    ]
    ports: Any = (
        {"x": (F, [1, 256]), "state": (F, [1, 256])},
        {"y": (F, [1, 256]), "next": (F, [1, 256])},
    )
    return nets.model(nodes, {"w": nets.weights(256, 256)}, *ports)


def test_a_state_goes_from_row_to_row_within_a_sequence_and_not_beyond(tmp_path: Path) -> None:
    x = np.ones((7, 256), dtype=np.float32)
    path = nets.save_rows({"x": x, "who": np.array([0, 0, 0, 1, 1, 2, 2])}, tmp_path / "rows.npz")
    plan = Plan(sequence="who", states=(State("state", "next"),), output="y")
    seen = {}
    for name, column in (("carried", "who"), ("alone", "nobody")):
        looked_at = Calibration.of_inputs(path, replace(plan, sequence=column), None)
        largest: list[float] = []

        def see(_: str, array: Any, to: list[float] = largest) -> None:
            to.append(float(array.max()))

        watching(counting(), looked_at).look(["next"], see, "")
        seen[name] = largest
    assert seen == {"carried": [1, 3, 7, 1, 3, 1, 3], "alone": [1] * 7}


def test_errors_that_add_up_in_a_state_are_measured_as_they_add_up(tmp_path: Path) -> None:
    """Each model goes on from its own state: an error of one part in a hundred a row is seen as what it has become."""
    x = images(12, 0, 256)
    path = nets.save_rows({"x": x, "who": np.zeros(12)}, tmp_path / "rows.npz")
    plan = Plan(sequence="who", states=(State("state", "next"),), output="y")
    other = counting()
    other.graph.node.insert(2, helper.make_node("Mul", ["exact", "more"], ["next"]))
    other.graph.node[1].output[0] = "exact"
    other.graph.initializer.append(numpy_helper.from_array(np.array(1.01, dtype=np.float32), "more"))
    changes = {}
    for name in ("who", "nobody"):
        looked_at = Calibration.of_inputs(path, replace(plan, sequence=name), None)
        changes[name] = Effects(watching(counting(), looked_at)).of(other)
    assert changes["who"] > 20 * changes["nobody"]


def test_the_bytes_are_the_same_whatever_fits_into_memory_together(rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = rows(x=images(20, 0, 3, 16, 16))
    whole, _ = static(residual(), looked_at)
    monkeypatch.setattr(observing, "_BYTES_TOGETHER", 40_000)
    monkeypatch.setattr(quantize_static_effect, "_KEPT_BYTES_MOST", 1)
    apart, _ = static(residual(), looked_at)
    assert whole == apart


@given(
    st.integers(0, 2**31), st.lists(st.sampled_from(["conv", "relu", "add", "pool", "tanh", "clip"]), max_size=6),
    st.sampled_from(["minmax", "percentile", "mse", "entropy"]), st.booleans(),
)  # fmt: skip
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_small_nets_of_any_form_stay_near_their_parents_and_answer_rows_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, parts: list[str], ranges: str, corrected: bool
) -> None:
    monkeypatch.setattr(quantize_static_gain, "_CROSSING_NS", 0.0)
    monkeypatch.setattr(quantize_static_gain, "_CROSSING_NS_PER_NUMBER", 0.0)
    net = _of(parts, seed)
    x = images(24, seed, 8, 8, 8)
    path = nets.save_rows({"x": x[:16]}, tmp_path / "rows.npz")
    changed, report = static(net, Calibration.of_inputs(path, None, None), ranges=ranges, bias_correction=corrected)
    theirs, ours = (nets.answer(one, {"x": x[16:]})[0] for one in (net, changed))
    assert nets.least_cosine(theirs, ours) > (0.9 if ranges == "entropy" else 0.97)
    alone = np.concatenate([nets.answer(changed, {"x": x[at : at + 1]})[0] for at in range(16, 24)])
    assert np.allclose(alone, ours, atol=1e-5 * float(np.abs(ours).max()))
    assert {entry["name"] for entry in report.changed} >= {"first"}


def _of(parts: list[str], seed: int) -> onnx.ModelProto:
    nodes, tensors, current = (
        [conv("x", "first", "t0", pads=PADS)],
        {"first": nets.weights(8, 8, 3, 3, seed=seed)},
        "t0",
    )
    for number, part in enumerate(parts, start=1):
        output = f"t{number}"
        if part == "conv":
            tensors[f"w{number}"] = nets.weights(8, 8, 3, 3, seed=seed + number)
            nodes.append(conv(current, f"w{number}", output, pads=PADS))
        elif part == "add":
            nodes.append(helper.make_node("Add", [current, "t0"], [output]))
        elif part == "pool":
            nodes.append(helper.make_node("MaxPool", [current], [output], kernel_shape=[3, 3], pads=PADS))
        elif part == "clip":
            tensors |= {"low": np.array(0, dtype=np.float32), "high": np.array(6, dtype=np.float32)}
            nodes.append(helper.make_node("Clip", [current, "low", "high"], [output]))
        else:
            nodes.append(helper.make_node(part.capitalize(), [current], [output]))
        current = output
    nodes.append(helper.make_node("Identity", [current], ["y"]))
    shape = ["n", 8, 8, 8]
    return nets.model(nodes, tensors, {"x": (F, shape)}, {"y": (F, shape)})
