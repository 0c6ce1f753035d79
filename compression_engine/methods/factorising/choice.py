"""Which layers are factored and to which rank, so that the share is saved that the recipe asks for and least error is made.

Rules:
- a rank counts only where two factors are fewer numbers, and so fewer multiply-adds, than the matrix: rank (rows + columns) <
  rows columns; it is a multiple of `round_to`;
- with the scope `global` each layer takes what is least of its error and its cost at one price for all layers; the price is found
  by bisection (Lagrange's way to share a budget), and what is saved beyond the share is given back, to one layer after the other;
- with `layer` the same share of every layer is saved, as near as ranks allow;
- the error of a layer is the share of its own answers (or weights) that is lost, and counts alike in all layers: weighing it by how
  much the model's answers feel each layer alone was tried, and chose worse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from compression_engine.errors import RecipeError
from compression_engine.methods.factorising.factors import Matrix

_HALVINGS = 60
_LEVELS = 1000


@dataclass(frozen=True)
class Candidate:
    """A layer as the choice sees it. `price` is what one number of its matrix costs: 1, or how often it is multiplied with."""

    rows: int
    columns: int
    price: int
    errors: Matrix
    """By rank, from 0; the share that is lost."""

    def ranks(self, round_to: int) -> list[int]:
        """Those that pay, falling."""
        most = (self.rows * self.columns - 1) // (self.rows + self.columns)
        return list(range(min(most, len(self.errors) - 1) // round_to * round_to, 0, -round_to))

    def saved(self, rank: int | None) -> int:
        """What a rank saves; None: the matrix stays whole."""
        if rank is None:
            return 0
        return self.price * (self.rows * self.columns - rank * (self.rows + self.columns))

    def lost(self, rank: int | None) -> float:
        """The error that a rank makes."""
        return 0.0 if rank is None else float(self.errors[rank])


Ranks = list[int | None]


def choose(candidates: Sequence[Candidate], wanted: float, whole: int, *, by_layer: bool, round_to: int) -> Ranks:
    """A rank for each candidate, or None, that together save at least the share `wanted` of `whole`.

    Raises RecipeError (recipe_does_not_fit) where so much cannot be saved.
    """
    options: list[Ranks] = [[None, *one.ranks(round_to)] for one in candidates]
    most = sum(one.saved(ranks[-1]) for one, ranks in zip(candidates, options, strict=True)) / whole
    if most < wanted:
        message = f"At most {int(1000 * most)} per mille can be saved, the recipe asks for {round(1000 * wanted)}."
        raise RecipeError("recipe_does_not_fit", message, "Ask for a smaller share, or for a smaller round_to.")

    def share(ranks: Ranks) -> float:
        return sum(one.saved(rank) for one, rank in zip(candidates, ranks, strict=True)) / whole

    if by_layer:
        return _same_for_all(candidates, options, lambda ranks: share(ranks) >= wanted)
    found, gentler = _at_one_price(candidates, options, lambda ranks: share(ranks) >= wanted)
    return _given_back(candidates, options, found, gentler, lambda saved: saved / whole >= wanted)


def _same_for_all(candidates: Sequence[Candidate], options: list[Ranks], enough: Callable[[Ranks], bool]) -> Ranks:
    def at(level: int) -> Ranks:
        return [
            next(
                (rank for rank in ranks if one.saved(rank) >= one.price * one.rows * one.columns * level / _LEVELS),
                ranks[-1],
            )
            for one, ranks in zip(candidates, options, strict=True)
        ]

    low, high = 0, _LEVELS
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(at(middle)) else (middle + 1, high)
    return at(low)


def _at_one_price(
    candidates: Sequence[Candidate], options: list[Ranks], enough: Callable[[Ranks], bool]
) -> tuple[Ranks, Ranks]:
    """The ranks at the lowest price that saves enough, and those at the next lower one."""
    tables = [
        (np.array([one.lost(rank) for rank in ranks]), np.array([one.saved(rank) for rank in ranks], dtype=np.float64))
        for one, ranks in zip(candidates, options, strict=True)
    ]

    def at(price: float) -> Ranks:
        return [
            ranks[int(np.argmin(lost - price * saved))] for ranks, (lost, saved) in zip(options, tables, strict=True)
        ]

    largest = max(float(saved.max()) for _, saved in tables)
    low, high = 0.0, 1.0 / largest
    while not enough(at(high)):
        low, high = high, high * 4
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(at(middle)) else (middle, high)
    return at(high), at(low)


def _given_back(
    candidates: Sequence[Candidate],
    options: list[Ranks],
    ranks: Ranks,
    gentler: Ranks,
    enough: Callable[[int], bool],
) -> Ranks:
    """Layers take a higher rank where enough is saved all the same, those first that win most by a lower price.

    `enough` is asked about what all layers save together: of many thousands only one is counted anew each time.
    """
    ranks = list(ranks)
    total = sum(one.saved(rank) for one, rank in zip(candidates, ranks, strict=True))
    won = [one.lost(rank) - one.lost(other) for one, rank, other in zip(candidates, ranks, gentler, strict=True)]
    for place in sorted(range(len(ranks)), key=lambda place: -won[place]):
        one = candidates[place]
        others = total - one.saved(ranks[place])
        for rank in options[place]:
            if rank == ranks[place] or enough(others + one.saved(rank)):
                ranks[place], total = rank, others + one.saved(rank)
                break
    return ranks
