"""Which classes go: the least important ones, as many as save the share that the recipe asks for.

Rules:
- classes that live in the same axes of the same weights are a group; each keeps a least share of its classes, and at least one;
- what is left of a group is a multiple of `round_to` channels, since kernels are fastest on such numbers; it is rounded up;
- with the scope `global` those of the whole network go whose importance is least for the root of what they save. Importance grows
  as its group shrinks (by the group's whole over what it still holds, as LAMP weighs single numbers), so that no layer becomes a
  bottleneck; per channel, so that a head can be compared with a hidden unit; with `layer` the same share of every group;
- how much is saved is counted on the graph for each try, by bisection: multiply-adds of products, convolutions and
  cells, or numbers.
Tried, and worse: importance for all that is saved (it empties what many layers share), shares alone whatever is saved (it cuts
what is wide and cheap), and importance as a multiple of the group's mean (as Torch-Pruning does it).
Source: Lee et al., "Layer-adaptive sparsity for the magnitude-based pruning", ICLR 2021 (LAMP).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from compression_engine.errors import RecipeError
from compression_engine.formats.onnx_graph import FLOATS, integer
from compression_engine.methods.structured_pruning.axes import Atoms, Classes, Trace
from compression_engine.methods.structured_pruning.cut import Mask

Scores = NDArray[np.float64]
Place = tuple[str, int]
"""A weight and one of its axes."""
_LEVELS = 1000
_SAVED_LEAST = 1e-9
"""As a share of the whole, what a class counts as saving where it saves nothing of what is asked for."""


@dataclass(frozen=True)
class Group:
    """Classes that live in the same axes of the same weights; `channels` is how many indices of the first each of them has."""

    places: tuple[Place, ...]
    classes: NDArray[np.int64]
    channels: int


@dataclass(frozen=True)
class Limits:
    """How far a group may be pruned."""

    least_per_mille: int
    round_to: int

    def rounded(self, group: Group, wanted: int, begun: int) -> int:
        """How many classes of a group are kept where so many are wanted; `begun` is how many it had before anything went."""
        size = len(group.classes)
        least = max(1, -(-begun * self.least_per_mille // 1000))
        unit = self.round_to // math.gcd(self.round_to, group.channels)
        return min(size, -(-max(wanted, least) // unit) * unit)


class Costs:
    """What a graph costs, as a function of the classes that are kept."""

    def __init__(self, model: onnx.ModelProto, found: Trace, classes: Classes) -> None:
        self._number = classes.number
        self._axes: list[Atoms] = []
        self._index: dict[bytes, int] = {}
        self._products: list[tuple[int, ...]] = []
        self._numbers: list[tuple[int, ...]] = []
        for node in model.graph.node:
            self._products += [tuple(map(self._place, term)) for term in _factors(node, found)]
        for tensor in model.graph.initializer:
            if tensor.data_type in FLOATS:
                self._numbers.append(tuple(map(self._place, found.of(tensor.name))))

    def multiply_adds(self, kept: Mask) -> float:
        """Of products, convolutions and recurrent cells, for the rows that sizes were seen with."""
        return self._sum(self._products, kept)

    def numbers(self, kept: Mask) -> float:
        """How many numbers the float weights have."""
        return self._sum(self._numbers, kept)

    def _place(self, atoms: Atoms) -> int:
        numbers = self._number[atoms]
        key = numbers.tobytes()
        if key not in self._index:
            self._index[key] = len(self._axes)
            self._axes.append(numbers)
        return self._index[key]

    def _sum(self, terms: Sequence[tuple[int, ...]], kept: Mask) -> float:
        sizes = [int(np.count_nonzero(kept[numbers])) for numbers in self._axes]
        return float(sum(math.prod(sizes[place] for place in term) for term in terms))


def _factors(node: onnx.NodeProto, found: Trace) -> list[tuple[Atoms, ...]]:
    """The axes whose sizes multiply to the multiply-adds of a node."""
    if not node.output or any(name not in found.seen.shapes for name in (node.output[0], *node.input[:2])):
        return []
    if node.op_type in ("MatMul", "Gemm"):
        left = found.of(node.input[0])
        return [(*found.of(node.output[0]), left[0 if integer(node, "transA", 0) else -1])]
    if node.op_type == "Conv":
        return [(*found.of(node.output[0]), *found.of(node.input[1])[1:])]
    if node.op_type == "ConvTranspose":
        return [(*found.of(node.input[0]), *found.of(node.input[1])[1:])]
    if node.op_type in ("LSTM", "GRU", "RNN"):
        rows = found.of(node.input[0])[:2]
        return [(*rows, *found.of(name)) for name in node.input[1:3]]
    return []


def groups_of(model: onnx.ModelProto, found: Trace, classes: Classes) -> list[Group]:
    """All that can be pruned, in the order in which the weights have it."""
    places: dict[int, list[Place]] = defaultdict(list)
    counts: dict[int, int] = {}
    for tensor in model.graph.initializer:
        for axis, atoms in enumerate(found.of(tensor.name)):
            numbers, each = np.unique(classes.number[atoms], return_counts=True)
            for number, count in zip(numbers.tolist(), each.tolist(), strict=True):
                if number:
                    places[number].append((tensor.name, axis))
                    counts.setdefault(number, count)
    alike: dict[tuple[Place, ...], list[int]] = defaultdict(list)
    for number, own in places.items():
        alike[tuple(own)].append(number)
    return [
        Group(own, np.array(sorted(numbers), dtype=np.int64), counts[numbers[0]])
        for own, numbers in alike.items()
        if len(numbers) > 1
    ]


@dataclass(frozen=True)
class Wish:
    """What the recipe asks for."""

    share_per_mille: int
    of_numbers: bool
    by_layer: bool
    limits: Limits

    def cost(self, costs: Costs, kept: Mask) -> float:
        """Of what the share is."""
        return costs.numbers(kept) if self.of_numbers else costs.multiply_adds(kept)


@dataclass(frozen=True)
class Whole:
    """A network before anything was taken out of it: what it costs, and how many classes each group has."""

    cost: float
    sizes: Mapping[tuple[Place, ...], int]

    @classmethod
    def of(cls, groups: Sequence[Group], costs: Costs, wish: Wish, count: int) -> Whole:
        """As it is now."""
        sizes = {group.places: len(group.classes) for group in groups}
        return cls(wish.cost(costs, np.ones(count, dtype=bool)), sizes)


def choose(groups: Sequence[Group], scores: Scores, costs: Costs, wish: Wish, whole: Whole, count: int) -> Mask:
    """Which classes are kept, [count], so that the wish is met of what the network was before its first round.

    Raises RecipeError (recipe_does_not_fit) where so much cannot go.
    """
    order = np.concatenate([np.empty(0, dtype=np.int64), *(group.classes for group in groups)])
    order = order[np.argsort(_in_turn(groups, scores, lambda kept: wish.cost(costs, kept))[order], kind="stable")]
    begun = [whole.sizes.get(group.places, len(group.classes)) for group in groups]

    def kept_at(level: int) -> Mask:
        kept = np.ones(count, dtype=bool)
        gone = np.zeros(count, dtype=bool)
        if not wish.by_layer:
            gone[order[:level]] = True
        for group, least in zip(groups, begun, strict=True):
            size = len(group.classes)
            wanted = size - size * level // _LEVELS if wish.by_layer else size - int(gone[group.classes].sum())
            ranked = group.classes[np.argsort(scores[group.classes], kind="stable")]
            kept[ranked[: size - wish.limits.rounded(group, wanted, least)]] = False
        return kept

    def saved(level: int) -> float:
        return 1 - wish.cost(costs, kept_at(level)) / whole.cost

    low, high = 0, _LEVELS if wish.by_layer else len(order)
    target = wish.share_per_mille / 1000
    if saved(high) < target:
        raise _too_much(wish, int(1000 * saved(high)))
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if saved(middle) >= target else (middle + 1, high)
    return kept_at(low)


def _in_turn(groups: Sequence[Group], scores: Scores, cost: Callable[[Mask], float]) -> Scores:
    """[classes]: the lower, the sooner a class goes."""
    found, all_of_it = np.ones(len(scores)), np.ones(len(scores), dtype=bool)
    whole = cost(all_of_it)
    for group in groups:
        ranked = group.classes[np.argsort(scores[group.classes], kind="stable")]
        left = np.cumsum(scores[ranked][::-1])[::-1]
        grown = np.divide(scores[ranked] * left[0], left, out=np.zeros_like(left), where=left > 0)
        kept = all_of_it.copy()
        kept[ranked[0]] = False
        saved = max((whole - cost(kept)) / whole, _SAVED_LEAST)
        found[ranked] = grown / math.sqrt(saved * group.channels)
    return found


def _too_much(wish: Wish, most_per_mille: int) -> RecipeError:
    what = "numbers" if wish.of_numbers else "multiply-adds"
    message = (
        f"At most {most_per_mille} per mille of the {what} can be pruned, the recipe asks for {wish.share_per_mille}."
    )
    hint = "Ask for a smaller share, or for a smaller keep_at_least_per_mille or round_to."
    return RecipeError("recipe_does_not_fit", message, hint)
