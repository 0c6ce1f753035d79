"""Which layers of a network can be computed in 8-bit integers, and between which of them tensors stay integers.

Rules:
- layers are Conv, Gemm and MatMul of the main graph whose weight is constant; each weight has one
  scale for each output channel;
- Relu and Clip behind a layer or an Add become part of the range to which its answer is rounded, and go;
- Add, Concat, AveragePool and GlobalAveragePool are computed in integers where all they read are integers already and what they
  give is read by something that computes in integers; nodes that only move numbers pass integers on under the same conditions;
- the answer of a Conv is always rounded (else the runtime computes it in floats), that of Gemm and MatMul only where it is read by
  something that computes in integers: it is exact there, and an output of the model stays as fine as floats are.
Which nodes the runtime really fuses, and which are faster for it, was measured: docs/decisions/0023.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from compression_engine.formats.onnx_graph import STANDARD, Use, attribute, integer, uses
from compression_engine.methods.report import Report

PASSING = ("Flatten", "Identity", "MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that only move or pick numbers: what they give has the steps of what they read."""
ADDING = ("Add", "AveragePool", "Concat", "GlobalAveragePool")
"""Operators that give numbers with steps of their own."""
RECTIFIERS = ("Relu", "Clip")
LAYERS = ("Conv", "Gemm", "MatMul")
_MATRIX = 2

Array = NDArray[Any]


@dataclass(frozen=True)
class Layer:
    """A node that can be computed in integers, by the names of its tensors; `axis` of the weight is its output channels."""

    output: str
    operator: str
    source: str
    weight: str
    axis: int
    bias: str | None


@dataclass(frozen=True)
class Placement:
    """Where tensors become integers."""

    rounded: Mapping[str, str]
    """Tensors that are rounded where they are made, each with the tensor that has its steps (itself, or one before it)."""
    entering: tuple[str, ...]
    """Tensors that are rounded for the layers alone that read them."""
    dropped: Mapping[str, str]
    """The answers of layers whose Relu or Clip goes, each with what that gave."""
    chosen: tuple[Layer, ...]
    computed: Mapping[str, onnx.NodeProto]
    """What is computed in integers, by the tensor that it gives, Relu or Clip included."""

    @property
    def ranged(self) -> set[str]:
        """The tensors whose ranges must be known."""
        return {*self.rounded.values(), *self.entering}


