"""The table of all operators that a network is calculated with: domain and name, and the function that builds each."""

from __future__ import annotations

from compression_engine.training.operators import (
    convolutions,
    elementwise,
    matrices,
    normalizations,
    places,
    pooling,
    reductions,
    shapes,
)
from compression_engine.training.operators.branching import BRANCHING as BRANCHING
from compression_engine.training.operators.node import Builder

STANDARD: dict[str, Builder] = {
    **elementwise.OPERATORS,
    **matrices.OPERATORS,
    **convolutions.OPERATORS,
    **pooling.OPERATORS,
    **normalizations.OPERATORS,
    **shapes.OPERATORS,
    **places.OPERATORS,
    **reductions.OPERATORS,
}

QUANTIZED = frozenset(
    {
        "DequantizeLinear", "QuantizeLinear", "DynamicQuantizeLinear", "QLinearMatMul", "QLinearConv", "MatMulInteger",
        "ConvInteger", "MatMulNBits", "QLinearAdd", "QLinearMul", "QLinearGlobalAveragePool", "QLinearSigmoid",
        "QLinearLeakyRelu", "QLinearConcat", "QLinearSoftmax", "DynamicQuantizeMatMul", "MatMulIntegerToFloat",
        "DynamicQuantizeLSTM", "QGemm", "QAttention", "QLinearAveragePool", "GatherBlockQuantized",
    }
)  # fmt: skip
"""Operators of any domain that a quantised model has."""


def builder_of(domain: str, operator: str) -> Builder | None:
    """The function for an operator; None where a network cannot be calculated through it."""
    return STANDARD.get(operator) if domain in ("", "ai.onnx") else None
