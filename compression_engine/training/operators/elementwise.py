"""Operators that work number by number: arithmetic, comparisons, activations, casts.

Every operator set; integers divide towards zero; float16 and bfloat16 are calculated as the network's working type.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from compression_engine.training.operators.node import Builder, Node, Operation


def _plain(function: Operation) -> Builder:
    return lambda node: function


def _with(function: Callable[..., Tensor], **defaults: float) -> Builder:
    """An activation whose attributes are floats with these defaults, handed over by position."""

    def build(node: Node) -> Operation:
        numbers = [node.number(name, default) for name, default in defaults.items()]
        return lambda x: function(x, *numbers)

    return build


def _folded(function: Callable[[Tensor, Tensor], Tensor]) -> Builder:
    """Any number of inputs, one after the other."""
    return lambda node: lambda *given: reduce(function, given)


def _divide(a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _power(node: Node) -> Operation:
    """The result has the type of the base; an exponent that is one fixed number is handed over as a number."""
    exponent = node.value(1)
    if exponent is not None and exponent.numel() == 1 and exponent.ndim == 0:
        number = exponent.item()
        return lambda a, b: torch.pow(a, number) if a.is_floating_point() else torch.pow(a, number).to(a.dtype)
    return lambda a, b: torch.pow(a, b).to(a.dtype)


def _modulo(node: Node) -> Operation:
    """fmod=1 takes the sign of the dividend, 0 that of the divisor."""
    signed: Operation = torch.fmod if node.integer("fmod", 0) else torch.remainder
    return signed


def _shifted(node: Node) -> Operation:
    left = node.text("direction", "LEFT") == "LEFT"
    shift: Operation = torch.bitwise_left_shift if left else torch.bitwise_right_shift
    return shift


def _clip(node: Node) -> Operation:
    """Bounds as attributes (before opset 11) or as inputs, each of which may be left out."""
    if node.opset < 11:
        low, high = node.number("min", -math.inf), node.number("max", math.inf)
        return lambda x: x.clamp(low, high)
    bounds = [node.value(index) for index in (1, 2)]
    if all(bound is not None or not node.has(index) for index, bound in zip((1, 2), bounds, strict=True)):
        known = [None if bound is None else bound.item() for bound in bounds]
        if known == [None, None]:
            return lambda x, *others: x
        return lambda x, *others: x.clamp(*known)

    def clipped(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
        x = x if low is None else torch.maximum(x, low)
        return x if high is None else torch.minimum(x, high)

    return clipped


def _cast(node: Node) -> Operation:
    kind = node.type_of(node.integer("to", 1))
    return lambda x: x.to(kind)


def _gelu(node: Node) -> Operation:
    approximate = node.text("approximate", "none")
    return lambda x: functional.gelu(x, approximate=approximate)


def _is_infinite(node: Node) -> Operation:
    negative, positive = bool(node.integer("detect_negative", 1)), bool(node.integer("detect_positive", 1))
    both: Operation = torch.isinf
    one: Operation = torch.isposinf if positive else torch.isneginf
    if not negative and not positive:
        return lambda x: torch.zeros_like(x, dtype=torch.bool)
    return both if negative and positive else one


def _round(x: Tensor) -> Tensor:
    return torch.round(x)  # ties to even, as the standard wants


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


def _hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    return (alpha * x + beta).clamp(0.0, 1.0)


def _shrink(x: Tensor, bias: float, threshold: float) -> Tensor:
    inside = torch.where(x > threshold, x - bias, torch.zeros_like(x))
    return torch.where(x < -threshold, x + bias, inside)


def _thresholded(x: Tensor, alpha: float) -> Tensor:
    return torch.where(x > alpha, x, torch.zeros_like(x))


def _selu(x: Tensor, alpha: float, gamma: float) -> Tensor:
    return gamma * torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0)))


def _elu(x: Tensor, alpha: float) -> Tensor:
    return functional.elu(x, alpha)


def _celu(x: Tensor, alpha: float) -> Tensor:
    return functional.celu(x, alpha)


def _leaky(x: Tensor, alpha: float) -> Tensor:
    return functional.leaky_relu(x, alpha)


def _softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros_like(x))  # functional.softplus is linear from 20 on


def _mean(*given: Tensor) -> Any:
    return reduce(torch.add, given) / len(given)


def _quick(x: Tensor, alpha: float) -> Tensor:
    return x * torch.sigmoid(alpha * x)


def _mish(x: Tensor) -> Tensor:
    return x * torch.tanh(_softplus(x))


OPERATORS: dict[str, Builder] = {
    name: _plain(function)
    for name, function in {
        "Abs": torch.abs, "Acos": torch.acos, "Acosh": torch.acosh, "Asin": torch.asin, "Asinh": torch.asinh,
        "Atan": torch.atan, "Atanh": torch.atanh, "Ceil": torch.ceil, "Cos": torch.cos, "Cosh": torch.cosh,
        "Erf": torch.erf, "Exp": torch.exp, "Floor": torch.floor, "IsNaN": torch.isnan, "Log": torch.log,
        "Neg": torch.neg, "Not": torch.logical_not, "Reciprocal": torch.reciprocal, "Relu": torch.relu,
        "Round": _round, "Sigmoid": torch.sigmoid, "Sign": torch.sign, "Sin": torch.sin, "Sinh": torch.sinh,
        "Sqrt": torch.sqrt, "Tan": torch.tan, "Tanh": torch.tanh, "Softplus": _softplus,
        "Softsign": functional.softsign, "HardSwish": functional.hardswish, "Mish": _mish,
        "BitwiseNot": torch.bitwise_not, "BitwiseAnd": torch.bitwise_and, "BitwiseOr": torch.bitwise_or,
        "BitwiseXor": torch.bitwise_xor, "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": _divide,
        "Equal": torch.eq, "Greater": torch.gt, "GreaterOrEqual": torch.ge, "Less": torch.lt,
        "LessOrEqual": torch.le, "And": torch.logical_and, "Or": torch.logical_or, "Xor": torch.logical_xor,
        "Where": torch.where, "PRelu": _prelu, "Mean": _mean, "CastLike": lambda x, like: x.to(like.dtype),
    }.items()
} | {
    "Pow": _power, "Mod": _modulo, "BitShift": _shifted, "Clip": _clip, "Cast": _cast, "Gelu": _gelu,
    "IsInf": _is_infinite, "Max": _folded(torch.maximum), "Min": _folded(torch.minimum), "Sum": _folded(torch.add),
    "LeakyRelu": _with(_leaky, alpha=0.01), "Elu": _with(_elu, alpha=1.0), "Celu": _with(_celu, alpha=1.0),
    "Selu": _with(_selu, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    "HardSigmoid": _with(_hard_sigmoid, alpha=0.2, beta=0.5), "Shrink": _with(_shrink, bias=0.0, lambd=0.5),
    "ThresholdedRelu": _with(_thresholded, alpha=1.0), "Swish": _with(_quick, alpha=1.0),
}  # fmt: skip
