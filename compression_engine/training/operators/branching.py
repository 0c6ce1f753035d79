"""Operators that hold graphs: If, Loop and Scan. Their steps run on the places of the network, so that gradients flow through.

If looks at its condition in every pass (for the whole batch at once, as runtimes do). Loop carries its state through as many rounds
as its count and its condition say, but no longer than a batch may take; Scan runs forwards or backwards over axes of its inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from compression_engine.training.operators.node import Node
from compression_engine.training.pass_limits import pass_watch
from compression_engine.training.program import ABSENT, Block, Places

Branching = Callable[[Node, tuple[int, ...], tuple[int, ...], Mapping[str, Block]], Callable[[Places], None]]


def _chosen(
    node: Node, inputs: tuple[int, ...], outputs: tuple[int, ...], blocks: Mapping[str, Block]
) -> Callable[[Places], None]:
    branches = {True: blocks["then_branch"], False: blocks["else_branch"]}

    def run(places: Places) -> None:
        branch = branches[bool(places[inputs[0]].reshape(-1)[0].item())]
        branch.run(places)
        for outer, inner in zip(outputs, branch.outputs, strict=True):
            places[outer] = places[inner]

    return run


def _looped(
    node: Node, inputs: tuple[int, ...], outputs: tuple[int, ...], blocks: Mapping[str, Block]
) -> Callable[[Places], None]:
    body = blocks["body"]
    states = len(inputs) - 2
    collected = len(outputs) - states

    def run(places: Places) -> None:
        most = None if inputs[0] == ABSENT else int(places[inputs[0]].reshape(-1)[0].item())
        going = inputs[1] == ABSENT or bool(places[inputs[1]].reshape(-1)[0].item())
        state = [places[place] for place in inputs[2:]]
        rows: list[list[Any]] = [[] for _ in range(collected)]
        turn, watch = 0, pass_watch()
        while going and (most is None or turn < most):
            if watch.terminate:  # a body without nodes looks nowhere else
                watch.check()
            values = [torch.tensor(turn), torch.tensor(True), *state]
            for place, value in zip(body.inputs, values, strict=True):
                places[place] = value
            body.run(places)
            made = [places[place] for place in body.outputs]
            going, state = bool(made[0].reshape(-1)[0].item()), made[1 : 1 + states]
            for row, value in zip(rows, made[1 + states :], strict=True):
                row.append(value)
            turn += 1
        if collected and not turn:
            raise node.refused("collects nothing, because it runs no round")
        for place, value in zip(outputs, [*state, *map(torch.stack, rows)], strict=True):
            places[place] = value

    return run


def _scanned(
    node: Node, inputs: tuple[int, ...], outputs: tuple[int, ...], blocks: Mapping[str, Block]
) -> Callable[[Places], None]:
    body, scans = blocks["body"], node.integer("num_scan_inputs", 1)
    states = len(inputs) - scans
    collected = len(outputs) - states
    axes, turned = (
        node.integers("scan_input_axes") or [0] * scans,
        node.integers("scan_input_directions") or [0] * scans,
    )
    out_axes = node.integers("scan_output_axes") or [0] * collected
    out_turned = node.integers("scan_output_directions") or [0] * collected

    def run(places: Places) -> None:
        state = [places[place] for place in inputs[:states]]
        parts = [places[place].unbind(axis) for place, axis in zip(inputs[states:], axes, strict=True)]
        parts = [part[::-1] if back else part for part, back in zip(parts, turned, strict=True)]
        rows: list[list[Any]] = [[] for _ in range(collected)]
        for now in zip(*parts, strict=True):
            for place, value in zip(body.inputs, [*state, *now], strict=True):
                places[place] = value
            body.run(places)
            made = [places[place] for place in body.outputs]
            state = made[:states]
            for row, value in zip(rows, made[states:], strict=True):
                row.append(value)
        ordered = [row[::-1] if back else row for row, back in zip(rows, out_turned, strict=True)]
        stacked = [torch.stack(row, axis) for row, axis in zip(ordered, out_axes, strict=True)]
        for place, value in zip(outputs, [*state, *stacked], strict=True):
            places[place] = value

    return run


BRANCHING: dict[str, Branching] = {"If": _chosen, "Loop": _looped, "Scan": _scanned}
