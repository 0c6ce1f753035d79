"""Keeps layers in floats where going to integers and back would take longer than integers save.

How: layers between which tensors stay integers are an island; its gain is the time that integer products save, less the time of
rounding what enters and of expanding what leaves. Times are constants, measured with onnxruntime on one thread of a processor with
AVX512-VNNI (docs/decisions/0023), for one row: nothing is timed while a child is made, so the same model always keeps the same
layers, on whatever machine.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compression_engine.formats.onnx_graph import integer
from compression_engine.methods.static_quantization.net import Layer, Net, Placement, data_inputs

_SAVED_NS_PER_PRODUCT = 0.008
_SAVED_NS_PER_WEIGHT = 0.05  # each number of a weight is fetched once a row, whatever is done with it
_CROSSING_NS_PER_NUMBER = 0.35
_CROSSING_NS = 3000.0
REASON = "going to integers and back would take longer than they save"
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Timed:
    """A network and the shapes of its tensors for so many rows."""

    net: Net
    shapes: Shapes
    rows: int

    def paying(self, layers: Sequence[Layer]) -> list[Layer]:
        """The layers on islands that gain time, in their order."""
        placement = self.net.place(layers)
        roots = _islands(placement)
        gains: dict[str, float] = defaultdict(float)
        for layer in layers:
            saved = self._products(layer) * _SAVED_NS_PER_PRODUCT
            saved += math.prod(self.net.constants[layer.weight].dims) * _SAVED_NS_PER_WEIGHT
            gains[_root(roots, layer.output)] += saved
        for name in (*placement.entering, *self._leaving(placement)):
            gains[_root(roots, name)] -= self._numbers(name) * _CROSSING_NS_PER_NUMBER + _CROSSING_NS
        return [layer for layer in layers if gains[_root(roots, layer.output)] > 0]

    def _leaving(self, placement: Placement) -> list[str]:
        """The tensors that are rounded where they are made and read as floats too."""
        inside = {node.output[0] for node in placement.computed.values()}
        gone = set(placement.dropped.values())
        found = []
        for name in placement.rounded:
            readers = self.net.readers.get(name, [])
            as_floats = any(use.graph is not self.net.graph or use.node.output[0] not in inside for use in readers)
            if as_floats or name in self.net.outputs or (not readers and name not in gone):
                found.append(name)
        return found

    def _numbers(self, name: str) -> float:
        return math.prod(self.shapes.get(name, ())) / self.rows

    def _products(self, layer: Layer) -> float:
        """How many products of two numbers a layer makes for one row; none in groups, whose integer form is not faster."""
        weight = self.net.constants[layer.weight]
        if integer(self.net.makers[layer.output], "group", 1) > 1:
            return 0.0
        return float(self._numbers(layer.output) * math.prod(weight.dims) / weight.dims[layer.axis])


def _islands(placement: Placement) -> dict[str, str]:
    """For each tensor another one on the same island, up to one that stands for it."""
    above: dict[str, str] = {}
    carried = {*placement.rounded, *placement.entering}
    by_node = {node.output[0]: name for name, node in placement.computed.items()}
    for name, node in placement.computed.items():
        for source in data_inputs(node):
            if source in carried:
                _join(above, name, source)
    for output, name in by_node.items():
        # a layer is known by what its node gives, also where Relu or Clip stands behind it
        _join(above, output, name)
    return above


def _join(above: dict[str, str], one: str, other: str) -> None:
    first, second = _root(above, one), _root(above, other)
    if first != second:
        above[second] = first


def _root(above: Mapping[str, str], name: str) -> str:
    while name in above:
        name = above[name]
    return name
