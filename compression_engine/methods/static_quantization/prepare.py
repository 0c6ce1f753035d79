"""Brings a network into the form whose layers onnxruntime computes in integers, without changing what it answers.

Rules:
- a weight that a layer reads through Identity or, if nobody else reads it, Transpose is read directly;
- BatchNormalization behind a Conv, and Mul or Add of one number for each channel, become part of its weight and bias, since the
  runtime no longer does that once a weight is integers;
- Sum of two tensors is Add;
- MatMul of a matrix with an Add of a vector becomes Gemm: the runtime does the same when it loads the model, and would then compute
  it in floats because the vector is not integers (measured: five times slower than the original).
Weights keep their names. One that something else reads too is not changed, nor is one that the recipe leaves out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from compression_engine.formats.onnx_graph import STANDARD, Edits, Names, attribute, integer, replace_nodes
from compression_engine.methods.static_quantization.net import Net
from compression_engine.steps.observing import Watching

_MATRIX = 2
_EPSILON = 1e-5


def prepare(model: onnx.ModelProto, spared: frozenset[str]) -> None:
    """Changes a model whose constants are initializers in place, by its structure alone; not the weights in `spared`."""
    _read_directly(model, spared)
    for node in model.graph.node:
        if node.op_type == "Sum" and len(node.input) == 2 and node.domain in STANDARD:
            node.op_type = "Add"
    while _fold_behind(model, spared):
        pass
    drop_unread(model)


def products_with_bias(model: onnx.ModelProto, watching: Watching) -> None:
    """Turns MatMul and Add into Gemm where calibration rows show that a matrix flows there."""
    net, names, edits = Net(model), Names(model), Edits()
    found: dict[str, tuple[onnx.NodeProto, onnx.NodeProto, str]] = {}
    for node in model.graph.node:
        after = net.only_reader(node.output[0]) if node.op_type == "MatMul" and node.domain in STANDARD else None
        weight = net.constants.get(node.input[1]) if after is not None else None
        if after is None or after.op_type != "Add" or weight is None or len(weight.dims) != _MATRIX:
            continue
        bias = next((name for name in after.input if name != node.output[0]), "")
        if bias in net.constants and tuple(net.constants[bias].dims) in ((weight.dims[1],), (1, weight.dims[1])):
            found[node.input[0]] = node, after, bias
    inside = [name for name in found if name in net.makers or name not in net.constants]
    shapes = watching.shapes(inside) if inside else {}
    for source, (node, after, bias) in found.items():
        if len(shapes.get(source, ())) == _MATRIX:
            name = node.name or names.new(node.output[0], "gemm")
            edits.replace(node, [])
            edits.replace(
                after, [helper.make_node("Gemm", [source, node.input[1], bias], [after.output[0]], name=name)]
            )
    edits.make(model)


def drop_unread(model: onnx.ModelProto) -> None:
    """Removes nodes and initializers of the main graph that nothing reads any more."""
    graph = model.graph
    while True:
        net = Net(model)
        read = {name for name, found in net.readers.items() if found} | net.outputs
        kept = [node for node in graph.node if not node.output or any(name in read for name in node.output)]
        if len(kept) == len(graph.node):
            break
        replace_nodes(graph, kept)
    inputs = {value.name for value in graph.input}
    for index in reversed(range(len(graph.initializer))):
        name = graph.initializer[index].name
        if name not in read and name not in inputs:
            del graph.initializer[index]


def _read_directly(model: onnx.ModelProto, spared: frozenset[str]) -> None:
    net = Net(model)
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.domain not in STANDARD:
            continue
        for index in range(1, len(node.input)):
            maker = net.makers.get(node.input[index])
            while maker is not None and maker.op_type == "Identity":
                node.input[index] = maker.input[0]
                maker = net.makers.get(node.input[index])
            if index == 1 and maker is not None and maker.op_type == "Transpose" and maker.input[0] in net.constants:
                _turn(node, maker, net, spared)


def _turn(node: onnx.NodeProto, transpose: onnx.NodeProto, net: Net, spared: frozenset[str]) -> None:
    weight, order = net.constants[transpose.input[0]], attribute(transpose, "perm")
    if len(weight.dims) != _MATRIX or (order is not None and list(order.ints) != [1, 0]):
        return
    if node.op_type == "Gemm":
        turned, swapped = attribute(node, "transB"), 1 - integer(node, "transB", 0)
        if turned is not None:
            node.attribute.remove(turned)
        node.attribute.append(helper.make_attribute("transB", swapped))
        node.input[1] = weight.name
    elif weight.name not in spared and net.only_reader(weight.name) is not None:
        if net.only_reader(transpose.output[0]) is None:
            return
        array = np.ascontiguousarray(numpy_helper.to_array(weight).T)
        weight.CopyFrom(numpy_helper.from_array(array, weight.name))
        node.input[1] = weight.name


def _fold_behind(model: onnx.ModelProto, spared: frozenset[str]) -> bool:
    """Takes one node behind each Conv into it where that can be done; says whether any was."""
    net, names, edits, found = Net(model), Names(model), Edits(), False
    for node in model.graph.node:
        behind = net.only_reader(node.output[0]) if node.op_type == "Conv" and node.domain in STANDARD else None
        own = node.input[1] in net.constants and node.input[1] not in spared if behind is not None else False
        if behind is None or not own or net.only_reader(node.input[1]) is None:
            continue
        line = _line(node, behind, net)
        if line is None or (len(node.input) > 2 and node.input[2] and node.input[2] not in net.constants):
            continue
        weight, bias = _folded(node, *line, net)
        kind, stored = net.array(node.input[1]).dtype, names.new(node.input[1], "bias")
        net.constants[node.input[1]].CopyFrom(numpy_helper.from_array(weight.astype(kind), node.input[1]))
        model.graph.initializer.append(numpy_helper.from_array(bias.astype(kind), stored))
        changed = onnx.NodeProto()
        changed.CopyFrom(node)
        del changed.input[2:]
        changed.input.append(stored)
        changed.output[0] = behind.output[0]
        edits.replace(node, [])
        edits.replace(behind, [changed])
        found = True
    edits.make(model)
    return found


def _line(conv: onnx.NodeProto, behind: onnx.NodeProto, net: Net) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Factor and shift of each channel, [channels], that a node behind a Conv is; None where it is none."""
    channels, rank = net.constants[conv.input[1]].dims[0], len(net.constants[conv.input[1]].dims)
    if behind.domain not in STANDARD:
        return None
    if behind.op_type == "BatchNormalization":
        plain = len([name for name in behind.output if name]) == 1 and not integer(behind, "training_mode", 0)
        if (
            not plain
            or behind.input[0] != conv.output[0]
            or any(name not in net.constants for name in behind.input[1:])
        ):
            return None
        factor, shift, mean, variance = (net.array(name).astype(np.float64) for name in behind.input[1:5])
        found = attribute(behind, "epsilon")
        factor = factor / np.sqrt(variance + (found.f if found is not None else _EPSILON))
        return factor, shift - mean * factor
    other = next((name for name in behind.input if name != conv.output[0]), "")
    if behind.op_type not in ("Mul", "Add") or other not in net.constants:
        return None
    array = net.array(other).astype(np.float64)
    shape = (1,) * (rank - array.ndim) + array.shape
    if array.ndim > rank or shape not in ((1, channels, *(1,) * (rank - 2)), (1,) * rank):
        return None
    each = np.broadcast_to(array.reshape(-1), (channels,))
    return (each, np.zeros(channels)) if behind.op_type == "Mul" else (np.ones(channels), each)


def _folded(
    conv: onnx.NodeProto, factor: NDArray[Any], shift: NDArray[Any], net: Net
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weight and bias of a Conv whose answer is multiplied and shifted, in float64."""
    weight = net.array(conv.input[1]).astype(np.float64)
    bias = net.array(conv.input[2]).astype(np.float64) if len(conv.input) > 2 and conv.input[2] else 0.0
    return weight * factor.reshape(-1, *[1] * (weight.ndim - 1)), bias * factor + shift