class Net:
    """The main graph of a model, by names. It is read, never changed."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.readers: dict[str, list[Use]] = uses(self.graph)
        self.outputs = {value.name for value in self.graph.output}
        inputs = {value.name for value in self.graph.input}
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer if tensor.name not in inputs}
        self.makers = {name: node for node in self.graph.node for name in node.output if name}

    def array(self, name: str) -> Array:
        """The numbers of a constant."""
        found: Array = numpy_helper.to_array(self.constants[name])
        return found

    def only_reader(self, name: str) -> onnx.NodeProto | None:
        """The one node of the main graph that reads a tensor which nobody else does."""
        found = self.readers.get(name, [])
        if len(found) != 1 or found[0].graph is not self.graph or name in self.outputs:
            return None
        return found[0].node

    def layers(self, min_elements: int, spared: Collection[str], report: Report) -> list[Layer]:
        """The layers that fit, in the order of the graph; others of the same operators are noted with the reason."""
        found = []
        for node in self.graph.node:
            if node.op_type not in (*LAYERS, "ConvTranspose") or node.domain not in STANDARD:
                continue
            reason = self._unfit(node, min_elements)
            if reason:
                report.leave(node.output[0], f"{node.op_type} is computed in floats: {reason}")
            elif node.input[1] not in spared:
                found.append(self._layer(node))
        return _agreeing(found, report)

    def place(self, chosen: Collection[Layer]) -> Placement:
        """Where tensors become integers if these layers are computed in integers."""
        heads = {layer.output: layer for layer in chosen}
        inside, carried, dropped = self._forward(heads)
        wanted = self._needed(heads, inside)
        rounded: dict[str, str] = {}
        for name, root in carried.items():
            maker = inside.get(name)
            layer = maker is not None and maker.output[0] in heads
            keep = name in wanted or (layer and maker is not None and maker.op_type == "Conv")
            if keep:
                rounded[name] = root
        entering = [layer.source for layer in chosen if layer.source not in rounded]
        gone = {head: name for head, name in dropped.items() if name in rounded}
        return Placement(rounded, tuple(dict.fromkeys(entering)), gone, tuple(chosen), inside)

    def _layer(self, node: onnx.NodeProto) -> Layer:
        conv, turned = node.op_type == "Conv", integer(node, "transB", 0) == 1
        bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
        axis = 0 if conv or (node.op_type == "Gemm" and turned) else 1
        return Layer(node.output[0], node.op_type, node.input[0], node.input[1], axis, bias)

    def _unfit(self, node: onnx.NodeProto, min_elements: int) -> str:
        if node.op_type == "ConvTranspose":
            return "the runtime has no integer form of it"
        weight = self.constants.get(node.input[1])
        if weight is None:
            return "its weight is not constant"
        if weight.data_type != TensorProto.FLOAT:
            return "its weight is not of 32-bit floats"
        rank, bias = len(weight.dims), node.input[2] if len(node.input) > 2 else ""
        if bias and (bias not in self.constants or self.constants[bias].data_type != TensorProto.FLOAT):
            return "its bias is not constant"
        if math.prod(weight.dims) < min_elements:
            return f"its weight has fewer than {min_elements} numbers"
        return "" if node.op_type == "Conv" else self._unfit_product(node, rank, bias)

    def _unfit_product(self, node: onnx.NodeProto, rank: int, bias: str) -> str:
        if rank != _MATRIX:
            return "its weight is no matrix"
        if node.op_type == "MatMul":
            return ""
        if any(found is not None and found.f != 1.0 for found in (attribute(node, name) for name in ("alpha", "beta"))):
            return "alpha or beta is not 1"
        columns = self.constants[node.input[1]].dims[0 if integer(node, "transB", 0) else 1]
        if bias and tuple(self.constants[bias].dims) not in ((columns,), (1, columns)):
            return "its bias is not one number for each column"
        return "its input is transposed" if integer(node, "transA", 0) else ""

    def _forward(self, heads: Mapping[str, Layer]) -> tuple[dict[str, onnx.NodeProto], dict[str, str], dict[str, str]]:
        """What can be computed in integers, by the tensor it gives; the steps of these; and what Relu or Clip goes."""
        inside: dict[str, onnx.NodeProto] = {}
        carried: dict[str, str] = {}
        dropped: dict[str, str] = {}
        for node in self.graph.node:
            if node.domain not in STANDARD or not node.output:
                continue
            output = node.output[0]
            if output in heads or (node.op_type in ADDING and self._all_carried(node, carried)):
                final = self._rectified(output) if output in heads or node.op_type == "Add" else output
                if final != output:
                    dropped[output] = final
                inside[final], carried[final] = node, final
            elif node.op_type in PASSING and node.input[0] in carried and len(node.output) == 1:
                inside[output], carried[output] = node, carried[node.input[0]]
        return inside, carried, dropped

    def _all_carried(self, node: onnx.NodeProto, carried: Mapping[str, str]) -> bool:
        return len(node.output) == 1 and all(name in carried for name in node.input)

    def _rectified(self, name: str) -> str:
        """What the Relu or Clip gives that alone reads a tensor, where a range can stand for it; else the tensor itself."""
        reader = self.only_reader(name)
        if reader is None or reader.op_type not in RECTIFIERS or reader.domain not in STANDARD:
            return name
        if reader.op_type == "Clip" and (reader.input[0] != name or not self._from_zero(reader)):
            return name
        return str(reader.output[0])

    def _from_zero(self, clip: onnx.NodeProto) -> bool:
        bounds = list(clip.input[1:3])
        known = all(not name or name in self.constants for name in bounds)
        least = self.array(bounds[0]) if known and bounds and bounds[0] else None
        return known and least is not None and float(least) == 0

    def _needed(self, heads: Mapping[str, Layer], inside: dict[str, onnx.NodeProto]) -> set[str]:
        """The tensors that something reads which computes in integers; drops what gives none of these from `inside`."""
        while True:
            wanted = {layer.source for layer in heads.values()}
            for node in inside.values():
                if node.output[0] not in heads:
                    wanted.update(data_inputs(node))
            idle = [name for name, node in inside.items() if node.output[0] not in heads and name not in wanted]
            if not idle:
                return wanted
            for name in idle:
                del inside[name]


def data_inputs(node: onnx.NodeProto) -> Iterator[str]:
    """The tensors whose numbers a node of LAYERS, ADDING or PASSING computes with."""
    yield from node.input if node.op_type in ADDING else node.input[:1]


def _agreeing(layers: list[Layer], report: Report) -> list[Layer]:
    """Without those that read a weight with other output channels than the first that reads it."""
    axes: dict[str, int] = {}
    kept = []
    for layer in layers:
        if axes.setdefault(layer.weight, layer.axis) == layer.axis:
            kept.append(layer)
        else:
            report.leave(layer.output, f"{layer.operator} is computed in floats: its weight is read the other way too")
    return kept
