"""Writes a network in which layers are computed in 8-bit integers, as pairs of QuantizeLinear and DequantizeLinear.

Rules:
- what flows is uint8 with scale and zero point of a whole tensor; weights are integers of 8 bits or fewer with a scale for each
  output channel (see `static_quantization.weights`); biases are int32 whose scale is that of the input times that of the weight;
- a tensor that is rounded where it is made keeps its name behind the pair, so all its readers see the same numbers; one that is
  rounded for layers alone stays as it is for its other readers;
- a Conv or Gemm that stays in floats between rounded tensors gets a Max behind it that changes nothing: without, onnxruntime rounds
  its weight by itself when it loads the model, and computes it in integers all the same;
- standard operators of operator set 13 only; what goes in and comes out stays float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from compression_engine.formats.onnx_graph import Names, replace_nodes
from compression_engine.methods.report import Report, Stored
from compression_engine.methods.rounding import not_finite
from compression_engine.methods.static_quantization.net import RECTIFIERS, Layer, Net, Placement
from compression_engine.methods.static_quantization.ranges import Steps
from compression_engine.methods.static_quantization.weights import rounded_weight, store_integers, weight_scale

PRODUCT = "int8 product of inputs rounded with fixed steps"
_ROUNDED_BY_THE_RUNTIME = ("Conv", "ConvTranspose", "Gemm")
_Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Numbers:
    """What calibration rows said: steps by tensor, and what is added to the biases of layers, by their output; [channels]."""

    steps: Mapping[str, Steps]
    corrections: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    alphas: Mapping[str, float] = field(default_factory=dict)
    """Of weights whose rows were multiplied with what their input's channels were divided by: how far, see `equalize`."""
    weight_bits: int = 8
    weight_scales: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Of weights whose scales were found before, by training; [channels]. They are taken as they are."""


def check_finite(net: Net, layers: Sequence[Layer]) -> None:
    """Raises FileRefused (weights_not_finite) by the first weight or bias that holds what is no number."""
    for layer in layers:
        for name in (layer.weight, layer.bias):
            if name is not None and not np.isfinite(net.array(name)).all():
                raise not_finite(name)


def write(model: onnx.ModelProto, placement: Placement, numbers: Numbers, report: Report) -> None:
    """Changes a model in place; `report` gets a mark for every weight and every rounded tensor."""
    _Writer(model, placement, numbers, report).write()


class _Writer:
    def __init__(self, model: onnx.ModelProto, placement: Placement, numbers: Numbers, report: Report) -> None:
        self.model, self.placement, self.numbers, self.report = model, placement, numbers, report
        self.net, self.names = Net(model), Names(model)
        self.first: list[onnx.NodeProto] = []
        self.weights: dict[str, tuple[str, _Floats]] = {}
        self.steps: dict[Steps, tuple[str, str]] = {}
        self.entering: dict[str, str] = {}

    def write(self) -> None:
        layers = {layer.output: layer for layer in self.placement.chosen}
        for weight in dict.fromkeys(layer.weight for layer in layers.values()):
            self._store_weight([layer for layer in layers.values() if layer.weight == weight])
        gone = set(self.placement.dropped.values())
        nodes: list[onnx.NodeProto] = []
        for value in self.model.graph.input:
            nodes += self._entered(value.name)
        for name in sorted(set(self.placement.entering) & set(self.net.constants)):
            nodes += self._entered(name)
        for node in self.model.graph.node:
            if node.output and node.output[0] in gone:
                continue
            changed = onnx.NodeProto()
            changed.CopyFrom(node)
            if changed.output and changed.output[0] in layers:
                self._read_integers(changed, layers[changed.output[0]])
            pairs = self._given(changed)
            nodes += [changed, *pairs, *self._barrier(changed)]
            for name in node.output:
                nodes += self._entered(name)
        replace_nodes(self.model.graph, [*self.first, *nodes])

    def _given(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """The pair behind a node whose answer is rounded; the node gives a new name, the pair the old one."""
        if not node.output:
            return []
        final = self.placement.dropped.get(node.output[0], node.output[0])
        if final not in self.placement.rounded:
            return []
        node.output[0] = self.names.new(final, "exact")
        root = self.placement.rounded[final]
        return self._pair(node.output[0], final, final, self.numbers.steps[root], named=root == final)

    def _barrier(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """What keeps a layer in floats whose input and output are rounded."""
        layers = {layer.output for layer in self.placement.chosen}
        if (
            node.op_type not in _ROUNDED_BY_THE_RUNTIME
            or node.input[0] not in self.placement.rounded
            or node.output[0] in layers
        ):
            return []
        output, behind = node.output[0], [node.output[0]]
        while (reader := self.net.only_reader(behind[-1])) is not None and reader.op_type in RECTIFIERS:
            behind.append(reader.output[0])
        if not set(behind) & set(self.placement.entering):
            return []
        node.output[0], lowest = self.names.new(output, "floats"), self.names.new(output, "lowest")
        self._add(lowest, np.asarray(np.finfo(np.float32).min))
        return [helper.make_node("Max", [node.output[0], lowest], [output], name=f"{output}_stays_floats")]

    def _entered(self, name: str) -> list[onnx.NodeProto]:
        if name not in self.placement.entering:
            return []
        self.entering[name] = self.names.new(name, "stepped")
        return self._pair(name, self.entering[name], name, self.numbers.steps[name], named=True)

    def _pair(self, source: str, target: str, base: str, steps: Steps, *, named: bool) -> list[onnx.NodeProto]:
        integers, (scale, zero) = self.names.new(base, "uint8"), self._constants(base, steps)
        if named:
            held = {tensor.name: tensor for tensor in self.model.graph.initializer}
            mark = Stored.of(
                base, dtype="uint8", scheme="asymmetric", granularity="tensor", scale=held[scale], zero=held[zero]
            )
            self.report.mark(mark)
        return [
            helper.make_node("QuantizeLinear", [source, scale, zero], [integers], name=f"{integers}_quantize"),
            helper.make_node("DequantizeLinear", [integers, scale, zero], [target], name=f"{integers}_dequantize"),
        ]

    def _constants(self, base: str, steps: Steps) -> tuple[str, str]:
        """Names of scale and zero point; tensors with the same steps share them."""
        if steps not in self.steps:
            self.steps[steps] = self.names.new(base, "scale"), self.names.new(base, "zero")
            for name, value in zip(self.steps[steps], (np.float32(steps.scale), np.uint8(steps.zero)), strict=True):
                self._add(name, np.asarray(value))
        return self.steps[steps]

    def _store_weight(self, layers: list[Layer]) -> None:
        name, axis = layers[0].weight, layers[0].axis
        array = self.net.array(name)
        bits, scale = self.numbers.weight_bits, self._scale(name, layers, array)
        integers = rounded_weight(array, axis, scale, bits)
        held, stored, unpacking = store_integers(self.model.graph, name, integers, bits, self.names)
        self.first += unpacking
        scale_name, zero_name = (self.names.new(name, part) for part in ("scale", "zero"))
        self._add(scale_name, scale)
        self._add(zero_name, np.zeros(len(scale), dtype=np.int8))
        expanded = self.names.new(name, "expanded")
        self.first.append(
            helper.make_node(
                "DequantizeLinear", [stored, scale_name, zero_name], [expanded], name=f"{stored}_dequantize", axis=axis
            )
        )
        self.weights[name] = expanded, scale
        learned = name in self.numbers.weight_scales
        rounding = "learned" if learned else ("nearest" if bits == 8 else "mse")
        mark = Stored.of(
            name,
            dtype="int8" if bits == 8 else "int4",
            scheme="symmetric",
            granularity="channel",
            rounding=rounding,
            values=held,
            scale=next(tensor for tensor in self.model.graph.initializer if tensor.name == scale_name),
        )
        self.report.change(name, PRODUCT.replace("int8", f"int{bits}", 1) + self._told(layers), mark)

    def _scale(self, name: str, layers: list[Layer], array: _Floats) -> _Floats:
        if name in self.numbers.weight_scales:
            return self.numbers.weight_scales[name]
        bits, axis = self.numbers.weight_bits, layers[0].axis
        scales = [weight_scale(array, axis, self._bias(layer), self._source_scale(layer), bits) for layer in layers]
        found: _Floats = np.max(scales, axis=0)
        return found

    def _told(self, layers: Sequence[Layer]) -> str:
        said = []
        if any(layer.output in self.numbers.corrections for layer in layers):
            said.append("bias corrected")
        if layers[0].weight in self.numbers.alphas:
            said.append(f"input equalised, alpha {self.numbers.alphas[layers[0].weight]:g}")
        return f" ({', '.join(said)})" if said else ""

    def _read_integers(self, node: onnx.NodeProto, layer: Layer) -> None:
        expanded, scale = self.weights[layer.weight]
        node.input[0] = self.entering.get(layer.source, layer.source)
        node.input[1] = expanded
        bias = self._bias(layer)
        if bias is None:
            return
        product = (scale * np.float32(self._source_scale(layer))).astype(np.float32)
        product = np.where(product > 0, product, np.finfo(np.float32).tiny).astype(np.float32)
        integers = np.clip(np.rint(bias / product.astype(np.float64)), -(2**31) + 1, 2**31 - 1).astype(np.int32)
        base = layer.bias or layer.output
        stored, scale_name, floats = (self.names.new(base, part) for part in ("int32", "bias_scale", "bias"))
        self._add(stored, integers)
        self._add(scale_name, product)
        self.first.append(
            helper.make_node("DequantizeLinear", [stored, scale_name], [floats], name=f"{stored}_dequantize", axis=0)
        )
        del node.input[2:]
        node.input.append(floats)

    def _bias(self, layer: Layer) -> NDArray[np.float64] | None:
        """The bias with its correction; None where there is neither, or the operator has none."""
        if layer.operator == "MatMul":
            return None
        found = None if layer.bias is None else self.net.array(layer.bias).astype(np.float64).reshape(-1)
        more = self.numbers.corrections.get(layer.output)
        if found is None or more is None:
            return more if found is None else found
        return np.asarray(found + more)

    def _source_scale(self, layer: Layer) -> float:
        return self.numbers.steps[self.placement.rounded.get(layer.source, layer.source)].scale

    def _add(self, name: str, array: NDArray[np.generic]) -> None:
        self.model.graph.initializer.append(numpy_helper.from_array(array, name))
