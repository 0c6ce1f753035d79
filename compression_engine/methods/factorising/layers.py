"""The weights that two factors can stand for: who reads each, along which axis, and at how many positions.

Rules:
- a weight is a matrix [rows, columns]; of a convolution's kernels all axes but the first are columns;
- every reader is MatMul with it on either side, Gemm with it as the second factor, or an ungrouped Conv, also behind Identity and
  one Transpose; a weight that anything else reads, or that the model gives or takes, stays whole and says why;
- tied weights, read in several places, are one layer with one pair of factors; of two weights that are multiplied with each other
  the first is one;
- positions are how often the matrix is multiplied with a vector, for the rows that sizes were seen with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import onnx

from compression_engine.formats.onnx_graph import (
    FLOATS,
    STANDARD,
    Use,
    attribute,
    elements,
    graphs_of,
    integer,
    read_in,
    uses,
)
from compression_engine.methods.report import Report
from compression_engine.methods.weights import Product, Weight, product_of

Shape = tuple[int, ...]
_MATRIX = 2


@dataclass(frozen=True)
class Reading:
    """A node that multiplies with a weight; `index`: which of its inputs that is; `turned`: that a Transpose stands between."""

    node: onnx.NodeProto
    index: int
    turned: bool


@dataclass(frozen=True)
class Layer:
    """A weight with all its readers, and how often it is multiplied with a vector."""

    tensor: onnx.TensorProto
    readings: tuple[Reading, ...]
    positions: int
    product: Product | None
    """What is multiplied with it, where that can be looked at."""

    @property
    def name(self) -> str:
        """The weight's."""
        return str(self.tensor.name)

    @property
    def rows(self) -> int:
        """Of the matrix."""
        return int(self.tensor.dims[0])

    @property
    def columns(self) -> int:
        """Of the matrix."""
        return math.prod(self.tensor.dims[1:])

    @property
    def inner(self) -> int:
        """The size that is summed over, where it is known."""
        return self.rows if self.product is not None and self.product.inner_axis == 0 else self.columns


