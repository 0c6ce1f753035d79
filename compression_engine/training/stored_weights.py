"""Where the float tensors of a model lie, and how trained numbers come back to the same place in the same form.

Rules:
- a tensor is known by its name; where graphs beside each other use one name for different tensors, the second is `name#2`;
- numbers of 16 bits are given as float32, and rounded to the nearest when they are written; others keep their type;
- what is written has the tensor's type, shape and way of being stored: raw bytes, lists of numbers, or a range of a file (then a
  new one in the spool); a tensor whose numbers are the ones it has keeps its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from compression_engine.errors import EngineError
from compression_engine.formats.numbers import Array, InFile, Target
from compression_engine.formats.onnx_graph import STANDARD, attribute, graphs_of
from compression_engine.formats.parked import is_parked, pieces, tensor_of
from compression_engine.formats.short_floats import HALF_MOST, bfloat16_bits, widened


@dataclass(frozen=True)
class Stored:
    """One tensor of a model: an initializer or what a Constant holds; `graph` is where it stands, `plain` its name there."""

    name: str
    plain: str
    graph: onnx.GraphProto
    tensor: onnx.TensorProto | None
    floats: onnx.AttributeProto | None

    @property
    def data_type(self) -> int:
        """The type of its numbers, as ONNX numbers them."""
        return TensorProto.FLOAT if self.tensor is None else int(self.tensor.data_type)

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        if self.tensor is not None:
            return tuple(self.tensor.dims)
        return (0 if self.floats is None else len(self.floats.floats),)


def stored_in(model: onnx.ModelProto) -> Iterator[Stored]:
    """Every initializer and Constant that holds a tensor or a list of floats, in the order of the file, outermost graphs first."""
    seen: dict[str, int] = {}
    for graph in graphs_of(model.graph):
        for plain, tensor, floats in _in_graph(graph):
            seen[plain] = seen.get(plain, 0) + 1
            name = plain if seen[plain] == 1 else f"{plain}#{seen[plain]}"
            yield Stored(name, plain, graph, tensor, floats)


def read(stored: Stored) -> Array:
    """The numbers, those of 16 bits as float32; a copy."""
    if stored.tensor is None:
        assert stored.floats is not None
        return np.array(stored.floats.floats, dtype=np.float32)
    return _numbers(stored.tensor)


def write(stored: Stored, numbers: Array) -> bool:
    """Puts numbers of the tensor's shape into its place; whether that changed anything."""
    if stored.tensor is None:
        assert stored.floats is not None
        fresh = np.ascontiguousarray(numbers, dtype=np.float32).reshape(-1)
        if np.array_equal(np.array(stored.floats.floats, dtype=np.float32), fresh):
            return False
        del stored.floats.floats[:]
        stored.floats.floats.extend(fresh.tolist())
        return True
    return _write_tensor(stored.tensor, numbers)


def _in_graph(
    graph: onnx.GraphProto,
) -> Iterator[tuple[str, onnx.TensorProto | None, onnx.AttributeProto | None]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor, None
    for node in graph.node:
        if node.op_type != "Constant" or node.domain not in STANDARD:
            continue
        value, floats = attribute(node, "value"), attribute(node, "value_floats")
        if value is not None:
            yield node.output[0], value.t, None
        elif floats is not None:
            yield node.output[0], None, floats


def _numbers(tensor: onnx.TensorProto) -> Array:
    if tensor.data_type == TensorProto.BFLOAT16:
        return widened(_bits(tensor))
    if is_parked(tensor):
        kind = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
        found = np.frombuffer(b"".join(pieces(tensor)), dtype=kind).reshape(tuple(tensor.dims))
    else:
        found = numpy_helper.to_array(tensor)
    kept: Array = found.astype(np.float32) if tensor.data_type == TensorProto.FLOAT16 else found.copy()
    return kept


def _bits(tensor: onnx.TensorProto) -> Array:
    """The 16 bits of each number of bfloat16."""
    if tensor.raw_data or is_parked(tensor):
        return np.frombuffer(b"".join(pieces(tensor)), dtype="<u2").reshape(tuple(tensor.dims))
    return np.array(tensor.int32_data, dtype=np.uint16).reshape(tuple(tensor.dims))


def _write_tensor(tensor: onnx.TensorProto, numbers: Array) -> bool:
    numbers = np.ascontiguousarray(numbers).reshape(tuple(tensor.dims))
    kind = int(tensor.data_type)
    if kind == TensorProto.BFLOAT16:
        fresh: Array = bfloat16_bits(numbers)
        before = _bits(tensor)
    else:
        if kind == TensorProto.FLOAT16 and (np.abs(numbers) > HALF_MOST).any():
            message = f"The weight {tensor.name!r} grew beyond {HALF_MOST:,.0f}, the most that its float16 holds."
            raise EngineError("training_diverged", message, "Use a smaller learning rate, or a parent in float32.")
        fresh = numbers.astype(onnx.helper.tensor_dtype_to_np_dtype(kind))
        before = _numbers(tensor).astype(fresh.dtype)
    if fresh.tobytes() == np.ascontiguousarray(before).tobytes():
        return False
    if is_parked(tensor):
        _park_again(tensor, fresh)
    elif tensor.HasField("raw_data"):
        tensor.raw_data = fresh.astype(fresh.dtype.newbyteorder("<"), copy=False).tobytes()
    else:
        _write_list(tensor, fresh)
    return True


def _park_again(tensor: onnx.TensorProto, fresh: Array) -> None:
    """The file that a parked tensor lies in belongs to the parent; the new numbers go to the spool."""
    target = Target(fresh.shape, fresh.dtype, in_file=True)
    target.put(tuple(slice(0, size) for size in fresh.shape), fresh)
    assert isinstance(target.numbers, InFile)
    tensor.CopyFrom(tensor_of(target.numbers, tensor.name, int(tensor.data_type)))


def _write_list(tensor: onnx.TensorProto, fresh: Array) -> None:
    """Numbers one by one: float_data, double_data, or int32_data for the bits of the short ones."""
    if tensor.data_type == TensorProto.DOUBLE:
        field, values = tensor.double_data, fresh
    elif tensor.data_type == TensorProto.FLOAT:
        field, values = tensor.float_data, fresh
    else:
        field, values = tensor.int32_data, fresh.view(np.uint16)
    del field[:]
    field.extend(values.reshape(-1).tolist())
