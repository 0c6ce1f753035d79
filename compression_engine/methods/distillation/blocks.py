"""Finds the layers of a model that can be taken out of it: by the structure of its graph, whatever its nodes are called.

How: a tensor through which everything behind another one must pass (a post-dominator of the flow of floats; what only asks for a
shape does not count) cuts the graph into segments that follow each other. A segment is known by its operators, their attributes,
how they hang together and the shapes of its weights. Layers are
- runs of segments that follow each other at least twice, as the layers of a transformer or the blocks of a residual stage do;
- else single segments of the form x + f(x).
Each begins and ends with a tensor of the same shape and has weights, so that whoever reads its end can read its beginning instead.
What comes in from the side (a mask, another tower) may be read by a layer; a layer of which something inside is read outside, be it
for its shape alone, is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import onnx

from compression_engine.formats.onnx_graph import graphs_of
from compression_engine.methods.distillation.flow import Flow, Segment, read_by

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """A layer that can be taken out: who reads `end` can read `begin` instead. `group` numbers runs of layers of one form."""

    begin: str
    end: str
    group: int
    nodes: tuple[str, ...]
    """First output of each node inside, in the order of the file."""
    weights: tuple[str, ...]


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
    return [_block(flow, layer, group) for layer, group in blocks if _goes(flow, layer)]


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
            wanted.update(read_by(node))
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


def _goes(flow: Flow, layer: Sequence[Segment]) -> bool:
    """Whether nothing of a layer is read any more once what reads its end reads its beginning, not even for a shape."""
    begin, end = layer[0].begin, layer[-1].end
    if end in flow.outputs:
        return False
    wanted = set(flow.outputs)
    inside = {place for segment in layer for place in segment.nodes}
    for place in range(len(flow.nodes) - 1, -1, -1):
        if any(name in wanted for name in flow.nodes[place].output):
            if place in inside:
                return False
            wanted.update(begin if name == end else name for name in flow.reads[place])
    return True


def _block(flow: Flow, segments: Sequence[Segment], group: int) -> Block:
    nodes = tuple(flow.nodes[place].output[0] for segment in segments for place in segment.nodes)
    weights = dict.fromkeys(name for segment in segments for name in segment.weights)
    return Block(segments[0].begin, segments[-1].end, group, nodes, tuple(weights))