def layers_of(
    model: onnx.ModelProto, shapes: Mapping[str, Shape], min_elements: int, spared: frozenset[str], report: Report
) -> list[Layer]:
    """In the order of the model; weights that stay whole are noted in the report. Large constants are initializers by now."""
    main, used, found = model.graph, uses(model.graph), list[Layer]()
    ports = {value.name for value in (*main.input, *main.output)}
    taken: dict[int, str] = {}
    for tensor in main.initializer:
        if tensor.name in spared or len(tensor.dims) < _MATRIX or elements(tensor) < min_elements:
            continue
        if tensor.data_type not in FLOATS:
            continue
        reading = read_in(used, main, tensor.name)
        readings = [] if tensor.name in ports else list(_followed(used, main, reading, len(tensor.dims), ports))
        bad = next((why for _, why in readings if why), "") or ("" if readings else "the model gives or takes it")
        if not reading:
            bad = "nothing reads it"
        if len({id(use.node) for use in reading}) < len(reading):
            bad = bad or "a node multiplies it with itself"
        sizes = [one for one, _ in readings if one is not None]
        other = next((taken[id(one.node)] for one in sizes if id(one.node) in taken), "")
        bad = bad or (f"it is multiplied with {other!r}, and one of the two can have factors" if other else "")
        if bad or any(one.node.output[0] not in shapes for one in sizes):
            report.leave(tensor.name, bad or "the sizes of what it gives are not known")
            continue
        positions = sum(math.prod(shapes[one.node.output[0]]) // _made(tensor, one) for one in sizes)
        weight = Weight(main, tensor, tuple(reading), frozenset())
        found.append(Layer(tensor, tuple(sizes), positions, product_of(weight, main)))
        taken |= {id(one.node): str(tensor.name) for one in sizes}
    _tell_inside(main, min_elements, report)
    return found


def _followed(
    used: dict[str, list[Use]],
    main: onnx.GraphProto,
    reading: list[Use],
    rank: int,
    ports: set[str],
    *,
    turned: bool = False,
) -> Iterator[tuple[Reading | None, str]]:
    """The nodes behind these uses that multiply, or why a use is none."""
    for use in reading:
        node = use.node
        if use.graph is not main:
            yield None, "a graph inside of a branch reads it"
        elif node.domain in STANDARD and (node.op_type == "Identity" or _turns(node, rank, turned=turned)):
            after, behind = turned or node.op_type == "Transpose", read_in(used, main, node.output[0])
            if node.output[0] in ports or not behind:
                yield None, "the model gives it"
            else:
                yield from _followed(used, main, behind, rank, ports, turned=after)
        else:
            why = _refused(node, use.index, rank)
            yield (None, why) if why else (Reading(node, use.index, turned), "")


def _turns(node: onnx.NodeProto, rank: int, *, turned: bool) -> bool:
    order = attribute(node, "perm")
    return (
        node.op_type == "Transpose" and rank == _MATRIX and not turned and (order is None or list(order.ints) == [1, 0])
    )


def _refused(node: onnx.NodeProto, index: int, rank: int) -> str:
    """Why two factors cannot stand where a node reads a weight; "" where they can."""
    told = node.op_type if node.domain in STANDARD else f"{node.domain}.{node.op_type}"
    if told == "Conv" and index == 1 and rank > _MATRIX:
        return "" if integer(node, "group", 1) == 1 else "its convolution is in groups"
    if told == "Gather":
        return "its rows are looked up, not multiplied"
    if told not in ("MatMul", "Gemm") or index > 1:
        return f"{told} reads it"
    if rank != _MATRIX:
        return f"{told} multiplies with a stack of matrices"
    return "" if told == "MatMul" or index == 1 else "it is the first factor of a Gemm"


def _made(tensor: onnx.TensorProto, reading: Reading) -> int:
    """How many numbers one multiplication with the matrix gives."""
    node = reading.node
    first = node.op_type == "Conv" or (node.op_type == "Gemm" and integer(node, "transB", 0) == 1)
    first = first or (node.op_type == "MatMul" and reading.index == 0)
    return int(tensor.dims[0] if first != reading.turned else tensor.dims[-1])


def _tell_inside(main: onnx.GraphProto, min_elements: int, report: Report) -> None:
    for graph in graphs_of(main):
        if graph is not main:
            for tensor in graph.initializer:
                if tensor.data_type in FLOATS and elements(tensor) >= min_elements and len(tensor.dims) >= _MATRIX:
                    report.leave(tensor.name, "it lies in a graph inside of a branch")


@dataclass(frozen=True)
class Whole:
    """What a graph costs before anything is done."""

    multiply_adds: int
    numbers: int

    @classmethod
    def of(cls, model: onnx.ModelProto, shapes: Mapping[str, Shape]) -> Whole:
        """Multiply-adds of products and convolutions with constants of the main graph; numbers of all its float tensors."""
        weights = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type in FLOATS}
        behind: dict[str, str] = {}
        for node in model.graph.node:
            if node.op_type in ("Identity", "Transpose"):
                behind[node.output[0]] = behind.get(node.input[0], node.input[0])
        total = 0
        for node in model.graph.node:
            held = [name for name in node.input[:2] if behind.get(name, name) in weights]
            known = node.output and all(name in shapes for name in (node.output[0], *node.input[:2]))
            if node.op_type not in ("MatMul", "Gemm", "Conv") or not held or not known:
                continue
            total += math.prod(shapes[node.output[0]]) * _summed(node, shapes)
        return cls(max(1, total), numbers_of(model))


def numbers_of(model: onnx.ModelProto) -> int:
    """How many numbers the float tensors of the main graph have."""
    return sum(elements(tensor) for tensor in model.graph.initializer if tensor.data_type in FLOATS)


def _summed(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    """How many products are added up for one number that a node gives."""
    if node.op_type == "Conv":
        return math.prod(shapes[node.input[1]][1:])
    left = shapes[node.input[0]]
    return left[0 if integer(node, "transA", 0) else -1]
