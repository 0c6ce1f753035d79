"""Which channels, heads and hidden units of a network fall together: every index of every axis belongs to one class.

How: each axis of each tensor holds, for every index, the number of an atom. Weights begin with atoms of their own; operators hand
atoms on, join, repeat and tie them (`rules`, `moving`). Ties make classes: the connected parts.
A class goes as a whole or not at all, in every tensor, and the graph stays one that runs.

Rules:
- atom 0 stays: what the caller gives or gets, batches, positions, and all that an operator needs which is not understood;
- whoever ties a class to what stays is remembered, so that a report can say why a weight was left;
- where an axis is cut in two (heads and their size) one of them holds the classes; which, is chosen by what can be pruned then.
Source of the idea of groups: Fang et al., "DepGraph: Towards Any Structural Pruning", 2023; there groups are found on modules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray

from compression_engine.formats.onnx_graph import FLOATS, STANDARD, graphs_of
from compression_engine.methods.structured_pruning.shapes import Seen, Shape, Values

STAYS = 0
Atoms = NDArray[np.int64]
Axes = tuple[Atoms, ...]
Rule = Callable[[onnx.NodeProto, "Trace"], Sequence[Axes]]
Pattern = tuple[int, ...]
"""The sizes into which a Reshape cuts an axis."""


def staying(size: int) -> Atoms:
    """An axis of which nothing can go."""
    return np.zeros(size, dtype=np.int64)


class NotUnderstood(Exception):
    """A rule meets a form of its operator that it does not know; everything that the node touches stays."""


@dataclass(frozen=True)
class Options:
    """What the recipe says about which axes may be pruned."""

    heads: str = "whole"
    width: bool = False
    spared: frozenset[str] = frozenset()


@dataclass
class Trace:
    """The atoms of every tensor of a main graph, filled by the rules in the order of its nodes."""

    seen: Seen
    options: Options
    chosen: Mapping[Pattern, int]
    axes: dict[str, Axes] = field(default_factory=dict)
    cuts: dict[Pattern, list[int]] = field(default_factory=dict)
    """The patterns that were met, each with the axes that could hold the classes."""
    ties: list[tuple[Atoms, Atoms]] = field(default_factory=list)
    kept: list[tuple[Atoms, str]] = field(default_factory=list)
    """Atoms that stay, each with the reason."""
    count: int = 1
    makers: dict[str, onnx.NodeProto] = field(default_factory=dict)
    """The tensors that nodes give, each with its node."""

    def shape(self, name: str) -> Shape:
        """The sizes of a tensor; NotUnderstood where it is no tensor."""
        if name not in self.seen.shapes:
            raise NotUnderstood
        return self.seen.shapes[name]

    def values(self, name: str) -> Values:
        """The numbers in a list of integers; NotUnderstood where they are not known or not the same for all inputs."""
        if not self.is_fixed(name):
            raise NotUnderstood
        return self.seen.values[name]

    def is_fixed(self, name: str) -> bool:
        """Whether a list of integers is known, and the same for all inputs."""
        known = self.seen.values.get(name)
        return known is not None and all(self.seen.is_fixed_value(name, place) for place in range(known.size))

    def of(self, name: str) -> Axes:
        """The atoms of a tensor's axes."""
        return self.axes[name] if name in self.axes else tuple(staying(size) for size in self.shape(name))

    def fresh(self, size: int) -> Atoms:
        """New atoms for an axis; one of size 1 stays, since others are repeated along it."""
        if size <= 1:
            return staying(size)
        self.count += size
        return np.arange(self.count - size, self.count, dtype=np.int64)

    def tie(self, one: Atoms, other: Atoms, why: str) -> None:
        """Index by index, what goes in one axis goes in the other."""
        if len(one) != len(other):
            raise NotUnderstood
        free = (one != STAYS) & (other != STAYS)
        if free.any():
            self.ties.append((one[free], other[free]))
        for half, against in ((one, other), (other, one)):
            bound = (half != STAYS) & (against == STAYS)
            if bound.any():
                self.kept.append((half[bound], why))

    def keep(self, atoms: Atoms, why: str) -> None:
        """These stay."""
        if (atoms != STAYS).any():
            self.kept.append((np.unique(atoms[atoms != STAYS]), why))

    def join(self, atoms: Atoms, numbers: NDArray[np.int64], size: int, why: str) -> Atoms:
        """One atom for each number from 0 to `size` - 1: those with the same number become one class."""
        made = staying(size)
        made[numbers[::-1]] = atoms[::-1]
        self.tie(atoms, made[numbers], why)
        return made


