"""Products: MatMul, Gemm, Einsum. Every operator set."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from compression_engine.training.operators.node import Builder, Node, Operation


def _gemm(node: Node) -> Operation:
    """alpha * A' @ B' + beta * C; C is broadcast, and may be left out."""
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    turn_a, turn_b = node.integer("transA", 0), node.integer("transB", 0)

    def product(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        a, b = a.t() if turn_a else a, b.t() if turn_b else b
        if c is None:
            return a @ b if alpha == 1.0 else alpha * (a @ b)
        return torch.addmm(c, a, b, beta=beta, alpha=alpha)

    return product


def _einsum(node: Node) -> Operation:
    equation = node.text("equation", "").replace(" ", "")

    def summed(*given: Any) -> Tensor:
        return torch.einsum(equation, *given)

    return summed


OPERATORS: dict[str, Builder] = {"MatMul": lambda node: torch.matmul, "Gemm": _gemm, "Einsum": _einsum}
