"""Lets a network of 16-bit floats be computed in 32-bit ones, which is what onnxruntime does with it on processors anyway.

Rules:
- what goes in and comes out keeps its type: Cast stands behind inputs and before outputs;
- weights are 32-bit floats while layers are rounded; those that still are floats afterwards are stored as 16-bit ones again, which
  loses nothing, and are expanded when the model is loaded;
- also in the graphs of If, Loop and Scan; a node of another domain that knows 16-bit floats alone makes the model fail to open,
  which is told when it is run.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from compression_engine.formats.onnx_graph import Names, graphs_of, replace_nodes

_TYPE_ATTRIBUTES = ("to", "dtype", "stash_type")


def widen(model: onnx.ModelProto) -> frozenset[str]:
    """Changes a model in place; returns the names of the main graph's weights that were of 16-bit floats."""
    graph = model.graph
    halves = frozenset(tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT16)
    given = [value for value in graph.input if _is_half(value)]
    wanted = [value for value in graph.output if _is_half(value)]
    if not halves and not given and not wanted:
        return halves
    names = Names(model)
    before = {value.name: names.new(value.name, "wide") for value in given}
    behind = {value.name: names.new(value.name, "wide") for value in wanted if value.name not in before}
    for inner in graphs_of(graph):
        _widen_graph(inner, before | behind, main=inner is graph)
    entering = [
        helper.make_node("Cast", [name], [wide], name=f"{wide}_cast", to=TensorProto.FLOAT)
        for name, wide in before.items()
    ]
    leaving = [
        helper.make_node("Cast", [wide], [name], name=f"{wide}_cast", to=TensorProto.FLOAT16)
        for name, wide in behind.items()
    ]
    replace_nodes(graph, [*entering, *graph.node, *leaving])
    return halves


def narrow(model: onnx.ModelProto, halves: frozenset[str]) -> None:
    """Stores those of the weights in `halves` that are still floats as 16-bit floats again, under their names."""
    names, renamed = Names(model), {}
    for tensor in model.graph.initializer:
        if tensor.name not in halves or tensor.data_type != TensorProto.FLOAT:
            continue
        short = _halved(numpy_helper.to_array(tensor))
        if short is not None:
            renamed[tensor.name] = names.new(tensor.name, "wide")
            tensor.CopyFrom(numpy_helper.from_array(short, tensor.name))
    for inner in graphs_of(model.graph):
        for node in inner.node:
            for index, name in enumerate(node.input):
                node.input[index] = renamed.get(name, name)
    nodes = [
        helper.make_node("Cast", [name], [wide], name=f"{wide}_cast", to=TensorProto.FLOAT)
        for name, wide in renamed.items()
    ]
    if nodes:
        replace_nodes(model.graph, [*nodes, *model.graph.node])


def _halved(array: NDArray[np.float32]) -> NDArray[np.float16] | None:
    """The same numbers as 16-bit floats; None where one of them has changed and is none."""
    with np.errstate(over="ignore"):
        short = array.astype(np.float16)
    return short if np.array_equal(short.astype(np.float32), array) else None


def _widen_graph(graph: onnx.GraphProto, renamed: dict[str, str], *, main: bool) -> None:
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
        for index, name in enumerate(node.output):
            node.output[index] = renamed.get(name, name)
        for attribute in node.attribute:
            if attribute.name in _TYPE_ATTRIBUTES and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
            elif attribute.type == onnx.AttributeProto.TENSOR:
                _widen_tensor(attribute.t)
    del graph.value_info[:]
    if main:
        return
    for value in (*graph.input, *graph.output):
        value.name = renamed.get(value.name, value.name)
        if _is_half(value):
            value.type.tensor_type.elem_type = TensorProto.FLOAT


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))


def _is_half(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.FLOAT16)
