"""Finds the weights of an ONNX model that can be stored as integers, and which of their axes are output channels.

Rules:
- the channels come from the operator that uses the weight, through nodes that only move its numbers (Transpose, Slice, Concat,
  Unsqueeze ...), also into the graphs of If, Loop and Scan;
- of recurrent cells every row of every gate is a channel, in input and recurrent weights alike;
- a weight is stored once, however many nodes use it; what is left alone is listed with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from compression_engine.formats.onnx_graph import Use, attribute, graphs_of, integer, small_integers, uses
from compression_engine.formats.parked import size_bytes
from compression_engine.formats.windows import Source, Window
from compression_engine.methods.report import Report

_FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE}
_PRODUCT_RANK = 2
_RECURRENT_RANK = 3  # of the weights of cells: directions, gates, inputs
_STANDARD = ("", "ai.onnx")
_PASSED_MOST = 6
_KEEPING_AXES = ("Identity", "Cast", "Slice", "Concat", "Split", "Pad")
"""Operators behind which a tensor's axes are what they were, though parts of it may be gone or stand elsewhere."""


@dataclass(frozen=True)
class Weight:
    """A weight that fits: where it is stored, who reads it, and which axes have a scale of their own."""

    graph: onnx.GraphProto
    tensor: onnx.TensorProto
    uses: tuple[Use, ...]
    channel_axes: frozenset[int]

    @property
    def is_embedding(self) -> bool:
        """Whether rows are looked up and nothing else is done with it, so that it can stay small at run time."""
        return all(
            use.node.op_type == "Gather" and use.index == 0 and integer(use.node, "axis", 0) == 0 for use in self.uses
        )


def bytes_of(weights: Sequence[Weight]) -> int:
    """How many bytes the numbers of weights take."""
    return sum(size_bytes(weight.tensor) for weight in weights)


@dataclass(frozen=True)
class Product:
    """How products and convolutions read a weight: what they multiply with it, and where its sums run.

    `inner_axis` is 0 where they run along the first of two axes, else 1: along all axes but the first.
    """

    sources: tuple[Source, ...]
    inner_axis: int


def product_of(weight: Weight, main: onnx.GraphProto) -> Product | None:
    """The product that a weight belongs to; None where something else reads it, or what it is multiplied with cannot be seen."""
    if weight.graph is not main:
        return None
    used, shape = uses(main), tuple(weight.tensor.dims)
    found = [_read_by_product(use, main, shape, used=used, turned=False) for use in weight.uses]
    read = [entry for entries in found for entry in entries]
    axes = {axis for _, axis in read}
    if not all(found) or len(axes) != 1:
        return None
    return Product(tuple(sorted({source for source, _ in read}, key=repr)), axes.pop())


def _read_by_product(
    use: Use, main: onnx.GraphProto, shape: tuple[int, ...], *, used: dict[str, list[Use]], turned: bool
) -> list[tuple[Source, int]]:
    """Input and inner axis of the products behind a use; empty where one of its readers is none."""
    node = use.node
    if use.graph is not main or node.domain not in _STANDARD:
        return []
    if node.op_type == "Identity" or (node.op_type == "Transpose" and not turned and len(shape) == _PRODUCT_RANK):
        # layers that share a weight read it through Identity in exports of torch
        after = turned or node.op_type == "Transpose"
        found = [
            _read_by_product(other, main, shape, used=used, turned=after) for other in used.get(node.output[0], [])
        ]
        return [entry for entries in found for entry in entries] if all(found) else []
    if node.op_type == "Conv" and use.index == 1:
        window = Window.of(node, shape[2:])
        return [] if window is None else [(Source(node.input[0], window), 1)]
    if (
        use.index != 1
        or node.op_type not in ("MatMul", "Gemm")
        or integer(node, "transA", 0)
        or len(shape) != _PRODUCT_RANK
    ):
        return []
    swapped = node.op_type == "Gemm" and integer(node, "transB", 0) == 1
    return [(Source(node.input[0]), int(swapped != turned))]


