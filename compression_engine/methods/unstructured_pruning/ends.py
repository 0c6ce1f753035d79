"""The first and the last layers of a graph: what reads a model's inputs, and what makes its answers.

Rules:
- a first layer is one that nothing but inputs, constants and nodes without weights come before; a last one has no layer behind it;
- layers are nodes that read a weight, also through nodes that only turn, cast or cut it;
- what is computed of a tensor's shape alone does not count as reading it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import onnx

from compression_engine.methods.weights import Weight

_OF_SHAPE = ("Shape", "Size")


def ends(main: onnx.GraphProto, weights: Sequence[Weight]) -> frozenset[str]:
    """The names of weights of the main graph that first or last layers read."""
    layers = _layers(main, weights)
    return _first(main, layers) | _last(main, layers)


def _layers(main: onnx.GraphProto, weights: Sequence[Weight]) -> dict[int, set[str]]:
    """The weights that nodes read which also read something that is not constant, by place of the node."""
    constant = {tensor.name for tensor in main.initializer}
    carried = {weight.tensor.name: {weight.tensor.name} for weight in weights if weight.graph is main}
    found: dict[int, set[str]] = {}
    for place, node in enumerate(main.node):
        named = set[str]().union(*(carried.get(name, set()) for name in node.input))
        if all(name in constant for name in node.input if name):
            constant |= set(node.output)
            carried |= {name: named for name in node.output if named}
        elif named:
            found[place] = named
    return found


def _first(main: onnx.GraphProto, layers: dict[int, set[str]]) -> frozenset[str]:
    constant = {tensor.name for tensor in main.initializer}
    fresh = {value.name for value in main.input} - constant
    found: set[str] = set()
    for place, node in enumerate(main.node):
        read = [name for name in node.input if name and name not in constant]
        if not read or node.op_type in _OF_SHAPE:
            constant |= set(node.output)
        elif all(name in fresh for name in read):
            if place in layers:
                found |= layers[place]
            else:
                fresh |= set(node.output)
    return frozenset(found)


def _last(main: onnx.GraphProto, layers: dict[int, set[str]]) -> frozenset[str]:
    readers: dict[str, list[int]] = defaultdict(list)
    for place, node in enumerate(main.node):
        for name in node.input:
            readers[name].append(place)
    answers = {value.name for value in main.output}
    late: set[int] = set()
    found: set[str] = set()
    for place in range(len(main.node) - 1, -1, -1):
        node = main.node[place]
        read_by = [reader for name in node.output for reader in readers.get(name, [])]
        reaches = bool(read_by) or not answers.isdisjoint(node.output)
        if reaches and all(reader in late for reader in read_by):
            if place in layers:
                found |= layers[place]
            else:
                late.add(place)
    return frozenset(found)
