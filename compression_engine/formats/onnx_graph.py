"""Small operations on ONNX graphs that the methods share: walking nested graphs, lifting constants, finding who uses a
tensor, making new names."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

STANDARD = ("", "ai.onnx")
"""How a node says that its operator is one of the standard: by an empty domain or its full name."""
PLAIN_FLOATS = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE})
"""The types of floats that numpy calculates with."""
FLOATS = PLAIN_FLOATS | {onnx.TensorProto.BFLOAT16}
_SMALL = 16
_BASE_MOST = 200  # characters; a name stands in a file many times


@dataclass(frozen=True)
class Use:
    """One place where a tensor is read: the node, which of its inputs, and the graph in which the node stands."""

    node: onnx.NodeProto
    index: int
    graph: onnx.GraphProto


def graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and all graphs inside its nodes (If, Loop, Scan), outermost first."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs_of(attribute.g)
            elif attribute.type == onnx.AttributeProto.GRAPHS:
                for inner in attribute.graphs:
                    yield from graphs_of(inner)


def lift_constants(graph: onnx.GraphProto, min_elements: int) -> int:
    """Turns large Constant nodes, lists of floats too, into initializers of their own graph, so that methods see them; how many."""
    lifted = 0
    for inner in graphs_of(graph):
        kept: list[onnx.NodeProto] = []
        for node in inner.node:
            value = _held_by(node)
            if value is None or elements(value) < min_elements:
                kept.append(node)
                continue
            tensor = inner.initializer.add()
            tensor.CopyFrom(value)
            tensor.name = node.output[0]
            lifted += 1
        if len(kept) != len(inner.node):
            replace_nodes(inner, kept)
    return lifted


def uses(graph: onnx.GraphProto) -> dict[str, list[Use]]:
    """Every place where a name is read, nested graphs included. Graphs beside each other may use one name for different tensors
    (`read_in` tells them apart); ONNX forbids to use it again inside."""
    found: dict[str, list[Use]] = defaultdict(list)
    for inner in graphs_of(graph):
        for node in inner.node:
            for index, name in enumerate(node.input):
                if name:
                    found[name].append(Use(node, index, inner))
    return found


def read_in(used: dict[str, list[Use]], graph: onnx.GraphProto, name: str) -> list[Use]:
    """Where a tensor of this graph is read: in it and in graphs inside it. `used` is what `uses` gave."""
    found = used.get(name, [])
    inside = {id(inner) for inner in graphs_of(graph)} if found else set()
    return [use for use in found if id(use.graph) in inside]


def constants_of(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """The tensors in Constant nodes of one graph, each with the name that its node gives it; they are not copied."""
    for node in graph.node:
        value = attribute(node, "value") if node.op_type == "Constant" else None
        if value is not None:
            yield node.output[0], value.t


def elements(tensor: onnx.TensorProto) -> int:
    """How many numbers a tensor has, by its shape."""
    return math.prod(tensor.dims)


def small_integers(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """The short lists of integers (axes, shapes, bounds) of a graph and those inside it, under the names they are read by."""
    for inner in graphs_of(graph):
        for tensor in inner.initializer:
            if tensor.data_type == onnx.TensorProto.INT64 and elements(tensor) <= _SMALL:
                yield tensor
        for name, value in constants_of(inner):
            if value.data_type == onnx.TensorProto.INT64 and elements(value) <= _SMALL:
                tensor = onnx.TensorProto()
                tensor.CopyFrom(value)
                tensor.name = name
                yield tensor


def attribute(node: onnx.NodeProto, name: str) -> onnx.AttributeProto | None:
    """The attribute of a node, or None."""
    return next((entry for entry in node.attribute if entry.name == name), None)


def integer(node: onnx.NodeProto, name: str, default: int) -> int:
    """An integer attribute of a node, or its default."""
    found = attribute(node, name)
    return default if found is None else int(found.i)


def replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Gives a graph a new list of nodes."""
    copies = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copies.append(copy)
    del graph.node[:]
    graph.node.extend(copies)


class Edits:
    """Changes to the nodes of a model, collected first and made once: what was found while walking stays valid until
    then, also inside nested graphs."""

    def __init__(self) -> None:
        self._first: dict[int, list[onnx.NodeProto]] = defaultdict(list)
        self._instead: dict[int, list[onnx.NodeProto]] = {}
        self._kept_alive: list[onnx.GraphProto | onnx.NodeProto] = []

    def put_first(self, graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
        """New nodes that depend on initializers only, before all others of a graph."""
        self._kept_alive.append(graph)
        self._first[id(graph)] += nodes

    def replace(self, node: onnx.NodeProto, nodes: list[onnx.NodeProto]) -> None:
        """New nodes in the place of one."""
        self._kept_alive.append(node)
        self._instead[id(node)] = nodes

    def make(self, model: onnx.ModelProto) -> None:
        """Makes all changes, innermost graphs first, since a changed node is copied with the graphs inside it."""
        for graph in reversed(list(graphs_of(model.graph))):
            nodes = list(self._first.get(id(graph), []))
            for node in graph.node:
                nodes += self._instead.get(id(node), [node])
            if len(nodes) != len(graph.node) or self._instead:
                replace_nodes(graph, nodes)


class Names:
    """Makes names that no tensor of the model has yet; the same model always gets the same names."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._taken: set[str] = set()
        for graph in graphs_of(model.graph):
            self._taken.update(tensor.name for tensor in graph.initializer)
            self._taken.update(value.name for value in graph.input)
            for node in graph.node:
                self._taken.update(node.output)

    def new(self, base: str, suffix: str) -> str:
        """`base_suffix`, or with a number behind it where that is taken; of a very long base only the beginning."""
        base = base_of(base)
        name = f"{base}_{suffix}"
        number = 1
        while name in self._taken:
            number += 1
            name = f"{base}_{suffix}_{number}"
        self._taken.add(name)
        return name


def base_of(name: str) -> str:
    """What of a tensor's name begins the names of those that are stored instead."""
    return name[:_BASE_MOST]


def _held_by(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """The tensor of a Constant; None for other nodes, and for Constants of other kinds."""
    if node.op_type != "Constant" or node.domain not in STANDARD:
        return None
    value, floats = attribute(node, "value"), attribute(node, "value_floats")
    if value is not None:
        return value.t
    if floats is None:
        return None
    return numpy_helper.from_array(np.array(floats.floats, dtype=np.float32))


def named_tensors(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Every tensor that a graph names, in the order of the model; those in Constant nodes under the name that these give."""
    found: dict[str, onnx.TensorProto] = {}
    for graph in graphs_of(model.graph):
        found |= {tensor.name: tensor for tensor in graph.initializer}
        found |= constants_of(graph)
    return found
