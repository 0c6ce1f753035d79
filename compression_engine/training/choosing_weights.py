"""Which float tensors of a model are weights that training may change, and which are settings that it must leave alone.

A float initializer or Constant is a weight, but for these, which are held fixed, each with the reason:
- what only settings read: the statistics of a BatchNormalization (weights where they are asked for), bounds, scales of Resize, a
  fill value, an exponent, what something is compared with, the first states of a recurrent layer;
- a tensor without axes: exporters write numbers of a formula so;
- a single number with axes, unless it is a bias, a slope, or added to a product;
- what standardises an input (added, subtracted, multiplied, divided) before anything else is calculated from it;
- numbers that are infinite or beyond 1e9: a mask.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx

from compression_engine.formats.onnx_graph import FLOATS, Use
from compression_engine.training.stored_weights import Stored, read

_SETTINGS: Mapping[str, frozenset[int] | None] = {
    "Clip": frozenset({1, 2}),
    "Dropout": frozenset({1, 2}),
    "Equal": None,
    "GRU": frozenset({4, 5}),
    "Greater": None,
    "GreaterOrEqual": None,
    "LSTM": frozenset({4, 5, 6}),
    "Less": None,
    "LessOrEqual": None,
    "OneHot": None,
    "Pad": frozenset({1, 2, 3}),
    "Pow": frozenset({1}),
    "RNN": frozenset({4, 5}),
    "Range": None,
    "Resize": frozenset({1, 2, 3}),
    "Shape": None,
    "Size": None,
    "CastLike": frozenset({1}),
    "Upsample": frozenset({1}),
}
"""Inputs of operators that are settings; None: all."""
_STATISTICS = frozenset({3, 4})
_BIASES: Mapping[str, frozenset[int]] = {
    "BatchNormalization": frozenset({1, 2, 3, 4}),
    "Conv": frozenset({1, 2}),
    "ConvTranspose": frozenset({1, 2}),
    "Gemm": frozenset({0, 1, 2}),
    "GroupNormalization": frozenset({1, 2}),
    "InstanceNormalization": frozenset({1, 2}),
    "LayerNormalization": frozenset({1, 2}),
    "MatMul": frozenset({0, 1}),
    "PRelu": frozenset({1}),
}
_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"})
_MASK_FROM = 1e9
_BY_NUMBER = frozenset({"Add", "Sub", "Mul", "Div"})
_CHAIN_MOST = 8


class Chooser:
    """Judges the tensors of one model; `readers` are all uses by name, `makers` says which node makes a tensor."""

    def __init__(
        self,
        readers: Mapping[str, Sequence[Use]],
        makers: Mapping[str, onnx.NodeProto],
        inputs: Collection[str],
        *,
        statistics: bool,
    ) -> None:
        self._readers, self._makers, self._statistics, self._inputs = readers, makers, statistics, frozenset(inputs)

    def why_fixed(self, stored: Stored, reading: Sequence[Use]) -> str | None:
        """Why a float tensor is no weight; None where it is one. `reading` is where it is read."""
        if stored.data_type not in FLOATS:
            return "it holds no floats"
        if all(self._is_setting(use) for use in reading) and reading:
            return "it is a setting of what reads it"
        if reading and all(self._standardises(use) for use in reading):
            return "it standardises an input"
        if not stored.shape:
            return "it is a number without axes"
        if int(np.prod(stored.shape)) <= 1 and not any(map(self._is_bias, reading)):
            return "it is a single number that is no bias"
        numbers = read(stored)
        if numbers.size and not (np.abs(numbers).max() < _MASK_FROM):  # NaN is no weight either
            return "it holds numbers beyond 1e9, as masks do"
        return None

    def _is_setting(self, use: Use) -> bool:
        kind = use.node.op_type
        if kind == "BatchNormalization":
            return use.index in _STATISTICS and not self._statistics
        places = _SETTINGS.get(kind, frozenset())
        return places is None or use.index in places

    def _standardises(self, use: Use) -> bool:
        others = [name for index, name in enumerate(use.node.input) if index != use.index]
        return use.node.op_type in _BY_NUMBER and all(map(self._is_raw, others))

    def _is_raw(self, name: str) -> bool:
        """Whether a tensor is an input, or an input that was only converted or standardised."""
        for _ in range(_CHAIN_MOST):
            maker = self._makers.get(name)
            if maker is None:
                return name in self._inputs
            if maker.op_type in _BY_NUMBER:
                # the other operand is a constant: what is made of two inputs is no longer one that is standardised
                made = [one for one in maker.input if one in self._makers or one in self._inputs]
                if len(made) != 1:
                    return False
                name = made[0]
            elif maker.op_type in ("Cast", "Identity"):
                name = maker.input[0]
            else:
                return False
        return False

    def _is_bias(self, use: Use) -> bool:
        if use.index in _BIASES.get(use.node.op_type, frozenset()):
            return True
        if use.node.op_type != "Add":
            return False
        other = self._makers.get(use.node.input[1 - use.index])
        return other is not None and other.op_type in _PRODUCTS