@dataclass(frozen=True)
class Classes:
    """The classes of a traced graph: [atoms] -> number of the class, 0 of all that stays."""

    axes: Mapping[str, Axes]
    number: NDArray[np.int64]
    count: int
    why: Mapping[int, str]
    """Why atoms stay, by their class before it was told that it stays."""
    loose: NDArray[np.int64]
    """[atoms] -> class without what stays being one of them."""

    def of(self, name: str) -> Axes:
        """The class of each index of each axis of a tensor."""
        return tuple(self.number[atoms] for atoms in self.axes[name])

    def reason(self, atoms: Atoms) -> str | None:
        """Why the first atom of an axis that stays does so; None where nothing was noted."""
        return next((self.why[int(one)] for one in np.unique(self.loose[atoms]) if int(one) in self.why), None)


def trace(
    model: onnx.ModelProto, seen: Seen, rules: Mapping[str, Rule], options: Options, chosen: Mapping[Pattern, int]
) -> Trace:
    """Follows atoms through the main graph, whose constants are initializers."""
    found, inner = Trace(seen, options, chosen), _read_inside(model.graph)
    given = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        free = tensor.data_type in FLOATS and tensor.name not in given
        made = tuple(found.fresh(size) if free else staying(size) for size in tensor.dims)
        found.axes[tensor.name] = made
        if tensor.name in options.spared:
            _keep_all(found, tensor.name, "the recipe leaves it out")
    for node in model.graph.node:
        _follow(node, found, rules)
        found.makers.update((name, node) for name in node.output if name)
        for name in node.output:
            if name in inner:
                _keep_all(found, name, f"{name!r} is read inside of a branch or loop")
    for name in inner:
        if name in found.axes:
            _keep_all(found, name, f"{name!r} is read inside of a branch or loop")
    for value in model.graph.output:
        if value.name in found.axes:
            _keep_all(found, value.name, f"{value.name!r} is an output of the model")
    return found


def classes_of(found: Trace) -> Classes:
    """The connected parts of what was tied."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    one = np.concatenate([staying(0), *(tie[0] for tie in found.ties)])
    other = np.concatenate([staying(0), *(tie[1] for tie in found.ties)])
    kept = np.concatenate([staying(0), *(atoms for atoms, _ in found.kept), _unused(found, one, other)])

    def parts(left: Atoms, right: Atoms) -> NDArray[np.int64]:
        ones = np.ones(len(left), dtype=np.int8)
        size = (found.count, found.count)
        labels = connected_components(coo_array((ones, (left, right)), shape=size), directed=False)[1]
        return np.asarray(labels, dtype=np.int64)

    loose = parts(one, other)
    bound = parts(np.concatenate([one, kept]), np.concatenate([other, np.zeros_like(kept)]))
    names, numbers = np.unique(bound, return_inverse=True)
    stays = int(numbers[STAYS])
    order = np.where(numbers == stays, 0, numbers + (numbers < stays))
    why: dict[int, str] = {}
    for atoms, reason in found.kept:
        for part in np.unique(loose[atoms]):
            why.setdefault(int(part), reason)
    return Classes(found.axes, order, len(names), why, loose)


def _unused(found: Trace, one: Atoms, other: Atoms) -> Atoms:
    """Atoms of constants that no rule took up: an operator reads them in a way of its own."""
    used = np.zeros(found.count, dtype=bool)
    for atoms in (one, other, *(atoms for name in found.makers for atoms in found.axes.get(name, ()))):
        used[atoms] = True
    return np.flatnonzero(~used).astype(np.int64)


def named(node: onnx.NodeProto) -> str:
    """A node as a report names it."""
    return f"{node.op_type} {node.name or (node.output[0] if node.output else '')!r}"


def _follow(node: onnx.NodeProto, found: Trace, rules: Mapping[str, Rule]) -> None:
    rule = rules.get(node.op_type) if node.domain in STANDARD else None
    before = len(found.ties), len(found.kept)
    try:
        if rule is None:
            raise NotUnderstood
        made = rule(node, found)
        for name, axes in zip(node.output, made, strict=False):
            if name and tuple(len(atoms) for atoms in axes) != found.shape(name):
                raise NotUnderstood
    except NotUnderstood:
        del found.ties[before[0] :], found.kept[before[1] :]
        for name in node.input:
            _keep_all(found, name, f"{named(node)} is not pruned through")
        made = ()
    for name, axes in zip(node.output, made, strict=False):
        found.axes[name] = axes
        for atoms in axes:
            # a single one that went would leave an axis of none, such as queries, keys and values side by side
            if len(atoms) == 1:
                found.keep(atoms, f"{named(node)} gives one of it alone")
    for name in node.output[len(made) :]:
        if name in found.seen.shapes:
            found.axes[name] = found.of(name)


def _keep_all(found: Trace, name: str, why: str) -> None:
    for atoms in found.axes.get(name, ()):
        found.keep(atoms, why)


def _read_inside(graph: onnx.GraphProto) -> set[str]:
    """Names that graphs inside of nodes read or give."""
    inside = [inner for inner in graphs_of(graph) if inner is not graph]
    read = {name for inner in inside for node in inner.node for name in node.input if name}
    return read | {value.name for inner in inside for value in inner.output}
