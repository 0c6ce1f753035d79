"""Finds the weights of an ONNX model that can be stored as 8-bit integers, and rounds them.

Rules:
- symmetric: scale = largest magnitude / 127 for each output channel (each row of an embedding), zero stays zero;
- the channels come from the operator that uses the weight, through Transpose and Identity where one lies between;
- a weight is stored once, however many nodes use it; what is left alone is listed with the reason;
- NaN or infinity in a weight is refused.
Source of the scheme: Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from compression_engine.canonical import JSON
from compression_engine.errors import FileRefused
from compression_engine.formats.onnx_graph import Use, attribute, graphs_of, integer, uses

QMAX = 127
_FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE}
_STANDARD = ("", "ai.onnx")


@dataclass
class Report:
    """What a step did: tensors changed (and how), tensors left alone (and why)."""

    changed: list[dict[str, JSON]] = field(default_factory=list)
    left: list[dict[str, JSON]] = field(default_factory=list)

    def change(self, name: str, how: str) -> None:
        """Notes a changed tensor."""
        self.changed.append({"how": how, "name": name})

    def leave(self, name: str, reason: str) -> None:
        """Notes a tensor that stays as it is."""
        self.left.append({"name": name, "reason": reason})


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
class Rounded:
    """Integers and scales; `values * scale` is close to the weight. The scale broadcasts over the weight's shape."""

    values: NDArray[np.int8]
    scale: NDArray[np.floating]


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


def round_weight(weight: Weight) -> Rounded:
    """Rounds a weight to integers from -127 to 127, one scale per channel, in the weight's own float type."""
    array = numpy_helper.to_array(weight.tensor)
    if not np.isfinite(array).all():
        hint = "Train or export the model again; such a weight cannot be rounded and was broken before."
        raise FileRefused("weights_not_finite", f"The weight {weight.tensor.name!r} holds NaN or infinity.", hint)
    reduced = tuple(axis for axis in range(array.ndim) if axis not in weight.channel_axes)
    largest = np.abs(array).max(axis=reduced, keepdims=True)
    scale = (largest.astype(np.float64) / QMAX).astype(array.dtype)
    # a channel of zeros, or one so small that its scale is no normal number, gets a scale that cannot divide by zero
    scale = np.where(scale >= np.finfo(array.dtype).tiny, scale, np.finfo(array.dtype).tiny).astype(array.dtype)
    values = np.rint(array / scale)
    np.clip(values, -QMAX, QMAX, out=values)
    return Rounded(values.astype(np.int8), scale)


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
    if node.op_type in ("Transpose", "Identity") and depth < 4:
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
