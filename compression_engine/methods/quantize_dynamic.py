"""Computes matrix products in 8-bit integers, with one scale per token found at run time and one per output channel.

How, for `x @ W`: per token, low and range = least entry of x and distance to the largest; q = round((x - low) * 255 / range)
as uint8; MatMulInteger(q, int8 W) * channel scale * range / 255 + low * (sum of each column of W). The sums of columns are
constant, so the runtime computes them once, when it loads the model. Products of the same input share one rounding of it.
The offset matters: after normalisations and activations a token's entries are seldom centred on zero, and without it a
part of the 256 steps is never used. Every row is rounded by itself, so its answer is the same alone and in any batch; one
scale for a whole tensor (DynamicQuantizeLinear) would make it depend on its batch mates. Standard operators only.

Never for convolutions, whose integer form is slower than float. Weights of other operators, and embeddings, are stored as
quantize_weights does it. Limits: the processor must have 8-bit dot products (AVX512-VNNI, AVX-VNNI, AMX) for the speed; ones
with AVX2 alone may saturate inside a product, so measure on the processor that will serve.
Source of per-token activation scales: Yao et al., "ZeroQuant", 2022.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from compression_engine.formats.onnx_graph import STANDARD, Edits, Names, Use, attribute, integer, lift_constants
from compression_engine.formats.onnx_io import default_opset
from compression_engine.methods.leaving_out import left_out
from compression_engine.methods.report import Report, Stored
from compression_engine.methods.rounding import Rounded, round_weight
from compression_engine.methods.storing import expand, marked, store, store_folded, store_rows
from compression_engine.methods.weights import Weight, find_weights
from compression_engine.progress import Progress
from compression_engine.recipe import Value, integer_of

PRODUCT = "int8 product with one scale per token"
_STEPS = 255
_SMALLEST_RANGE = 1e-30  # of a token whose entries are all the same; its reciprocal times 255 is still a float
_AXES_AS_INPUT_SINCE_OPSET = 18  # of ReduceMax and ReduceMin
_INNER_MAX = 65_536  # longer sums of products of 8-bit numbers could leave 32 bits


@dataclass(frozen=True)
class _Rounding:
    """The names of an input's integers, and of scale and offset of its tokens."""

    integers: str
    scale: str
    low: str


@dataclass
class _Writer:
    """What is shared between the products of one model: names, edits, constants, and inputs already rounded."""

    model: onnx.ModelProto
    names: Names
    edits: Edits = field(default_factory=Edits)
    constants: dict[str, str] = field(default_factory=dict)
    rounded_inputs: dict[str, _Rounding] = field(default_factory=dict)
    inner_sizes: dict[str, int] = field(default_factory=dict)
    column_sums: dict[str, str] = field(default_factory=dict)

    def constant(self, key: str, value: np.generic | np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
        """The name of a small constant, made once."""
        if key not in self.constants:
            self.constants[key] = self.names.new("per_token", key)
            self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), self.constants[key]))
        return self.constants[key]


def apply(model: onnx.ModelProto, parameters: dict[str, Value], report: Report, progress: Progress) -> None:
    """Changes a model in place. Raises FileRefused (weights_not_finite). Afterwards `report` names every large weight."""
    min_elements = integer_of(parameters["min_elements"])
    lift_constants(model.graph, min_elements)
    writer = _Writer(model, Names(model))
    weights = find_weights(model, min_elements, report, left_out(model, parameters["exclude"], report))
    products = {id(weight): _products(weight, model.graph) for weight in weights}
    nodes = list(model.graph.node)
    order = {id(node): number for number, node in enumerate(nodes)}
    pending: list[tuple[int, Use, tuple[str, str]]] = []
    for done, weight in enumerate(weights):
        progress("compress", done, len(weights), weight.tensor.name)
        found = products[id(weight)]
        if found:
            names = _store_product(weight, found, writer, report)
            pending += [(order[id(use.node)], use, names) for use in found]
        elif weight.is_embedding:
            store_rows(weight, round_weight(weight), writer.names, writer.edits, report)
        else:
            store_folded(weight, round_weight(weight), writer.names, writer.edits, report)
    # an input is rounded just before the first product that reads it, so products are written in the order of the graph
    for _, use, names in sorted(pending, key=lambda item: item[0]):
        writer.edits.replace(use.node, _product(use.node, names, writer))
    for name in writer.rounded_inputs:
        report.mark(Stored.of(name, dtype="uint8", scheme="asymmetric", granularity="token"))
    writer.edits.make(model)
    progress("compress", len(weights), len(weights), "all weights rounded")


