"""Operators of com.microsoft that optimisers put in the place of standard ones, so that such files can be trained as well.

FusedMatMul, Gelu, FastGelu, BiasGelu, QuickGelu, SkipLayerNormalization, SimplifiedLayerNormalization and
SkipSimplifiedLayerNormalization. Fused attention is refused: its file before fusion has the standard operators.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from compression_engine.training.operators.node import Builder, Node, Operation


def _fused_product(node: Node) -> Operation:
    """alpha * A' @ B'; transBatchA and transBatchB are refused."""
    alpha, turn_a, turn_b = node.number("alpha", 1.0), node.integer("transA", 0), node.integer("transB", 0)
    if node.integer("transBatchA", 0) or node.integer("transBatchB", 0):
        raise node.refused("turns batches of matrices")

    def product(a: Tensor, b: Tensor) -> Tensor:
        a = a.transpose(-1, -2) if turn_a and a.ndim > 1 else a
        b = b.transpose(-1, -2) if turn_b and b.ndim > 1 else b
        return alpha * (a @ b)

    return product


def _fast_gelu(x: Tensor, bias: Tensor | None = None) -> Tensor:
    return functional.gelu(x if bias is None else x + bias, approximate="tanh")


def _bias_gelu(x: Tensor, bias: Tensor) -> Tensor:
    return functional.gelu(x + bias)


def _quick_gelu(node: Node) -> Operation:
    alpha = node.number("alpha", 1.702)
    return lambda x: x * torch.sigmoid(alpha * x)


def _skip_layer(node: Node) -> Operation:
    epsilon = node.number("epsilon", 1e-12)

    def normal(x: Tensor, skip: Tensor, gamma: Tensor, beta: Tensor | None = None, bias: Tensor | None = None) -> Any:
        summed = x + skip if bias is None else x + skip + bias
        made = functional.layer_norm(summed, gamma.shape, gamma, beta, epsilon)
        return made if node.outputs == 1 else (made, None, None, summed)[: node.outputs]

    return normal


def _simplified(node: Node) -> Operation:
    epsilon, axis = node.number("epsilon", 1e-5), node.integer("axis", -1)

    def normal(x: Tensor, scale: Tensor) -> Any:
        axes = list(range(axis % x.ndim, x.ndim))
        inverse = torch.rsqrt(x.square().mean(axes, keepdim=True) + epsilon)
        return x * inverse * scale if node.outputs == 1 else (x * inverse * scale, inverse)

    return normal


def _skip_simplified(node: Node) -> Operation:
    epsilon = node.number("epsilon", 1e-12)

    def normal(x: Tensor, skip: Tensor, gamma: Tensor, bias: Tensor | None = None) -> Any:
        summed = x + skip if bias is None else x + skip + bias
        made = summed * torch.rsqrt(summed.square().mean(-1, keepdim=True) + epsilon) * gamma
        return made if node.outputs == 1 else (made, None, None, summed)[: node.outputs]

    return normal


OPERATORS: dict[str, Builder] = {
    "FusedMatMul": _fused_product,
    "Gelu": lambda node: functional.gelu,
    "FastGelu": lambda node: _fast_gelu,
    "BiasGelu": lambda node: _bias_gelu,
    "QuickGelu": _quick_gelu,
    "SkipLayerNormalization": _skip_layer,
    "SkipSimplifiedLayerNormalization": _skip_simplified,
    "SimplifiedLayerNormalization": _simplified,
}
