"""The integers of the weights that layers in integers read: their scales, what they are rounded to, and how they lie in the file.

Rules:
- a scale for each output channel, zero stays zero; 8 bits are -127..127 and their scale spans the largest magnitude; 4 bits are
  -8..7, 3 are -4..3 and 2 are -2..1, their scale the one of least squared error among shares of that, since every step counts;
- 3 and 2 bits lie in the file as 4 do: they save room where the file is packed;
- a scale grows where the bias, in integers of 32 bits, would not fit into 30 bits otherwise;
- two 4-bit integers that follow each other share a byte; nodes that read constants alone look both up in a table of signed bytes,
  which the runtime does once, when it loads the model, and before it looks for layers to compute in integers. (DequantizeLinear of
  the type int4, operator set 21, takes the same room and is not fused with Conv: measured in onnxruntime 1.31.1, 4 times as slow.)
Source of the ranges: Banner et al., "Post training 4-bit quantization of convolutional networks", 2019.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from compression_engine.formats.onnx_graph import Names

LIMITS = {8: (-127, 127), 4: (-8, 7), 3: (-4, 3), 2: (-2, 1)}
"""The least and the largest integer by bits."""
_BIAS_MOST = 2**30
_SHARES = {8: (1.0,)} | {
    bits: tuple(map(float, np.linspace(1, low, 25))) for bits, low in ((4, 0.4), (3, 0.3), (2, 0.2))
}
_MIDDLE, _LOW, _HALF_A_BYTE = 8, 15, 4
_TABLE = "int4"
_Floats = NDArray[np.float32]


def weight_scale(
    array: _Floats, axis: int, bias: NDArray[np.float64] | None, source_scale: float, bits: int = 8
) -> _Floats:
    """The scale of each output channel, [channels]; one that divides where a channel is all zeros."""
    needed = least_error_scale(np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1).astype(np.float64), bits)
    if bias is not None:
        needed = np.maximum(needed, least_for_bias(bias, source_scale))
    scale: _Floats = needed.astype(np.float32)
    return np.where(scale >= np.finfo(np.float32).tiny, scale, np.float32(1)).astype(np.float32)


def least_error_scale(rows: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """The scale of each row of numbers [channels, size]; of equals the one of the wider range."""
    low, high = LIMITS[bits]
    whole = np.abs(rows).max(axis=1) / high
    if len(_SHARES[bits]) == 1:
        return np.asarray(whole)
    best: NDArray[np.float64] = whole
    errors = np.full(len(rows), np.inf)
    for share in _SHARES[bits]:
        # as float32, which is how they will be stored
        scale = np.maximum((whole * share).astype(np.float32), np.finfo(np.float32).tiny).astype(np.float64)
        apart = np.clip(np.rint(rows / scale[:, None]), low, high) * scale[:, None] - rows
        found = (apart * apart).sum(axis=1)
        best = np.where(found < errors, whole * share, best)
        errors = np.minimum(found, errors)
    return best


def least_for_bias(bias: NDArray[np.float64], source_scale: float) -> NDArray[np.float64]:
    """The least scales of a weight, [channels], with which its bias fits."""
    found: NDArray[np.float64] = np.abs(bias) / (source_scale * _BIAS_MOST)
    return found


def rounded_weight(array: _Floats, axis: int, scale: _Floats, bits: int = 8) -> NDArray[np.int8]:
    """The integers of a weight."""
    shape = [1] * array.ndim
    shape[axis] = -1
    found: NDArray[np.int8] = np.clip(np.rint(array / scale.reshape(shape)), *LIMITS[bits]).astype(np.int8)
    return found


def store_integers(
    graph: onnx.GraphProto, name: str, integers: NDArray[np.int8], bits: int, names: Names
) -> tuple[onnx.TensorProto, str, list[onnx.NodeProto]]:
    """Adds the integers of a weight to a graph: the tensor that holds them, the tensor of signed bytes, and what makes it."""
    if bits == 8:
        held = numpy_helper.from_array(integers, names.new(name, "int8"))
        graph.initializer.append(held)
        return held, held.name, []
    held = numpy_helper.from_array(_paired(integers), names.new(name, "int4"))
    graph.initializer.append(held)
    nodes: list[onnx.NodeProto] = []

    def node(operator: str, read: list[str], part: str, **attributes: int) -> str:
        nodes.append(helper.make_node(operator, read, [names.new(name, part)], **attributes))
        return str(nodes[-1].output[0])

    def sizes(part: str, *numbers: int) -> str:
        made = numpy_helper.from_array(np.array(numbers, dtype=np.int64), names.new(name, part))
        graph.initializer.append(made)
        return str(made.name)

    places = node("Cast", [held.name], "places", to=TensorProto.INT32)
    both = node("Gather", [_table(graph, names), places], "both", axis=0)
    if integers.size % 2:
        both = node("Reshape", [both, sizes("all", -1)], "row")
        both = node("Slice", [both, sizes("first", 0), sizes("count", integers.size)], "cut")
    return held, node("Reshape", [both, sizes("sizes", *integers.shape)], "int8"), nodes


def _paired(integers: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Numbers from -8 to 7 as bytes [(n + 1) // 2]: of two that follow each other the first in the low four bits."""
    bare = integers.reshape(-1).astype(np.uint8) & _LOW
    filled = np.append(bare, np.zeros(bare.size % 2, dtype=np.uint8))
    found: NDArray[np.uint8] = filled[::2] | (filled[1::2] << _HALF_A_BYTE)
    return found


def _table(graph: onnx.GraphProto, names: Names) -> str:
    """The two numbers of every byte, int8 [256, 2]; one for all weights of a graph."""
    known = next((tensor.name for tensor in graph.initializer if tensor.name.startswith(f"{_TABLE}_pairs")), None)
    if known is not None:
        return str(known)
    each = np.arange(256)
    pairs = np.stack([each & _LOW, each >> _HALF_A_BYTE], axis=1).astype(np.int8)
    table = numpy_helper.from_array(
        np.where(pairs < _MIDDLE, pairs, pairs - 2 * _MIDDLE).astype(np.int8), names.new(_TABLE, "pairs")
    )
    graph.initializer.append(table)
    return str(table.name)
