"""Every odd graph of the catalogue under every way to store weights: answers stay near, or a typed error says what and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from compression_engine.checking.generated_agreement import Agreement, differing
from compression_engine.checking.generated_inputs import Inputs, Proposal, proposals
from compression_engine.errors import EngineError
from compression_engine.formats.onnx_graph import graphs_of
from compression_engine.formats.onnx_inputs import bounds
from compression_engine.runtime import Declared
from tests.engine import nets
from tests.engine.odd_graphs import CATALOGUE

WAYS: dict[str, tuple[str, dict[str, Any], float]] = {
    "int8": ("quantize_weights", {}, 0.0),
    "int8-blocks": ("quantize_weights", {"granularity": "block", "symmetric": False, "rounding": "mse"}, 0.0),
    "int4": ("quantize_weights", {"bits": 4, "granularity": "block", "rounding": "mse"}, 0.16),
    "dynamic": ("quantize_dynamic", {}, 0.01),
    "float16": ("convert_fp16", {"storage": "float16"}, 0.0),
    "bfloat16": ("convert_fp16", {"storage": "bfloat16"}, 0.0),
}
"""Method, parameters, and how much further from the parent than its entry says it may be."""


def agreement(net: onnx.ModelProto, changed: onnx.ModelProto) -> Agreement:
    """Both run on the first generated inputs that the parent takes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    one, other = (
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for model in (changed, net)
    )
    declared = [Declared(entry.name, entry.type, tuple(entry.shape)) for entry in other.get_inputs()]
    inputs, names = Inputs(declared, bounds(net)), [entry.name for entry in other.get_outputs()]
    assert [entry.name for entry in one.get_outputs()] == names
    for proposal in (Proposal(2, 8, 3), *proposals()):
        feeds = [inputs.feed(proposal, number) for number in range(2)]
        try:
            theirs = [other.run(None, feed) for feed in feeds]
        except Exception:
            continue
        found = Agreement(differing(names, theirs[0], other.run(None, feeds[0])))
        for feed, their in zip(feeds, theirs, strict=True):
            found.add(names, one.run(None, feed), their)
        return found
    raise AssertionError("the parent takes nothing that was generated")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CATALOGUE)
def test_an_odd_graph_answers_as_before_and_every_large_weight_is_named(name: str, way: str) -> None:
    entry, (method, parameters, more) = CATALOGUE[name], WAYS[way]
    net = entry.build()
    changed, report = nets.applied(net, method, **parameters)
    onnx.checker.check_model(changed)
    if not report.changed:
        assert report.left  # the pipeline refuses then, and names what was left
        return
    assert changed.ByteSize() < net.ByteSize()
    found = agreement(net, changed)
    assert found.runs == 2
    assert found.other_form == 0
    assert min(found.cosines, default=1.0) > entry.least - more
    left = {str(one["name"]): str(one["reason"]) for one in report.left}
    if method != "convert_fp16":
        for tensor, reason in entry.left.items():
            assert reason in left[tensor]
        assert set(left) <= {*entry.left}


def test_odd_graphs_have_what_makes_them_odd() -> None:
    """No builder silently lost its oddity: each has a large weight, and runs."""
    for name, entry in CATALOGUE.items():
        assert entry.build.__doc__, name
        net = entry.build()
        assert largest(net) > 1000, name
        assert agreement(net, net).runs == 2, name


def largest(net: onnx.ModelProto) -> int:
    """How many numbers the largest tensor has, in initializers and in Constants of graphs and functions."""
    inner = list(graphs_of(net.graph))
    nodes = [*(node for graph in inner for node in graph.node), *(node for own in net.functions for node in own.node)]
    given = [found for node in nodes for found in node.attribute if found.name in ("value", "value_floats")]
    sizes = [int(np.prod(tensor.dims)) for graph in inner for tensor in graph.initializer]
    return max(sizes + [max(int(np.prod(found.t.dims)), len(found.floats)) for found in given])


def test_an_error_of_a_method_is_typed_and_names_the_tensor() -> None:
    for name in ("tied_and_turned", "batched_weights", "a_product_of_weights_alone"):
        net = CATALOGUE[name].build()
        tensor = next(tensor for tensor in net.graph.initializer if len(tensor.dims) > 1)
        array = onnx.numpy_helper.to_array(tensor).copy()
        array.reshape(-1)[7] = np.nan
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
        for method, parameters, _ in WAYS.values():
            with pytest.raises(EngineError, match=f"{tensor.name!r} holds NaN") as refused:
                nets.applied(net, method, **parameters)
            assert refused.value.code == "weights_not_finite"
