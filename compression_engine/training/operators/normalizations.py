"""Normalisations and soft choices, as they answer at inference: stored statistics, no dropout.

BatchNormalization (also with training_mode left on by an export: the statistics of the batch, as the runtime takes them then),
LayerNormalization, InstanceNormalization, GroupNormalization (scales for groups before set 21, for channels since),
RMSNormalization, LRN, LpNormalization, MeanVarianceNormalization, Dropout; Softmax, LogSoftmax and Hardmax (before set 13 over all
axes from theirs on).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from compression_engine.training.operators.node import Builder, Node, Operation

_ONE_AXIS_SINCE = 13
_CHANNEL_SCALES_SINCE = 21
_MASK_SINCE = 12  # before, the mask meant nothing at inference


def _batch(node: Node) -> Operation:
    epsilon, momentum = node.number("epsilon", 1e-5), node.number("momentum", 0.9)
    if not node.integer("training_mode", 0):

        def normal(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Any:
            made = functional.batch_norm(x, mean, var, scale, bias, False, 0.0, epsilon)
            return made if node.outputs == 1 else (made, *[None] * (node.outputs - 1))

        return normal

    def of_batch(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Any:
        axes = [axis for axis in range(x.ndim) if axis != 1]
        centre, spread = x.mean(axes), x.var(axes, unbiased=False)
        made = functional.batch_norm(x, None, None, scale, bias, True, 0.0, epsilon)
        running = (mean * momentum + centre * (1 - momentum), var * momentum + spread * (1 - momentum))
        return made if node.outputs == 1 else (made, *running[: node.outputs - 1])

    return of_batch


def _layer(node: Node) -> Operation:
    epsilon, axis = node.number("epsilon", 1e-5), node.integer("axis", -1)

    def normal(x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Any:
        first = axis % x.ndim
        shape = x.shape[first:]
        if node.outputs == 1 and scale.shape == shape and (bias is None or bias.shape == shape):
            return functional.layer_norm(x, shape, scale, bias, epsilon)
        axes = list(range(first, x.ndim))
        mean = x.mean(axes, keepdim=True)
        inverse = torch.rsqrt((x - mean).square().mean(axes, keepdim=True) + epsilon)
        made = (x - mean) * inverse * scale
        made = made if bias is None else made + bias
        return made if node.outputs == 1 else (made, mean, inverse)[: node.outputs]

    return normal


def _root_mean_square(node: Node) -> Operation:
    epsilon, axis = node.number("epsilon", 1e-5), node.integer("axis", -1)

    def normal(x: Tensor, scale: Tensor) -> Tensor:
        axes = list(range(axis % x.ndim, x.ndim))
        return x * torch.rsqrt(x.square().mean(axes, keepdim=True) + epsilon) * scale

    return normal


def _instance(node: Node) -> Operation:
    epsilon = node.number("epsilon", 1e-5)

    def normal(x: Tensor, scale: Tensor, bias: Tensor) -> Any:
        return functional.group_norm(x, x.shape[1], scale, bias, epsilon)

    return normal


def _group(node: Node) -> Operation:
    epsilon, groups = node.number("epsilon", 1e-5), node.integer("num_groups", 1)

    def normal(x: Tensor, scale: Tensor, bias: Tensor) -> Any:
        if node.opset < _CHANNEL_SCALES_SINCE:
            width = x.shape[1] // groups
            scale, bias = scale.repeat_interleave(width), bias.repeat_interleave(width)
        return functional.group_norm(x, groups, scale, bias, epsilon)

    return normal


def _local_response(node: Node) -> Operation:
    size, alpha = node.integer("size", 1), node.number("alpha", 1e-4)
    beta, bias = node.number("beta", 0.75), node.number("bias", 1.0)

    def normal(x: Tensor) -> Tensor:
        squares = x.square().flatten(2).unsqueeze(1) if x.ndim > 2 else x.square()[:, None, :, None]
        wide = functional.pad(squares, (0, 0, (size - 1) // 2, size - 1 - (size - 1) // 2))
        sums = functional.avg_pool2d(wide, (size, 1), stride=1) * size
        return x / (bias + alpha / size * sums.reshape(x.shape)) ** beta

    return normal


def _unit_length(node: Node) -> Operation:
    axis, power = node.integer("axis", -1), node.integer("p", 2)

    def normal(x: Tensor) -> Tensor:
        length = x.abs().sum(axis, keepdim=True) if power == 1 else x.square().sum(axis, keepdim=True).sqrt()
        return x / torch.where(length == 0, torch.ones_like(length), length)

    return normal


def _mean_variance(node: Node) -> Operation:
    axes = node.integers("axes") or [0, 2, 3]

    def normal(x: Tensor) -> Tensor:
        mean = x.mean(axes, keepdim=True)
        return (x - mean) / ((x - mean).square().mean(axes, keepdim=True).sqrt() + 1e-9)

    return normal


def _choice(function: Any) -> Any:
    """Softmax and its like: over one axis since set 13, before over all from `axis` (1 where nothing is said) on."""

    def build(node: Node) -> Operation:
        if node.opset >= _ONE_AXIS_SINCE:
            axis = node.integer("axis", -1)
            return lambda x: function(x, axis)
        axis = node.integer("axis", 1)
        return lambda x: function(x.flatten(axis % x.ndim), -1).reshape(x.shape)

    return build


def _hard(x: Tensor, axis: int) -> Tensor:
    return torch.zeros_like(x).scatter(axis, x.argmax(axis, keepdim=True), 1.0)


def _dropout(node: Node) -> Operation:
    def kept(x: Tensor, *settings: Tensor | None) -> Any:
        return x if node.outputs == 1 else (x, torch.full_like(x, node.opset >= _MASK_SINCE, dtype=torch.bool))

    return kept


OPERATORS: dict[str, Builder] = {
    "BatchNormalization": _batch,
    "LayerNormalization": _layer,
    "RMSNormalization": _root_mean_square,
    "InstanceNormalization": _instance,
    "GroupNormalization": _group,
    "LRN": _local_response,
    "LpNormalization": _unit_length,
    "MeanVarianceNormalization": _mean_variance,
    "Softmax": _choice(torch.softmax),
    "LogSoftmax": _choice(torch.log_softmax),
    "Hardmax": _choice(_hard),
    "Dropout": _dropout,
}
