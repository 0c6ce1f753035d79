"""One node of each operator with attributes and shapes drawn at random, and inputs for it; used by `test_network_operators`.

`CASES` maps a name to a function of `Draw` that gives a `Case`. Numbers are drawn from a seed, shapes and attributes by hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.engine import nets


@dataclass
class Case:
    """A node and its inputs: `fixed` are initializers, `given` the inputs of the model. `""` among `names` is left out."""

    operator: str
    names: list[str]
    given: dict[str, nets.Array]
    fixed: dict[str, nets.Array] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    opset: int = 17
    domain: str = ""

    def model(self) -> onnx.ModelProto:
        """The node as a model; its outputs are named y0, y1, ..."""
        names = [f"y{number}" for number in range(self.outputs)]
        node = helper.make_node(self.operator, self.names, names, domain=self.domain, **self.attributes)
        graph = helper.make_graph(
            [node], "one",
            [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), [None] * value.ndim)
             for name, value in self.given.items()],
            [helper.make_value_info(name, onnx.TypeProto()) for name in names],
            [numpy_helper.from_array(value, name) for name, value in self.fixed.items()],
        )  # fmt: skip
        opsets = [helper.make_opsetid("", self.opset)]
        opsets += [helper.make_opsetid(self.domain, 1)] if self.domain else []
        made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        inferred = onnx.shape_inference.infer_shapes(made)
        for value, found in zip(made.graph.output, inferred.graph.output, strict=True):
            kind = found.type.tensor_type.elem_type or TensorProto.FLOAT
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind, None))
        return made


class Draw:
    """What cases are drawn with."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data
        self.generator = np.random.default_rng(self.integer(0, 10_000))

    def integer(self, least: int, most: int) -> int:
        return int(self._data.draw(st.integers(least, most)))

    def one_of(self, *values: Any) -> Any:
        return self._data.draw(st.sampled_from(values))

    def flag(self) -> bool:
        return bool(self._data.draw(st.booleans()))

    def shape(self, least: int = 1, most: int = 4) -> tuple[int, ...]:
        return tuple(self.integer(1, 4) for _ in range(self.integer(least, most)))

    def numbers(self, *shape: int, kind: Any = np.float32, low: float = -2.0, high: float = 2.0) -> nets.Array:
        return np.asarray(self.generator.uniform(low, high, shape), dtype=kind)

    def axes(self, rank: int) -> list[int]:
        """Some axes, named from the front or from the end."""
        chosen = self._data.draw(st.lists(st.integers(0, rank - 1), min_size=1, max_size=rank, unique=True))
        return [axis - rank if self.flag() else axis for axis in sorted(chosen)]


CASES: dict[str, Callable[[Draw], Case]] = {}
_Maker = Callable[[Draw], Case]


def case(*operators: str) -> Callable[[Callable[[Draw, str], Case]], Callable[[Draw, str], Case]]:
    """Puts a maker into the table, once for each operator."""

    def put(make: Callable[[Draw, str], Case]) -> Callable[[Draw, str], Case]:
        for operator in operators:
            name = operator
            while name in CASES:
                name += "+"
            CASES[name] = lambda draw, operator=operator: make(draw, operator)  # type: ignore[misc]
        return put_back(make)

    return put


def put_back(make: Callable[[Draw, str], Case]) -> Callable[[Draw, str], Case]:
    return make


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


