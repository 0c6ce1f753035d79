"""Whole graphs as networks: real models, what exporters write, the catalogue of odd graphs; and that gradients are right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper

from compression_engine.checking.generated_inputs import Inputs, Proposal, proposals
from compression_engine.errors import EngineError
from compression_engine.formats.onnx_functions import inline_functions
from compression_engine.formats.onnx_inputs import bounds
from compression_engine.formats.parked import is_parked, numbers_of, park, size_bytes
from compression_engine.runtime import Declared
from compression_engine.samples.speech import write_detector
from compression_engine.training.network import Network
from tests.engine import exported, nets
from tests.engine.carried import apart, as_tensors, copied, distance
from tests.engine.odd_graphs import CATALOGUE

REFUSED = {"answers_as_a_sequence": "none of its outputs", "fused_attention": r"com\.microsoft\.Attention"}
"""Odd graphs that cannot be trained, and a part of the reason."""
_NEAR = 1e-4
_HALVES = 2e-3  # of a graph that the runtime calculates in halves


def generated(net: onnx.ModelProto) -> dict[str, nets.Array]:
    """The first generated inputs that the runtime takes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(net.SerializeToString(), options, providers=["CPUExecutionProvider"])
    inputs = Inputs(
        [Declared(one.name, one.type, tuple(one.shape)) for one in session.get_inputs()], bounds(net)
    )  # fmt: skip
    for proposal in (Proposal(2, 8, 3), *proposals()):
        feed = inputs.feed(proposal, 0)
        try:
            session.run(None, feed)
        except Exception:
            continue
        return dict(feed)
    raise AssertionError("the runtime takes nothing that was generated")


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_odd_graph_is_carried_and_answers_alike_or_is_refused_by_name(name: str) -> None:
    net = CATALOGUE[name].build()
    if name in REFUSED:
        with pytest.raises(EngineError, match=REFUSED[name]) as refused:
            Network(net)
        assert refused.value.code == "cannot_be_trained"
        return
    halves = {"a_model_of_halves", "weights_of_every_float"}
    assert apart(net, generated(net)) < (_HALVES if name in halves else _NEAR)
    inline_functions(net)
    before = net.SerializeToString()
    network = Network(net)
    assert network.weights
    assert network.write_back(net) == []
    assert net.SerializeToString() == before


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_weight_of_an_odd_graph_goes_back_to_its_place(name: str) -> None:
    if name in REFUSED:
        return
    net = CATALOGUE[name].build()
    inline_functions(net)
    network = Network(net)
    with torch.no_grad():
        for weight in network.weights.values():
            weight.mul_(0.5)
    changed = copied(net)
    assert network.write_back(changed) == list(network.weights)
    again = Network(changed)
    for weight, other in zip(network.weights.values(), again.weights.values(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-2, atol=1e-6)  # halves are rounded
    assert [node.op_type for node in changed.graph.node] == [node.op_type for node in net.graph.node]


def test_a_weight_that_lies_in_a_file_is_read_there_and_written_elsewhere(tmp_path: Path) -> None:
    net = nets.mlp()
    tensor = next(one for one in net.graph.initializer if one.name == "second")
    there, numbers = tmp_path / "numbers", numpy_helper.to_array(tensor).copy()
    there.write_bytes(numbers.tobytes())
    size = size_bytes(tensor)
    park(tensor, there, 0)
    network = Network(net)
    assert network.write_back(net) == []
    with torch.no_grad():
        network.weights["second"] += 1.0
    assert network.write_back(net) == ["second"]
    assert is_parked(tensor)
    assert size_bytes(tensor) == size
    assert there.read_bytes() == numbers.tobytes()
    np.testing.assert_array_equal(Network(net).weights["second"].detach().numpy(), numbers + 1.0)
    assert numbers_of(tensor).shape == numbers.shape


def test_what_is_no_weight_is_held_with_the_reason() -> None:
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["c"]), helper.make_node("Div", ["c", "spread"], ["s"]),
        helper.make_node("MatMul", ["s", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["h"]),
        helper.make_node("BatchNormalization", ["h", "g", "o", "rm", "rv"], ["n"]),
        helper.make_node("Add", ["n", "mask"], ["k"]), helper.make_node("Pow", ["k", "two"], ["y"]),
    ]  # fmt: skip
    tensors = {
        "mean": nets.weights(4), "spread": np.abs(nets.weights(4)), "w": nets.weights(4, 1), "b": nets.weights(1),
        "g": nets.weights(1), "o": nets.weights(1), "rm": nets.weights(1), "rv": np.abs(nets.weights(1)),
        "mask": np.array([[0.0], [-1e38]], np.float32), "two": np.array([2.0], np.float32),
    }  # fmt: skip
    net = nets.model(nodes, tensors, {"x": (1, [2, 4])}, {"y": (1, [2, 1])})
    network = Network(net)
    assert list(network.weights) == ["w", "b", "g", "o"]
    assert set(network.held) == {"mean", "spread", "rm", "rv", "mask", "two"}
    assert network.held["mean"] == network.held["spread"] == "it standardises an input"
    assert "masks" in network.held["mask"]
    assert set(Network(net, statistics=True).weights) == {"w", "b", "g", "o", "rm", "rv"}


