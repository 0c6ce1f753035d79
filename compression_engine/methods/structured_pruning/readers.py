"""The products and convolutions that multiply a prunable axis with a weight: importance is judged at them, and they make good.

Rules:
- Conv outside of groups, Gemm without factors, and MatMul, whose second factor is a constant;
- a third input is a constant too: what is calculated and added there is no bias that could be replaced;
- each says which axes of its input and weight are summed over, and shows its input as rows, a window of a convolution to each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from compression_engine.formats.onnx_graph import STANDARD, attribute, integer
from compression_engine.formats.windows import Window
from compression_engine.methods.structured_pruning.axes import STAYS, Atoms, Trace

Array = NDArray[Any]
_MATRIX = 2


@dataclass(frozen=True)
class Reader:
    """A node that multiplies with a weight, by the names of its tensors."""

    operator: str
    source: str
    weight: str
    bias: str | None
    output: str
    turned: bool
    """Whether the weight's first axis is its output's channels."""
    window: Window | None
    atoms: Atoms
    """Of the axis of the source that is summed over: its second for a convolution, else its last."""
    made: Atoms
    """Of the channels that come out."""

    def axis(self) -> int:
        """The axis of the source that is summed over."""
        return -1 if self.window is None else 1

    def matrix(self, weight: Array) -> Array:
        """The weight as [summed, channels], in float64; of a convolution [channels in * kernel, channels out]."""
        array = weight.astype(np.float64)
        return array.reshape(len(array), -1).T if self.turned else array

    def weight_of(self, matrix: Array, like: Array) -> Array:
        """`matrix` in the form and type of a weight."""
        made: Array = np.ascontiguousarray((matrix.T if self.turned else matrix).reshape(like.shape).astype(like.dtype))
        return made

    def rows(self, array: Array) -> Iterator[Array]:
        """Some rows [n, summed] at a time of the source's numbers."""
        if self.window is not None:
            yield from self.window.rows(array)
            return
        yield array.reshape(-1, array.shape[-1]).astype(np.float64)

    def answers(self, array: Array) -> Iterator[Array]:
        """Of what the node gives, [n, channels], in pieces like those of `rows`."""
        if self.window is not None:
            for entry in array:
                yield entry.reshape(len(entry), -1).T.astype(np.float64)
            return
        yield array.reshape(-1, array.shape[-1]).astype(np.float64)


def readers_of(model: onnx.ModelProto, found: Trace) -> Sequence[Reader]:
    """In the order of the graph, those whose input can lose something."""
    constants = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    made = []
    for node in model.graph.node:
        if node.domain not in STANDARD or node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        if node.input[1] not in constants or node.input[0] in constants:
            continue
        reader = _reader(node, constants[node.input[1]], found)
        if reader is not None and (reader.atoms != STAYS).any() and (reader.bias is None or reader.bias in constants):
            made.append(reader)
    return made


def _reader(node: onnx.NodeProto, dims: Sequence[int], found: Trace) -> Reader | None:
    source, rank = found.of(node.input[0]), len(dims)
    bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
    turned, window = False, None
    if node.op_type == "Conv":
        window, turned = Window.of(node, tuple(dims[2:])), True
        if window is None:
            return None
    elif rank != _MATRIX:
        return None
    elif node.op_type == "Gemm":
        if integer(node, "transA", 0) or any(_factor(node, name) != 1 for name in ("alpha", "beta")):
            return None
        turned = bool(integer(node, "transB", 0))
    axis = 1 if window is not None else -1
    made = found.of(node.output[0])[axis]
    return Reader(node.op_type, node.input[0], node.input[1], bias, node.output[0], turned, window, source[axis], made)


def _factor(node: onnx.NodeProto, name: str) -> float:
    """What a Gemm multiplies its product or its third input with."""
    said = attribute(node, name)
    return 1.0 if said is None else float(said.f)
