"""Recipes that treat weights apart: an aggressive step for most of them, gentler ones, or none, for those that suffer most.

Rules:
- weights are ordered by what each costs alone, in answers moved for each byte it holds, on 64 rows: a fine figure, since few rows
  show no decision that moves;
- this only orders them: what several cost together is not what they cost one by one, so every recipe is measured anew as a whole;
- as many as needed are spared: 1, 2, 4, ..., then halving between what fails and what passes; afterwards the largest are taken back
  in while the promise is kept;
- of more than 128 weights the largest are ordered, and the others are spared first: they hold little.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx

from compression_engine.canonical import JSON, decimal_text
from compression_engine.formats.onnx_graph import attribute, graphs_of
from compression_engine.recipe import Step
from compression_engine.searching.candidates import cheaper, without
from compression_engine.searching.rows import CHOICE, ordering_rows
from compression_engine.searching.trials import Trial, Workshop

_PROBED_MOST = 128
_TAKEN_BACK_MOST = 6
_DIGITS = 9


@dataclass
class Allowance:
    """How much a search may try: recipes measured in full, and seconds."""

    trials: int
    seconds: float | None
    begun: float = field(default_factory=time.monotonic)
    stopped_by: str | None = None

    def left(self, shop: Workshop) -> bool:
        """Whether another recipe may be tried; else what stopped it is noted."""
        if len(shop.tried) >= self.trials:
            self.stopped_by = "trials"
        elif self.seconds is not None and time.monotonic() - self.begun > self.seconds:
            self.stopped_by = "minutes"
        return self.stopped_by is None


@dataclass(frozen=True)
class Ladder:
    """Steps from aggressive to gentle that together keep the promise, each with the weights that it leaves to the next."""

    rungs: tuple[tuple[Step, frozenset[str]], ...] = ()

    def above(self, step: Step, spared: frozenset[str]) -> Ladder:
        """The same with a more aggressive step before them, which leaves `spared` to them."""
        found, left = [(step, spared)], spared
        for rung, leaves in self.rungs:
            if left - leaves:
                found.append((rung, leaves & left))
                left &= leaves
        return Ladder(tuple(found))

    def steps(self) -> list[Step]:
        """What a recipe holds."""
        return [without(step, leaves) for step, leaves in self.rungs]


@dataclass(frozen=True)
class Cost:
    """What compressing one weight alone does to the answers."""

    name: str
    size_bytes: int
    distortion: float

    @property
    def by_byte(self) -> float:
        """What it costs for each byte that it holds."""
        return self.distortion / max(1, self.size_bytes)

    def document(self) -> dict[str, JSON]:
        """As a record holds it; a distortion that is no number is null."""
        told = None if not np.isfinite(self.distortion) else decimal_text(round(self.distortion, _DIGITS))
        return {"distortion": told, "name": self.name, "size_bytes": self.size_bytes}


def costs(shop: Workshop, name: str, trial: Trial, allowance: Allowance) -> list[Cost]:
    """Each weight that a whole-model recipe stored, the costliest by byte first; by the form of it that takes less time."""
    step, names = trial.recipe.steps[0], list(trial.changed[0])
    sizes = _sizes(shop)
    names.sort(key=lambda entry: (-sizes.get(entry, 0), entry))
    probed, unprobed = names[:_PROBED_MOST], names[_PROBED_MOST:]
    indices = ordering_rows(shop.rows[CHOICE], shop.plan)
    original, everything = shop.original(indices), frozenset(names)
    found = []
    for done, weight in enumerate(probed):
        if not allowance.left(shop):
            break
        shop.progress("order", done, len(probed), f"what {weight} costs")
        recipe = shop.recipe(name, [without(cheaper(step), everything - {weight})])
        found.append(Cost(weight, sizes.get(weight, 0), shop.distortion(recipe, indices, original)))
    shop.progress("order", len(probed), len(probed), f"{len(found)} weights ordered")
    small = [Cost(weight, sizes.get(weight, 0), float("inf")) for weight in unprobed]
    return small + sorted(found, key=lambda entry: (-entry.by_byte, entry.name))


def mix(
    shop: Workshop, name: str, step: Step, gentle: Ladder, order: Sequence[Cost], allowance: Allowance
) -> Ladder | None:
    """Tries to spare the costliest weights, more and more of them, and returns the least that keeps the promise, if any does.

    What is spared is left to `gentle`; every trial is measured in full.
    """
    names = [entry.name for entry in order]

    def tried(spared: frozenset[str]) -> bool:
        trial = shop.attempt(shop.recipe(name, gentle.above(step, spared).steps()))
        words = "kept" if trial.passes else "broken"
        shop.progress("try", len(shop.tried), allowance.trials, f"{len(spared)} weights spared: the promise is {words}")
        return trial.passes

    fails, passes, count = 0, None, 1
    while passes is None and fails < len(names) - 1 and allowance.left(shop):
        fails, passes = (fails, count) if tried(frozenset(names[:count])) else (count, None)
        count = min(2 * count, len(names) - 1)
    while passes is not None and passes - fails > 1 and allowance.left(shop):
        middle = (fails + passes) // 2
        fails, passes = (fails, middle) if tried(frozenset(names[:middle])) else (middle, passes)
    if passes is None:
        return None
    spared = frozenset(names[:passes])
    sizes = {entry.name: entry.size_bytes for entry in order}
    largest = sorted(spared, key=lambda entry: (-sizes[entry], entry))[:_TAKEN_BACK_MOST]
    for weight in largest if len(spared) > 1 else ():
        if allowance.left(shop) and tried(spared - {weight}):
            spared -= {weight}
    return gentle.above(step, spared)


def _sizes(shop: Workshop) -> dict[str, int]:
    found: dict[str, int] = {}
    for graph in graphs_of(shop.loaded.model.graph):
        for tensor in graph.initializer:
            found[tensor.name] = _bytes(tensor)
        for node in graph.node:
            value = attribute(node, "value") if node.op_type == "Constant" else None
            if value is not None:
                found[node.output[0]] = _bytes(value.t)
    return found


def _bytes(tensor: onnx.TensorProto) -> int:
    itemsize: int = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return itemsize * int(np.prod(tensor.dims, dtype=np.int64))
