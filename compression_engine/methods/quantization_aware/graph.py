"""The graph that is trained: the one that will be written, with floats where it will have integers.

Rules:
- Relu and Clip that become part of a range are gone, as they will be: the end of the range cuts off in their place;
- a tensor that is rounded for layers alone has a second name for them, so that its other readers get what they will get;
- a bias that several layers read becomes one for each, since its unit is that of the layer;
- a layer whose weight something else reads too stays in floats: in floats and in integers it cannot be one weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import onnx
from onnx import helper

from compression_engine.formats.onnx_graph import Names, replace_nodes
from compression_engine.methods.report import Report
from compression_engine.methods.static_quantization.net import Layer, Net, Placement


@dataclass(frozen=True)
class Sketch:
    """A graph to train, and by which names its tensors are known that will be integers."""

    model: onnx.ModelProto
    flows: Mapping[str, str]
    """Tensors that are rounded, by their names in this graph, each with its name in the one that is written."""
    layers: tuple[Layer, ...]
    """With the names of sources and outputs in this graph; a source is one of `flows`."""
    sums: tuple[tuple[str, str, str, str, str], ...] = ()
    """Sums of two tensors in integers: their names, the flows that they have the steps of, and the sum's."""


def separate(model: onnx.ModelProto, layers: Sequence[Layer], report: Report) -> list[Layer]:
    """Gives layers biases of their own, in place; the layers whose weights are theirs alone."""
    net, names = Net(model), Names(model)
    outputs = {layer.output for layer in layers}
    found = []
    for layer in layers:
        if any(use.index != 1 or use.node.output[0] not in outputs for use in net.readers[layer.weight]):
            reason = f"{layer.operator} is computed in floats: its weight is read by something else too"
            report.leave(layer.output, reason)
            continue
        if layer.bias is not None and len(net.readers[layer.bias]) > 1:
            own = names.new(layer.bias, "own")
            copy = model.graph.initializer.add()
            copy.CopyFrom(net.constants[layer.bias])
            copy.name = own
            net.makers[layer.output].input[2] = own
            layer = replace(layer, bias=own)
        found.append(layer)
    return found


def sketched(model: onnx.ModelProto, placement: Placement) -> Sketch:
    """The graph to train, of one that is prepared for `placement`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    names = Names(copy)
    stepped = {name: names.new(name, "stepped") for name in placement.entering}
    finals, sources = dict(placement.dropped), {layer.output: layer.source for layer in placement.chosen}
    nodes: list[onnx.NodeProto] = []
    waiting = dict(stepped)
    for node in copy.graph.node:
        if node.output and node.output[0] in finals.values():
            continue
        head = node.output[0] if node.output else ""
        source = sources.get(head)
        if source in stepped:
            if source in waiting:
                nodes.append(helper.make_node("Identity", [source], [waiting.pop(source)], name=f"{source}_stepped"))
            node.input[0] = stepped[source]
        if head in finals:
            node.output[0] = finals[head]
        nodes.append(node)
    replace_nodes(copy.graph, nodes)
    flows = {root: root for root in placement.rounded.values()} | {own: name for name, own in stepped.items()}
    layers = tuple(
        replace(
            layer,
            output=finals.get(layer.output, layer.output),
            source=stepped.get(layer.source) or placement.rounded[layer.source],
        )
        for layer in placement.chosen
    )
    return Sketch(copy, flows, layers, _sums(placement))


def _sums(placement: Placement) -> tuple[tuple[str, str, str, str, str], ...]:
    rounded = placement.rounded
    found = []
    for answer, node in placement.computed.items():
        if node.op_type == "Add" and answer in rounded and all(name in rounded for name in node.input):
            left, right = node.input
            found.append((left, right, rounded[left], rounded[right], answer))
    return tuple(found)
