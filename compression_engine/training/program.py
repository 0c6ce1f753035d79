"""A compiled graph: steps that read and write numbered places, each place emptied after its last use.

Rules:
- attributes were read and lists of axes made before; a pass is one loop over closures;
- one table of places serves the main graph and the graphs inside of its nodes;
- before every node it is asked whether the time of the pass is over (see `pass_limits`);
- place 0 stands for an input that is left out, place 1 takes outputs that nobody wants.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from compression_engine.errors import EngineError
from compression_engine.training.operators.node import Node, Operation
from compression_engine.training.pass_limits import is_out_of_memory, out_of_memory, pass_watch

ABSENT, UNWANTED = 0, 1
FIRST_FREE = 2

Places = list[Any]
Change = Callable[[Tensor], Tensor]
_Call = Callable[[Places], None]
_FAILURES = (RuntimeError, ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError, MemoryError)


@dataclass
class Step:
    """One node: its operation, the places that it reads and writes, and the graphs inside of it."""

    node: Node
    operation: Operation
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    blocks: tuple[Block, ...] = ()

    def reads(self) -> set[int]:
        """All places that it reads, those of graphs inside of it included."""
        return {*self.inputs}.union(*(block.reads() for block in self.blocks))


@dataclass
class Block:
    """The steps of one graph; `inputs` and `outputs` are the places of its own ports."""

    steps: list[Step] = field(default_factory=list)
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    _calls: list[_Call] = field(default_factory=list)

    def reads(self) -> set[int]:
        """All places that its steps and its outputs read."""
        return {*self.outputs}.union(*(step.reads() for step in self.steps))

    def plan(self, changes: Mapping[int, Change], kept: Collection[int]) -> None:
        """Makes the calls: a tensor is changed where `changes` names its place, and stays to the end where `kept` does."""
        last: dict[int, int] = {}
        made = {place for step in self.steps for place in step.outputs}
        for number, step in enumerate(self.steps):
            for block in step.blocks:
                block.plan(changes, kept)
            for place in (*step.reads(), *step.outputs):
                last[place] = number
        staying = {*kept, *self.outputs, ABSENT}
        freed: dict[int, list[int]] = {}
        for place, number in last.items():
            if place in made and place not in staying:
                freed.setdefault(number, []).append(place)
        self._calls = [
            _call(step, {place: changes[place] for place in step.outputs if place in changes}, freed.get(number, []))
            for number, step in enumerate(self.steps)
        ]

    def run(self, places: Places) -> None:
        """One pass. Raises EngineError (cannot_be_trained) naming the node that does not take what comes, (out_of_memory) and
        (batch_does_not_end)."""
        number, watch = 0, pass_watch()
        try:
            for call in self._calls:
                if watch.terminate:
                    watch.check()
                call(places)
                number += 1
        except EngineError:
            raise
        except _FAILURES as error:
            node = self.steps[number].node
            if is_out_of_memory(error):
                raise out_of_memory(f"what {node.operator} (node {node.name!r}) makes in training") from error
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise node.refused(
                f"does not take what comes to it: {lines[0]:.200}", "Give rows as the model takes them."
            ) from error


def put_on(block: Block, device: torch.device, sizes: Mapping[str, Collection[int]]) -> None:
    """Lets operations move what comes from another device, where one of their numbers is on this one; `sizes` names the inputs
    of operators that are no numbers to calculate with but lists of integers."""
    for step in block.steps:
        for inner in step.blocks:
            put_on(inner, device, sizes)
        if not step.blocks:
            step.operation = _moving(step.operation, device, sizes.get(step.node.operator, ()))


def _moving(operation: Operation, device: torch.device, spared: Collection[int]) -> Operation:
    def moved(*given: Tensor | None) -> Any:
        numbers = [one for index, one in enumerate(given) if isinstance(one, Tensor) and index not in spared]
        away = [one for one in numbers if one.device != device]
        if not away or len(away) == len(numbers):  # all there, or a calculation of shapes
            return operation(*given)
        return operation(
            *(
                one if not isinstance(one, Tensor) or index in spared else one.to(device)
                for index, one in enumerate(given)
            )
        )

    return moved


def _call(step: Step, changes: Mapping[int, Change], freed: list[int]) -> _Call:
    """A step as one function of the places."""
    call = _plain(step)
    if not changes and not freed:
        return call

    def more(places: Places) -> None:
        call(places)
        for place, change in changes.items():
            places[place] = change(places[place])
        for place in freed:
            places[place] = None

    return more


def _plain(step: Step) -> _Call:
    operation, inputs, outputs = step.operation, step.inputs, step.outputs
    if step.blocks:
        return lambda places: operation(places)
    if len(outputs) > 1:

        def several(places: Places) -> None:
            for place, value in zip(outputs, operation(*[places[one] for one in inputs]), strict=True):
                places[place] = value

        return several
    (out,) = outputs
    if len(inputs) == 1:
        (only,) = inputs

        def one(places: Places) -> None:
            places[out] = operation(places[only])

        return one
    if len(inputs) == 2:
        first, second = inputs

        def two(places: Places) -> None:
            places[out] = operation(places[first], places[second])

        return two

    def every(places: Places) -> None:
        places[out] = operation(*[places[one] for one in inputs])

    return every
