"""Finds how far rounding moves the mean of each output channel of a layer, so that its bias can take that back.

How: beside each layer stands its twin, which reads the same input rounded and the weight rounded; the mean of the difference of
their answers over all calibration rows and positions, channel by channel, is the shift. Looked at layer by layer, with the
original's inputs, so that no shift is taken back twice by the layers behind it.
Source: Nagel, van Baalen, Blankevoort and Welling, "Data-free quantization through weight equalization and bias correction",
2019, section 4.2 and its empirical form in appendix D.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from compression_engine.data import Array
from compression_engine.formats.onnx_graph import Names
from compression_engine.methods.static_quantization.net import Layer, Net
from compression_engine.methods.static_quantization.ranges import Steps
from compression_engine.methods.static_quantization.weights import rounded_weight, weight_scale
from compression_engine.steps.observing import Watching


def shifts(
    watching: Watching, layers: Sequence[Layer], steps: dict[str, Steps], bits: int = 8
) -> dict[str, NDArray[np.float64]]:
    """What is to be added to the bias of each layer that has one or can, by its output; [channels]. `bits` of weights."""
    fitting = [layer for layer in layers if layer.operator != "MatMul"]
    if not fitting:
        return {}
    model, differences = _with_twins(watching.model, fitting, steps, bits)
    sums: dict[str, NDArray[np.float64]] = {}
    counts: dict[str, int] = {}

    def see(name: str, array: Array) -> None:
        channels = 1 if differences[name].operator == "Conv" else array.ndim - 1
        others = tuple(axis for axis in range(array.ndim) if axis != channels)
        sums[name] = sums.get(name, np.zeros(array.shape[channels])) + array.sum(axis=others, dtype=np.float64)
        counts[name] = counts.get(name, 0) + array.size // array.shape[channels]

    replace(watching, model=model).look(list(differences), see, "how far means move")
    return {layer.output: sums[name] / max(1, counts[name]) for name, layer in differences.items()}


def _with_twins(
    model: onnx.ModelProto, layers: Sequence[Layer], steps: dict[str, Steps], bits: int
) -> tuple[onnx.ModelProto, dict[str, Layer]]:
    """The model with a twin of each layer, and the names of the differences."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    net, names = Net(copy), Names(copy)
    nodes = {layer.output: net.makers[layer.output] for layer in layers}
    differences: dict[str, Layer] = {}
    for layer in layers:
        array = net.array(layer.weight)
        own, base = steps[layer.source], layer.output
        scale = weight_scale(array, layer.axis, None, own.scale, bits)
        kept = {
            "scale": np.asarray(np.float32(own.scale)),
            "zero": np.asarray(np.uint8(own.zero)),
            "weight": rounded_weight(array, layer.axis, scale, bits),
            "weight_scale": scale,
            "weight_zero": np.zeros(len(scale), dtype=np.int8),
        }
        held = {part: names.new(base, f"twin_{part}") for part in kept}
        copy.graph.initializer.extend(numpy_helper.from_array(value, held[part]) for part, value in kept.items())
        integers, source, weight, answer, apart = (names.new(base, f"twin_{part}") for part in "qxwyd")
        twin = onnx.NodeProto()
        twin.CopyFrom(nodes[layer.output])
        twin.name, twin.input[0], twin.input[1], twin.output[0] = answer, source, weight, answer
        copy.graph.node.extend([
            helper.make_node("QuantizeLinear", [layer.source, held["scale"], held["zero"]], [integers]),
            helper.make_node("DequantizeLinear", [integers, held["scale"], held["zero"]], [source]),
            helper.make_node(
                "DequantizeLinear", [held["weight"], held["weight_scale"], held["weight_zero"]], [weight], axis=layer.axis
            ),
            twin,
            helper.make_node("Sub", [layer.output, answer], [apart]),
        ])  # fmt: skip
        differences[apart] = layer
    return copy, differences
