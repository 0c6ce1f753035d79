"""Writes rounded weights into a graph: integers and scales as tensors, and the nodes that turn them back into the weight.

Rules:
- nodes stand under the weight's old name and read constants only, so the runtime computes them once, when it loads the model;
- two 4-bit integers share a byte: the first half of the numbers in the low halves of the bytes, the second half in the high ones;
- standard operators of operator set 13 only; the arithmetic is done in float32, or in the weight's own type where it is wider;
- an embedding stays integers at run time: rows are looked up, and only these are expanded.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from compression_engine.formats.numbers import BLOCK_BYTES, InFile, Numbers, Target, boxes, opened
from compression_engine.formats.onnx_graph import Edits, Names
from compression_engine.formats.parked import tensor_of
from compression_engine.methods.report import Report, Stored
from compression_engine.methods.rounding import Rounded
from compression_engine.methods.weights import Weight

FOLDED = "int8, expanded when the model is loaded"
ROWS = "int8 rows, expanded when they are looked up"
_HALF_A_BYTE = 4
_MIDDLE = 8  # where symmetric 4-bit integers have their zero


def store_folded(weight: Weight, rounded: Rounded, names: Names, edits: Edits, report: Report, how: str = "") -> None:
    """Stores integers and scales, and has the graph expand them under the weight's old name when it is loaded."""
    name, kind = weight.tensor.name, weight.tensor.data_type
    if _is_plain(weight, rounded):
        stored = store(weight, rounded, names)
        expand(weight.graph, name, kind, stored, names, edits)
        mark = marked(name, weight, rounded, *stored)
    else:
        expansion = _Expansion(weight, rounded, names)
        edits.put_first(weight.graph, expansion.of_all())
        mark = marked(name, weight, rounded, expansion.stored, expansion.scale, expansion.zero)
    report.change(name, how or FOLDED, mark)


def store_rows(weight: Weight, rounded: Rounded, names: Names, edits: Edits, report: Report, how: str = "") -> None:
    """Stores an embedding as integer rows; each look-up fetches integers and scale of its rows and multiplies them."""
    name = weight.tensor.name
    if _is_plain(weight, rounded):
        mark = marked(name, weight, rounded, *_plain_rows(weight, rounded, names, edits))
    else:
        expansion = _Expansion(weight, rounded, names, rows=True)
        for use in weight.uses:
            edits.replace(use.node, expansion.of_rows(use.node))
        mark = marked(name, weight, rounded, expansion.stored, expansion.scale, expansion.zero)
    report.change(name, how or ROWS, mark)


def marked(name: str, weight: Weight, rounded: Rounded, values: str, scale: str, zero: str | None = None) -> Stored:
    """The mark of a weight that was stored: `name` as it was in the parent, then the names of its tensors in the output."""
    held = {tensor.name: tensor for tensor in weight.graph.initializer}
    symmetric = rounded.zero is None
    return Stored.of(
        name,
        dtype=f"{'' if symmetric else 'u'}int{rounded.bits}",
        scheme="symmetric" if symmetric else "asymmetric",
        granularity="channel" if rounded.block_size is None else f"block-{rounded.block_size}",
        rounding=rounded.rounding,
        values=held[values],
        scale=held[scale],
        zero=None if zero is None else held[zero],
    )


def store(weight: Weight, rounded: Rounded, names: Names) -> tuple[str, str]:
    """Replaces a weight's tensor by its integers, adds the scales, and returns the names of both."""
    name = weight.tensor.name
    stored, scale = names.new(name, "int8"), names.new(name, "scale")
    # the old tensor's place is reused, so that the order of tensors in the file stays that of the parent
    weight.tensor.CopyFrom(tensor_of(rounded.values, stored))
    weight.graph.initializer.append(tensor_of(rounded.scale, scale))
    return stored, scale


def expand(graph: onnx.GraphProto, name: str, kind: int, stored: tuple[str, str], names: Names, edits: Edits) -> None:
    """Adds Cast and Mul that turn stored integers and scales back into the weight `name` of the data type `kind`."""
    expanded = names.new(name, "expanded")
    nodes = [
        helper.make_node("Cast", [stored[0]], [expanded], name=names.new(name, "cast"), to=kind),
        helper.make_node("Mul", [expanded, stored[1]], [name], name=names.new(name, "scaled")),
    ]
    edits.put_first(graph, nodes)


