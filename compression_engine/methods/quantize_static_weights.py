"""The integers of the weights that layers in integers read: their scales, what they are rounded to, and how they lie in the file.

Rules:
- a scale for each output channel, zero stays zero; 8 bits are -127..127 and their scale spans the largest magnitude; 4 bits are
  -8..7 and their scale is the one of least squared error among shares of that, since every step counts there;
- a scale grows where the bias, in integers of 32 bits, would not fit into 30 bits otherwise;
- two 4-bit integers share a byte, as in `storing`; nodes that read constants alone make signed bytes of them, which the runtime
  does once, when it loads the model, and before it looks for layers to compute in integers. (DequantizeLinear of the type int4,
  operator set 21, takes the same room and is not fused with Conv: measured with onnxruntime 1.31.1, 4 times as slow.)
Source of the ranges: Banner et al., "Post training 4-bit quantization of convolutional networks", 2019.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from compression_engine.formats.onnx_graph import Names
from compression_engine.methods.storing import packed

LIMITS = {8: (-127, 127), 4: (-8, 7)}
"""The least and the largest integer by bits."""
_BIAS_MOST = 2**30
_SHARES = {8: (1.0,), 4: tuple(float(share) for share in np.linspace(1, 0.4, 25))}
_MIDDLE = 8
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
    held = numpy_helper.from_array(integers, names.new(name, "int8"))
    if bits == 8:
        graph.initializer.append(held)
        return held, held.name, []
    stored = names.new(name, "int4")
    held = numpy_helper.from_array(packed((integers.reshape(-1) + _MIDDLE).astype(np.uint8)), stored)
    constants = {
        "four": np.array(4, dtype=np.uint8),
        "middle": np.array(_MIDDLE, dtype=np.int32),
        "count": np.array([integers.size], dtype=np.int64),
        "first": np.array([0], dtype=np.int64),
        "sizes": np.array(integers.shape, dtype=np.int64),
    }
    named = {part: names.new(name, part) for part in constants}
    graph.initializer.append(held)
    graph.initializer.extend(numpy_helper.from_array(value, named[part]) for part, value in constants.items())
    steps = {
        part: names.new(name, part) for part in ("high", "raised", "low", "both", "cut", "wide", "centred", "shaped")
    }
    nodes = [
        helper.make_node("BitShift", [stored, named["four"]], [steps["high"]], direction="RIGHT"),
        helper.make_node("BitShift", [stored, named["four"]], [steps["raised"]], direction="LEFT"),
        helper.make_node("BitShift", [steps["raised"], named["four"]], [steps["low"]], direction="RIGHT"),
        helper.make_node("Concat", [steps["low"], steps["high"]], [steps["both"]], axis=0),
        helper.make_node("Slice", [steps["both"], named["first"], named["count"]], [steps["cut"]]),
        helper.make_node("Cast", [steps["cut"]], [steps["wide"]], to=TensorProto.INT32),
        helper.make_node("Sub", [steps["wide"], named["middle"]], [steps["centred"]]),
        helper.make_node("Reshape", [steps["centred"], named["sizes"]], [steps["shaped"]]),
        helper.make_node("Cast", [steps["shaped"]], [names.new(name, "int8")], to=TensorProto.INT8),
    ]
    for node in nodes:
        node.name = f"{node.output[0]}_node"
    return held, nodes[-1].output[0], nodes