def _window(draw: Draw, axes: int, *, dilated: bool = True) -> dict[str, Any]:
    """Strides, dilations and pads; auto_pad with strides alone."""
    how: dict[str, Any] = {"strides": [draw.integer(1, 2) for _ in range(axes)]}
    automatic = draw.one_of("NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
    if automatic != "NOTSET":
        return how | {"auto_pad": automatic}
    if dilated and draw.flag():
        how["dilations"] = [draw.integer(1, 2) for _ in range(axes)]
    return how | {"pads": [draw.integer(0, 1) for _ in range(2 * axes)]}


@case("Conv", "ConvTranspose")
def convolutions(draw: Draw, operator: str) -> Case:
    axes, group = draw.integer(1, 3), draw.one_of(1, 2)
    kernel = [draw.integer(1, 3) for _ in range(axes)]
    how = _window(draw, axes) | {"group": group}
    x = draw.numbers(draw.integer(1, 2), 2 * group, *(draw.integer(5, 7) for _ in range(axes)))
    shape = (2 * group, 3 if operator == "ConvTranspose" else 2, *kernel)
    outputs = 3 * group if operator == "ConvTranspose" else 2 * group
    fixed = {"w": draw.numbers(*shape)}
    if operator == "ConvTranspose" and "pads" in how and draw.flag():
        how["output_padding"] = [stride - 1 for stride in how["strides"]]
    if draw.flag():
        fixed["b"] = draw.numbers(outputs)
    return Case(operator, ["x", *fixed], {"x": x}, fixed, how)


@case("ConvTranspose")
def convolution_to_a_shape(draw: Draw, operator: str) -> Case:
    size, stride = draw.integer(3, 5), draw.integer(1, 2)
    full = (size - 1) * stride + 3
    how = {
        "strides": [stride],
        "output_shape": [full - draw.integer(0, 2)],
        "auto_pad": draw.one_of("NOTSET", "SAME_UPPER"),
    }
    return Case(operator, ["x", "w"], {"x": draw.numbers(1, 2, size)}, {"w": draw.numbers(2, 3, 3)}, how)


@case("MaxPool", "AveragePool", "LpPool")
def pooling(draw: Draw, operator: str) -> Case:
    axes = draw.integer(1, 3)
    how = _window(draw, axes, dilated=operator == "MaxPool")
    how["kernel_shape"] = [draw.integer(2, 3) for _ in range(axes)]
    if operator != "LpPool" and "pads" in how:
        how["ceil_mode"] = int(draw.flag())
    if operator == "AveragePool":
        how["count_include_pad"] = int(draw.flag())
    if operator == "LpPool":
        how["p"] = draw.integer(1, 3)
    x = draw.numbers(draw.integer(1, 2), 2, *(draw.integer(5, 7) for _ in range(axes)))
    outputs = 2 if operator == "MaxPool" and draw.flag() else 1
    # ceil_mode of AveragePool was put right in set 19
    return Case(operator, ["x"], {"x": x}, {}, how, outputs, opset=19 if operator == "AveragePool" else 17)


@case("BatchNormalization", "InstanceNormalization")
def normalisations(draw: Draw, operator: str) -> Case:
    x = draw.numbers(3, 4, *draw.shape(1, 2))
    fixed = {"scale": draw.numbers(4), "bias": draw.numbers(4)}
    if operator == "BatchNormalization":
        fixed |= {"mean": draw.numbers(4), "var": draw.numbers(4, low=0.2)}
    return Case(operator, ["x", *fixed], {"x": x}, fixed, {"epsilon": draw.one_of(1e-3, 1e-2)})


@case("LayerNormalization")
def layer_normalisation(draw: Draw, operator: str) -> Case:
    shape = draw.shape(2, 4)
    axis = draw.integer(1, len(shape) - 1)
    inside = shape[axis:]
    fixed = {"scale": draw.numbers(*inside)} | ({"bias": draw.numbers(*inside)} if draw.flag() else {})
    how = {"axis": axis - len(shape) if draw.flag() else axis, "epsilon": 1e-3}
    return Case(operator, ["x", *fixed], {"x": draw.numbers(*shape)}, fixed, how, draw.one_of(1, 1, 3))


@case("GroupNormalization")
def group_normalisation(draw: Draw, operator: str) -> Case:
    opset, groups = draw.one_of(18, 21), draw.one_of(1, 2, 4)
    width = 4 if opset == 21 else groups
    fixed = {"scale": draw.numbers(width), "bias": draw.numbers(width)}
    return Case(
        operator,
        ["x", *fixed],
        {"x": draw.numbers(2, 4, 3)},
        fixed,
        {"num_groups": groups, "epsilon": 1e-3},
        opset=opset,
    )


@case("LRN")
def local_response(draw: Draw, operator: str) -> Case:
    how = {"size": draw.one_of(1, 3, 5), "alpha": 0.1, "beta": 0.6, "bias": 1.2}
    return Case(operator, ["x"], {"x": draw.numbers(2, 5, 3, 2)}, attributes=how)


@case("LpNormalization")
def unit_length(draw: Draw, operator: str) -> Case:
    return Case(
        operator, ["x"], {"x": draw.numbers(2, 3, 4)}, attributes={"axis": draw.one_of(-1, 1), "p": draw.one_of(1, 2)}
    )


@case("MeanVarianceNormalization")
def mean_variance(draw: Draw, operator: str) -> Case:
    return Case(operator, ["x"], {"x": draw.numbers(2, 3, 4, 2)}, attributes={"axes": draw.one_of([0, 2, 3], [2, 3])})


@case("Softmax", "LogSoftmax", "Hardmax")
def choices(draw: Draw, operator: str) -> Case:
    shape, opset = draw.shape(2, 4), draw.one_of(11, 13, 17)
    how = {} if draw.flag() else {"axis": draw.integer(0 if opset < 13 else -len(shape), len(shape) - 1)}
    return Case(operator, ["x"], {"x": draw.numbers(*shape)}, attributes=how, opset=opset)


@case("Dropout")
def dropout(draw: Draw, operator: str) -> Case:
    return Case(
        operator, ["x"], {"x": draw.numbers(*draw.shape())}, outputs=draw.one_of(1, 2), opset=draw.one_of(10, 13)
    )


@case("Reshape")
def reshape(draw: Draw, operator: str) -> Case:
    shape = np.array(draw.one_of([6, 4], [0, -1], [-1], [2, 0, 4], [4, 3, -1, 1]))
    x = draw.numbers(2, 3, 4)
    return (
        Case(operator, ["x", "s"], {"x": x}, {"s": shape})
        if draw.flag()
        else Case(operator, ["x", "s"], {"x": x, "s": shape})
    )


@case("Flatten")
def flatten(draw: Draw, operator: str) -> Case:
    return Case(operator, ["x"], {"x": draw.numbers(2, 3, 4)}, attributes={"axis": draw.integer(-3, 3)})


@case("Transpose")
def transpose(draw: Draw, operator: str) -> Case:
    how = {} if draw.flag() else {"perm": draw.one_of([0, 2, 1], [2, 0, 1], [1, 0, 2])}
    return Case(operator, ["x"], {"x": draw.numbers(2, 3, 4)}, attributes=how)


@case("Concat")
def concat(draw: Draw, operator: str) -> Case:
    given = {name: draw.numbers(2, draw.integer(0, 3), 2) for name in "ab"}
    return Case(operator, ["a", "b", "a"], given, attributes={"axis": draw.one_of(1, -2)})


@case("Slice")
def slices(draw: Draw, operator: str) -> Case:
    axes = draw.axes(3)
    bounds = [(draw.integer(-6, 6), draw.one_of(-(2**62), -3, -1, 0, 2, 4, 2**62)) for _ in axes]
    starts, ends = [one[0] for one in bounds], [one[1] for one in bounds]
    x = {"x": draw.numbers(3, 4, 5)}
    if draw.flag():
        return Case(operator, ["x"], x, attributes={"starts": starts, "ends": ends, "axes": axes}, opset=9)
    steps = [draw.one_of(1, 2, -1, -2) for _ in axes]
    lists = {name: np.array(value) for name, value in (("s", starts), ("e", ends), ("a", axes), ("t", steps))}
    return Case(operator, ["x", *lists], x | lists) if draw.flag() else Case(operator, ["x", *lists], x, lists)


@case("Split")
def split(draw: Draw, operator: str) -> Case:
    x, form = {"x": draw.numbers(2, 6)}, draw.one_of("attribute", "input", "equal", "uneven")
    if form == "attribute":
        return Case(operator, ["x"], x, attributes={"split": [1, 2, 3], "axis": 1}, outputs=3, opset=11)
    if form == "input":
        return Case(operator, ["x", "s"], x, {"s": np.array([1, 2, 3])}, {"axis": -1}, 3)
    if form == "uneven":
        return Case(
            operator, ["x"], {"x": draw.numbers(2, 7)}, attributes={"axis": 1, "num_outputs": 4}, outputs=4, opset=18
        )
    return Case(operator, ["x"], x, attributes={"axis": 1}, outputs=3)


@case("Squeeze", "Unsqueeze")
def ones(draw: Draw, operator: str) -> Case:
    x = {"x": draw.numbers(1, 3, 1, 2)}
    axes = draw.one_of([0], [0, 2], [-4], [2]) if operator == "Squeeze" else draw.one_of([0], [1, 4], [-1], [0, 5])
    if draw.flag():
        return Case(operator, ["x"], x, attributes={"axes": axes}, opset=11)
    if operator == "Squeeze" and draw.flag():
        return Case(operator, ["x"], x)
    return Case(operator, ["x", "a"], x, {"a": np.array(axes)})


@case("Expand")
def expand(draw: Draw, operator: str) -> Case:
    shape = np.array(draw.one_of([2, 3, 4], [1], [3, 1], [5, 1, 3, 4]))
    return Case(operator, ["x", "s"], {"x": draw.numbers(3, 1), "s": shape})


@case("Shape")
def part_of_a_shape(draw: Draw, operator: str) -> Case:
    return Case(
        operator,
        ["x"],
        {"x": draw.numbers(2, 3, 4)},
        attributes={"start": draw.integer(-3, 1), "end": draw.integer(2, 5)},
    )


@case("Tile")
def tile(draw: Draw, operator: str) -> Case:
    return Case(
        operator, ["x", "r"], {"x": draw.numbers(2, 3)}, {"r": np.array([draw.integer(1, 3), draw.integer(1, 2)])}
    )


@case("Pad")
def pad(draw: Draw, operator: str) -> Case:
    mode = draw.one_of("constant", "reflect", "edge")
    pads = [draw.integer(-1 if mode == "constant" else 0, 2) for _ in range(4)]
    x = {"x": draw.numbers(3, 4)}
    if draw.flag():
        return Case(operator, ["x"], x, attributes={"mode": mode, "pads": pads, "value": 0.5}, opset=10)
    fixed = {"p": np.array(pads), "v": np.array(0.5, np.float32)}
    return Case(operator, ["x", *fixed] if mode == "constant" and draw.flag() else ["x", "p"], x, fixed, {"mode": mode})


@case("Pad")
def pad_some_axes(draw: Draw, operator: str) -> Case:
    fixed = {"p": np.array([1, 2]), "a": np.array([draw.integer(-2, 1)])}
    how = {"mode": draw.one_of("constant", "wrap", "reflect")}
    return Case(operator, ["x", "p", "", "a"], {"x": draw.numbers(3, 4)}, fixed, how, opset=19)


@case("DepthToSpace", "SpaceToDepth")
def blocks(draw: Draw, operator: str) -> Case:
    how: dict[str, Any] = {"blocksize": 2}
    if operator == "DepthToSpace":
        how["mode"] = draw.one_of("DCR", "CRD")
    return Case(operator, ["x"], {"x": draw.numbers(2, 8, 4, 2)}, attributes=how)


@case("Gather")
def gather(draw: Draw, operator: str) -> Case:
    rank = draw.integer(1, 3)
    shape, axis = (4, 3, 5)[:rank], draw.integer(-rank, rank - 1)
    places = draw.generator.integers(-shape[axis], shape[axis], draw.one_of((), (2,), (2, 3)))
    x, places = {"x": draw.numbers(*shape)}, {"p": np.asarray(places, dtype=draw.one_of(np.int64, np.int32))}
    if draw.flag():
        return Case(operator, ["x", "p"], x, places, {"axis": axis})
    return Case(operator, ["x", "p"], x | places, attributes={"axis": axis})


@case("GatherElements", "ScatterElements")
def elements(draw: Draw, operator: str) -> Case:
    axis = draw.one_of(0, 1, -1)
    size = (4, 3)[axis]
    places = np.stack([draw.generator.permutation(size) for _ in range((4, 3)[1 - axis % 2])])
    places = places if axis % 2 else places.T
    x = {"x": draw.numbers(4, 3), "p": places - size * (places % 2)}
    if operator == "GatherElements":
        return Case(operator, ["x", "p"], x, attributes={"axis": axis})
    how = {"axis": axis} | ({"reduction": draw.one_of("add", "mul")} if draw.flag() else {})
    return Case(operator, ["x", "p", "u"], x | {"u": draw.numbers(*places.shape)}, attributes=how)


@case("GatherND")
def gather_nd(draw: Draw, operator: str) -> Case:
    batch, shape = draw.one_of((0, (2, 3)), (0, (5, 2)), (1, (2, 1)), (1, (2, 3, 2)))
    places = draw.generator.integers(-2, 2, shape)
    return Case(operator, ["x", "p"], {"x": draw.numbers(2, 3, 4), "p": places}, attributes={"batch_dims": batch})


@case("ScatterND")
def scatter_nd(draw: Draw, operator: str) -> Case:
    places = np.array(draw.one_of([[0], [2]], [[1], [-1]]))
    how = {"reduction": "add"} if draw.flag() else {}
    given = {"x": draw.numbers(4, 3), "p": places, "u": draw.numbers(2, 3)}
    return Case(operator, ["x", "p", "u"], given, attributes=how)


@case("OneHot")
def one_hot(draw: Draw, operator: str) -> Case:
    fixed = {"d": np.array(4), "v": np.array([0.5, 2.0], np.float32)}
    return Case(
        operator, ["p", *fixed], {"p": draw.generator.integers(-4, 6, (2, 3))}, fixed, {"axis": draw.integer(-3, 2)}
    )


@case("TopK")
def top(draw: Draw, operator: str) -> Case:
    how = {"axis": draw.integer(-2, 1), "largest": int(draw.flag())}
    return Case(operator, ["x", "k"], {"x": draw.numbers(4, 5)}, {"k": np.array([draw.integer(1, 4)])}, how, 2)


@case("ArgMax", "ArgMin")
def extremes(draw: Draw, operator: str) -> Case:
    how = {"axis": draw.integer(-2, 1), "keepdims": int(draw.flag()), "select_last_index": int(draw.flag())}
    return Case(operator, ["x"], {"x": np.round(draw.numbers(4, 5))}, attributes=how)


@case("CumSum")
def cumulated(draw: Draw, operator: str) -> Case:
    how = {"reverse": int(draw.flag()), "exclusive": int(draw.flag())}
    return Case(operator, ["x", "a"], {"x": draw.numbers(3, 4)}, {"a": np.array(draw.one_of(0, 1, -1))}, how)


@case("Range")
def ranges(draw: Draw, operator: str) -> Case:
    kind = draw.one_of(np.float32, np.int64)
    values = draw.one_of((0, 5, 1), (5, -2, -2), (1, 1, 1), (2, 9, 3))
    return Case(
        operator, ["a", "b", "c"], {name: np.array(value, kind) for name, value in zip("abc", values, strict=True)}
    )


@case("ConstantOfShape")
def constants(draw: Draw, operator: str) -> Case:
    value = numpy_helper.from_array(draw.one_of(np.array([1.5], np.float32), np.array([3])))
    return Case(operator, ["s"], {"s": np.array([2, 3])}, attributes={"value": value} if draw.flag() else {})


@case("EyeLike")
def eye(draw: Draw, operator: str) -> Case:
    return Case(operator, ["x"], {"x": draw.numbers(3, 4)}, attributes={"k": draw.integer(-2, 2)})


@case("Trilu")
def triangle(draw: Draw, operator: str) -> Case:
    x, fixed = {"x": draw.numbers(2, 3, 4)}, {"k": np.array(draw.integer(-2, 2))}
    return Case(operator, ["x", "k"] if draw.flag() else ["x"], x, fixed, {"upper": int(draw.flag())})


@case("NonZero")
def places_of_numbers(draw: Draw, operator: str) -> Case:
    return Case(operator, ["x"], {"x": np.round(draw.numbers(3, 4))})


@case("Compress")
def compress(draw: Draw, operator: str) -> Case:
    given = {"x": draw.numbers(3, 4), "c": np.array([True, False, True])}
    return Case(operator, ["x", "c"], given, attributes={"axis": 0} if draw.flag() else {})


@case("ReverseSequence")
def turned(draw: Draw, operator: str) -> Case:
    batch = draw.one_of(0, 1)
    return Case(
        operator, ["x", "l"], {"x": draw.numbers(3, 3, 2), "l": np.array([1, 3, 2])},
        attributes={"batch_axis": batch, "time_axis": 1 - batch},
    )  # fmt: skip


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


@case("Resize")
def resize(draw: Draw, operator: str) -> Case:
    mode = draw.one_of("nearest", "linear", "cubic")
    coordinates = draw.one_of("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    how = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if mode == "nearest":
        how["nearest_mode"] = draw.one_of("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    x = {"x": draw.numbers(1, 2, draw.integer(2, 5), draw.integer(2, 5))}
    if draw.flag():
        return Case(
            operator,
            ["x", "", "s"],
            x,
            {"s": np.array([1, 1, draw.one_of(0.6, 2, 1.5), draw.one_of(1, 2.3, 3)], np.float32)},
            how,
        )
    sizes = np.array([1, 2, draw.integer(1, 8), draw.integer(1, 8)])
    return Case(operator, ["x", "", "", "s"], x, {"s": sizes}, how)


@case("Upsample")
def upsample(draw: Draw, operator: str) -> Case:
    how = {"mode": draw.one_of("nearest", "linear")}
    scales = np.array([1, 1, draw.one_of(1, 2, 3), 2], np.float32)
    return Case(operator, ["x", "s"], {"x": draw.numbers(1, 2, 3, 4)}, {"s": scales}, how, opset=9)


_ACTIVATIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}


@case("LSTM", "GRU", "RNN")
def recurrent(draw: Draw, operator: str) -> Case:
    gates, width, time, rows = {"LSTM": 4, "GRU": 3, "RNN": 1}[operator], 3, draw.integer(1, 4), draw.integer(1, 3)
    direction = draw.one_of("forward", "reverse", "bidirectional")
    ways = 2 if direction == "bidirectional" else 1
    given = {"x": draw.numbers(time, rows, 2)}
    fixed = {"w": draw.numbers(ways, gates * width, 2), "r": draw.numbers(ways, gates * width, width)}
    names = ["x", "w", "r", "", "", "", "", ""]
    if draw.flag():
        names[3], fixed["b"] = "b", draw.numbers(ways, 2 * gates * width)
    if draw.flag():
        names[4], fixed["n"] = "n", draw.generator.integers(1, time + 1, rows).astype(np.int32)
    if draw.flag():
        names[5], given["h"] = "h", draw.numbers(ways, rows, width)
    if operator == "LSTM" and draw.flag():
        names[6], given["c"] = "c", draw.numbers(ways, rows, width)
    if operator == "LSTM" and draw.flag():
        names[7], fixed["p"] = "p", draw.numbers(ways, 3 * width)
    how: dict[str, Any] = {"hidden_size": width, "direction": direction}
    if operator == "GRU":
        how["linear_before_reset"] = int(draw.flag())
    if draw.flag():
        how["clip"] = 0.7
    if draw.flag():
        how["activations"] = ["HardSigmoid", "Relu", "Softsign"][3 - _ACTIVATIONS[operator] :] * ways
    return Case(operator, names[: 8 if operator == "LSTM" else 6], given, fixed, how, 3 if operator == "LSTM" else 2)


@case("FusedMatMul", "BiasGelu", "QuickGelu", "FastGelu", "SkipLayerNormalization")
def vendor(draw: Draw, operator: str) -> Case:
    x = {"x": draw.numbers(2, 3, 4)}
    if operator == "FusedMatMul":
        turned = int(draw.flag())
        fixed = {"w": draw.numbers(*((2, 4) if turned else (4, 2)))}
        return Case(operator, ["x", "w"], x, fixed, {"transB": turned, "alpha": 0.5}, domain="com.microsoft")
    if operator == "SkipLayerNormalization":
        fixed = {"g": draw.numbers(4), "b": draw.numbers(4), "bias": draw.numbers(4)}
        return Case(operator, ["x", "s", *fixed], x | {"s": draw.numbers(2, 3, 4)}, fixed, domain="com.microsoft")
    fixed = {} if operator == "QuickGelu" else {"b": draw.numbers(4)}
    return Case(operator, ["x", *fixed], x, fixed, domain="com.microsoft")


def covered(cases: Sequence[str]) -> set[str]:
    """The operators that these cases are of."""
    return {name.rstrip("+") for name in cases}
