"""Moves what makes the inputs of products hard to round into their weights, as far as that lessens the products' error.

How: channel j of an input is divided by s_j, and row j of every weight that it is multiplied with is multiplied by s_j, with
s_j = (largest magnitude of the input's channel) ** alpha / (largest magnitude of the weights' row) ** (1 - alpha). No alpha suits
all layers, and one of 0.5 for all made a sentence encoder worse than none (cosine 0.986 against 0.997): for each input every alpha
of a list, and leaving it as it is, is tried on a bounded sample of what flows there, and the one of least squared error is taken.
Source: Xiao et al., "SmoothQuant: Accurate and efficient post-training quantization for large language models", 2023.

Rules:
- factors are powers of two, so that dividing by them is exact;
- only inputs that are floats up to the product are looked at, and only weights that no other input meets;
- alphas are tried from none upwards, and of equals the first is taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from threadpoolctl import threadpool_limits

from compression_engine.data import Array
from compression_engine.formats.onnx_graph import Edits, Names
from compression_engine.methods.static_quantization.histogram import Histogram
from compression_engine.methods.static_quantization.net import Layer, Net
from compression_engine.methods.static_quantization.ranges import steps_of
from compression_engine.methods.static_quantization.weights import rounded_weight, weight_scale
from compression_engine.steps.observing import Watching

ALPHAS = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
_SAMPLE_BYTES = 64 * 1024**2
_ROWS_MOST, _ROWS_LEAST = 512, 32
_FLOAT_BYTES = 4
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ranging:
    """How the ranges of rounded tensors are chosen, and the bits of weights."""

    ranges: str
    percentile: int
    weight_bits: int = 8


class _Sample:
    """Evenly spaced rows [n, size] of a tensor, at most so many however many there are, and each channel's largest magnitude."""

    def __init__(self, most: int) -> None:
        self._most, self._stride, self._seen = most, 1, 0
        self._kept: list[NDArray[np.float32]] = []
        self.largest: _Floats | None = None

    def add(self, array: Array) -> None:
        rows = np.asarray(array.reshape(-1, array.shape[-1]), dtype=np.float32)
        if not len(rows):
            return
        found = np.abs(rows).max(axis=0).astype(np.float64)
        self.largest = found if self.largest is None else np.maximum(self.largest, found)
        first = -self._seen % self._stride
        self._kept += [row.copy() for row in rows[first :: self._stride]]
        self._seen += len(rows)
        while len(self._kept) > self._most:
            self._kept, self._stride = self._kept[::2], 2 * self._stride

    def rows(self) -> _Floats:
        return np.array(self._kept, dtype=np.float64)


def equalize(model: onnx.ModelProto, watching: Watching, layers: Sequence[Layer], ranging: Ranging) -> dict[str, float]:
    """Changes a model in place, where that lessens an error; the alpha of every weight that was changed, by its name."""
    net = Net(model)
    groups = _groups(net, layers)
    if not groups:
        return {}
    sizes = {source: net.constants[some[0].weight].dims[1 - some[0].axis] for source, some in groups.items()}
    most = _SAMPLE_BYTES // (_FLOAT_BYTES * sum(sizes.values()))
    samples = {source: _Sample(max(_ROWS_LEAST, min(_ROWS_MOST, most))) for source in groups}

    def see(name: str, array: Array) -> None:
        samples[name].add(array)

    watching.look(list(groups), see, "inputs of products")
    alphas: dict[str, float] = {}
    names, edits = Names(model), Edits()
    for number, (source, some) in enumerate(groups.items()):
        watching.progress("calibrate", number, len(groups), f"trying to equalise {source}")
        weights = [_inner_first(net, layer) for layer in some]
        with threadpool_limits(limits=1, user_api="blas"):
            alpha, factors = _best(samples[source], weights, ranging)
        if alpha is not None:
            _divide(model, net, source, some, factors, names, edits)
            alphas |= dict.fromkeys((layer.weight for layer in some), alpha)
    edits.make(model)
    return alphas


