"""Reads and writes ONNX files without running anything in them; what is written has the same bytes for the same model.

Rules:
- a file is inspected before it is parsed; external data is read from listed siblings that are plain files, never links;
- a model is at most 2 GB, the limit of one protobuf file (external_data_not_yet);
- operator set 13 is the oldest that is worked on; older models are converted (`onnx_opset`), and later compared by running;
- written metadata are facts only (see `facts`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import onnx

from compression_engine.canonical import JSON, digest_of, digest_of_stream
from compression_engine.errors import EngineError, FileRefused, OutputRefused
from compression_engine.facts import Facts
from compression_engine.formats.onnx_opset import OLDEST_OPSET as OLDEST_OPSET
from compression_engine.formats.onnx_opset import default_opset as default_opset
from compression_engine.formats.onnx_opset import modernise
from compression_engine.inspect import Inspection, inspect_file

_BYTES_MAX = 2_000_000_000
_IR_WITH_FREE_INITIALIZERS = 4
_LARGE_HINT = "Models over 2 GB need external data, which this version of the engine cannot write yet."


@dataclass(frozen=True)
class Loaded:
    """A model in memory, with the digest and size of the file that it came from."""

    path: Path
    model: onnx.ModelProto
    inspection: Inspection
    digest: str
    size_bytes: int


def weights_file(path: Path) -> Path:
    """The weights file itself, given it or the folder that holds `model.onnx`."""
    found = path / "model.onnx" if path.is_dir() else path
    if not found.is_file():
        raise EngineError("not_found", f"There is no model file {found}.", "Give a file, or a folder with model.onnx.")
    return found


def siblings_of(path: Path) -> frozenset[str]:
    """The plain files beside a model and below, as paths relative to its folder; links are no siblings."""
    found = (entry for entry in path.parent.rglob("*") if not entry.is_symlink() and entry.is_file())
    return frozenset(entry.relative_to(path.parent).as_posix() for entry in found if entry != path)


def inspect_model(path: Path) -> Inspection:
    """The structure of a model file on disk, with the files beside it as siblings; raises FileRefused."""
    quick = inspect_file(path, name=path.name, siblings=_Anything())
    return inspect_file(path, name=path.name, siblings=siblings_of(path)) if quick.external_files else quick


def load(path: Path) -> Loaded:
    """Reads an ONNX model, external data included. Raises FileRefused for what must not be read."""
    inspection = inspect_model(path)
    if inspection.format != "onnx":
        hint = "This version compresses ONNX; export the model to ONNX first."
        raise FileRefused("format_unknown", f"{path.name} is {inspection.format}, not ONNX.", hint)
    if inspection.size_bytes + sum(size for _, size in inspection.bytes_by_dtype) > 2 * _BYTES_MAX:
        raise FileRefused("external_data_not_yet", f"{path.name} has more than 2 GB of weights.", _LARGE_HINT)
    with path.open("rb") as file:
        digest = digest_of_stream(file)
    model = onnx.load_model(str(path), load_external_data=False)
    if inspection.external_files:
        _read_external(model, path)
    return Loaded(path, model, inspection, digest, inspection.size_bytes + _external_bytes(path, inspection))


def prepare(model: onnx.ModelProto) -> None:
    """Brings a model to the oldest operator set that the methods write, in place."""
    modernise(model)
    if model.ir_version < _IR_WITH_FREE_INITIALIZERS:
        # such files list every weight as an input; from IR version 4 on, a listed weight could be replaced by the caller
        weights = {tensor.name for tensor in model.graph.initializer}
        kept = [value for value in model.graph.input if value.name not in weights]
        del model.graph.input[:]
        model.graph.input.extend(kept)
    model.ir_version = max(model.ir_version, 7)


def write_facts(model: onnx.ModelProto, facts: Facts) -> None:
    """Puts facts into the model's metadata, in the place of those of earlier compressions, and keeps what is not ours."""
    written = facts.beside({entry.key: entry.value for entry in model.metadata_props})
    del model.metadata_props[:]
    for key, value in written.items():
        model.metadata_props.add(key=key, value=value)


def save(model: onnx.ModelProto, path: Path) -> str:
    """Writes a model as one file and returns its digest; the same model always gives the same bytes."""
    if model.ByteSize() > _BYTES_MAX:
        raise OutputRefused("external_data_not_yet", "The output has more than 2 GB.", _LARGE_HINT)
    data = model.SerializeToString(deterministic=True)
    path.write_bytes(data)
    return digest_of(data)


def tensor_digests(model: onnx.ModelProto) -> list[dict[str, JSON]]:
    """Name and digest of every initializer of the main graph, so that a replay can name the one that differs."""
    digests: list[dict[str, JSON]] = []
    for tensor in model.graph.initializer:
        running = hashlib.sha256(f"{tensor.data_type}{list(tensor.dims)}".encode())
        running.update(tensor.raw_data or tensor.SerializeToString(deterministic=True))
        digests.append({"digest": f"sha256:{running.hexdigest()}", "name": tensor.name})
    return digests


def graph_digest(model: onnx.ModelProto) -> str:
    """Digest of everything but the main graph's tensors."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.initializer[:]
    return digest_of(bare.SerializeToString(deterministic=True))


class _Anything(frozenset[str]):
    """Lets a first look find out whether there is external data at all, before folders are listed."""

    def __contains__(self, item: object) -> bool:
        return True


def _read_external(model: onnx.ModelProto, path: Path) -> None:
    for tensor in onnx.external_data_helper._get_all_tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        file_path = path.parent / entries["location"]
        start = int(entries.get("offset", "0"))
        available = file_path.stat().st_size - start
        length = int(entries.get("length", str(available)))
        if length > available or available < 0:
            message = f"{entries['location']} is too short for the tensor {tensor.name!r}."
            raise FileRefused("file_truncated", message, "Upload the data file again.")
        with file_path.open("rb") as file:
            file.seek(start)
            tensor.raw_data = file.read(length)
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT


def _external_bytes(path: Path, inspection: Inspection) -> int:
    return sum((path.parent / name).stat().st_size for name in inspection.external_files)
