"""Lists the weights of a model as matrices of which single numbers can be asked: whatever stores them, and whoever made the file.

Rules:
- ONNX: a weight is a constant that an operator reads which does more than move or expand numbers; integers that an operator of
  integers reads are taken less their zero point; what is packed for one vendor's operators (MatMulNBits, GatherBlockQuantized) is
  unpacked by that operator's definition;
- safetensors: stored weights are expanded (`safetensors_forms`), all other tensors of floats are taken as they are;
- axes of length 1 do not count; fewer than two axes, or fewer than 256 numbers, are no weight;
- a weight that several operators read counts once.
Source of the operators: onnxruntime, ContribOperators.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from compression_engine.formats.onnx_graph import attribute, integer
from compression_engine.formats.onnx_light import open_light
from compression_engine.formats.safetensors_forms import Form, forms_of
from compression_engine.formats.safetensors_io import FLOATS, TensorFile, as_floats
from compression_engine.formats.safetensors_model import open_model, safetensors_path
from compression_engine.identifying.values import Numbers, Positions, Value, centred, derived, stored
from compression_engine.structure.safetensors import Entry

LEAST_ELEMENTS = 256
_ZEROS: dict[str, dict[int, tuple[int | None, int, int]]] = {
    # operator: input of the weight -> inputs of its scale and its zero point, and the axis along which they run
    "MatMulInteger": {0: (None, 2, -2), 1: (None, 3, -1)},
    "ConvInteger": {0: (None, 2, 0), 1: (None, 3, 0)},
    "QLinearMatMul": {0: (1, 2, -2), 3: (4, 5, -1)},
    "QLinearConv": {3: (4, 5, 0)},
    "DynamicQuantizeMatMul": {1: (2, 3, -1)},
    "MatMulIntegerToFloat": {1: (3, 5, -1)},
    "QGemm": {3: (4, 5, -1)},
    "DynamicQuantizeLSTM": {1: (8, 9, -1), 2: (10, 11, -1)},
    "QAttention": {1: (4, 7, -1)},
}  # fmt: skip


@dataclass(frozen=True)
class Weight:
    """A matrix [rows, width] of a model, under the name of the tensor that most of its numbers are in."""

    name: str
    rows: int
    width: int
    value: Value

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return self.rows * self.width

    def at(self, rows: Positions, columns: Positions) -> Numbers:
        """Its numbers where these rows and columns cross [rows, columns]."""
        places = (rows[:, None] * self.width + columns[None, :]).reshape(-1)
        return self.value.at(places).reshape(len(rows), len(columns))


def weights_of(path: Path, stack: ExitStack) -> list[Weight]:
    """The weights of a model in ONNX or safetensors; `stack` closes its files. Raises EngineError for what cannot be read."""
    tensors = safetensors_path(path)
    values = _of_onnx(path) if tensors is None else _of_safetensors(tensors, stack)
    return [weight for value in values if (weight := _weight(value)) is not None]


def _weight(value: Value) -> Weight | None:
    axes = [size for size in value.shape if size != 1]
    if len(axes) < 2 or math.prod(axes) < LEAST_ELEMENTS:
        return None
    return Weight(value.source, axes[0], math.prod(axes[1:]), value)


def _of_onnx(path: Path) -> list[Value]:
    found = _Constants()
    found.walk(open_light(path).graph)
    return list(found.weights.values())


class _Constants:
    """The constants of a graph and those inside it by name, and the weights among them."""

    def __init__(self) -> None:
        self._values: dict[str, Value] = {}
        self.weights: dict[str, Value] = {}

    def walk(self, graph: onnx.GraphProto) -> None:
        """Takes in a graph; names of graphs inside never hide those outside (ONNX forbids it)."""
        for tensor in graph.initializer:
            self._put(tensor.name, stored(tensor, tensor.name))
        for node in graph.node:
            value = attribute(node, "value") if node.op_type == "Constant" else None
            if value is not None and node.output:
                self._put(node.output[0], stored(value.t, node.output[0]))
            elif node.op_type != "Constant":
                self._node(node)
            for one in node.attribute:
                for inner in [*([one.g] if one.HasField("g") else []), *one.graphs]:
                    self.walk(inner)
        for output in graph.output:
            self._read(output.name)

    def _put(self, name: str, value: Value | None) -> None:
        if value is not None:
            self._values[name] = value

    def _node(self, node: onnx.NodeProto) -> None:
        inputs = [self._values.get(name) for name in node.input]
        special = _packed(node, inputs)
        if special is not None:
            self.weights[special.source] = special
            if node.op_type == "MatMulNBits":
                self._read(node.input[0], node, 0, inputs)  # rows of a table go in as they were looked up
            return
        made = derived(node, inputs)
        if made is not None and node.output:
            self._values[node.output[0]] = made
            return
        for index, name in enumerate(node.input):
            self._read(name, node, index, inputs)

    def _read(
        self, name: str, node: onnx.NodeProto | None = None, index: int = 0, inputs: Sequence[Value | None] = ()
    ) -> None:
        value = self._values.get(name)
        if value is None or value.size < LEAST_ELEMENTS:
            return
        where = {} if node is None else _ZEROS.get(node.op_type, {})
        if index in where:
            scale, zero, axis = where[index]
            value = centred(value, _input(inputs, zero), _input(inputs, scale), axis % len(value.shape))
        self.weights.setdefault(value.source, value)


def _input(inputs: Sequence[Value | None], index: int | None) -> Value | None:
    return None if index is None or index >= len(inputs) else inputs[index]


def _packed(node: onnx.NodeProto, inputs: Sequence[Value | None]) -> Value | None:
    """The weight of an operator that unpacks it by itself."""
    if node.op_type == "MatMulNBits" and len(inputs) > 2 and inputs[1] is not None and inputs[2] is not None:
        shape = integer(node, "N", 0), integer(node, "K", 0)
        return _of_blocks(inputs[1], inputs[2], _input(inputs, 3), shape, node)
    if node.op_type == "GatherBlockQuantized" and len(inputs) > 2 and inputs[0] is not None and inputs[2] is not None:
        table, per_byte = inputs[0], 1
        if integer(node, "bits", 4) == 4 and len(table.shape) == len(inputs[2].shape) == 2:
            blocks = inputs[2].shape[1] * integer(node, "block_size", 128)
            per_byte = 2 if table.shape[1] * 2 <= blocks else 1
        if per_byte == 2:
            return _of_blocks(table, inputs[2], _input(inputs, 3), (table.shape[0], table.shape[1] * 2), node)
        return centred(table, _input(inputs, 3), inputs[2], 1, integer(node, "block_size", 128))
    return None


def _of_blocks(
    data: Value, scale: Value, zero: Value | None, shape: tuple[int, int], node: onnx.NodeProto
) -> Value | None:
    """Bytes with integers of 4 or 8 bits, the first in the low half; each row in blocks with a scale and a zero point."""
    bits, size = integer(node, "bits", 4), integer(node, "block_size", 32)
    rows, width = shape
    if bits not in (4, 8) or min(rows, width, size) < 1:
        return None
    blocks = -(-width // size)
    row_bytes, row_zeros = data.size // rows, 0 if zero is None else zero.size // rows
    if row_bytes * 8 < width * bits or scale.size < rows * blocks:
        return None

    def halves(part: Value, row: Positions, place: Positions, row_size: int) -> Numbers:
        both = part.at(row * row_size + place // 2).astype(np.int64)
        return ((both >> (4 * (place & 1))) & 15).astype(np.float64)

    def at(places: Positions) -> Numbers:
        row, column = places // width, places % width
        block = column // size
        middle: Numbers | float = float(2 ** (bits - 1))
        if zero is not None and bits == 4 and zero.size < rows * blocks:
            middle = halves(zero, row, block, row_zeros)
        elif zero is not None:
            middle = zero.at(row * row_zeros + block) % 2**bits
        values = data.at(row * row_bytes + column) if bits == 8 else halves(data, row, column, row_bytes)
        found: Numbers = (values - middle) * scale.at(row * blocks + block)
        return found

    return Value(shape, at, data.source)


def _of_safetensors(path: Path, stack: ExitStack) -> Iterator[Value]:
    for file in stack.enter_context(open_model(path)).files:
        forms = forms_of(file)
        parts = {part.name for form in forms.values() for part in form.parts()}
        for form in forms.values():
            yield _of_form(file, form)
        for entry in file.entries.values():
            if entry.name not in parts and entry.dtype in FLOATS:
                yield _of_entry(file, entry)


def _of_entry(file: TensorFile, entry: Entry) -> Value:
    flat = Entry(entry.name, entry.dtype, (entry.elements, 1), entry.start, entry.size_bytes)

    def at(places: Positions) -> Numbers:
        found = file.numbers(flat, places)
        return as_floats(found, entry.dtype).astype(np.float64)

    return Value(entry.shape, at, entry.name)


def _of_form(file: TensorFile, form: Form) -> Value:
    def at(places: Positions) -> Numbers:
        row, column = places // form.width, places % form.width
        group = column // form.size
        scale = as_floats(file.numbers(file.entries[f"{form.name}_scale"], row * form.groups + group), form.scale_dtype)
        found = form.integers_at(file, row, column) - form.zeros_at(file, row, group)
        return found.astype(np.float64) * scale

    return Value(form.shape, at, form.name)