def factors_of(largest: _Floats, weights: Sequence[_Floats], alpha: float) -> _Floats:
    """What each channel of an input is divided by, [size], powers of two; weights are [size, columns]."""
    rows = np.max([np.abs(weight).max(axis=1) for weight in weights], axis=0)
    usable = (largest > 0) & (rows > 0)
    factors = np.ones(len(largest))
    factors[usable] = 2.0 ** np.rint(alpha * np.log2(largest[usable]) - (1 - alpha) * np.log2(rows[usable]))
    middle = 2.0 ** np.rint(np.median(np.log2(factors)))
    return np.asarray(np.clip(factors / middle, 2.0**-12, 2.0**12))


def _best(sample: _Sample, weights: Sequence[_Floats], ranging: Ranging) -> tuple[float | None, _Floats]:
    rows, largest = sample.rows(), sample.largest
    if largest is None:
        return None, np.ones(0)
    best: tuple[float, float | None, _Floats] = (_error(rows, weights, np.ones(len(largest)), ranging), None, largest)
    for alpha in ALPHAS:
        factors = factors_of(largest, weights, alpha)
        error = _error(rows, weights, factors, ranging)
        if error < best[0]:
            best = error, alpha, factors
    return best[1], best[2]


def _error(rows: _Floats, weights: Sequence[_Floats], factors: _Floats, ranging: Ranging) -> float:
    """The squared error of all products of these rows, when rows and weights are rounded."""
    divided, histogram = rows / factors, Histogram()
    histogram.add(divided)
    rounded = steps_of(histogram, ranging.ranges, ranging.percentile).rounded(divided)
    total = 0.0
    for weight in weights:
        raised = (weight * factors[:, None]).astype(np.float32)
        scale = weight_scale(raised, 1, None, 1.0, ranging.weight_bits)
        stored = rounded_weight(raised, 1, scale, ranging.weight_bits) * scale.astype(np.float64)
        total += float(((rounded @ stored - rows @ weight) ** 2).sum())
    return total


def _groups(net: Net, layers: Sequence[Layer]) -> dict[str, tuple[Layer, ...]]:
    """Products by their input, where it is floats up to there and their weights meet no other input."""
    entering = set(net.place(layers).entering)
    by_source: dict[str, list[Layer]] = defaultdict(list)
    for layer in layers:
        by_source[layer.source].append(layer)
    found = {}
    for source, some in by_source.items():
        own = all(len(net.readers[layer.weight]) == 1 for layer in some)
        if source in entering and own and all(layer.operator != "Conv" for layer in some):
            found[source] = tuple(some)
    return found


def _inner_first(net: Net, layer: Layer) -> _Floats:
    array = net.array(layer.weight).astype(np.float64)
    return array if layer.axis == 1 else array.T


def _divide(
    model: onnx.ModelProto, net: Net, source: str, layers: Sequence[Layer], factors: _Floats, names: Names, edits: Edits
) -> None:
    divided, inverse = names.new(source, "equalized"), names.new(source, "inverse_factors")
    model.graph.initializer.append(numpy_helper.from_array((1 / factors).astype(np.float32), inverse))
    division = helper.make_node("Mul", [source, inverse], [divided], name=f"{divided}_mul")
    order = {id(node): place for place, node in enumerate(model.graph.node)}
    nodes = sorted((net.makers[layer.output] for layer in layers), key=lambda node: order[id(node)])
    for place, node in enumerate(nodes):
        changed = onnx.NodeProto()
        changed.CopyFrom(node)
        changed.input[0] = divided
        edits.replace(node, [division, changed] if place == 0 else [changed])
    for layer in layers:
        shape = (-1, 1) if layer.axis == 1 else (1, -1)
        raised = (net.array(layer.weight).astype(np.float64) * factors.reshape(shape)).astype(np.float32)
        net.constants[layer.weight].CopyFrom(numpy_helper.from_array(raised, layer.weight))
