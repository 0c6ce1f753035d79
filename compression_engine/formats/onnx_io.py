"""Reads and writes ONNX files without running anything in them; what is written has the same bytes for the same model.

Rules:
- a file is inspected before it is parsed; external data lies in listed siblings that are plain files, never links;
- numbers that lie there stay there until a step or a reader asks for them (`parked`), all but short ones;
- a model is written as one file where it is one and fits into 2 GB, the limit of protobuf; else its large tensors go into a
  second file beside it (`onnx_external`);
- operator set 13 is the oldest that is worked on; older models are converted (`onnx_opset`), and later compared by running;
- written metadata are facts only (see `facts`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx

from compression_engine.canonical import JSON, digest_of, digest_of_stream
from compression_engine.errors import EngineError, FileRefused
from compression_engine.facts import Facts
from compression_engine.formats.onnx_external import WEIGHTS, FileRecord, light_copy, park_external, write_apart
from compression_engine.formats.onnx_functions import inline_functions
from compression_engine.formats.onnx_opset import OLDEST_OPSET as OLDEST_OPSET
from compression_engine.formats.onnx_opset import default_opset as default_opset
from compression_engine.formats.onnx_opset import modernise
from compression_engine.formats.parked import is_parked, parked_in, pieces, size_bytes, tensors_of
from compression_engine.inspect import Inspection, inspect_file
from compression_engine.limits import limits

_ONE_FILE_BYTES_MAX = 2_000_000_000
_IR_WITH_FREE_INITIALIZERS = 4


@dataclass(frozen=True)
class Loaded:
    """A model as its file has it, external data parked, with digests and sizes of the files that it came from."""

    path: Path
    model: onnx.ModelProto
    inspection: Inspection
    digest: str
    size_bytes: int

    @cached_property
    def external(self) -> tuple[FileRecord, ...]:
        """The files with its external data; their digests are computed when they are asked for."""
        return tuple(FileRecord.of(self.path.parent / name, name) for name in self.inspection.external_files)


def weights_file(path: Path) -> Path:
    """The weights file itself, given it or the folder that holds `model.onnx`."""
    found = path / "model.onnx" if path.is_dir() else path
    if not found.is_file():
        raise EngineError("not_found", f"There is no model file {found}.", "Give a file, or a folder with model.onnx.")
    return found


def siblings_of(path: Path) -> dict[str, int]:
    """The plain files beside a model and below, as paths relative to its folder, with their sizes; links are no siblings."""
    found = (entry for entry in path.parent.rglob("*") if not entry.is_symlink() and entry.is_file())
    return {entry.relative_to(path.parent).as_posix(): entry.stat().st_size for entry in found if entry != path}


def inspect_model(path: Path) -> Inspection:
    """The structure of a model file on disk, with the files beside it as siblings; raises FileRefused."""
    quick = inspect_file(path, name=path.name, siblings=_Anything())
    return inspect_file(path, name=path.name, siblings=siblings_of(path)) if quick.external_files else quick


def load(path: Path) -> Loaded:
    """Reads an ONNX model; its external data stay where they lie. Raises FileRefused for what must not be read."""
    inspection = inspect_model(path)
    if inspection.format != "onnx":
        hint = "This needs a model that runs: export it to ONNX first. `compress` takes tensors in safetensors too."
        raise FileRefused("format_unknown", f"{path.name} is {inspection.format}, not ONNX.", hint)
    with path.open("rb") as file:
        digest = digest_of_stream(file)
    model = onnx.load_model(str(path), load_external_data=False)
    if inspection.external_files:
        park_external(model, path)
    return Loaded(path, model, inspection, digest, inspection.size_bytes + _external_bytes(path, inspection))


def prepare(model: onnx.ModelProto) -> None:
    """Brings a model to the oldest operator set that the methods write, in place."""
    inline_functions(model)
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
    """Writes a model for the runtime, as `write` does, and returns the digest of its first file."""
    return write(model, path)[0].digest


def write(model: onnx.ModelProto, path: Path, *, apart: bool = False) -> list[FileRecord]:
    """Writes a model and says which files that are, itself first; the same model always gives the same bytes.

    With `apart`, where tensors are parked, or beyond 2 GB its large tensors go to `<name>.data` beside it.
    """
    if apart or any(parked_in(model)) or sum(map(size_bytes, tensors_of(model))) > _ONE_FILE_BYTES_MAX:
        return write_apart(model, path)
    data = model.SerializeToString(deterministic=True)
    limits().count(path, len(data))
    path.write_bytes(data)
    return [FileRecord(path.name, digest_of(data), len(data), WEIGHTS)]


def tensor_digests(model: onnx.ModelProto) -> list[dict[str, JSON]]:
    """Name and digest of every initializer of the main graph, so that a replay can name the one that differs."""
    digests: list[dict[str, JSON]] = []
    for tensor in model.graph.initializer:
        running = hashlib.sha256(f"{tensor.data_type}{list(tensor.dims)}".encode())
        if is_parked(tensor) or tensor.raw_data:
            for piece in pieces(tensor):
                running.update(piece)
        else:
            running.update(tensor.SerializeToString(deterministic=True))
        digests.append({"digest": f"sha256:{running.hexdigest()}", "name": tensor.name})
    return digests


def graph_digest(model: onnx.ModelProto) -> str:
    """Digest of everything but the main graph's tensors; of parked ones inside of other graphs their own digests count."""
    bare = light_copy(model)
    for tensor in parked_in(bare):
        running = hashlib.sha256()
        for piece in pieces(tensor):
            running.update(piece)
        del tensor.external_data[:]
        tensor.external_data.add(key="checksum", value=running.hexdigest())
    return digest_of(bare.SerializeToString(deterministic=True))


class _Anything(frozenset[str]):
    """Lets a first look find out whether there is external data at all, before folders are listed."""

    def __contains__(self, item: object) -> bool:
        return True


def _external_bytes(path: Path, inspection: Inspection) -> int:
    return sum((path.parent / name).stat().st_size for name in inspection.external_files)
