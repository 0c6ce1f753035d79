"""Reductions along axes: sums, means, extremes, norms. Axes as attribute (older sets) or input; noop_with_empty_axes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from compression_engine.training.operators.node import Builder, Node, Operation, lists

_Reduction = Callable[[Tensor, list[int], bool], Tensor]


def _reducing(function: _Reduction, before: Callable[[Tensor], Tensor] = lambda x: x) -> Builder:
    """`before` is what is done to each number first; it is done as well where nothing is reduced."""

    def build(node: Node) -> Operation:
        axes_of, kept = lists(node, "axes", 1), bool(node.integer("keepdims", 1))
        nothing = bool(node.integer("noop_with_empty_axes", 0))

        def reduced(x: Tensor, *given: Tensor | None) -> Tensor:
            axes = axes_of((x, *given))
            if not axes:
                if nothing:
                    return x
                axes = list(range(x.ndim))
            return function(before(x), axes, kept) if axes else function(before(x).reshape(1), [0], False)

        return reduced

    return build


def _sum(x: Tensor, axes: list[int], kept: bool) -> Tensor:
    return x.sum(axes, keepdim=kept, dtype=x.dtype)


def _mean(x: Tensor, axes: list[int], kept: bool) -> Tensor:
    if x.is_floating_point():
        return x.mean(axes, keepdim=kept)
    count = x.numel() // max(1, x.amax(axes).numel())
    return torch.div(x.sum(axes, keepdim=kept), count, rounding_mode="trunc").to(x.dtype)


def _product(x: Tensor, axes: list[int], kept: bool) -> Tensor:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=kept, dtype=x.dtype)
    return x


def _length(x: Tensor, axes: list[int], kept: bool) -> Tensor:
    # the gradient of a root at zero is infinite; vector_norm gives zero there
    return torch.linalg.vector_norm(x, 2, axes, kept)


OPERATORS: dict[str, Builder] = {
    "ReduceSum": _reducing(_sum),
    "ReduceMean": _reducing(_mean),
    "ReduceMax": _reducing(lambda x, axes, kept: x.amax(axes, keepdim=kept)),
    "ReduceMin": _reducing(lambda x, axes, kept: x.amin(axes, keepdim=kept)),
    "ReduceProd": _reducing(_product),
    "ReduceL1": _reducing(_sum, torch.abs),
    "ReduceL2": _reducing(_length),
    "ReduceSumSquare": _reducing(_sum, torch.square),
    "ReduceLogSum": _reducing(lambda x, axes, kept: _sum(x, axes, kept).log()),
    "ReduceLogSumExp": _reducing(lambda x, axes, kept: x.logsumexp(axes, keepdim=kept)),
}
