"""Brings a network into the form whose layers onnxruntime computes in integers, without changing what it answers.

Rules:
- weights in Constant nodes become initializers; one that a layer reads through Identity or Transpose is read directly;
- BatchNormalization behind a Conv becomes part of its weight and bias, since the runtime no longer does that once a weight is
  integers;
- MatMul of a matrix with an Add of a vector becomes Gemm: the runtime does the same when it loads the model, and would then compute
  it in floats because the vector is not integers (measured: five times slower than the original).
A weight or bias that something else reads too stays as it is beside the new one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from compression_engine.formats.onnx_graph import Edits, Names, attribute, integer, lift_constants
from compression_engine.methods.quantize_static_net import Net
from compression_engine.observing import Watching

_MATRIX = 2
_STANDARD = ("", "ai.onnx")
_EPSILON = 1e-5
Shapes = Callable[[list[str]], dict[str, tuple[int, ...]]]


def prepare(model: onnx.ModelProto) -> None:
    """Changes a model in place, by its structure alone."""
    lift_constants(model.graph, 1)
    _read_directly(model)
    _fold_norms(model)
    drop_unread(model)


def products_with_bias(model: onnx.ModelProto, watching: Watching) -> None:
    """Turns MatMul and Add into Gemm where calibration rows show that a matrix flows there."""
    net, names, edits = Net(model), Names(model), Edits()
    found: dict[str, tuple[onnx.NodeProto, onnx.NodeProto, str]] = {}
    for node in model.graph.node:
        after = net.only_reader(node.output[0]) if node.op_type == "MatMul" and node.domain in _STANDARD else None
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
        copies = [onnx.NodeProto() for _ in kept]
        for copy, node in zip(copies, kept, strict=True):
            copy.CopyFrom(node)
        del graph.node[:]
        graph.node.extend(copies)
    inputs = {value.name for value in graph.input}
    for index in reversed(range(len(graph.initializer))):
        name = graph.initializer[index].name
        if name not in read and name not in inputs:
            del graph.initializer[index]


def _read_directly(model: onnx.ModelProto) -> None:
    """Layers read constants themselves, not through Identity or, where nobody else reads them, Transpose."""
    net, names = Net(model), Names(model)
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.domain not in _STANDARD:
            continue
        for index in range(1, len(node.input)):
            maker = net.makers.get(node.input[index])
            while maker is not None and maker.op_type == "Identity":
                node.input[index] = maker.input[0]
                maker = net.makers.get(node.input[index])
            if index == 1 and maker is not None and maker.op_type == "Transpose" and maker.input[0] in net.constants:
                _turn(model, node, maker, net, names)


def _turn(model: onnx.ModelProto, node: onnx.NodeProto, transpose: onnx.NodeProto, net: Net, names: Names) -> None:
    weight = net.constants[transpose.input[0]]
    if len(weight.dims) != _MATRIX or list(getattr(attribute(transpose, "perm"), "ints", (1, 0))) != [1, 0]:
        return
    if node.op_type == "Gemm":
        turned = attribute(node, "transB")
        swapped = 1 - integer(node, "transB", 0)
        if turned is not None:
            node.attribute.remove(turned)
        node.attribute.append(helper.make_attribute("transB", swapped))
        node.input[1] = weight.name
        return
    if all(use.node.op_type == "Transpose" for use in net.readers[weight.name]):
        held = {tensor.name for tensor in model.graph.initializer}
        name = f"{weight.name}_turned"
        if name not in held:
            name = names.new(weight.name, "turned")
            array = np.ascontiguousarray(numpy_helper.to_array(weight).T)
            model.graph.initializer.append(numpy_helper.from_array(array, name))
        node.input[1] = name


def _fold_norms(model: onnx.ModelProto) -> None:
    net, names, edits = Net(model), Names(model), Edits()
    for node in model.graph.node:
        norm = net.only_reader(node.output[0]) if node.op_type == "Conv" else None
        if norm is None or norm.op_type != "BatchNormalization" or norm.input[0] != node.output[0]:
            continue
        read = [*node.input[1:], *norm.input[1:]]
        if any(name not in net.constants for name in read) or len([name for name in norm.output if name]) > 1:
            continue
        if integer(norm, "training_mode", 0):
            continue
        weight, bias = _folded(node, norm, net)
        stored = [names.new(node.input[1], "folded"), names.new(node.input[1], "bias")]
        kind = net.array(node.input[1]).dtype
        for name, array in zip(stored, (weight, bias), strict=True):
            model.graph.initializer.append(numpy_helper.from_array(array.astype(kind), name))
        changed = onnx.NodeProto()
        changed.CopyFrom(node)
        del changed.input[1:]
        changed.input.extend(stored)
        changed.output[0] = norm.output[0]
        edits.replace(node, [])
        edits.replace(norm, [changed])
    edits.make(model)


def _folded(conv: onnx.NodeProto, norm: onnx.NodeProto, net: Net) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weight and bias of a Conv that does what Conv and BatchNormalization did, in float64."""
    factor, shift, mean, variance = (net.array(name).astype(np.float64) for name in norm.input[1:5])
    found = attribute(norm, "epsilon")
    factor = factor / np.sqrt(variance + (found.f if found is not None else _EPSILON))
    weight = net.array(conv.input[1]).astype(np.float64)
    bias = net.array(conv.input[2]).astype(np.float64) if len(conv.input) > 2 and conv.input[2] else 0.0
    return weight * factor.reshape(-1, *[1] * (weight.ndim - 1)), (bias - mean) * factor + shift
