"""How numbers flow through the graph of a model, and the segments into which it is cut by tensors that everything passes.

A tensor through which everything behind another one must pass (a post-dominator of the flow; what only asks for a shape does not
count) ends a segment. A segment is known by its operators, their attributes, how they hang together and the shapes of its weights.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import onnx

from compression_engine.formats.onnx_graph import FLOATS, constants_of, elements, graphs_of

_NO_FLOW = ("Shape", "Size")
_ADDING = ("Add", "Sum")
_SINK = -1


@dataclass
class Segment:
    """What stands between two tensors through which everything passes."""

    begin: str
    end: str
    nodes: list[int]
    weights: list[str]
    key: str
    residual: bool
    readers: int
    """How many nodes read what it begins with."""


class Flow:
    """How floats flow through the main graph; a node is known by its place, an input of the model by one below that of the sink."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.nodes = list(graph.node)
        self.tensors = {tensor.name: tensor for tensor in graph.initializer} | dict(constants_of(graph))
        self.outputs = {value.name for value in graph.output}
        self.maker = {name: place for place, node in enumerate(self.nodes) for name in node.output if name}
        weights = {tensor.name for tensor in graph.initializer}
        self._given = [value.name for value in graph.input if value.name not in weights]
        self.reads = [read_by(node) for node in self.nodes]
        self.flows = self._flows()
        self.readers = self._readers()
        self.after = self._post_dominators()
        self._known: dict[tuple[int, int], Segment] = {}

    def boundaries(self) -> list[str]:
        """Tensors through which everything behind another one passes; candidates for where layers begin and end."""
        return list(dict.fromkeys(self.only_output(place) for path in self.paths for place in path))

    @cached_property
    def paths(self) -> list[list[int]]:
        """From every place where flow begins or forks: the nodes each of which is passed by all that the one before gives."""
        inner = set(self.after.values())
        found = []
        for place in sorted(set(self.after) - inner):
            path, here = [], place
            while here != _SINK:
                path.append(here)
                here = self.after[here]
            kept = [place for place in path if self.only_output(place)]
            if len(kept) > 1:
                found.append(kept)
        return found

    def segment(self, first: int, last: int) -> Segment:
        """What stands between the outputs of two nodes of a path."""
        if (first, last) not in self._known:
            self._known[first, last] = self._segment(first, last)
        return self._known[first, last]

    def _segment(self, first: int, last: int) -> Segment:
        begin, end = self.only_output(first), self.only_output(last)
        inside: set[int] = set()
        waiting = list(self.readers[begin])
        while waiting:
            place = waiting.pop()
            if place not in inside:
                inside.add(place)
                if place != last:
                    waiting += [reader for name in self.nodes[place].output for reader in self.readers[name]]
        nodes = sorted(inside)
        names = dict.fromkeys(name for place in nodes for name in self.reads[place] if self._is_weight(name))
        return Segment(
            begin,
            end,
            nodes,
            list(names),
            self._key(begin, end, inside),
            self._is_residual(begin, last),
            len(self.readers[begin]),
        )

    def only_output(self, place: int) -> str:
        """The output of a node that has one which is read; "" for the others."""
        if place < _SINK:
            return str(self._given[_SINK - 1 - place])
        used = [name for name in self.nodes[place].output if name and (self.readers[name] or name in self.outputs)]
        return used[0] if len(used) == 1 else ""

    def _flows(self) -> set[str]:
        """Names that depend on what the model is given, other than by its shape."""
        found = set(self._given)
        for node, read in zip(self.nodes, self.reads, strict=True):
            if node.op_type not in _NO_FLOW and any(name in found for name in read):
                found.update(name for name in node.output if name)
        return found

    def _readers(self) -> dict[str, list[int]]:
        """Which live nodes read a flowing tensor otherwise than for its shape."""
        live = self._live()
        found: dict[str, list[int]] = defaultdict(list)
        for place, node in enumerate(self.nodes):
            if place in live and node.op_type not in _NO_FLOW:
                for name in dict.fromkeys(self.reads[place]):
                    if name in self.flows:
                        found[name].append(place)
        return found

    def _live(self) -> set[int]:
        wanted, live = set(self.outputs), set()
        for place in range(len(self.nodes) - 1, -1, -1):
            if any(name in wanted for name in self.nodes[place].output):
                live.add(place)
                if self.nodes[place].op_type not in _NO_FLOW:
                    wanted.update(self.reads[place])
        return live

    def _post_dominators(self) -> dict[int, int]:
        """For each flowing node the next one that all of its flow passes; _SINK where there is none."""
        found: dict[int, int] = {}
        order: dict[int, int] = {_SINK: 0}
        given = [(_SINK - 1 - number, [name]) for number, name in enumerate(self._given)]
        made = [(place, list(node.output)) for place, node in enumerate(self.nodes)]
        for place, names in [*reversed(made), *given]:
            if not any(name in self.flows for name in names):
                continue
            ends = any(name in self.outputs for name in names)
            nexts = [reader for name in names for reader in self.readers[name] if reader in found]
            if not nexts and not ends:
                continue
            common = _SINK if ends else nexts[0]
            for reader in nexts[1:]:
                common = _meeting(common, reader, found, order)
            found[place] = common
            order[place] = order[common] + 1
        return found

    def _is_weight(self, name: str) -> bool:
        tensor = self.tensors.get(name)
        return tensor is not None and tensor.data_type in FLOATS and elements(tensor) > 1

    def _is_residual(self, begin: str, last: int) -> bool:
        return self.nodes[last].op_type in _ADDING and begin in self.reads[last]

    def _key(self, begin: str, end: str, inside: set[int]) -> str:
        """The form of a segment: equal for segments that differ only in names and in the numbers of their weights."""
        known = {begin: "begin"}
        for place in sorted(inside):
            node = self.nodes[place]
            told = [node.domain, node.op_type, *sorted(_attribute(entry) for entry in node.attribute)]
            told += [known.get(name) or self._from_outside(name) for name in node.input]
            digest = hashlib.sha256("\n".join(told).encode()).hexdigest()
            known |= {name: f"{digest}:{number}" for number, name in enumerate(node.output)}
        return known[end]

    def _from_outside(self, name: str) -> str:
        tensor = self.tensors.get(name)
        if tensor is None:
            return "side" if name else ""
        if tensor.data_type in FLOATS:
            return f"weight {tensor.data_type} {list(tensor.dims)}"
        return f"constant {tensor.data_type} {list(tensor.dims)} {_digest_of(tensor)}"


def _meeting(one: int, other: int, after: Mapping[int, int], order: Mapping[int, int]) -> int:
    """The first node that both pass."""
    while one != other:
        if order[one] >= order[other]:
            one = after[one]
        else:
            other = after[other]
    return one


def read_by(node: onnx.NodeProto) -> list[str]:
    """What a node reads, also from within its graphs."""
    found = [name for name in node.input if name]
    for attribute in node.attribute:
        graphs = [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else list(attribute.graphs)
        for graph in graphs:
            for inner in graphs_of(graph):
                found += [name for other in inner.node for name in other.input if name]
                found += [value.name for value in inner.output]
    return found


def _attribute(entry: onnx.AttributeProto) -> str:
    copy = onnx.AttributeProto()
    copy.CopyFrom(entry)
    copy.doc_string = ""
    return hashlib.sha256(copy.SerializeToString(deterministic=True)).hexdigest()


def _digest_of(tensor: onnx.TensorProto) -> str:
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    copy.name = copy.doc_string = ""
    return hashlib.sha256(copy.SerializeToString(deterministic=True)).hexdigest()
