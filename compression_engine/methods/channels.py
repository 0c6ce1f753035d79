"""Which axes of a weight are output channels to those who read it: followed from the weight through nodes that only move, cut,
repeat or scale its numbers, up to the operator that multiplies or looks up.

Rules:
- of recurrent cells every row of every gate is a channel, in input and recurrent weights alike; of Einsum each letter left;
- a node that computes with the weight entry by entry is passed where all else that it reads is constant;
- where Reshape joins or cuts axes, an axis is a channel as soon as a part of it is one: a scale too many is never wrong;
- operators of other domains are not looked into: the reason names them with their domain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx
from onnx import numpy_helper

from compression_engine.formats.onnx_graph import (
    STANDARD,
    Use,
    attribute,
    graphs_of,
    integer,
    read_in,
    small_integers,
    uses,
)

RECURRENT = ("LSTM", "GRU", "RNN")
_RECURRENT_RANK = 3  # of the weights of cells: directions, gates, inputs
_PASSED_MOST = 8
_KEEPING_SIZES = ("Identity", "Cast")
_KEEPING_AXES = ("Slice", "Concat", "Split", "Pad")
"""Operators behind which a tensor's axes are what they were, though parts of it may be gone or stand elsewhere."""
_ENTRY_BY_ENTRY = ("Mul", "Div", "Add", "Sub", "Neg", "Where")
Sizes = tuple[int | None, ...]
"""Of a tensor on the way; None where it is not known."""
Axes = frozenset[int]
Order = list[Axes]
"""For each axis behind a node, the axes that it was before; none for a new one."""


class Readers:
    """Who reads what in a graph and the graphs inside it, and which axes of a tensor are channels to its readers."""

    def __init__(self, main: onnx.GraphProto) -> None:
        self._used = uses(main)
        self._outputs = {value.name for graph in graphs_of(main) for value in graph.output}
        self._integers = {
            tensor.name: numpy_helper.to_array(tensor).reshape(-1).tolist() for tensor in small_integers(main)
        }
        self._constant = _constants(main)

    def of(self, graph: onnx.GraphProto, name: str) -> list[Use]:
        """Where a tensor of this graph is read."""
        return read_in(self._used, graph, name)

    def channels(self, tensor: onnx.TensorProto, replaceable: set[str], reading: list[Use]) -> tuple[str, Axes | None]:
        """The channel axes of a weight, or why it has none; `reading` is where it is read."""
        if len(tensor.dims) < 2:
            return "it has one dimension", None
        if tensor.name in replaceable:
            return "the caller may replace it", None
        if tensor.name in self._outputs:
            return "it is an output of the model", None
        for use in reading:
            axes = self._channel_axes(use, tuple(tensor.dims), 0)
            if axes is None:
                continue
            if math.prod(size for axis, size in enumerate(tensor.dims) if axis not in axes) == 1:
                return "each of its numbers would need a scale of its own", None
            return "", axes
        names = sorted({told(use.node) for use in reading})
        return f"it is read by {', '.join(names) or 'nothing'} only", None

    def _channel_axes(self, use: Use, sizes: Sizes, depth: int) -> Axes | None:
        node, index, rank = use.node, use.index, len(sizes)
        if node.domain not in STANDARD:
            return None
        if node.op_type == "MatMul" and rank > 1:
            return frozenset(range(rank)) - {rank - 2 if index == 1 else rank - 1}
        if node.op_type == "Gemm" and index in (0, 1):
            transposed = integer(node, "transB" if index == 1 else "transA", 0)
            return frozenset({1 - transposed if index == 1 else transposed})
        if node.op_type in ("Conv", "ConvTranspose") and index == 1:
            return frozenset({0 if node.op_type == "Conv" else 1})
        if node.op_type == "Gather" and index == 0 and rank:
            return frozenset({integer(node, "axis", 0) % rank})
        if node.op_type in RECURRENT and index in (1, 2) and rank == _RECURRENT_RANK:
            return frozenset({0, 1})
        if node.op_type == "Einsum":
            return _letters_left(node, index, rank)
        if depth >= _PASSED_MOST:
            return None
        moved = self._moved(use, sizes)
        return None if moved is None else self._through(node, *moved, depth)

    def _through(self, node: onnx.NodeProto, order: Order, sizes: Sizes, depth: int) -> Axes | None:
        for use in (use for output in node.output for use in self._used.get(output, [])):
            axes = self._channel_axes(use, sizes, depth + 1)
            if axes is not None:
                return frozenset[int]().union(*(order[axis] for axis in axes))
        return None

    def _moved(self, use: Use, sizes: Sizes) -> tuple[Order, Sizes] | None:
        """Axes and sizes behind a node that does not mix numbers; None for other nodes."""
        node, rank = use.node, len(sizes)
        same: Order = [frozenset({axis}) for axis in range(rank)]
        if node.op_type in _KEEPING_SIZES:
            return same, sizes
        if node.op_type in _KEEPING_AXES and (use.index == 0 or node.op_type == "Concat"):
            return same, (None,) * rank
        if node.op_type == "Transpose":
            given = attribute(node, "perm")
            turned = [*(given.ints if given is not None else range(rank)[::-1])]
            return [same[axis] for axis in turned], tuple(sizes[axis] for axis in turned)
        if node.op_type in _ENTRY_BY_ENTRY:
            return self._entry_by_entry(use, same, sizes)
        if use.index != 0:
            return None
        if node.op_type in ("Squeeze", "Unsqueeze"):
            return self._fewer_or_more(node, same, sizes)
        if node.op_type == "Reshape":
            return self._reshaped(node, sizes)
        if node.op_type == "Expand" and node.input[1] in self._integers:
            wanted = self._integers[node.input[1]]
            more = max(0, len(wanted) - rank)
            return [frozenset[int]()] * more + same, (None,) * (more + rank)
        return None

    def _entry_by_entry(self, use: Use, same: Order, sizes: Sizes) -> tuple[Order, Sizes] | None:
        """What is computed with constants alone keeps its axes, unless a constant has more of them."""
        others = [name for index, name in enumerate(use.node.input) if index != use.index]
        shapes = [self._constant.get(name) for name in others]
        if any(shape is None or len(shape) > len(sizes) for shape in shapes):
            return None
        if use.node.op_type == "Where" and use.index == 0:
            return None
        return same, (None,) * len(sizes) if others else sizes

    def _fewer_or_more(self, node: onnx.NodeProto, same: Order, sizes: Sizes) -> tuple[Order, Sizes] | None:
        if len(node.input) < 2 or node.input[1] not in self._integers:
            return None
        axes, rank = self._integers[node.input[1]], len(sizes)
        if node.op_type == "Squeeze":
            kept = [axis for axis in range(rank) if axis not in {axis % rank for axis in axes}]
            return [same[axis] for axis in kept], tuple(sizes[axis] for axis in kept)
        added = {axis % (rank + len(axes)) for axis in axes}
        before = iter(range(rank))
        places = [None if axis in added else next(before) for axis in range(rank + len(axes))]
        return (
            [frozenset() if place is None else same[place] for place in places],
            tuple(1 if place is None else sizes[place] for place in places),
        )

    def _reshaped(self, node: onnx.NodeProto, sizes: Sizes) -> tuple[Order, Sizes] | None:
        """Axes before and behind, joined into the shortest runs of the same number of entries."""
        wanted = self._integers.get(node.input[1]) if len(node.input) > 1 else None
        if wanted is None or None in sizes:
            return None
        before = [size for size in sizes if size is not None]
        after = [before[axis] if size == 0 and axis < len(before) else size for axis, size in enumerate(wanted)]
        if after.count(-1) == 1:
            rest = math.prod(size for size in after if size != -1)
            after[after.index(-1)] = math.prod(before) // rest if rest else 0
        if math.prod(before) != math.prod(after) or min((*before, *after), default=0) < 1:
            return None
        order: Order = []
        for ours, count in _runs(before, after):
            order += [frozenset(ours)] * count
        return order, tuple(after)


