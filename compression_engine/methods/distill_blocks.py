"""Finds the layers of a model that can be taken out of it: by the structure of its graph, whatever its nodes are called.

How: a tensor through which everything behind another one must pass (a post-dominator of the flow of floats; what only asks for a
shape does not count) cuts the graph into segments that follow each other. A segment is known by its operators, their attributes,
how they hang together and the shapes of its weights. Layers are
- runs of segments that follow each other at least twice, as the layers of a transformer or the blocks of a residual stage do;
- else single segments of the form x + f(x).
Each begins and ends with a tensor of the same shape and has weights, so that whoever reads its end can read its beginning instead.
What comes in from the side (a mask, another tower) may be read by a layer; nothing inside a layer is read outside.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import onnx

from compression_engine.formats.onnx_graph import constants_of, elements, graphs_of

Shape = tuple[int, ...]
_NO_FLOW = ("Shape", "Size")
_ADDING = ("Add", "Sum")
_SINK = -1
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)


@dataclass(frozen=True)
class Block:
    """A layer that can be taken out: who reads `end` can read `begin` instead. `group` numbers runs of layers of one form."""

    begin: str
    end: str
    group: int
    nodes: tuple[str, ...]
    """First output of each node inside, in the order of the file."""
    weights: tuple[str, ...]


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
        self.reads = [_read_by(node) for node in self.nodes]
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
        return tensor is not None and tensor.data_type in _FLOATS and elements(tensor) > 1

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
        if tensor.data_type in _FLOATS:
            return f"weight {tensor.data_type} {list(tensor.dims)}"
        return f"constant {tensor.data_type} {list(tensor.dims)} {_digest_of(tensor)}"


@dataclass(frozen=True)
class _Run:
    """Layers of one form that follow each other."""

    layers: tuple[tuple[Segment, ...], ...]

    @property
    def worth(self) -> tuple[int, int]:
        """What the best of several runs has most of: weights; readers of what a layer begins with, for that is where a layer is
        cut rather than between a sum and its normalisation."""
        weights = sum(len(segment.weights) for layer in self.layers for segment in layer)
        return weights, self.layers[0][0].readers

    @property
    def nodes(self) -> set[int]:
        """The places of their nodes."""
        return {place for layer in self.layers for segment in layer for place in segment.nodes}


def find_blocks(model: onnx.ModelProto, shapes: Mapping[str, Shape], flow: Flow | None = None) -> list[Block]:
    """The layers of a model that can be taken out, in the order in which they follow each other.

    `shapes` are those of `Flow.boundaries` for one batch of rows; a boundary that is not among them is none.
    """
    flow = flow or Flow(model)
    rows = []
    for path in flow.paths:
        kept = [place for place in path if flow.only_output(place) in shapes]
        rows.append([flow.segment(first, last) for first, last in pairwise(kept)])
    found: list[_Run] = []
    taken: set[int] = set()
    for search in (_best_repeated, _best_alone):
        while (run := search(rows, shapes, taken)) is not None:
            found.append(run)
            taken |= run.nodes
    blocks = [(layer, group) for group, run in enumerate(found) for layer in run.layers]
    blocks.sort(key=lambda entry: entry[0][-1].nodes[-1])
    return [_block(flow, layer, group) for layer, group in blocks if layer[-1].end not in flow.outputs]


def remove_blocks(model: onnx.ModelProto, blocks: Sequence[Block]) -> None:
    """Takes layers out, in place, with everything that is read by nothing then. Names of what stays do not change."""
    instead = {block.end: block.begin for block in blocks}

    def kept(name: str) -> str:
        while name in instead:
            name = instead[name]
        return name

    graph = model.graph
    outputs = {value.name for value in graph.output}
    if outputs & set(instead):
        raise ValueError("an output of the model cannot be taken out")
    for inner in graphs_of(graph):
        for node in inner.node:
            for index, name in enumerate(node.input):
                if name in instead:
                    node.input[index] = kept(name)
    _drop_unread(graph)


def _drop_unread(graph: onnx.GraphProto) -> None:
    wanted = {value.name for value in graph.output}
    live: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if any(name in wanted for name in node.output):
            live.append(node)
            wanted.update(_read_by(node))
    copies = []
    for node in reversed(live):
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copies.append(copy)
    del graph.node[:]
    graph.node.extend(copies)
    for place in range(len(graph.initializer) - 1, -1, -1):
        if graph.initializer[place].name not in wanted:
            del graph.initializer[place]
    made = {name for node in graph.node for name in node.output}
    for place in range(len(graph.value_info) - 1, -1, -1):
        if graph.value_info[place].name not in made:
            del graph.value_info[place]


def _best_repeated(rows: Sequence[list[Segment]], shapes: Mapping[str, Shape], taken: set[int]) -> _Run | None:
    """The run of at least two equal layers that holds most weights, of such the one with the shortest layers."""
    best: _Run | None = None
    for row in rows:
        free = [not taken & set(segment.nodes) for segment in row]
        for period in range(1, len(row) // 2 + 1):
            start = 0
            while start + 2 * period <= len(row):
                layers = _layers(row, free, start, period, shapes)
                if len(layers) > 1:
                    run = _Run(tuple(layers))
                    if best is None or run.worth > best.worth:
                        best = run
                start += 1
    return best


def _layers(
    row: list[Segment], free: list[bool], start: int, period: int, shapes: Mapping[str, Shape]
) -> list[tuple[Segment, ...]]:
    """The layers of so many segments that follow each other from one on, as long as they are equal."""
    form = [segment.key for segment in row[start : start + period]]
    found: list[tuple[Segment, ...]] = []
    for at in range(start, len(row) - period + 1, period):
        layer = tuple(row[at : at + period])
        if [segment.key for segment in layer] != form or not all(free[at : at + period]) or not _can_go(layer, shapes):
            break
        found.append(layer)
    return found


def _best_alone(rows: Sequence[list[Segment]], shapes: Mapping[str, Shape], taken: set[int]) -> _Run | None:
    """The first segment of the form x + f(x) of which nothing is taken; those with most nodes first."""
    found = {
        (segment.begin, segment.end): segment
        for row in rows
        for segment in row
        if segment.residual and _can_go([segment], shapes) and not taken & set(segment.nodes)
    }
    best = min(found.values(), key=lambda segment: (-len(segment.nodes), segment.nodes), default=None)
    return None if best is None else _Run(((best,),))


def _can_go(segments: Sequence[Segment], shapes: Mapping[str, Shape]) -> bool:
    same = shapes[segments[0].begin] == shapes[segments[-1].end]
    return same and any(segment.weights for segment in segments)


def _block(flow: Flow, segments: Sequence[Segment], group: int) -> Block:
    nodes = tuple(flow.nodes[place].output[0] for segment in segments for place in segment.nodes)
    weights = dict.fromkeys(name for segment in segments for name in segment.weights)
    return Block(segments[0].begin, segments[-1].end, group, nodes, tuple(weights))


def _meeting(one: int, other: int, after: Mapping[int, int], order: Mapping[int, int]) -> int:
    """The first node that both pass."""
    while one != other:
        if order[one] >= order[other]:
            one = after[one]
        else:
            other = after[other]
    return one


def _read_by(node: onnx.NodeProto) -> list[str]:
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
