"""Opens an ONNX file without its weights: large initializers of the main graph stay in the file, and the model says where.

Rules:
- the file is inspected before; what is inside is parsed, never run, and links are not followed;
- tensors that lie in the file itself are parked as those in external data are (see `parked`); such a model is for reading alone;
- memory is that of the graph, of short tensors and of those in nodes, whatever the weights take.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import onnx

from compression_engine.errors import FileRefused
from compression_engine.formats.onnx_external import park_external
from compression_engine.formats.onnx_io import inspect_model
from compression_engine.formats.parked import park
from compression_engine.formats.parked import size_bytes as bytes_of
from compression_engine.structure.protobuf import BYTES, Field, Reader

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # field numbers of ModelProto, GraphProto and TensorProto
_LONG_BYTES = 64 * 1024


def open_light(path: Path) -> onnx.ModelProto:
    """The model at `path` with its large initializers parked. Raises FileRefused."""
    inspection = inspect_model(path)
    if inspection.format != "onnx":
        raise FileRefused("format_unknown", f"{path.name} is {inspection.format}, not ONNX.", "Give an ONNX model.")
    model = onnx.ModelProto()
    with path.open("rb") as file:
        walk = _Walk(file, path)
        graph, rest = walk.split(0, path.stat().st_size, _GRAPH, 1)
        model.MergeFromString(rest)
        for field in graph:
            initializers, others = walk.split(field.start, field.end, _INITIALIZER, 2)
            model.graph.MergeFromString(others)
            for one in initializers:
                model.graph.initializer.append(walk.tensor(one))
    if inspection.external_files:
        park_external(model, path)  # what is parked already names this file by its whole path, which stays
    return model


class _Walk:
    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._reader = Reader(file, path.stat().st_size)

    def split(self, start: int, end: int, number: int, depth: int) -> tuple[list[Field], bytes]:
        """The fields of a message with this number, and the bytes of all others."""
        found: list[Field] = []
        rest: list[bytes] = []
        position = start
        for field in self._reader.fields(start, end, depth):
            if field.number == number and field.wire == BYTES:
                found.append(field)
            else:
                rest.append(self._bytes(position, field.end))
            position = field.end
        return found, b"".join(rest)

    def tensor(self, field: Field) -> onnx.TensorProto:
        """An initializer; parked where its bytes are many."""
        tensor = onnx.TensorProto()
        raw, rest = self.split(field.start, field.end, _RAW_DATA, 3)
        tensor.MergeFromString(rest)
        if not raw:
            return tensor
        last = raw[-1]
        if last.end - last.start < _LONG_BYTES or bytes_of(tensor) != last.end - last.start:
            tensor.raw_data = self._bytes(last.start, last.end)
        else:
            park(tensor, self._path.resolve(), last.start)
        return tensor

    def _bytes(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        return self._file.read(end - start)