def _runs(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], int]]:
    """Pairs of axes before and how many axes behind, each with the same number of entries."""
    found: list[tuple[list[int], int]] = []
    left, right = 0, 0
    while left < len(before) or right < len(after):
        ours: list[int] = []
        count, entries_ours, entries_theirs = 0, 1, 1
        while not ours or not count or entries_ours != entries_theirs:
            if left < len(before) and (not ours or entries_ours < entries_theirs or right >= len(after)):
                ours.append(left)
                entries_ours *= before[left]
                left += 1
            elif right < len(after):
                entries_theirs *= after[right]
                count += 1
                right += 1
            else:
                break  # only axes of one entry are left on one side
        found.append((ours, count))
    return found


def _letters_left(node: onnx.NodeProto, index: int, rank: int) -> Axes | None:
    """The axes of a term of Einsum that are in the answer too; None where the equation has dots or a letter twice in a term."""
    given = attribute(node, "equation")
    equation = "" if given is None else given.s.decode("utf-8", "replace").replace(" ", "")
    terms, arrow, answer = equation.partition("->")
    parts = terms.split(",")
    if "." in equation or index >= len(parts):
        return None
    if not arrow:
        answer = "".join(letter for letter in terms if terms.count(letter) == 1)
    term = parts[index]
    if len(term) != rank or len(set(term)) != rank:
        return None
    return frozenset(axis for axis, letter in enumerate(term) if letter in answer)


def _constants(main: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """Tensors that are the same at every call, with their shapes."""
    found: dict[str, tuple[int, ...]] = {}
    for graph in graphs_of(main):
        replaceable = {value.name for value in graph.input}
        found |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer if tensor.name not in replaceable}
        for node in graph.node:
            value = attribute(node, "value") if node.op_type == "Constant" else None
            if value is not None:
                found[node.output[0]] = tuple(value.t.dims)
    return found


def told(node: onnx.NodeProto) -> str:
    """How a node's operator is named to a person: with its domain, where that is not the standard's."""
    return node.op_type if node.domain in STANDARD else f"{node.domain}::{node.op_type}"