def packed(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Integers from 0 to 15 [..., n] as bytes [..., (n + 1) // 2]: the first half in the low four bits, the rest in the high."""
    half = -(-values.shape[-1] // 2)
    high = np.zeros((*values.shape[:-1], half), dtype=np.uint8)
    high[..., : values.shape[-1] - half] = values[..., half:] << _HALF_A_BYTE
    return values[..., :half] | high


def _is_plain(weight: Weight, rounded: Rounded) -> bool:
    """Whether integers times scale, as they are, are the weight in its own type."""
    own = helper.tensor_dtype_to_np_dtype(weight.tensor.data_type)
    return rounded.bits == 8 and rounded.zero is None and rounded.view.run is None and rounded.scale.dtype == own


def _plain_rows(weight: Weight, rounded: Rounded, names: Names, edits: Edits) -> tuple[str, str]:
    name, kind = weight.tensor.name, weight.tensor.data_type
    stored, scale = store(weight, rounded, names)
    for use in weight.uses:
        node = use.node
        rows, scales, expanded = (names.new(name, part) for part in ("rows", "row_scales", "rows_expanded"))
        nodes = [
            helper.make_node("Gather", [stored, node.input[1]], [rows], name=names.new(name, "take"), axis=0),
            helper.make_node("Gather", [scale, node.input[1]], [scales], name=names.new(name, "take"), axis=0),
            helper.make_node("Cast", [rows], [expanded], name=names.new(name, "cast"), to=kind),
            helper.make_node("Mul", [expanded, scales], [node.output[0]], name=names.new(name, "scaled")),
        ]
        edits.replace(node, nodes)
    return stored, scale


class _Expansion:
    """The tensors of one weight, and the nodes that expand all of it or some of its rows."""

    def __init__(self, weight: Weight, rounded: Rounded, names: Names, *, rows: bool = False) -> None:
        self.name, self.graph, self._names, self.rounded = weight.tensor.name, weight.graph, names, rounded
        self.kind = weight.tensor.data_type
        self.arithmetic = TensorProto.DOUBLE if self.kind == TensorProto.DOUBLE else TensorProto.FLOAT
        self.shape = tuple(weight.tensor.dims)
        self._nodes: list[onnx.NodeProto] = []
        keep = self.shape[0] if rows else None
        values = rounded.values if keep is None else rounded.values.reshape(keep, -1)
        self.stored = self._store_values(weight, values if rounded.bits == 8 else _packed(values, keep))
        self.width = math.prod(values.shape[1:]) if rows else values.size
        self.scale = self._tensor("scale", rounded.scale if keep is None else rounded.scale.reshape(keep, -1))
        self._scale_fits = rounded.scale.dtype == helper.tensor_dtype_to_np_dtype(self.arithmetic)
        zero = rounded.zero
        self.zero = None if zero is None else self._tensor("zero", zero if keep is None else zero.reshape(keep, -1))
        self._constants: dict[str, str] = {}

    def of_all(self) -> list[onnx.NodeProto]:
        """Nodes that make the weight under its old name."""
        integers = self._unpacked(self.stored, 0, list(self.rounded.view.shape))
        centred = self._centred(integers, None if self.zero is None else self._as_float(self.zero))
        scaled = self._node("Mul", [centred, self._as_float(self.scale)], "scaled")
        shaped = self._shaped(scaled)
        self._finish(shaped, self.name)
        return self._taken()

    def of_rows(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Nodes that stand for one look-up."""
        ids, size = node.input[1], self._group_size()
        groups, single = [-1, self.width // size, size], [-1, self.width // size, 1]
        looked = self._node("Gather", [self.stored, ids], "rows", axis=0)
        integers = self._unpacked(looked, -1, groups)
        zero = None if self.zero is None else self._looked_up(self.zero, ids, single)
        scale = self._looked_up(self.scale, ids, single)
        scaled = self._node("Mul", [self._centred(integers, zero), scale], "scaled")
        flat = self._cut(self._grouped(scaled, [-1, self.width]), 1, math.prod(self.shape[1:]))
        sizes = self._node("Shape", [ids], "ids_shape")
        sizes = self._node("Concat", [sizes, self._sizes(self.shape[1:])], "rows_shape", axis=0)
        self._finish(self._node("Reshape", [flat, sizes], "rows_shaped"), node.output[0])
        return self._taken()

    def _looked_up(self, name: str, ids: str, shape: list[int]) -> str:
        """Scales or zero points of the rows that are looked up, one of each for a group."""
        found = self._node("Gather", [name, ids], "of_rows", axis=0)
        return self._grouped(found if name == self.scale and self._scale_fits else self._as_float(found), shape)

    def _group_size(self) -> int:
        view = self.rounded.view
        return view.shape[2] if view.run is not None else self.width

    def _store_values(self, weight: Weight, values: Numbers) -> str:
        stored = self._names.new(self.name, f"int{self.rounded.bits}")
        weight.tensor.CopyFrom(tensor_of(values, stored))
        return stored

    def _unpacked(self, name: str, axis: int, shape: list[int]) -> str:
        """Integers as bytes in this shape."""
        if self.rounded.bits == 8:
            return self._grouped(name, shape) if axis else name
        four = self._constant("four", np.array(_HALF_A_BYTE, dtype=np.uint8))
        high = self._node("BitShift", [name, four], "high", direction="RIGHT")
        low = self._node("BitShift", [name, four], "low_raised", direction="LEFT")
        low = self._node("BitShift", [low, four], "low", direction="RIGHT")
        both = self._node("Concat", [low, high], "unpacked", axis=axis)
        if self.width % 2:
            both = self._sliced(both, axis, self.width)
        return self._grouped(both, shape)

    def _centred(self, integers: str, zero: str | None) -> str:
        floats = self._as_float(integers)
        if zero is not None:
            return self._node("Sub", [floats, zero], "centred")
        if self.rounded.bits == 8:
            return floats
        kind = helper.tensor_dtype_to_np_dtype(self.arithmetic)
        return self._node("Sub", [floats, self._constant("middle", np.array(_MIDDLE, dtype=kind))], "centred")

    def _shaped(self, name: str) -> str:
        """From the view back to the weight's own shape, without what fills up the last block."""
        run = self.rounded.view.run
        if run is None:
            return name
        if self.rounded.view.padded:
            before, inner, after = run
            name = self._cut(self._grouped(name, [before, -1, after]), 1, inner)
        return self._grouped(name, list(self.shape))

    def _cut(self, name: str, axis: int, size: int) -> str:
        return self._sliced(name, axis, size) if self.rounded.view.padded else name

    def _sliced(self, name: str, axis: int, size: int) -> str:
        bounds = [self._sizes([number]) for number in (0, size, axis)]
        return self._node("Slice", [name, *bounds], "cut")

    def _as_float(self, name: str) -> str:
        if name == self.scale and self._scale_fits:
            return name
        return self._node("Cast", [name], "float", to=self.arithmetic)

    def _grouped(self, name: str, shape: list[int]) -> str:
        return self._node("Reshape", [name, self._sizes(shape)], "shaped")

    def _sizes(self, shape: list[int] | tuple[int, ...]) -> str:
        return self._constant("sizes_" + "_".join(map(str, shape)), np.array(shape, dtype=np.int64))

    def _constant(self, key: str, value: NDArray[np.generic]) -> str:
        if key not in self._constants:
            self._constants[key] = self._tensor(key, value)
        return self._constants[key]

    def _tensor(self, suffix: str, value: Numbers) -> str:
        name = self._names.new(self.name, suffix)
        self.graph.initializer.append(tensor_of(value, name))
        return name

    def _node(self, operator: str, read: list[str], suffix: str, **attributes: int | str) -> str:
        output = self._names.new(self.name, suffix)
        self._nodes.append(helper.make_node(operator, read, [output], name=f"{output}_node", **attributes))
        return output

    def _finish(self, name: str, output: str) -> None:
        """The last node gives what was asked for, in the weight's own type."""
        operator, more = ("Identity", {}) if self.kind == self.arithmetic else ("Cast", {"to": self.kind})
        self._nodes.append(
            helper.make_node(operator, [name], [output], name=self._names.new(self.name, "expanded"), **more)
        )

    def _taken(self) -> list[onnx.NodeProto]:
        nodes, self._nodes = self._nodes, []
        return nodes


def _packed(values: Numbers, rows: int | None) -> Numbers:
    if isinstance(values, InFile):
        return packed_in_file(values, rows)
    bare = values.astype(np.uint8)
    return packed(bare.reshape(-1) if rows is None else bare)


def packed_in_file(values: InFile, rows: int | None) -> InFile:
    """The same for integers in a file, block by block: [n] where `rows` is None, else [rows, n]."""
    lines = values.reshape(1 if rows is None else rows, -1)
    width = lines.shape[1]
    half = -(-width // 2)
    target = Target((lines.shape[0], half), np.uint8, in_file=True)
    with opened(lines) as given:
        for box in boxes((lines.shape[0], half), BLOCK_BYTES):
            low = given.part(box).copy()
            high = slice(box[1].start + half, min(box[1].stop + half, width))
            low[:, : high.stop - high.start] |= given.part((box[0], high)) << _HALF_A_BYTE
            target.put(box, low)
    assert isinstance(target.numbers, InFile)
    return target.numbers.reshape(half) if rows is None else target.numbers
