"""Finds the weights of an ONNX model that can be stored as integers, and which of their axes are output channels.

Rules:
- the channels come from the operator that uses the weight, through nodes that only move its numbers (Transpose, Slice, ...);
- a weight is stored once, however many nodes use it; what is left alone is listed with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from compression_engine.formats.onnx_graph import Use, attribute, graphs_of, integer, uses
from compression_engine.methods.report import Report

_FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE}
_STANDARD = ("", "ai.onnx")
_PASSED_MOST = 4


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


@dataclass(frozen=True)
class Product:
    """How products read a two-dimensional weight: the names of what they multiply with it, and the axis that is summed over."""

    inputs: tuple[str, ...]
    inner_axis: int


def product_of(weight: Weight, main: onnx.GraphProto) -> Product | None:
    """The product that a weight belongs to; None where something else reads it, or what it is multiplied with cannot be seen."""
    if weight.graph is not main or len(weight.tensor.dims) != 2:
        return None
    found = [_read_by_product(use, main, used=uses(main), turned=False) for use in weight.uses]
    read = [entry for entries in found for entry in entries]
    axes = {axis for _, axis in read}
    if not all(found) or len(axes) != 1:
        return None
    return Product(tuple(sorted({name for name, _ in read})), axes.pop())


def _read_by_product(
    use: Use, main: onnx.GraphProto, *, used: dict[str, list[Use]], turned: bool
) -> list[tuple[str, int]]:
    """Input and inner axis of the products behind a use; empty where one of its readers is none."""
    node = use.node
    if use.graph is not main or node.domain not in _STANDARD:
        return []
    if node.op_type == "Transpose" and not turned:
        found = [_read_by_product(other, main, used=used, turned=True) for other in used.get(node.output[0], [])]
        return [entry for entries in found for entry in entries] if all(found) else []
    if use.index != 1 or node.op_type not in ("MatMul", "Gemm") or integer(node, "transA", 0):
        return []
    swapped = node.op_type == "Gemm" and integer(node, "transB", 0) == 1
    return [(node.input[0], int(swapped != turned))]


def find_weights(model: onnx.ModelProto, min_elements: int, report: Report) -> list[Weight]:
    """The weights worth storing as integers, in the order of the file; the others are noted in the report."""
    found: list[Weight] = []
    used = uses(model.graph)
    for graph in graphs_of(model.graph):
        replaceable = {value.name for value in graph.input}
        for tensor in graph.initializer:
            elements = int(np.prod(tensor.dims, dtype=np.int64))
            if tensor.data_type not in _FLOATS or elements < min_elements:
                continue
            reason, axes = _channels(tensor, used, replaceable, model.graph)
            if axes is None:
                report.leave(tensor.name, reason)
            else:
                found.append(Weight(graph, tensor, tuple(used[tensor.name]), axes))
    return found


def _channels(
    tensor: onnx.TensorProto, used: dict[str, list[Use]], replaceable: set[str], main: onnx.GraphProto
) -> tuple[str, frozenset[int] | None]:
    if len(tensor.dims) < 2:
        return "it has one dimension", None
    if tensor.name in replaceable:
        return "the caller may replace it", None
    if any(tensor.name == value.name for graph in graphs_of(main) for value in graph.output):
        return "it is an output of the model", None
    for use in used.get(tensor.name, []):
        axes = _channel_axes(use, len(tensor.dims), used, 0)
        if axes is not None:
            return "", axes
    readers = sorted({use.node.op_type for use in used.get(tensor.name, [])})
    return f"it is read by {', '.join(readers) or 'nothing'} only", None


def _channel_axes(use: Use, rank: int, used: dict[str, list[Use]], depth: int) -> frozenset[int] | None:
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
    if node.op_type in ("LSTM", "GRU", "RNN") and index in (1, 2):
        return frozenset({0, 1})
    if node.op_type in ("Transpose", "Identity") and depth < _PASSED_MOST:
        return _through(node, rank, used, depth)
    return None


def _through(node: onnx.NodeProto, rank: int, used: dict[str, list[Use]], depth: int) -> frozenset[int] | None:
    order = list(range(rank))
    if node.op_type == "Transpose":
        given = attribute(node, "perm")
        order = list(given.ints) if given is not None else order[::-1]
    for use in used.get(node.output[0], []):
        axes = _channel_axes(use, rank, used, depth + 1)
        if axes is not None:
            return frozenset(order[axis] for axis in axes)
    return None