def small_of_many_parts() -> onnx.ModelProto:
    """A convolution, normalisations, attention with a mask, an LSTM and a GRU in one small graph of smooth operators."""
    nodes = [
        helper.make_node("Conv", ["x", "k", "kb"], ["c"], pads=[1, 1]),
        helper.make_node("BatchNormalization", ["c", "g", "o", "rm", "rv"], ["n"]),
        helper.make_node("Transpose", ["n"], ["t"], perm=[2, 0, 1]),
        helper.make_node("LSTM", ["t", "lw", "lr", "lb"], ["l"], hidden_size=2, direction="bidirectional"),
        helper.make_node("Transpose", ["l"], ["lt"], perm=[2, 0, 1, 3]),
        helper.make_node("Reshape", ["lt", "flat"], ["f"]),
        helper.make_node("LayerNormalization", ["f", "ng", "nb"], ["e"]),
        helper.make_node("MatMul", ["e", "q"], ["qs"]),
        helper.make_node("Transpose", ["e"], ["et"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["qs", "et"], ["scores"]),
        helper.make_node("Where", ["seen", "scores", "never"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "e"], ["a"]),
        helper.make_node("Erf", ["a"], ["erf"]),
        helper.make_node("ReduceMean", ["erf"], ["m"], axes=[1], keepdims=0),
        helper.make_node("Gemm", ["m", "w", "b"], ["y"], transB=1),
    ]
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> nets.Array:
        return rng.normal(0, 0.5, shape).astype(np.float32)

    tensors = {
        "k": draw(3, 2, 3), "kb": draw(3), "g": draw(3), "o": draw(3), "rm": draw(3), "rv": np.abs(draw(3)) + 0.5,
        "lw": draw(2, 8, 3), "lr": draw(2, 8, 2), "lb": draw(2, 16), "flat": np.array([0, 0, 4]), "ng": draw(4),
        "nb": draw(4), "q": draw(4, 4), "seen": np.tril(np.ones((4, 4), bool)), "never": np.array(-np.inf, np.float32),
        "w": draw(3, 4), "b": draw(3),
    }  # fmt: skip
    return nets.model(nodes, tensors, {"x": (1, ["n", 2, 4])}, {"y": (1, ["n", 3])})


def test_sequences_of_tensors_are_carried() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("SplitToSequence", ["h", "sizes"], ["parts"], axis=1),
        helper.make_node("SequenceAt", ["parts", "last"], ["l"]),
        helper.make_node("SequenceErase", ["parts", "last"], ["less"]),
        helper.make_node("SequenceInsert", ["less", "l", "first"], ["turned"]),
        helper.make_node("ConcatFromSequence", ["turned"], ["c"], axis=1),
        helper.make_node("SplitToSequence", ["c"], ["rows"], axis=0, keepdims=0),
        helper.make_node("SequenceLength", ["rows"], ["count"]),
        helper.make_node("SequenceEmpty", [], ["none"]),
        helper.make_node("SequenceInsert", ["none", "c"], ["one"]),
        helper.make_node("ConcatFromSequence", ["one"], ["stacked"], axis=0, new_axis=1),
        helper.make_node("SequenceConstruct", ["c", "h"], ["both"]),
        helper.make_node("ConcatFromSequence", ["both"], ["y"], axis=0),
    ]
    tensors = {"w": nets.weights(4, 6), "sizes": np.array([1, 2, 3]), "last": np.array(-1), "first": np.array(0)}
    outputs: dict[str, tuple[int, list[object]]] = {
        "y": (1, [None, 6]), "stacked": (1, [1, None, 6]), "count": (7, [])
    }  # fmt: skip
    net = nets.model(nodes, tensors, {"x": (1, ["n", 4])}, outputs)
    feed = {"x": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)}
    assert apart(net, feed) < 1e-6
    network = Network(net)
    network(as_tensors(feed))["y"].sum().backward()
    assert network.weights["w"].grad is not None


