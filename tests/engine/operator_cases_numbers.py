"""Cases of operators that work number by number, of products and of reductions."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from tests.engine.operator_cases import Case, Draw, case

_RANGES = {
    "Acos": (-0.9, 0.9), "Acosh": (1.1, 3.0), "Asin": (-0.9, 0.9), "Atanh": (-0.9, 0.9), "Log": (0.1, 3.0),
    "Sqrt": (0.1, 3.0), "Reciprocal": (0.2, 3.0), "Tan": (-1.0, 1.0),
}  # fmt: skip


@case(
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Erf", "Exp", "Floor", "Log", "Neg",
    "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Sinh", "Sqrt", "Tan", "Tanh", "Softplus", "Softsign",
    "HardSwish", "Identity", "IsNaN", "IsInf", "Shape", "Size", "GlobalAveragePool", "GlobalMaxPool",
)  # fmt: skip
def of_one(draw: Draw, operator: str) -> Case:
    least = 3 if operator.startswith("Global") else 1
    shape = draw.shape(least, 4)
    return Case(operator, ["x"], {"x": draw.numbers(*shape, low=_RANGES.get(operator, (-3, 3))[0],
                                                    high=_RANGES.get(operator, (-3, 3))[1])})  # fmt: skip


@case("LeakyRelu", "Elu", "Celu", "Selu", "HardSigmoid", "ThresholdedRelu", "Shrink")
def activations(draw: Draw, operator: str) -> Case:
    names = {"Selu": ("alpha", "gamma"), "HardSigmoid": ("alpha", "beta"), "Shrink": ("bias", "lambd")}.get(
        operator, ("alpha",)
    )
    given = {name: draw.one_of(0.1, 0.5, 1.5) for name in names} if draw.flag() else {}
    return Case(operator, ["x"], {"x": draw.numbers(*draw.shape())}, attributes=given)


@case("Gelu")
def gelu(draw: Draw, operator: str) -> Case:
    return Case(
        operator, ["x"], {"x": draw.numbers(*draw.shape())}, opset=20,
        attributes={"approximate": draw.one_of("none", "tanh")},
    )  # fmt: skip


@case("Mish")
def mish(draw: Draw, operator: str) -> Case:
    return Case(operator, ["x"], {"x": draw.numbers(*draw.shape())}, opset=18)


@case("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean", "Equal", "Greater", "GreaterOrEqual", "Less",
      "LessOrEqual", "PRelu")  # fmt: skip
def of_two(draw: Draw, operator: str) -> Case:
    shape = draw.shape()
    other = tuple(size if draw.flag() else 1 for size in shape)[draw.integer(0, len(shape)) :]
    positive = operator in ("Pow", "Div")
    a, b = draw.numbers(*shape, low=0.3 if positive else -2.0), draw.numbers(*other, low=0.3 if positive else -2.0)
    if operator in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Equal", "Less") and draw.flag():
        a, b = np.asarray(a * 5, dtype=np.int64), np.asarray(b * 5, dtype=np.int64) + (operator == "Div") * 1
        b = np.asarray(b)
    if draw.flag():
        return Case(operator, ["a", "b"], {"a": a}, {"b": b})
    return Case(operator, ["a", "b"], {"a": a, "b": b})


@case("Mod")
def modulo(draw: Draw, operator: str) -> Case:
    shape, whole = draw.shape(), draw.flag()
    a, b = draw.numbers(*shape, low=-9, high=9), draw.numbers(*shape, low=1, high=5) * draw.one_of(-1, 1)
    if whole:
        a, b = a.astype(np.int64), b.astype(np.int64)
    return Case(operator, ["a", "b"], {"a": a, "b": b}, attributes={"fmod": int(not whole or draw.flag())})


@case("And", "Or", "Xor")
def logic(draw: Draw, operator: str) -> Case:
    shape = draw.shape()
    return Case(operator, ["a", "b"], {"a": draw.numbers(*shape) > 0, "b": draw.numbers(*shape) > 0})


@case("Where")
def where(draw: Draw, operator: str) -> Case:
    a, b = draw.numbers(*(shape := draw.shape())), draw.numbers(1)
    return Case(operator, ["c", "a", "b"], {"c": draw.numbers(*shape) > 0, "a": a}, {"b": b})


@case("Clip")
def clip(draw: Draw, operator: str) -> Case:
    x = {"x": draw.numbers(*draw.shape())}
    if draw.flag():
        return Case(operator, ["x"], x, attributes={"min": -0.5, "max": 0.7} if draw.flag() else {"max": 0.1}, opset=7)
    low, high = np.array(-0.5, np.float32), np.array(0.7, np.float32)
    if draw.flag():
        return Case(operator, ["x", "low", "high"], x | {"low": low, "high": high})
    names = draw.one_of(["x", "low"], ["x", "", "high"], ["x", "low", "high"], ["x"])
    return Case(operator, names, x, {name: value for name, value in (("low", low), ("high", high)) if name in names})


@case("Cast")
def cast(draw: Draw, operator: str) -> Case:
    to = draw.one_of(TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL, TensorProto.DOUBLE)
    kind = draw.one_of(np.float32, np.int64, np.float64)
    return Case(operator, ["x"], {"x": (draw.numbers(*draw.shape()) * 3).astype(kind)}, attributes={"to": to})


@case("MatMul")
def product(draw: Draw, operator: str) -> Case:
    n, k, m = draw.integer(1, 4), draw.integer(1, 4), draw.integer(1, 4)
    left, right = draw.one_of(
        ((n, k), (k, m)), ((k,), (k, m)), ((n, k), (k,)), ((k,), (k,)), ((2, n, k), (k, m)), ((n, k), (3, k, m)),
        ((2, 1, n, k), (3, k, m)),
    )  # fmt: skip
    a, b = draw.numbers(*left), draw.numbers(*right)
    return (
        Case(operator, ["a", "b"], {"a": a}, {"b": b}) if draw.flag() else Case(operator, ["a", "b"], {"a": a, "b": b})
    )


@case("Gemm")
def gemm(draw: Draw, operator: str) -> Case:
    n, k, m = draw.integer(1, 4), draw.integer(1, 4), draw.integer(1, 4)
    turn_a, turn_b = int(draw.flag()), int(draw.flag())
    given = {"a": draw.numbers(*((k, n) if turn_a else (n, k)))}
    fixed = {"b": draw.numbers(*((m, k) if turn_b else (k, m)))}
    bias = draw.one_of(None, (m,), (1, m), (n, m), (n, 1), ())
    names = ["a", "b"]
    if bias is not None:
        names, fixed["c"] = ["a", "b", "c"], draw.numbers(*bias)
    how = {"transA": turn_a, "transB": turn_b}
    if draw.flag():
        how |= {"alpha": 0.5, "beta": 2.0}
    return Case(operator, names, given, fixed, how)


@case("Einsum")
def einsum(draw: Draw, operator: str) -> Case:
    equation, left, right = draw.one_of(
        ("ij,jk->ik", (2, 3), (3, 4)), ("bij, bjk -> bik", (2, 3, 4), (2, 4, 2)), ("...ij,jk->...ik", (2, 3, 4), (4, 2)),
        ("bhid,bhjd->bhij", (1, 2, 3, 4), (1, 2, 2, 4)), ("ij,jk", (2, 3), (3, 4)),
    )  # fmt: skip
    return Case(operator, ["a", "b"], {"a": draw.numbers(*left)}, {"b": draw.numbers(*right)}, {"equation": equation})


@case("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
      "ReduceLogSum", "ReduceLogSumExp")  # fmt: skip
def reductions(draw: Draw, operator: str) -> Case:
    shape = draw.shape(1, 4)
    x = {"x": draw.numbers(*shape, low=0.2 if operator == "ReduceLogSum" else -2.0)}
    kept, axes = {"keepdims": int(draw.flag())}, draw.axes(len(shape))
    if draw.flag():
        return Case(operator, ["x"], x, attributes=kept, opset=11)
    if draw.flag():
        return Case(operator, ["x"], x, attributes=kept | {"axes": axes}, opset=11)
    if draw.flag():
        return Case(operator, ["x"], x, attributes=kept | {"noop_with_empty_axes": 0}, opset=18)
    return Case(operator, ["x", "a"], x, {"a": np.array(axes)}, kept, opset=18)
