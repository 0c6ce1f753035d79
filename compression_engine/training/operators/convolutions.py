"""Convolutions over one, two or three axes, also transposed; and how windows are padded (pooling uses it too).

auto_pad in all its forms, pads that differ between the sides, groups, dilations, output_padding and output_shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional

from compression_engine.training.operators.node import Builder, Node, Operation

_CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSED = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}


def pads_of(
    node: Node, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[list[int], list[int]]:
    """How much is put before and behind each axis of an input of these sizes, by `pads` or `auto_pad`."""
    axes, automatic = len(kernel), node.text("auto_pad", "NOTSET")
    if automatic in ("", "NOTSET"):
        pads = node.integers("pads") or [0] * (2 * axes)
        return pads[:axes], pads[axes:]
    if automatic == "VALID":
        return [0] * axes, [0] * axes
    before, behind = [], []
    for size, width, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + dilation * (width - 1) + 1 - size)
        small = total // 2
        before.append(total - small if automatic == "SAME_LOWER" else small)
        behind.append(small if automatic == "SAME_LOWER" else total - small)
    return before, behind


def padded(x: Tensor, before: Sequence[int], behind: Sequence[int], value: float = 0.0) -> Tensor:
    """Puts a number around the last axes."""
    pairs = [side for pair in zip(reversed(before), reversed(behind), strict=True) for side in pair]
    return functional.pad(x, pairs, value=value)


def _convolution(node: Node) -> Operation:
    group = node.integer("group", 1)
    strides, dilations = node.integers("strides"), node.integers("dilations")

    def convolve(x: Tensor, w: Tensor, bias: Tensor | None = None) -> Any:
        axes = w.ndim - 2
        if axes not in _CONVOLUTIONS:
            raise node.refused(f"runs over {axes} axes")
        steps, gaps = strides or [1] * axes, dilations or [1] * axes
        before, behind = pads_of(node, x.shape[2:], w.shape[2:], steps, gaps)
        if before != behind:
            x, before = padded(x, before, behind), [0] * axes
        return _CONVOLUTIONS[axes](x, w, bias, steps, before, gaps, group)

    return convolve


def _transposed(node: Node) -> Operation:
    group = node.integer("group", 1)
    strides, dilations = node.integers("strides"), node.integers("dilations")
    extra, wanted = node.integers("output_padding"), node.integers("output_shape")

    def sides(x: Tensor, w: Tensor, steps: list[int], gaps: list[int], more: list[int]) -> tuple[list[int], list[int]]:
        """How much is cut off before and behind, by output_shape, auto_pad or pads."""
        axes, automatic = w.ndim - 2, node.text("auto_pad", "NOTSET")
        same = automatic.startswith("SAME")
        if wanted is None and not same:
            return pads_of(node, x.shape[2:], w.shape[2:], steps, gaps)
        before, behind = [], []
        for axis in range(axes):
            full = steps[axis] * (x.shape[2 + axis] - 1) + more[axis] + (w.shape[2 + axis] - 1) * gaps[axis] + 1
            target = x.shape[2 + axis] * steps[axis] if wanted is None else wanted[axis - axes]
            total = full - target if wanted is not None else max(0, full - target)
            small = total // 2
            first = small if automatic == "SAME_UPPER" else total - small
            before.append(first)
            behind.append(total - first)
        return before, behind

    def convolve(x: Tensor, w: Tensor, bias: Tensor | None = None) -> Any:
        axes = w.ndim - 2
        if axes not in _TRANSPOSED:
            raise node.refused(f"runs over {axes} axes")
        steps, gaps, more = strides or [1] * axes, dilations or [1] * axes, extra or [0] * axes
        before, behind = sides(x, w, steps, gaps, more)
        if (
            before == behind
            and min(before) >= 0
            and all(a < max(b, c) for a, b, c in zip(more, steps, gaps, strict=True))
        ):
            return _TRANSPOSED[axes](x, w, bias, steps, before, more, group, gaps)
        made = _TRANSPOSED[axes](x, w, None, steps, [0] * axes, [0] * axes, group, gaps)
        made = padded(made, [-side for side in before], [add - side for add, side in zip(more, behind, strict=True)])
        return made if bias is None else made + bias.reshape(1, -1, *[1] * axes)

    return convolve


OPERATORS: dict[str, Builder] = {"Conv": _convolution, "ConvTranspose": _transposed}
