"""Walks an ONNX file (a protobuf ModelProto) and says what is in it, without reading tensors and without following
anything that it points to.

Rules:
- one graph, at least one operator set, an IR version; at most a million nodes, also with functions in the place of their calls
  (`calls`), and a million tensors;
- graphs inside nodes, functions, training information and tensors inside attributes are walked too;
- the bytes of a tensor fit its shape; a name is given once among the initializers of a graph, its inputs, its outputs;
- external data, also of sparse tensors and attributes, only where and how `external` allows it;
- optional messages that stand twice are refused, since readers disagree on what that means.
Source: onnx.proto of the ONNX standard (field numbers).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from compression_engine.structure.calls import Calls, name_of
from compression_engine.structure.external import Ranges, Siblings, check_location
from compression_engine.structure.findings import Inspection, Port, Tally
from compression_engine.structure.protobuf import BYTES, Field, Reader, invalid, over_limit, truncated

_COUNT_MAX = 1_000_000
_DIMENSIONS_MAX = 64
# name and bits of every TensorProto.DataType; STRING has no fixed size
_DTYPES = {
    1: ("float32", 32), 2: ("uint8", 8), 3: ("int8", 8), 4: ("uint16", 16), 5: ("int16", 16), 6: ("int32", 32),
    7: ("int64", 64), 8: ("string", 0), 9: ("bool", 8), 10: ("float16", 16), 11: ("float64", 64), 12: ("uint32", 32),
    13: ("uint64", 64), 14: ("complex64", 64), 15: ("complex128", 128), 16: ("bfloat16", 16), 17: ("float8e4m3fn", 8),
    18: ("float8e4m3fnuz", 8), 19: ("float8e5m2", 8), 20: ("float8e5m2fnuz", 8), 21: ("uint4", 4), 22: ("int4", 4),
    23: ("float4e2m1", 4), 24: ("float8e8m0", 8), 25: ("uint2", 2), 26: ("int2", 2),
}  # fmt: skip
_STRING = 8
_TYPED_FIELDS = (4, 5, 6, 7, 10, 11)
"""float, int32, string, int64, double and uint64 data."""
_EXTERNAL = 1


@dataclass
class _Walk:
    reader: Reader
    siblings: Siblings
    ranges: Ranges
    tally: Tally = field(default_factory=Tally)
    nodes: int = 0
    operators: Counter[str] = field(default_factory=Counter)
    calls: Calls = field(default_factory=Calls)
    external_files: set[str] = field(default_factory=set)


@dataclass
class _Model:
    ir_version: int | None = None
    producer: list[str] = field(default_factory=lambda: ["", ""])
    opsets: list[tuple[str, int]] = field(default_factory=list)
    metadata: list[tuple[str, str]] = field(default_factory=list)
    graphs: int = 0
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)


def inspect_onnx(file: BinaryIO, size_bytes: int, siblings: Siblings) -> Inspection:
    """The structure of an ONNX file; raises FileRefused. `siblings` are the paths that came with it."""
    walk = _Walk(Reader(file, size_bytes), siblings, Ranges(siblings))
    model = _Model()
    for item in walk.reader.fields(0, size_bytes, 0):
        _model_field(walk, model, item)
    walk.ranges.check()
    walk.calls.check(_COUNT_MAX)
    if model.graphs == 0 or not model.opsets or model.ir_version is None:
        missing = "graph" if model.graphs == 0 else "operator set" if not model.opsets else "IR version"
        raise truncated(f"The file has no {missing}: it is cut off, or it is not an ONNX model.")
    return Inspection(
        format="onnx",
        size_bytes=size_bytes,
        tensor_count=walk.tally.tensors,
        parameter_count=walk.tally.parameters,
        bytes_by_dtype=walk.tally.dtypes(),
        inputs=tuple(model.inputs),
        outputs=tuple(model.outputs),
        node_count=walk.nodes,
        operators=tuple(sorted(walk.operators.items())),
        ir_version=model.ir_version,
        opsets=tuple(sorted(model.opsets)),
        producer=" ".join(part for part in model.producer if part) or None,
        metadata=tuple(sorted(model.metadata)),
        external_files=tuple(sorted(walk.external_files)),
    )


def _model_field(walk: _Walk, model: _Model, item: Field) -> None:
    reader = walk.reader
    if item.number == 1:
        model.ir_version = item.value
    elif item.number in (2, 3):
        model.producer[item.number - 2] = reader.text(item)
    elif item.number == 7:
        model.graphs += 1
        if model.graphs > 1:
            raise invalid("The file holds two graphs.")
        _graph(walk, item, 1, model)
    elif item.number == 8:
        model.opsets.append(_opset(reader, item))
        if len({domain for domain, _ in model.opsets}) != len(model.opsets):
            raise invalid("An operator set is imported twice.")
    elif item.number == 14:
        model.metadata.append(_text_pair(reader, item, 1, reader.long_text))
    elif item.number == 20:
        _each(walk, item, 1, {1: _graph, 2: _graph})
    elif item.number == 25:
        _function(walk, item)


def _function(walk: _Walk, message: Field) -> None:
    walk.calls.begin_function()
    _each(walk, message, 1, {7: _node, 11: _attribute})
    said = {1: "", 10: "", 13: ""}
    for item in walk.reader.fields(message.start, message.end, 1):
        if item.number in said:
            said[item.number] = walk.reader.text(item)
    walk.calls.end_function(name_of(said[10], said[1], said[13]))


def _each(walk: _Walk, message: Field, depth: int, walkers: dict[int, Callable[[_Walk, Field, int], None]]) -> None:
    walk.reader.message(message)
    for item in walk.reader.fields(message.start, message.end, depth):
        if item.number in walkers:
            walkers[item.number](walk, item, depth + 1)


def _graph(walk: _Walk, message: Field, depth: int, model: _Model | None = None) -> None:
    walk.reader.message(message)
    names: dict[str, set[str]] = {"initializer": set(), "input": set(), "output": set()}
    for item in walk.reader.fields(message.start, message.end, depth):
        if item.number == 1:
            _node(walk, item, depth + 1)
        elif item.number == 5:
            _once(names["initializer"], _tensor(walk, item, depth + 1), "initializer")
        elif item.number == 15:
            _once(names["initializer"], _sparse(walk, item, depth + 1), "initializer")
        elif item.number in (11, 12):
            kind = "input" if item.number == 11 else "output"
            port = _port(walk.reader, item, depth + 1)
            _once(names[kind], port.name, kind)
            if model is not None:
                (model.inputs if item.number == 11 else model.outputs).append(port)
        if sum(len(found) for found in names.values()) > _COUNT_MAX:
            raise over_limit(f"The graph has more than {_COUNT_MAX} names.")
    if model is not None:
        # before IR version 4 every weight is listed among the inputs; a caller need not feed it
        model.inputs[:] = [port for port in model.inputs if port.name not in names["initializer"]]


def _node(walk: _Walk, message: Field, depth: int) -> None:
    walk.reader.message(message)
    walk.nodes += 1
    if walk.nodes > _COUNT_MAX:
        raise over_limit(f"The file has more than {_COUNT_MAX} nodes.")
    operator, domain, overload = "", "", ""
    for item in walk.reader.fields(message.start, message.end, depth):
        if item.number == 4:
            operator = walk.reader.text(item)
        elif item.number == 7:
            domain = walk.reader.text(item)
        elif item.number == 8:
            overload = walk.reader.text(item)
        elif item.number == 5:
            _attribute(walk, item, depth + 1)
    if not operator:
        raise invalid(f"The node at byte {message.start} has no operator.")
    walk.calls.note(name_of(domain, operator, overload))
    walk.operators[f"{domain}::{operator}" if domain not in ("", "ai.onnx") else operator] += 1


def _attribute(walk: _Walk, message: Field, depth: int) -> None:
    walk.reader.message(message)
    single: set[int] = set()
    for item in walk.reader.fields(message.start, message.end, depth):
        if item.number in (5, 6, 22):
            if item.number in single:
                raise invalid(f"The attribute at byte {message.start} holds its value twice.")
            single.add(item.number)
        if item.number in (5, 10):
            _tensor(walk, item, depth + 1)
        elif item.number in (6, 11):
            _graph(walk, item, depth + 1)
        elif item.number in (22, 23):
            _sparse(walk, item, depth + 1)


def _sparse(walk: _Walk, message: Field, depth: int) -> str:
    walk.reader.message(message)
    name = ""
    seen: set[int] = set()
    for item in walk.reader.fields(message.start, message.end, depth):
        if item.number in (1, 2):
            if item.number in seen:
                raise invalid(f"The sparse tensor at byte {message.start} has its parts twice.")
            seen.add(item.number)
            found = _tensor(walk, item, depth + 1)
            name = found if item.number == 1 else name
    return name


@dataclass
class _Tensor:
    name: str = ""
    dtype: int = 0
    shape: list[int] = field(default_factory=list)
    raw_bytes: int | None = None
    typed_values: int | None = None
    typed_fields: set[int] = field(default_factory=set)
    external: dict[str, str] = field(default_factory=dict)
    location: int = 0


def _tensor(walk: _Walk, message: Field, depth: int) -> str:
    reader = walk.reader
    reader.message(message)
    tensor = _Tensor()
    for item in reader.fields(message.start, message.end, depth):
        _tensor_field(reader, tensor, item, depth)
    if tensor.dtype not in _DTYPES:
        raise invalid(f"The tensor {tensor.name!r} has the unknown data type {tensor.dtype}.")
    if len(tensor.shape) > _DIMENSIONS_MAX or any(not 0 <= size < 2**53 for size in tensor.shape):
        raise invalid(f"The tensor {tensor.name!r} has no valid shape.")
    name, bits = _DTYPES[tensor.dtype]
    elements = math.prod(tensor.shape)
    size_bytes = (elements * bits + 7) // 8
    if tensor.external or tensor.location == _EXTERNAL:
        walk.external_files.add(check_location(tensor.external, tensor.name, walk.siblings))
    if tensor.location == _EXTERNAL:
        if tensor.dtype == _STRING:
            raise invalid(f"The tensor {tensor.name!r} of texts lies in another file.")
        walk.ranges.add(tensor.external, tensor.name, size_bytes)
    elif tensor.raw_bytes is not None:
        if tensor.dtype == _STRING or tensor.raw_bytes != size_bytes:
            raise invalid(f"The tensor {tensor.name!r} has {tensor.raw_bytes} bytes, its shape needs {size_bytes}.")
    elif tensor.typed_fields - {_field_of(tensor.dtype)}:
        raise invalid(f"The tensor {tensor.name!r} holds values of another type than it says.")
    elif not _fits(tensor, elements, bits):
        raise invalid(f"The tensor {tensor.name!r} has {tensor.typed_values or 0} values, its shape needs {elements}.")
    walk.tally.add(name, elements, size_bytes)
    if walk.tally.tensors > _COUNT_MAX:
        raise over_limit(f"The file has more than {_COUNT_MAX} tensors.")
    return tensor.name


def _tensor_field(reader: Reader, tensor: _Tensor, item: Field, depth: int) -> None:
    if item.number == 1:
        for value in reader.varints(item):
            tensor.shape.append(value)
            if len(tensor.shape) > _DIMENSIONS_MAX:
                raise over_limit(f"A tensor has more than {_DIMENSIONS_MAX} dimensions.")
    elif item.number == 2:
        tensor.dtype = item.value
    elif item.number == 8:
        tensor.name = reader.text(item)
    elif item.number == 9:
        if tensor.raw_bytes is not None:
            raise invalid(f"The tensor {tensor.name!r} holds its bytes twice.")
        tensor.raw_bytes = reader.message(item).end - item.start
    elif item.number in _TYPED_FIELDS:
        tensor.typed_fields.add(item.number)
        _count_values(reader, tensor, item)
    elif item.number == 13:
        key, text = _text_pair(reader, item, depth + 1)
        if key in tensor.external:
            raise invalid(f"External data of the tensor {tensor.name!r} gives {key!r} twice.")
        tensor.external[key] = text
    elif item.number == 14:
        tensor.location = item.value


def _count_values(reader: Reader, tensor: _Tensor, item: Field) -> None:
    if item.number in (4, 10):  # float_data, double_data
        width = 4 if item.number == 4 else 8
        tensor.typed_values = (tensor.typed_values or 0) + (item.end - item.start) // width
    elif item.number in (5, 7, 11):  # int32_data, int64_data, uint64_data
        tensor.typed_values = (tensor.typed_values or 0) + reader.count_varints(item)
    else:  # string_data
        tensor.typed_values = (tensor.typed_values or 0) + 1


def _fits(tensor: _Tensor, elements: int, bits: int) -> bool:
    held = tensor.typed_values or 0
    if bits in (2, 4):  # packed: several values in one int32 entry
        return held == (elements * bits + 7) // 8
    if tensor.dtype in (14, 15):  # complex numbers take two entries
        return held == 2 * elements
    return held == elements


def _field_of(dtype: int) -> int:
    """The field of a TensorProto in which numbers of this type are listed."""
    own = {1: 4, 14: 4, 7: 7, 8: 6, 11: 10, 15: 10, 12: 11, 13: 11}
    return own.get(dtype, 5)


def _port(reader: Reader, message: Field, depth: int) -> Port:
    reader.message(message)
    name, dtype, shape = "", "?", "?"
    for item in reader.fields(message.start, message.end, depth):
        if item.number == 1:
            name = reader.text(item)
        elif item.number == 2:
            dtype, shape = _type(reader, item, depth + 1)
    return Port(name, dtype, shape)


def _type(reader: Reader, message: Field, depth: int) -> tuple[str, str]:
    reader.message(message)
    dtype, shape = "?", "?"
    for item in reader.fields(message.start, message.end, depth):
        if item.number in (4, 5, 9):
            dtype = {4: "sequence", 5: "map", 9: "optional"}[item.number]
        if item.number not in (1, 8) or item.wire != BYTES:
            continue
        for part in reader.fields(item.start, item.end, depth + 1):
            if part.number == 1:
                dtype = _DTYPES.get(part.value, ("?", 0))[0]
            elif part.number == 2:
                shape = _shape(reader, part, depth + 2)
    return dtype, shape


def _shape(reader: Reader, message: Field, depth: int) -> str:
    reader.message(message)
    sizes: list[str] = []
    for item in reader.fields(message.start, message.end, depth):
        if item.number == 1:
            size = "?"
            for part in reader.fields(reader.message(item).start, item.end, depth + 1):
                size = str(part.value) if part.number == 1 else reader.text(part) if part.number == 2 else size
            sizes.append(size)
        if len(sizes) > _DIMENSIONS_MAX:
            raise over_limit(f"A shape has more than {_DIMENSIONS_MAX} dimensions.")
    return f"[{', '.join(sizes)}]"


def _opset(reader: Reader, message: Field) -> tuple[str, int]:
    domain, version = "", 0
    for item in reader.fields(reader.message(message).start, message.end, 1):
        if item.number == 1:
            domain = reader.text(item)
        elif item.number == 2:
            version = item.value
    return domain or "ai.onnx", version


def _text_pair(
    reader: Reader, message: Field, depth: int, read_value: Callable[[Field], str] | None = None
) -> tuple[str, str]:
    key, value = "", ""
    for item in reader.fields(reader.message(message).start, message.end, depth):
        if item.number == 1:
            key = reader.text(item)
        elif item.number == 2:
            value = (read_value or reader.text)(item)
    return key, value


def _once(names: set[str], name: str, kind: str) -> None:
    if name and name in names:
        raise invalid(f"The graph has two {kind}s named {name!r}.")
    names.add(name)
