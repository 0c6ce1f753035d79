"""Finds the weights of an ONNX model that can be stored as integers, and which of their axes are output channels.

Rules:
- the channels come from the operator that uses the weight (see `channels`), also into the graphs of If, Loop and Scan;
- a name counts in the graph where it stands and those inside it: branches beside each other may use it for something else;
- a weight is stored once, however many nodes use it; what is left alone is listed with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from compression_engine.formats.onnx_graph import PLAIN_FLOATS, STANDARD, Use, graphs_of, integer, uses
from compression_engine.formats.parked import size_bytes
from compression_engine.formats.windows import Source, Window
from compression_engine.methods.channels import Readers
from compression_engine.methods.report import Report

_OTHER_FLOATS = {
    kind
    for name, kind in onnx.TensorProto.DataType.items()
    if name.startswith(("BFLOAT", "FLOAT")) and kind not in PLAIN_FLOATS
}
_PRODUCT_RANK = 2


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
            use.node.op_type == "Gather"
            and use.node.domain in STANDARD
            and use.index == 0
            and integer(use.node, "axis", 0) == 0
            for use in self.uses
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
    if use.graph is not main or node.domain not in STANDARD:
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
    readers = Readers(model.graph)
    for graph in graphs_of(model.graph):
        replaceable = {value.name for value in graph.input}
        for tensor in graph.initializer:
            elements = int(np.prod(tensor.dims, dtype=np.int64))
            if elements < min_elements or tensor.name in spared:
                continue
            if tensor.data_type in _OTHER_FLOATS:
                report.leave(tensor.name, f"it is {onnx.TensorProto.DataType.Name(tensor.data_type).lower()}")
            if tensor.data_type not in PLAIN_FLOATS:
                continue
            reading = readers.of(graph, tensor.name)
            reason, axes = readers.channels(tensor, replaceable, reading)
            if axes is None:
                report.leave(tensor.name, reason)
            else:
                found.append(Weight(graph, tensor, tuple(reading), axes))
    return found