def test_gradients_are_those_of_finite_differences() -> None:
    net = small_of_many_parts()
    feed = {"x": np.random.default_rng(1).normal(size=(2, 2, 4)).astype(np.float32)}
    assert apart(net, feed) < 1e-5
    network = Network(net, precision=torch.float64)
    names = list(network.weights)
    assert len(names) == 12

    def answer(*weights: torch.Tensor) -> torch.Tensor:
        network.overrides = {name: lambda _, w=w: w for name, w in zip(names, weights, strict=True)}
        return network(as_tensors(feed))["y"]

    found = tuple(network.weights[name].detach().clone().requires_grad_() for name in names)
    assert torch.autograd.gradcheck(answer, found, eps=1e-6, atol=1e-6, rtol=1e-4)


def test_batches_and_sequences_of_any_length_go_through_one_network() -> None:
    net = nets.encoder()
    network = Network(net)
    for rows in (1, 5, 2):
        feed = nets.rows_for("ids", count=rows)
        theirs = nets.answer(net, feed)[0]
        assert distance(network(as_tensors(feed))["y"].detach().numpy(), theirs) < 1e-6


@pytest.mark.parametrize(
    ("name", "exporter"),
    [("convolutions", "legacy"), ("attention", "legacy"), ("recurrent", "legacy")]
    + [pytest.param(name, way, marks=pytest.mark.long) for name in exported.NETS for way in ("dynamo", "dynamo-plain")],
)
def test_what_torchs_exporters_write_is_carried_back(name: str, exporter: str, tmp_path: Path) -> None:
    net = onnx.load(exported.write(name, exporter, tmp_path / "net") / "model.onnx")
    what = exported.NETS[name]
    for rows in (1, 6):
        assert apart(net, {what.input_name: what.draw(np.random.default_rng(2), rows)}) < 1e-5
    wanted = sum(one.numel() for one in what.build().parameters())
    # the older exporter folds normalisations into convolutions: a scale and a shift go
    assert wanted - 400 <= sum(one.numel() for one in Network(net).weights.values()) <= wanted


@pytest.mark.parametrize("source", ["silero_vad_16k_op15.onnx", "silero_vad.onnx", "silero_vad_op18_ifless.onnx"])
def test_a_recurrent_detector_with_branches_is_carried(source: str, tmp_path: Path) -> None:
    write_detector(tmp_path / "model.onnx", source)
    net = onnx.load(str(tmp_path / "model.onnx"))
    rng = np.random.default_rng(0)
    feed = {
        "input": rng.normal(0, 0.1, (1, 576)).astype(np.float32),
        "state": rng.normal(0, 0.1, (2, 1, 128)).astype(np.float32),
    }
    assert apart(net, feed) < _HALVES
    network = Network(net)
    network(as_tensors(feed))["output"].sum().backward()
    assert sum(weight.grad is not None for weight in network.weights.values()) >= 14


def real(what: str) -> Callable[[Path], Path]:
    from compression_engine.samples.__main__ import SAMPLES

    def made(folder: Path) -> Path:
        SAMPLES[what](folder)
        return folder / "model.onnx"

    return made


@pytest.mark.long
@pytest.mark.parametrize("what", ["minilm", "mnist", "hmda"])
def test_a_real_model_is_carried(what: str, tmp_path: Path) -> None:
    net = onnx.load(str(real(what)(tmp_path / what)))
    assert apart(net, generated(net)) < 1e-5
    if what == "hmda":
        assert set(Network(net).held.values()) == {"it standardises an input"}
