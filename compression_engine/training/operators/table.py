"""The table of all operators that a network is calculated with: domain and name, and the function that builds each."""

from __future__ import annotations

from compression_engine.training.operators import (
    convolutions,
    elementwise,
    matrices,
    normalizations,
    places,
    pooling,
    recurrent,
    reductions,
    resizing,
    sequences,
    shapes,
    vendor,
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
    **recurrent.OPERATORS,
    **resizing.OPERATORS,
    **sequences.OPERATORS,
    "SimplifiedLayerNormalization": vendor.OPERATORS["SimplifiedLayerNormalization"],
}
"""SimplifiedLayerNormalization stands in the standard's domain although the standard has it not: runtimes write it so."""


_AXES = frozenset({1})
SIZES: dict[str, frozenset[int]] = {
    **dict.fromkeys(("Expand", "OneHot", "Reshape", "Split", "Squeeze", "Tile", "TopK", "Trilu", "Unsqueeze"), _AXES),
    **dict.fromkeys(("CumSum", *reductions.OPERATORS), _AXES),
    "ConstantOfShape": frozenset({0}),
    "Pad": frozenset({1, 3}),
    "Range": frozenset({0, 1, 2}),
    "Resize": frozenset({1, 2, 3}),
    "Slice": frozenset({1, 2, 3, 4}),
    "Upsample": frozenset({1}),
}
"""Inputs that are read as lists of integers: they stay where shapes are calculated, whatever the device of the numbers is."""

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
    if domain == "com.microsoft":
        return vendor.OPERATORS.get(operator)
    return STANDARD.get(operator) if domain in ("", "ai.onnx") else None