def find_weights(
    model: onnx.ModelProto, min_elements: int, report: Report, spared: frozenset[str] = frozenset()
) -> list[Weight]:
    """The weights worth storing as integers but those `spared`, in the order of the file; the others are noted in the report."""
    found: list[Weight] = []
    readers = _Readers(model.graph)
    for graph in graphs_of(model.graph):
        replaceable = {value.name for value in graph.input}
        for tensor in graph.initializer:
            elements = int(np.prod(tensor.dims, dtype=np.int64))
            if tensor.data_type not in _FLOATS or elements < min_elements or tensor.name in spared:
                continue
            reason, axes = readers.channels(tensor, replaceable)
            if axes is None:
                report.leave(tensor.name, reason)
            else:
                found.append(Weight(graph, tensor, tuple(readers.used[tensor.name]), axes))
    return found


class _Readers:
    """Who reads what in a graph and the graphs inside it, and which axes of a tensor are channels to its readers."""

    def __init__(self, main: onnx.GraphProto) -> None:
        self.used = uses(main)
        self._outputs = {value.name for graph in graphs_of(main) for value in graph.output}
        self._axes = {
            tensor.name: numpy_helper.to_array(tensor).reshape(-1).tolist() for tensor in small_integers(main)
        }

    def channels(self, tensor: onnx.TensorProto, replaceable: set[str]) -> tuple[str, frozenset[int] | None]:
        """The channel axes of a weight, or why it has none."""
        if len(tensor.dims) < 2:
            return "it has one dimension", None
        if tensor.name in replaceable:
            return "the caller may replace it", None
        if tensor.name in self._outputs:
            return "it is an output of the model", None
        for use in self.used.get(tensor.name, []):
            axes = self._channel_axes(use, len(tensor.dims), 0)
            if axes is None:
                continue
            if math.prod(size for axis, size in enumerate(tensor.dims) if axis not in axes) == 1:
                return "each of its numbers would need a scale of its own", None
            return "", axes
        readers = sorted({use.node.op_type for use in self.used.get(tensor.name, [])})
        return f"it is read by {', '.join(readers) or 'nothing'} only", None

    def _channel_axes(self, use: Use, rank: int, depth: int) -> frozenset[int] | None:
        node, index = use.node, use.index
        if node.domain not in _STANDARD:
            return None
        everything = frozenset(range(rank))
        if node.op_type == "MatMul":
            return everything - {rank - 2 if index == 1 else rank - 1}
        if node.op_type == "Gemm" and index in (0, 1):
            transposed = integer(node, "transB" if index == 1 else "transA", 0)
            return frozenset({1 - transposed if index == 1 else transposed})
        if node.op_type in ("Conv", "ConvTranspose") and index == 1:
            return frozenset({0 if node.op_type == "Conv" else 1})
        if node.op_type == "Gather" and index == 0:
            return frozenset({integer(node, "axis", 0) % rank})
        if node.op_type in ("LSTM", "GRU", "RNN") and index in (1, 2) and rank == _RECURRENT_RANK:
            return frozenset({0, 1})
        order = self._order(use, rank) if depth < _PASSED_MOST else None
        return None if order is None else self._through(node, order, depth)

    def _order(self, use: Use, rank: int) -> list[int | None] | None:
        """For each axis behind a node that only moves numbers, the axis it was before; None for a new one. None for other nodes."""
        node = use.node
        if node.op_type == "Transpose":
            given = attribute(node, "perm")
            return [*(given.ints if given is not None else range(rank)[::-1])]
        if node.op_type == "Unsqueeze" and use.index == 0 and len(node.input) > 1 and node.input[1] in self._axes:
            axes = self._axes[node.input[1]]
            added = {axis % (rank + len(axes)) for axis in axes}
            before = iter(range(rank))
            return [None if axis in added else next(before) for axis in range(rank + len(axes))]
        if node.op_type in _KEEPING_AXES and (use.index == 0 or node.op_type == "Concat"):
            return list(range(rank))
        return None

    def _through(self, node: onnx.NodeProto, order: list[int | None], depth: int) -> frozenset[int] | None:
        for use in (use for output in node.output for use in self.used.get(output, [])):
            axes = self._channel_axes(use, len(order), depth + 1)
            if axes is not None:
                return frozenset(before for axis in axes if (before := order[axis]) is not None)
        return None