def _products(weight: Weight, main: onnx.GraphProto) -> list[Use]:
    """The uses of a weight that can become integer products; none unless all of these read it in the same orientation."""
    tensor = weight.tensor
    if weight.graph is not main or tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != 2:
        return []
    found = [use for use in weight.uses if use.graph is main and _is_product(use)]
    orientations = {_transposed(use.node) for use in found}
    if len(orientations) != 1:
        return []
    inner = tensor.dims[1] if orientations == {True} else tensor.dims[0]
    return found if inner <= _INNER_MAX else []


def _is_product(use: Use) -> bool:
    node = use.node
    if use.index != 1 or node.domain not in STANDARD:
        return False
    if node.op_type == "MatMul":
        return True
    scales = [attribute(node, name) for name in ("alpha", "beta")]
    plain = all(scale is None or scale.f == 1.0 for scale in scales)
    return node.op_type == "Gemm" and plain and integer(node, "transA", 0) == 0


def _transposed(node: onnx.NodeProto) -> bool:
    return node.op_type == "Gemm" and integer(node, "transB", 0) == 1


def _store_product(weight: Weight, found: list[Use], writer: _Writer, report: Report) -> tuple[str, str]:
    """Stores a weight for MatMulInteger, as input by output; other readers get it expanded under its old name."""
    name, kind = weight.tensor.name, weight.tensor.data_type
    transposed = _transposed(found[0].node)
    axis = 0 if transposed else 1
    rounded = round_weight(Weight(weight.graph, weight.tensor, weight.uses, frozenset({axis})))
    others = len(found) < len(weight.uses)
    stored: tuple[str, str] | None = None
    if not transposed:
        names = store(weight, rounded, writer.names)
        if others:
            expand(weight.graph, name, kind, names, writer.names, writer.edits)
    elif not others:
        names = store(
            weight,
            replace(
                rounded, values=np.ascontiguousarray(np.asarray(rounded.values).T), scale=np.asarray(rounded.scale).T
            ),
            writer.names,
        )
    else:
        stored, names = _store_turned(weight, rounded, writer)
    writer.inner_sizes[names[0]] = rounded.values.shape[axis ^ 1]
    report.change(name, PRODUCT, marked(name, weight, rounded, *(names if stored is None else stored)))
    return names


def _store_turned(weight: Weight, rounded: Rounded, writer: _Writer) -> tuple[tuple[str, str], tuple[str, str]]:
    """A tied weight that is read both ways: stored once as it is, and turned for the products when the model is loaded.

    Returns the names of integers and scales as they are stored, and as products read them.
    """
    name, kind = weight.tensor.name, weight.tensor.data_type
    stored, scale = store(weight, rounded, writer.names)
    expand(weight.graph, name, kind, (stored, scale), writer.names, writer.edits)
    turned = writer.names.new(name, "int8_turned"), writer.names.new(name, "scale_turned")
    nodes = [
        helper.make_node("Transpose", [before], [after], name=writer.names.new(name, "turn"), perm=[1, 0])
        for before, after in zip((stored, scale), turned, strict=True)
    ]
    writer.edits.put_first(weight.graph, nodes)
    return (stored, scale), turned


