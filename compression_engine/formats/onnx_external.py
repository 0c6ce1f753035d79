"""Models of several files: reads where their tensors lie, and writes a model with its large tensors in a second file.

Rules of `<name>.data`, by which the same model always gives the same two files (decision 26):
- tensors of at least 1024 bytes are in it, and every one that was parked; in the order in which the model lists them: main graph
  first, then the graphs inside it; texts stay in the model;
- each begins at a multiple of 64 bytes, those of 64 KiB or more at a multiple of 4096; between them are zeros;
- what shared a range of a file before (tied weights) shares one again.
What is read was inspected before: see `structure.external`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import onnx
from onnx import TensorProto

from compression_engine.canonical import JSON, digest_of, digest_of_stream
from compression_engine.formats.onnx_graph import graphs_of
from compression_engine.formats.parked import (
    ended,
    fetch,
    is_parked,
    park,
    parked_in,
    pieces,
    place_of,
    size_bytes,
    tensors_of,
)
from compression_engine.limits import limits

WEIGHTS, EXTERNAL_DATA = "weights", "external_data"
"""Roles of a model's files."""
DATA_SUFFIX = ".data"
_APART_BYTES_MIN = 1024
_FETCHED_BYTES_MAX = 4096
_ALIGNED_BYTES = 64
_PAGE_BYTES, _LARGE_BYTES = 4096, 64 * 1024
_COPIED_BYTES_MAX = 1_000_000_000


@dataclass(frozen=True)
class FileRecord:
    """A file of a model, its path relative to the model's folder."""

    name: str
    digest: str
    size_bytes: int
    role: str = EXTERNAL_DATA

    @classmethod
    def of(cls, path: Path, name: str) -> FileRecord:
        """A file with external data as it lies on disk."""
        with path.open("rb") as file:
            return cls(name, digest_of_stream(file), path.stat().st_size)

    def document(self) -> dict[str, JSON]:
        """How a result names it."""
        return {"digest": self.digest, "path": self.name, "size_bytes": self.size_bytes}


def park_external(model: onnx.ModelProto, path: Path) -> None:
    """Lets tensors of an inspected model point to their files by whole paths, and reads short ones; raises FileRefused."""
    for tensor in parked_in(model):
        entries = {entry.key: entry.value for entry in tensor.external_data}
        file, start = path.parent.resolve() / entries["location"], int(entries.get("offset", "0"))
        if start + size_bytes(tensor) > file.stat().st_size:
            raise ended(file, tensor.name)
        park(tensor, file, start)
        if size_bytes(tensor) <= _FETCHED_BYTES_MAX:
            fetch(tensor)


def without_parked(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which parked tensors have no numbers, for those who look at the graph alone."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in parked_in(copy):
        del tensor.external_data[:]
        del tensor.dims[:]
        tensor.dims.append(0)
        tensor.data_location = TensorProto.DEFAULT
    return copy


def light_copy(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without the tensors of the main graph; a large model is never there twice."""
    copy = onnx.ModelProto()
    if sum(size_bytes(tensor) for tensor in model.graph.initializer if not is_parked(tensor)) <= _COPIED_BYTES_MAX:
        copy.CopyFrom(model)
        del copy.graph.initializer[:]
        return copy
    _copy_fields(model, copy, "graph")
    _copy_fields(model.graph, copy.graph, "initializer")
    return copy


def _copy_fields(source: Any, target: Any, but: str) -> None:
    for field, value in source.ListFields():
        if field.name == but:
            continue
        if field.is_repeated:
            getattr(target, field.name).extend(value)
        elif field.type == field.TYPE_MESSAGE:
            getattr(target, field.name).CopyFrom(value)
        else:
            setattr(target, field.name, value)


def write_apart(model: onnx.ModelProto, path: Path) -> list[FileRecord]:
    """Writes `path` and `<path>.data`; the model in memory stays as it is. Raises EngineError (disk_full)."""
    written = light_copy(model)
    written.graph.initializer.extend(_stub(tensor) for tensor in model.graph.initializer)
    data_path = path.with_name(path.name + DATA_SUFFIX)
    with data_path.open("wb") as file:
        data = _DataFile(file, data_path)
        for tensor, stub in zip(_initializers(model), _initializers(written), strict=True):
            if _goes_out(tensor):
                data.add(tensor, stub)
        for tensor, stub in zip(tensors_of(model), tensors_of(written), strict=True):
            if is_parked(stub) and place_of(stub)[0].is_absolute():
                data.add(tensor, stub)
    raw = written.SerializeToString(deterministic=True)
    limits().count(path, len(raw))
    path.write_bytes(raw)
    first = FileRecord(path.name, digest_of(raw), len(raw), WEIGHTS)
    return [first, FileRecord(data_path.name, data.digest, data.size_bytes)]


def _initializers(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    for graph in graphs_of(model.graph):
        yield from graph.initializer


def _goes_out(tensor: onnx.TensorProto) -> bool:
    return is_parked(tensor) or (tensor.data_type != TensorProto.STRING and size_bytes(tensor) >= _APART_BYTES_MIN)


def _stub(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """What the written model holds of a tensor before its place is known: all of a short one, of others all but the numbers."""
    copy = onnx.TensorProto()
    if is_parked(tensor) or not _goes_out(tensor):
        copy.CopyFrom(tensor)
        return copy
    copy.name, copy.data_type, copy.doc_string = tensor.name, tensor.data_type, tensor.doc_string
    copy.dims.extend(tensor.dims)
    copy.metadata_props.extend(tensor.metadata_props)
    return copy


class _DataFile:
    """A file with the numbers of tensors, one behind the other."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._running = hashlib.sha256()
        self._shared: dict[tuple[Path, int, int], int] = {}
        self.size_bytes = 0

    @property
    def digest(self) -> str:
        """Of all that was written."""
        return f"sha256:{self._running.hexdigest()}"

    def add(self, tensor: onnx.TensorProto, stub: onnx.TensorProto) -> None:
        """Writes the numbers of a tensor, if they are not there yet, and lets the stub point to them."""
        source = place_of(tensor) if is_parked(tensor) else None
        start = None if source is None else self._shared.get(source)
        if start is None:
            start = self._written(tensor)
            if source is not None:
                self._shared[source] = start
        park(stub, Path(self._path.name), start)

    def _written(self, tensor: onnx.TensorProto) -> int:
        size = size_bytes(tensor)
        aligned = _PAGE_BYTES if size >= _LARGE_BYTES else _ALIGNED_BYTES
        start = -(-self.size_bytes // aligned) * aligned
        limits().count(self._path, start + size - self.size_bytes)
        self._write(bytes(start - self.size_bytes))
        for piece in pieces(tensor):
            self._write(piece)
        return start

    def _write(self, piece: bytes) -> None:
        self._running.update(piece)
        self._file.write(piece)
        self.size_bytes += len(piece)
