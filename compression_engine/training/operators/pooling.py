"""Pooling over windows and over everything.

MaxPool (with places as second output), AveragePool (count_include_pad), LpPool, each with auto_pad, pads that differ, dilations and
ceil_mode; the global ones. Every operator set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from compression_engine.training.operators.convolutions import padded, pads_of
from compression_engine.training.operators.node import Builder, Node, Operation

_MAXIMA = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_MEANS = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


class _Windows:
    """How windows lie on an input: sizes, steps, gaps and what is put around it, ceil_mode included."""

    def __init__(self, node: Node) -> None:
        self.node, self.kernel = node, node.integers("kernel_shape") or []
        axes = len(self.kernel)
        if axes not in _MAXIMA:
            raise node.refused(f"runs over {axes} axes")
        self.strides = node.integers("strides") or [1] * axes
        self.dilations = node.integers("dilations") or [1] * axes
        self.rounds_up = bool(node.integer("ceil_mode", 0)) and node.text("auto_pad", "NOTSET") in ("", "NOTSET")

    def sides(self, x: Tensor) -> tuple[list[int], list[int], list[int]]:
        """What stands before and behind each axis, and how much more behind it the last window of ceil_mode needs."""
        sizes = x.shape[2:]
        before, behind = pads_of(self.node, sizes, self.kernel, self.strides, self.dilations)
        more = [0] * len(sizes)
        for axis, size in enumerate(sizes) if self.rounds_up else ():
            reach, stride = self.dilations[axis] * (self.kernel[axis] - 1) + 1, self.strides[axis]
            full = size + before[axis] + behind[axis]
            count = -(-(full - reach) // stride) + 1
            if (count - 1) * stride >= size + before[axis]:  # a window must begin on the input or before it
                count -= 1
            more[axis] = max(0, (count - 1) * stride + reach - full)
        return before, behind, more


def _maximum(node: Node) -> Operation:
    windows = _Windows(node)
    pool, turned = _MAXIMA[len(windows.kernel)], node.integer("storage_order", 0) == 1
    if node.outputs > 1 and turned:
        raise node.refused("gives places column by column")

    def pooled(x: Tensor) -> Any:
        before, behind, more = windows.sides(x)
        outside = [a + b for a, b in zip(behind, more, strict=True)]
        low = -math.inf if x.is_floating_point() else torch.iinfo(x.dtype).min
        wide = padded(x, before, outside, low) if any(before) or any(outside) else x
        if node.outputs == 1:
            return pool(wide, windows.kernel, windows.strides, 0, windows.dilations)
        made, places = pool(wide, windows.kernel, windows.strides, 0, windows.dilations, return_indices=True)
        return made, _places(places, x.shape, wide.shape, before)

    return pooled


def _places(places: Tensor, shape: Sequence[int], wide: Sequence[int], before: Sequence[int]) -> Tensor:
    """Places in the padded planes as places in the whole input, row by row."""
    rest, inside, factor = places, torch.zeros_like(places), 1
    for axis in range(len(before) - 1, -1, -1):
        inside += (rest % wide[2 + axis] - before[axis]) * factor
        rest, factor = rest // wide[2 + axis], factor * shape[2 + axis]
    planes = torch.arange(shape[0] * shape[1], device=places.device).reshape(shape[0], shape[1], *[1] * len(before))
    return inside + planes * factor


def _average(node: Node) -> Operation:
    windows = _Windows(node)
    counted = bool(node.integer("count_include_pad", 0))
    if any(dilation != 1 for dilation in windows.dilations):
        raise node.refused("takes means of windows with gaps")
    pool = _MEANS[len(windows.kernel)]

    def pooled(x: Tensor) -> Any:
        before, behind, more = windows.sides(x)
        if not any(before) and not any(behind) and not any(more):
            return pool(x, windows.kernel, windows.strides)
        ones = torch.ones_like(x[:1, :1])
        inside = padded(ones, before, behind, 1.0 if counted else 0.0)
        if any(more):
            none = [0] * len(more)
            inside, wide = padded(inside, none, more), padded(padded(x, before, behind), none, more)
        else:
            wide = padded(x, before, behind)
        sums, counts = pool(wide, windows.kernel, windows.strides), pool(inside, windows.kernel, windows.strides)
        return sums / counts

    return pooled


def _powers(node: Node) -> Operation:
    windows, power = _Windows(node), node.integer("p", 2)
    if any(dilation != 1 for dilation in windows.dilations):
        raise node.refused("takes norms of windows with gaps")
    pool, total = _MEANS[len(windows.kernel)], math.prod(windows.kernel)

    def pooled(x: Tensor) -> Tensor:
        before, behind, more = windows.sides(x)
        wide = padded(x.abs() ** power, before, [a + b for a, b in zip(behind, more, strict=True)])
        return (pool(wide, windows.kernel, windows.strides) * total) ** (1 / power)

    return pooled


def _everything(x: Tensor) -> list[int]:
    return list(range(2, x.ndim))


def _global_powers(node: Node) -> Operation:
    power = node.integer("p", 2)
    return lambda x: (x.abs() ** power).sum(_everything(x), keepdim=True) ** (1 / power)


OPERATORS: dict[str, Builder] = {
    "MaxPool": _maximum,
    "AveragePool": _average,
    "LpPool": _powers,
    "GlobalAveragePool": lambda node: lambda x: x.mean(_everything(x), keepdim=True),
    "GlobalMaxPool": lambda node: lambda x: x.amax(_everything(x), keepdim=True),
    "GlobalLpPool": _global_powers,
}
