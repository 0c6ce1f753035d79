"""An ONNX graph as a network of torch answers as the runtime does, and its numbers go back to where they came from."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from compression_engine.errors import EngineError
from compression_engine.training.network import Network
from tests.engine import nets
from tests.engine.carried import apart, as_tensors, copied

SMALL = {"mlp": "x", "encoder": "ids", "convolution": "images", "with_constant_and_branch": "x"}


@pytest.mark.parametrize("name", SMALL)
def test_a_small_net_answers_as_the_runtime_does(name: str) -> None:
    net = getattr(nets, name)()
    feed = nets.rows_for(SMALL[name], count=7)
    assert apart(net, feed) < 1e-6


def test_a_step_of_descent_changes_the_named_weight_alone_and_the_runtime_sees_it() -> None:
    net, feed = nets.mlp(), nets.rows_for("x", count=5)
    network = Network(net)
    answer = network(as_tensors(feed))["y"]
    answer.square().mean().backward()
    with torch.no_grad():
        network.weights["second"] -= 0.1 * network.weights["second"].grad
    changed = copied(net)
    assert network.write_back(changed) == ["second"]
    theirs = nets.answer(changed, feed)[0]
    np.testing.assert_allclose(theirs, network(as_tensors(feed))["y"].detach().numpy(), rtol=1e-4, atol=1e-5)
    assert not np.allclose(theirs, nets.answer(net, feed)[0])
    before = {tensor.name: tensor.SerializeToString() for tensor in net.graph.initializer}
    after = {tensor.name: tensor.SerializeToString() for tensor in changed.graph.initializer}
    assert {name for name in before if before[name] != after[name]} == {"second"}


def test_overrides_and_taps_reach_weights_inputs_and_what_is_made_between() -> None:
    net, feed = nets.mlp(), as_tensors(nets.rows_for("x", count=3))
    network = Network(net)
    plain = network(feed, taps=["h", "a"])
    assert set(plain) == {"y", "h", "a"}
    torch.testing.assert_close(plain["a"], torch.relu(plain["h"]))
    network.overrides["second"] = torch.zeros_like
    np.testing.assert_allclose(
        network(feed)["y"].detach(), np.tile(network.weights["second_bias"].detach(), (3, 1)), atol=1e-6
    )
    network.overrides = {"a": lambda value: value * 2, "x": lambda value: value * 0}
    doubled = network(feed, taps=["h", "m"])
    torch.testing.assert_close(doubled["h"], network.weights["first_bias"].expand(3, -1))
    torch.testing.assert_close(doubled["m"], 2 * torch.relu(doubled["h"]) @ network.weights["second"])
    network.overrides = {}
    torch.testing.assert_close(network(feed)["y"], plain["y"])


def test_a_name_that_nothing_has_is_no_silent_change() -> None:
    network, feed = Network(nets.mlp()), as_tensors(nets.rows_for("x", count=1))
    with pytest.raises(ValueError, match="'third'"):
        network(feed, taps=["third"])
    network.overrides["third"] = torch.relu
    with pytest.raises(ValueError, match="'third'"):
        network(feed)


def test_an_operator_that_is_not_known_is_named_with_its_node() -> None:
    net = nets.mlp()
    net.graph.node[1].CopyFrom(onnx.helper.make_node("Foo", ["h"], ["a"], name="middle", domain="own.ops"))
    with pytest.raises(EngineError, match=r"own\.ops\.Foo \(node 'middle'\)") as refused:
        Network(net)
    assert refused.value.code == "cannot_be_trained"


def test_a_quantised_model_is_refused_with_its_parent() -> None:
    changed, _ = nets.applied(nets.mlp(), "quantize_weights")
    with pytest.raises(EngineError, match="A quantised model is not trained") as refused:
        Network(changed)
    assert refused.value.code == "cannot_be_trained"


def test_halves_are_trained_as_singles_and_written_back_as_halves() -> None:
    net = nets.mlp(dtype=np.float16)
    network = Network(net)
    assert network.weights["first"].dtype == torch.float32
    with torch.no_grad():
        network.weights["first"] += 0.125
    changed = copied(net)
    assert network.write_back(changed) == ["first"]
    with torch.no_grad():
        network.weights["second"] += 1e5
    with pytest.raises(EngineError, match="'second' grew beyond 65,504") as refused:
        network.write_back(copied(net))
    assert refused.value.code == "training_diverged"
    before, after = (numpy_helper.to_array(one.graph.initializer[0]) for one in (net, changed))
    assert after.dtype == np.float16
    np.testing.assert_array_equal(after, (before.astype(np.float32) + 0.125).astype(np.float16))