def _product(node: onnx.NodeProto, weight: tuple[str, str], writer: _Writer) -> list[onnx.NodeProto]:
    """The nodes that stand for `x @ W` (and `+ C`): the first product of an input also rounds it."""
    base, output, new = node.name or node.output[0], node.output[0], writer.names.new
    nodes: list[onnx.NodeProto] = []
    if node.input[0] not in writer.rounded_inputs:
        nodes, writer.rounded_inputs[node.input[0]] = _round_input(node.input[0], writer)
    rounding = writer.rounded_inputs[node.input[0]]
    sums = _column_sums(weight, writer)
    bias = node.input[2] if node.op_type == "Gemm" and len(node.input) > 2 else ""
    total, as_float, by_channel, by_token, offset = (
        new(base, part) for part in ("int32", "float", "by_channel", "by_token", "offset")
    )
    moved = new(base, "moved") if bias else output
    nodes += [
        helper.make_node("MatMulInteger", [rounding.integers, weight[0]], [total], name=new(base, "product")),
        helper.make_node("Cast", [total], [as_float], name=new(base, "cast"), to=TensorProto.FLOAT),
        helper.make_node("Mul", [as_float, weight[1]], [by_channel], name=new(base, "channel_scale")),
        helper.make_node("Mul", [by_channel, rounding.scale], [by_token], name=new(base, "token_scale")),
        helper.make_node("Mul", [rounding.low, sums], [offset], name=new(base, "token_offset")),
        helper.make_node("Add", [by_token, offset], [moved], name=new(base, "move")),
    ]
    if bias:
        nodes.append(helper.make_node("Add", [moved, bias], [output], name=new(base, "bias")))
    return nodes


def _column_sums(weight: tuple[str, str], writer: _Writer) -> str:
    """The sum of each column of a stored weight, made once a weight by nodes that are computed when the model is loaded.

    As an integer product with a row of ones: exact in any order, and the weight is never expanded to floats for it.
    """
    stored, scale = weight
    if stored not in writer.column_sums:
        new = writer.names.new
        total, as_float, sums = (new(stored, part) for part in ("total", "float", "sums"))
        inner = writer.inner_sizes[stored]
        ones = writer.constant(f"ones_{inner}", np.ones((1, inner), dtype=np.uint8))
        nodes = [
            helper.make_node("MatMulInteger", [ones, stored], [total], name=new(stored, "sum")),
            helper.make_node("Cast", [total], [as_float], name=new(stored, "cast"), to=TensorProto.FLOAT),
            helper.make_node("Mul", [as_float, scale], [sums], name=new(stored, "scale_sum")),
        ]
        writer.edits.put_first(writer.model.graph, nodes)
        writer.column_sums[stored] = sums
    return writer.column_sums[stored]


def _round_input(name: str, writer: _Writer) -> tuple[list[onnx.NodeProto], _Rounding]:
    """Nodes that round an input token by token."""
    new, constant = writer.names.new, writer.constant
    parts = ("high", "low", "range", "guarded", "factor", "raised", "stretched", "rounded", "uint8", "token_scale")
    names = {part: new(name, part) for part in parts}
    steps = [
        ("ReduceMax", [name], "high"),
        ("ReduceMin", [name], "low"),
        ("Sub", [names["high"], names["low"]], "range"),
        ("Max", [names["range"], constant("smallest", np.float32(_SMALLEST_RANGE))], "guarded"),
        ("Div", [constant("steps", np.float32(_STEPS)), names["guarded"]], "factor"),
        ("Sub", [name, names["low"]], "raised"),
        ("Mul", [names["raised"], names["factor"]], "stretched"),
        ("Round", [names["stretched"]], "rounded"),
        ("Cast", [names["rounded"]], "uint8"),
        ("Mul", [names["guarded"], constant("step", np.float32(1 / _STEPS))], "token_scale"),
    ]
    nodes = []
    for operator, read, output in steps:
        node = helper.make_node(operator, read, [names[output]], name=new(name, f"{output}_node"))
        if operator in ("ReduceMax", "ReduceMin"):
            _last_axis(node, writer)
        elif operator == "Cast":
            node.attribute.append(helper.make_attribute("to", TensorProto.UINT8))
        nodes.append(node)
    return nodes, _Rounding(names["uint8"], names["token_scale"], names["low"])


def _last_axis(node: onnx.NodeProto, writer: _Writer) -> None:
    node.attribute.append(helper.make_attribute("keepdims", 1))
    if default_opset(writer.model) >= _AXES_AS_INPUT_SINCE_OPSET:
        node.input.append(writer.constant("last_axis", np.array([-1], dtype=np.int64)))
    else:
        node.attribute.append(helper.make_attribute("axes", [-1]))
