"""Writes two factors into a graph in the place of a weight: every node that multiplied with it becomes two.

Rules:
- the weight W [rows, columns] is left [rows, rank] times right [rank, columns]; of a convolution right are kernels with the
  strides, dilations and padding of before, and left is a convolution of size 1 behind them;
- what came out of a node comes out of the second one under the same name; a bias stays with the second;
- the factors are stored once, where the weight lay, in its own type; a reader behind a Transpose has both transposed, which a
  runtime computes when it loads the model;
- standard operators that stood there before, and so the same operator set.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

from compression_engine.errors import OutputRefused
from compression_engine.formats.onnx_graph import Edits, Names, base_of
from compression_engine.methods.factorising.factors import Matrix
from compression_engine.methods.factorising.layers import Layer, Reading


@dataclass
class Writer:
    """Changes a model's graph; nodes change when `finish` is called."""

    model: onnx.ModelProto
    names: Names = field(init=False)
    edits: Edits = field(default_factory=Edits)
    _gone: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.names = Names(self.model)

    def put(self, layer: Layer, left: Matrix, right: Matrix) -> None:
        """Left [rows, rank] and right [rank, columns] in the place of a layer's weight."""
        tensor, name, dims = layer.tensor, layer.name, tuple(layer.tensor.dims)
        made = self.names.new(name, "left"), self.names.new(name, "right")
        shapes = left.shape, right.shape
        if len(dims) > len(shapes[0]):
            shapes = (*left.shape, *(1 for _ in dims[2:])), (len(right), *dims[1:])
        stored = [
            numpy_helper.from_array(in_type(array, tensor).reshape(shape), one)
            for array, shape, one in zip((left, right), shapes, made, strict=True)
        ]
        for reading in layer.readings:
            self.edits.replace(reading.node, self._nodes(reading, *made))
        tensor.CopyFrom(stored[0])
        self.model.graph.initializer.append(stored[1])
        self._gone.add(name)

    def finish(self) -> None:
        """Makes the changes of nodes; what nothing reads any more (a Transpose of the weight) goes."""
        gone = set(self._gone)
        self.edits.make(self.model)
        kept = []
        for node in self.model.graph.node:
            if node.op_type in ("Identity", "Transpose") and node.input[0] in gone:
                gone.add(node.output[0])
            else:
                kept.append(node)
        if len(kept) != len(self.model.graph.node):
            copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
            del self.model.graph.node[:]
            self.model.graph.node.extend(copies)
        described = [value for value in self.model.graph.value_info if value.name not in gone]
        if len(described) != len(self.model.graph.value_info):
            copied = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in described]
            del self.model.graph.value_info[:]
            self.model.graph.value_info.extend(copied)

    def _nodes(self, reading: Reading, left: str, right: str) -> list[onnx.NodeProto]:
        node, before = reading.node, []
        if reading.turned:
            turned = [self.names.new(name, "turned") for name in (left, right)]
            before = [
                helper.make_node("Transpose", [name], [made], name=made, perm=[1, 0])
                for name, made in zip((left, right), turned, strict=True)
            ]
            left, right = turned[1], turned[0]
        between = self.names.new(node.output[0], "narrow")
        one, two = onnx.NodeProto(), onnx.NodeProto()
        one.CopyFrom(node)
        two.CopyFrom(node)
        one.name = self.names.new(base_of(node.name or node.output[0]), "narrow")
        one.output[0], two.input[1 - reading.index] = between, between
        del one.input[2:]
        if node.op_type == "Conv":
            one.input[1], two.input[1] = right, left
            _without(two, "auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
        else:
            # x W is (x left) right; W x, and x W' by an attribute of Gemm, meet the right one first
            by_right = reading.index == 0 or (node.op_type == "Gemm" and _says(node, "transB"))
            one.input[reading.index], two.input[reading.index] = (right, left) if by_right else (left, right)
        if node.op_type == "Gemm":
            _without(one, "alpha", "beta")
            _without(two, "transA")
        return [*before, one, two]


def in_type(array: Matrix, tensor: onnx.TensorProto) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """Numbers in a tensor's own type; OutputRefused (output_not_finite) where they do not fit it."""
    with np.errstate(over="ignore"):
        made = np.ascontiguousarray(array.astype(helper.tensor_dtype_to_np_dtype(tensor.data_type)))
    if not np.isfinite(made).all():
        hint = "Leave this weight out (exclude)."
        raise OutputRefused("output_not_finite", f"The factors of {tensor.name!r} are too large for its type.", hint)
    return made


def _says(node: onnx.NodeProto, name: str) -> bool:
    return any(entry.name == name and entry.i == 1 for entry in node.attribute)


def _without(node: onnx.NodeProto, *names: str) -> None:
    for entry in [entry for entry in node.attribute if entry.name in names]:
        node.attribute.remove(entry)
