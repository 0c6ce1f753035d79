"""Operators on sequences of tensors, which torch's newer exporter writes for a split into parts: a sequence is a list.

SplitToSequence (equal parts, or sizes; single slices without their axis where keepdims is 0), SequenceAt, SequenceConstruct,
SequenceEmpty, SequenceInsert, SequenceErase, SequenceLength, ConcatFromSequence (also onto a new axis).
"""

from __future__ import annotations

import torch
from torch import Tensor

from compression_engine.training.operators.node import Builder, Node, Operation


def _split(node: Node) -> Operation:
    axis, kept = node.integer("axis", 0), bool(node.integer("keepdims", 1))

    def parts(x: Tensor, sizes: Tensor | None = None) -> list[Tensor]:
        if sizes is None:
            return list(torch.split(x, 1, axis)) if kept else list(x.unbind(axis))
        if sizes.ndim == 0:
            return list(torch.split(x, int(sizes.item()), axis))
        return list(torch.split(x, [int(size) for size in sizes.tolist()], axis))

    return parts


def _at(values: list[Tensor], place: Tensor) -> Tensor:
    return values[int(place.reshape(-1)[0].item())]


def _inserted(values: list[Tensor], value: Tensor, place: Tensor | None = None) -> list[Tensor]:
    at = len(values) if place is None else int(place.reshape(-1)[0].item()) % (len(values) + 1)
    return [*values[:at], value, *values[at:]]


def _erased(values: list[Tensor], place: Tensor | None = None) -> list[Tensor]:
    at = len(values) - 1 if place is None else int(place.reshape(-1)[0].item()) % len(values)
    return [*values[:at], *values[at + 1 :]]


def _joined(node: Node) -> Operation:
    axis, fresh = node.integer("axis", 0), bool(node.integer("new_axis", 0))
    return lambda values: torch.stack(values, axis) if fresh else torch.cat(values, axis)


OPERATORS: dict[str, Builder] = {
    "SplitToSequence": _split,
    "SequenceAt": lambda node: _at,
    "SequenceConstruct": lambda node: lambda *given: list(given),
    "SequenceEmpty": lambda node: lambda: [],
    "SequenceInsert": lambda node: _inserted,
    "SequenceErase": lambda node: _erased,
    "SequenceLength": lambda node: lambda values: torch.tensor(len(values)),
    "ConcatFromSequence": _joined,
}
