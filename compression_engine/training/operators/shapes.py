"""Operators that move numbers without changing them, and those that speak of shapes.

Axes, sizes and bounds as attributes (older sets) or inputs (newer); sizes of tensors are looked at in every pass, so that batches
and sequences may differ in length.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from compression_engine.training.operators.node import Builder, Node, Operation, lists

_PAD_BY_INPUT_SINCE = 11


def _reshape(node: Node) -> Operation:
    """0 keeps a size unless allowzero; -1 takes what is left."""
    shape_of, zeros = lists(node, "shape", 1), bool(node.integer("allowzero", 0))

    def reshaped(x: Tensor, *given: Tensor) -> Tensor:
        shape = shape_of((x, *given)) or []
        if not zeros and 0 in shape:
            shape = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
        return x.reshape(shape)

    return reshaped


def _flatten(node: Node) -> Operation:
    axis = node.integer("axis", 1)

    def flat(x: Tensor) -> Tensor:
        first = axis + x.ndim if axis < 0 else axis
        return x.reshape(math.prod(x.shape[:first]), math.prod(x.shape[first:]))

    return flat


def _transpose(node: Node) -> Operation:
    order = node.integers("perm")
    return lambda x: x.permute(order if order is not None else tuple(reversed(range(x.ndim))))


def _concat(node: Node) -> Operation:
    axis = node.integer("axis", 0)
    return lambda *given: torch.cat(given, axis)


def _slice(node: Node) -> Operation:
    """Bounds as attributes (before set 10) or inputs; steps may be negative."""
    starts_of, ends_of = lists(node, "starts", 1), lists(node, "ends", 2)
    axes_of, steps_of = lists(node, "axes", 3), lists(node, "steps", 4)

    def cut(x: Tensor, *given: Tensor | None) -> Tensor:
        every = (x, *given)
        starts, ends = starts_of(every) or [], ends_of(every) or []
        axes = axes_of(every) or list(range(len(starts)))
        steps = steps_of(every) or [1] * len(starts)
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            x = _cut_axis(x, start, end, axis % x.ndim, step)
        return x

    return cut


def _cut_axis(x: Tensor, start: int, end: int, axis: int, step: int) -> Tensor:
    size = x.shape[axis]
    if step > 0:
        first, last, step = slice(start, end, step).indices(size)
        if first == 0 and last == size and step == 1:
            return x
        length = max(0, last - first)
        part = x.narrow(axis, min(first, size), length)
        return part if step == 1 else part[(slice(None),) * axis + (slice(None, None, step),)]
    # backwards, a start before the first number means the first; slices of Python take nothing then
    first = min(max(start + size if start < 0 else start, 0), size - 1)
    last = min(max(end + size if end < 0 else end, -1), size - 1)
    places = torch.arange(first, min(first, last), step, device=x.device)
    return x.index_select(axis, places)


def _split(node: Node) -> Operation:
    """Sizes as attribute or input, or equal parts (the last one smaller)."""
    axis, sizes_of = node.integer("axis", 0), lists(node, "split", 1)

    def parts(x: Tensor, *given: Tensor | None) -> Any:
        sizes = sizes_of((x, *given))
        if sizes is None:
            found = torch.split(x, max(1, -(-x.shape[axis] // node.outputs)), axis)
        else:
            found = torch.split(x, sizes, axis)
        return found if node.outputs > 1 else found[0]

    return parts


def _squeeze(node: Node) -> Operation:
    axes_of = lists(node, "axes", 1)

    def squeezed(x: Tensor, *given: Tensor | None) -> Tensor:
        axes = axes_of((x, *given))
        if axes is None:
            return x.squeeze()
        return x.squeeze(axes[0]) if len(axes) == 1 else x.squeeze(tuple(axes))

    return squeezed


def _unsqueeze(node: Node) -> Operation:
    axes_of = lists(node, "axes", 1)

    def unsqueezed(x: Tensor, *given: Tensor | None) -> Tensor:
        axes = axes_of((x, *given)) or []
        rank = x.ndim + len(axes)
        for axis in sorted(axis % rank for axis in axes):
            x = x.unsqueeze(axis)
        return x

    return unsqueezed


def _expand(node: Node) -> Operation:
    """Broadcasts both ways: a size of 1 in the shape keeps that of the tensor."""
    shape_of = lists(node, "shape", 1)

    def expanded(x: Tensor, *given: Tensor | None) -> Tensor:
        return x.expand(torch.broadcast_shapes(x.shape, shape_of((x, *given)) or []))

    return expanded


def _shape(node: Node) -> Operation:
    start, end = node.integer("start", 0), node.attributes.get("end")
    return lambda x: torch.tensor(x.shape[start:end], dtype=torch.int64)


def _tile(node: Node) -> Operation:
    """Repeats for each axis (since set 6)."""
    repeats_of = lists(node, "repeats", 1)
    return lambda x, *given: x.repeat(repeats_of((x, *given)))


def _pad(node: Node) -> Operation:
    """constant, reflect, edge, wrap; a negative pad cuts off. Pads as attribute or input, for some axes or all."""
    mode, pads_of, axes_of = node.text("mode", "constant"), lists(node, "pads", 1), lists(node, "axes", 3)
    fixed = node.value(2)
    if node.opset < _PAD_BY_INPUT_SINCE:
        amount: float | None = node.number("value", 0.0)
    else:
        amount = (0.0 if not node.has(2) else None) if fixed is None else fixed.item()

    def pad(x: Tensor, *given: Tensor | None) -> Tensor:
        every = (x, *given)
        pads, axes = pads_of(every) or [], axes_of(every)
        axes = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in axes]
        before, behind = pads[: len(axes)], pads[len(axes) :]
        if mode == "constant":
            sides = [0] * (2 * x.ndim)
            for axis, first, last in zip(axes, before, behind, strict=True):
                sides[2 * (x.ndim - 1 - axis)], sides[2 * (x.ndim - 1 - axis) + 1] = first, last
            value = amount if amount is not None else given[1].item()  # type: ignore[union-attr]
            return functional.pad(x, sides, value=value)
        for axis, first, last in zip(axes, before, behind, strict=True):
            x = _pad_axis(x, axis, first, last, mode)
        return x

    return pad


def _pad_axis(x: Tensor, axis: int, first: int, last: int, mode: str) -> Tensor:
    size = x.shape[axis]
    places = torch.arange(-first, size + last, device=x.device)
    if mode == "edge":
        places = places.clamp(0, size - 1)
    elif mode == "wrap":
        places = places % size
    else:
        period = max(1, 2 * (size - 1))
        places = places % period
        places = torch.where(places >= size, period - places, places)
    return x.index_select(axis, places)


def _depth_to_space(node: Node) -> Operation:
    block, columns_first = node.integer("blocksize", 1), node.text("mode", "DCR") == "CRD"

    def moved(x: Tensor) -> Tensor:
        rows, depth, height, width = x.shape
        if columns_first:
            return functional.pixel_shuffle(x, block)
        apart = x.reshape(rows, block, block, depth // block**2, height, width).permute(0, 3, 4, 1, 5, 2)
        return apart.reshape(rows, depth // block**2, height * block, width * block)

    return moved


def _space_to_depth(node: Node) -> Operation:
    block = node.integer("blocksize", 1)

    def moved(x: Tensor) -> Tensor:
        rows, depth, height, width = x.shape
        apart = x.reshape(rows, depth, height // block, block, width // block, block).permute(0, 3, 5, 1, 2, 4)
        return apart.reshape(rows, depth * block**2, height // block, width // block)

    return moved


OPERATORS: dict[str, Builder] = {
    "Identity": lambda node: lambda x: x,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Concat": _concat,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Expand": _expand,
    "Shape": _shape,
    "Size": lambda node: lambda x: torch.tensor(x.numel(), dtype=torch.int64),
    "Tile": _tile,
    "Pad": _pad,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}
