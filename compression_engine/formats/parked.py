"""Tensors of a model whose numbers stay in their file: the model in memory holds where these lie, absolute path and all.

Rules:
- such a tensor is what ONNX calls external, with a path that starts at the root; no file that comes from outside may hold one, and
  none is written (see `structure.external` and `onnx_external`);
- its length is what type and shape need, always written down;
- what reads a tensor's numbers goes through `numbers_of` or `pieces`, and works for tensors in memory as well.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from compression_engine.errors import FileRefused
from compression_engine.formats.numbers import InFile, Numbers

_PIECE_BYTES = 64 * 1024
_HALF_BYTES = frozenset({TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1})
_QUARTER_BYTES = frozenset(
    found for found in (getattr(TensorProto, name, None) for name in ("INT2", "UINT2")) if found is not None
)


def is_parked(tensor: onnx.TensorProto) -> bool:
    """Whether a tensor's numbers lie in a file."""
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def size_bytes(tensor: onnx.TensorProto) -> int:
    """How many bytes the numbers of a tensor take, by type and shape."""
    elements = int(math.prod(tensor.dims))
    if tensor.data_type == TensorProto.STRING:
        return sum(map(len, tensor.string_data))
    if tensor.data_type in _HALF_BYTES:
        return -(-elements // 2)
    if tensor.data_type in _QUARTER_BYTES:
        return -(-elements // 4)
    return elements * int(np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize)


def park(tensor: onnx.TensorProto, path: Path, offset: int) -> None:
    """Lets a tensor point to a byte of a file."""
    for name in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
        tensor.ClearField(name)
    del tensor.external_data[:]
    for key, value in (("location", str(path)), ("offset", str(offset)), ("length", str(size_bytes(tensor)))):
        tensor.external_data.add(key=key, value=value)
    tensor.data_location = TensorProto.EXTERNAL


def place_of(tensor: onnx.TensorProto) -> tuple[Path, int, int]:
    """File, first byte and number of bytes of a parked tensor."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    return Path(entries["location"]), int(entries["offset"]), int(entries["length"])


def numbers_of(tensor: onnx.TensorProto) -> Numbers:
    """The numbers of a tensor of a type that numpy has."""
    if not is_parked(tensor):
        found: Numbers = numpy_helper.to_array(tensor)
        return found
    path, offset, _ = place_of(tensor)
    kind: np.dtype[Any] = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    return InFile(path, offset, kind, tuple(tensor.dims))


def tensor_of(numbers: Numbers, name: str, data_type: int | None = None) -> onnx.TensorProto:
    """A tensor of these numbers; `data_type` where numpy has no type for them (bfloat16 as 16-bit integers)."""
    kind = helper.np_dtype_to_tensor_dtype(numbers.dtype) if data_type is None else data_type
    if not isinstance(numbers, InFile):
        if data_type is None:
            return numpy_helper.from_array(numbers, name)
        return helper.make_tensor(name, kind, numbers.shape, numbers.tobytes(), raw=True)
    tensor = onnx.TensorProto(name=name, data_type=kind, dims=numbers.shape)
    park(tensor, numbers.path, numbers.offset)
    return tensor


def pieces(tensor: onnx.TensorProto) -> Iterator[bytes]:
    """The bytes of a tensor as ONNX stores them raw, at most 64 KiB at a time where they lie in a file."""
    if not is_parked(tensor):
        array = None if tensor.HasField("raw_data") else numpy_helper.to_array(tensor)
        yield tensor.raw_data if array is None else array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        return
    path, offset, left = place_of(tensor)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while left:
            piece = os.pread(descriptor, min(_PIECE_BYTES, left), offset)
            if not piece:
                raise ended(path, tensor.name)
            yield piece
            left, offset = left - len(piece), offset + len(piece)
    finally:
        os.close(descriptor)


def ended(path: Path, tensor: str) -> FileRefused:
    """The file is shorter than a tensor needs."""
    return FileRefused("file_truncated", f"{path.name} is too short for the tensor {tensor!r}.", "Get the file again.")


def tensors_of(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a model: those of its graphs, however deep, and those in attributes of nodes, functions and training."""
    for graph in (model.graph, *(one for part in model.training_info for one in (part.initialization, part.algorithm))):
        yield from _of_graph(graph)
    for function in model.functions:
        for node in function.node:
            yield from _of_node(node)


def parked_in(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """The tensors of a model whose numbers lie in files."""
    return (tensor for tensor in tensors_of(model) if is_parked(tensor))


def fetch(tensor: onnx.TensorProto) -> None:
    """Brings the numbers of one parked tensor into memory."""
    data = b"".join(pieces(tensor))
    del tensor.external_data[:]
    tensor.data_location = TensorProto.DEFAULT
    tensor.raw_data = data


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _of_node(node)


def _of_node(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for sparse in [
            *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
            *attribute.sparse_tensors,
        ]:
            yield from (sparse.values, sparse.indices)
        for graph in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
            yield from _of_graph(graph)
