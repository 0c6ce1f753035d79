"""The numbers that an ONNX graph would compute from its constants, at chosen places only: nothing is run, no weight is brought in.

How: a value is a shape and a rule that gives its numbers at flat positions by asking the values that it is made of. A stored tensor
reads them from where it lies. So the sign of a weight is found behind whatever a quantiser put around it.

Rules:
- a value counts as constant where all it is made of is; a look-up (Gather along the first axis) of a constant table counts as the
  table, whatever rows are looked up;
- operators that are known: those by which weights are stored (casts, scales, zero points, packed bits, moves); others end the way;
- at most 256 stored tensors and 64 nodes stand behind a value, so that no graph can make a number dear;
- arithmetic is done in float64; bytes stay bytes where bits are moved.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from compression_engine.formats.onnx_graph import attribute, integer
from compression_engine.formats.parked import is_parked, place_of
from compression_engine.formats.short_floats import widened

Positions = NDArray[np.int64]
Numbers = NDArray[np.float64]
_COST_MOST, _DEPTH_MOST, _SIZE_MOST = 256, 64, 2**48
_HALF_BYTES = (TensorProto.INT4, TensorProto.UINT4)


@dataclass(frozen=True)
class Value:
    """A constant: its shape, where its numbers come from, and the stored tensor that most of them are in."""

    shape: tuple[int, ...]
    at: Callable[[Positions], Numbers]
    source: str
    cost: int = 1
    """How many stored tensors are read for a number."""
    depth: int = 0
    """How many nodes lie between."""

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    def all(self) -> Numbers:
        """All numbers, flat; for short values."""
        return self.at(np.arange(self.size, dtype=np.int64))


def stored(tensor: onnx.TensorProto, name: str) -> Value | None:
    """A tensor of the file as a value; None for types without numbers."""
    shape, kind = tuple(tensor.dims), tensor.data_type
    if kind in (TensorProto.STRING, TensorProto.UNDEFINED, TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        return None
    if kind in _HALF_BYTES:
        return Value(shape, lambda places: _halves(_read(tensor, np.dtype("u1"), places >> 1), places, kind), name)
    if kind == TensorProto.BFLOAT16:
        return Value(shape, lambda places: widened(_read(tensor, np.dtype("<u2"), places)).astype(np.float64), name)
    number = np.dtype(helper.tensor_dtype_to_np_dtype(kind))
    return Value(shape, lambda places: _read(tensor, number, places).astype(np.float64), name)


def _read(tensor: onnx.TensorProto, kind: np.dtype[Any], places: Positions) -> NDArray[Any]:
    if not is_parked(tensor):
        if tensor.HasField("raw_data"):
            return np.frombuffer(tensor.raw_data, dtype=kind.newbyteorder("<"))[places]
        array: NDArray[Any] = numpy_helper.to_array(tensor)
        if tensor.data_type in _HALF_BYTES or tensor.data_type == TensorProto.BFLOAT16:
            whole = onnx.TensorProto()
            whole.CopyFrom(numpy_helper.from_array(array))
            return np.frombuffer(whole.raw_data, dtype=kind)[places]
        return array.reshape(-1)[places]
    path, offset, _ = place_of(tensor)
    distinct, inverse = np.unique(places, return_inverse=True)
    with path.open("rb") as file:
        found = b"".join(
            os.pread(file.fileno(), kind.itemsize, offset + int(place) * kind.itemsize) for place in distinct
        )
    return np.frombuffer(found, dtype=kind.newbyteorder("<"))[inverse.reshape(-1)]


def _halves(data: NDArray[Any], places: Positions, kind: int) -> Numbers:
    nibble = (data.astype(np.int64) >> (4 * (places & 1))) & 15
    return np.where((kind == TensorProto.INT4) & (nibble > 7), nibble - 16, nibble).astype(np.float64)


def derived(node: onnx.NodeProto, inputs: Sequence[Value | None]) -> Value | None:
    """What a node makes of constants; None where it is not known, or something that it needs is no constant."""
    rule = _RULES.get(node.op_type)
    if rule is None or not inputs or inputs[0] is None:
        return None
    known = [value for value in inputs if value is not None]
    cost, depth = sum(value.cost for value in known), 1 + max(value.depth for value in known)
    if cost > _COST_MOST or depth > _DEPTH_MOST:
        return None
    try:
        made = rule(node, inputs)
    except (IndexError, ValueError, ZeroDivisionError, OverflowError):
        return None  # a graph that contradicts itself holds no weight that could be told
    if made is None or made.size > _SIZE_MOST or min(made.shape, default=1) < 0:
        return None
    return made if made is inputs[0] else replace(made, cost=cost, depth=depth)


def _same(node: onnx.NodeProto, inputs: Sequence[Value | None]) -> Value | None:
    return inputs[0]


def _gather(node: onnx.NodeProto, inputs: Sequence[Value | None]) -> Value | None:
    table, indices = inputs[0], inputs[1]
    if integer(node, "axis", 0) != 0 or table is None:
        return None
    if indices is None:
        return table
    if not table.shape or not table.size:
        return None
    # integers that lie several to a byte are looked up in a table of what a byte holds
    inner = math.prod(table.shape[1:])

    def at(places: Positions) -> Numbers:
        found = indices.at(places // inner).astype(np.int64) % table.shape[0]
        return table.at(found * inner + places % inner)

    return Value((*indices.shape, *table.shape[1:]), at, _largest([table, indices]).source)


def _reshaped(node: onnx.NodeProto, inputs: Sequence[Value | None]) -> Value | None:
    whole = _held(inputs[0])
    if node.op_type == "Flatten":
        axis = integer(node, "axis", 1)
        return _shaped(whole, (math.prod(whole.shape[:axis]), math.prod(whole.shape[axis:])))
    if node.op_type == "Reshape":
        wanted = inputs[1]
        if wanted is None or wanted.size > 16:
            return None
        return _shaped(whole, _sizes(whole, [int(size) for size in wanted.all()]))
    axes = _integers(node, "axes", inputs[1] if len(inputs) > 1 else None)
    if node.op_type == "Squeeze":
        gone = {axis % len(whole.shape) for axis in axes} if axes is not None else None
        kept = [n for axis, n in enumerate(whole.shape) if (axis not in gone if gone is not None else n != 1)]
        return _shaped(whole, tuple(kept))
    rank = len(whole.shape) + len(axes or [])
    added, left = {axis % rank for axis in axes or []}, iter(whole.shape)
    return _shaped(whole, tuple(1 if axis in added else next(left) for axis in range(rank)))


def _sizes(whole: Value, wanted: list[int]) -> tuple[int, ...]:
    sizes = [whole.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    if -1 in sizes:
        sizes[sizes.index(-1)] = whole.size // math.prod(size for size in sizes if size != -1)
    return tuple(sizes)


def _shaped(whole: Value, shape: tuple[int, ...]) -> Value | None:
    return Value(shape, whole.at, whole.source) if math.prod(shape) == whole.size else None


def _transposed(node: onnx.NodeProto, inputs: Sequence[Value | None]) -> Value | None:
    whole = _held(inputs[0])
    given = attribute(node, "perm")
    order = list(given.ints) if given is not None else list(range(len(whole.shape)))[::-1]
    if sorted(order) != list(range(len(whole.shape))):
        return None
    shape = tuple(whole.shape[axis] for axis in order)

    def at(places: Positions) -> Numbers:
        indices = np.unravel_index(places, shape)
        before = [indices[order.index(axis)] for axis in range(len(order))]
        return whole.at(np.ravel_multi_index(tuple(before), whole.shape).astype(np.int64))

    return Value(shape, at, whole.source)


def _sliced(node: onnx.NodeProto, inputs: Sequence[Value | None]) -> Value | None:
    whole = _held(inputs[0])
    if len(inputs) < 3 or any(one is None or one.size > 16 for one in inputs[1:]):
        return None
    bounds = [[int(number) for number in _held(one).all()] for one in inputs[1:]]
    starts, ends = bounds[0], bounds[1]
    axes = bounds[2] if len(bounds) > 2 else list(range(len(starts)))
    steps = bounds[3] if len(bounds) > 3 else [1] * len(starts)
    first, shape = [0] * len(whole.shape), list(whole.shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step != 1:
            return None
        taken = range(whole.shape[axis])[slice(start, end)]
        first[axis], shape[axis] = taken.start, len(taken)
    cut = tuple(shape)

    def at(places: Positions) -> Numbers:
        indices = np.unravel_index(places, cut)
        moved = tuple(index + begin for index, begin in zip(indices, first, strict=True))
        return whole.at(np.ravel_multi_index(moved, whole.shape).astype(np.int64))

    return Value(cut, at, whole.source) if math.prod(cut) else None


def _joined(node: onnx.NodeProto, inputs: Sequence[Value | None]) -> Value | None:
    parts = [_held(one) for one in inputs] if all(one is not None for one in inputs) else []
    if not parts:
        return None
    axis = integer(node, "axis", 0) % len(parts[0].shape)
    edges = np.cumsum([0, *(part.shape[axis] for part in parts)])
    shape = (*parts[0].shape[:axis], int(edges[-1]), *parts[0].shape[axis + 1 :])

    def at(places: Positions) -> Numbers:
        indices = list(np.unravel_index(places, shape))
        which = np.searchsorted(edges, indices[axis], side="right") - 1
        found = np.empty(len(places), dtype=np.float64)
        for number, part in enumerate(parts):
            chosen = which == number
            inside = [index[chosen] for index in indices]
            inside[axis] = inside[axis] - edges[number]
            if chosen.any():
                found[chosen] = part.at(np.ravel_multi_index(tuple(inside), part.shape).astype(np.int64))
        return found

    return Value(shape, at, _largest(parts).source)


def _arithmetic(node: onnx.NodeProto, inputs: Sequence[Value | None]) -> Value | None:
    if len(inputs) != 2 or inputs[1] is None:
        return None
    left, right = _held(inputs[0]), _held(inputs[1])
    shape = np.broadcast_shapes(left.shape, right.shape)
    operator = _OPERATORS[node.op_type]
    if node.op_type == "BitShift":
        given = attribute(node, "direction")
        operator = _shifted_left if given is not None and given.s == b"LEFT" else _shifted_right

    def at(places: Positions) -> Numbers:
        with np.errstate(all="ignore"):
            found: Numbers = operator(
                left.at(_narrowed(places, shape, left)), right.at(_narrowed(places, shape, right))
            )
        return found

    return Value(shape, at, _largest([left, right]).source)


def _narrowed(places: Positions, shape: tuple[int, ...], part: Value) -> Positions:
    """Positions in a part that is spread over a shape."""
    if part.shape == shape:
        return places
    indices = np.unravel_index(places, shape)[len(shape) - len(part.shape) :]
    kept = tuple(index if size > 1 else np.zeros_like(index) for index, size in zip(indices, part.shape, strict=True))
    return np.ravel_multi_index(kept, part.shape).astype(np.int64) if part.shape else np.zeros_like(places)


def _dequantized(node: onnx.NodeProto, inputs: Sequence[Value | None]) -> Value | None:
    if len(inputs) < 2 or inputs[1] is None:
        return None
    zero = inputs[2] if len(inputs) > 2 else None
    return centred(_held(inputs[0]), zero, inputs[1], integer(node, "axis", 1), integer(node, "block_size", 0))


def centred(whole: Value, zero: Value | None, scale: Value | None, axis: int, block: int = 0) -> Value:
    """(whole - zero) * scale, these of one number, of one for each place along an axis, or of one for each block along it."""

    def of(part: Value, places: Positions) -> Numbers | float:
        if part.size == 1:
            return float(part.all()[0])
        indices = list(np.unravel_index(places, whole.shape))
        if len(part.shape) == 1:
            return part.at(indices[axis].astype(np.int64))
        if len(part.shape) == 2 < len(whole.shape):  # of a cell: for each direction, for each place along the axis
            indices, at_axis = [indices[0], indices[axis]], 1
        else:
            at_axis = axis
        if block:
            indices[at_axis] = indices[at_axis] // block
        kept = [np.minimum(index, size - 1) for index, size in zip(indices, part.shape, strict=True)]
        return part.at(np.ravel_multi_index(tuple(kept), part.shape).astype(np.int64))

    def at(places: Positions) -> Numbers:
        factor = 1.0 if scale is None else of(scale, places)
        found: Numbers = (whole.at(places) - (0.0 if zero is None else of(zero, places))) * factor
        return found

    return Value(whole.shape, at, whole.source)


def _held(value: Value | None) -> Value:
    if value is None:
        raise ValueError("no constant")
    return value


def _largest(values: Sequence[Value]) -> Value:
    return max(values, key=lambda value: value.size)


def _integers(node: onnx.NodeProto, name: str, given: Value | None) -> list[int] | None:
    found = attribute(node, name)
    if found is not None:
        return list(found.ints)
    return None if given is None or given.size > 16 else [int(number) for number in given.all()]


def _shifted_right(left: Numbers, right: Numbers) -> Numbers:
    return (left.astype(np.int64) >> right.astype(np.int64)).astype(np.float64)


def _shifted_left(left: Numbers, right: Numbers) -> Numbers:
    return ((left.astype(np.int64) << right.astype(np.int64)) & 255).astype(np.float64)


def _masked(left: Numbers, right: Numbers) -> Numbers:
    return (left.astype(np.int64) & right.astype(np.int64)).astype(np.float64)


_OPERATORS: dict[str, Callable[[Numbers, Numbers], Numbers]] = {
    "Mul": np.multiply, "Add": np.add, "Sub": np.subtract, "Div": np.divide, "BitShift": _shifted_right, "BitwiseAnd": _masked,
}  # fmt: skip
_RULES: dict[str, Callable[[onnx.NodeProto, Sequence[Value | None]], Value | None]] = {
    **dict.fromkeys(("Cast", "CastLike", "Identity"), _same),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshaped),
    **dict.fromkeys(_OPERATORS, _arithmetic),
    "Gather": _gather, "Transpose": _transposed, "Slice": _sliced, "Concat": _joined, "DequantizeLinear": _dequantized,
}  # fmt: skip
