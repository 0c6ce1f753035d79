"""A model in safetensors: one file, or the shards that an index names, with the digest that stands for all of them.

Rules:
- an index (`*.safetensors.index.json`) is a JSON object of at most 16 MiB whose `weight_map` names, for every tensor, a file beside
  it: a plain name that ends in `.safetensors`, no path, no link;
- every tensor that the index names is in the shard that it names, and every tensor of a shard is named;
- the digest of one file is that of its bytes; of shards it is that of the canonical list of digest and path of index and shards,
  by path, so that no byte of any of them can change unseen;
- no name of a tensor stands in two shards.
The form of an index: huggingface.co/docs/transformers, "Big models", sharded checkpoints.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from compression_engine.canonical import JSON, canonical, digest_of, digest_of_stream, shown
from compression_engine.errors import EngineError, FileRefused
from compression_engine.formats.safetensors_io import SUFFIX, TensorFile
from compression_engine.inspect import inspect_file
from compression_engine.structure.protobuf import invalid
from compression_engine.structure.safetensors import Entry

INDEX_SUFFIX = ".safetensors.index.json"
_NAME = "model"
_INDEX_BYTES_MAX = 16 * 1024**2
_INDEX_HINT = "Give the index and the shards as the exporter wrote them, in one folder."


@dataclass
class TensorModel:
    """An opened model: its files in order of their names, and what the index says beside them."""

    path: Path
    files: tuple[TensorFile, ...]
    index: dict[str, Any] | None = None
    _stack: ExitStack = field(default_factory=ExitStack, repr=False)

    def __enter__(self) -> TensorModel:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def tensors(self) -> Iterator[tuple[TensorFile, Entry]]:
        """Every tensor with the file that holds it, file by file, in the order in which they lie there."""
        for file in self.files:
            for entry in file.entries.values():
                yield file, entry

    @property
    def size_bytes(self) -> int:
        """What all files take, the index included."""
        return sum(file.size_bytes for file in self.files) + (self.path.stat().st_size if self.index is not None else 0)

    @property
    def paths(self) -> list[Path]:
        """All files, those that hold tensors first."""
        return [file.path for file in self.files] + ([self.path] if self.index is not None else [])

    def digest(self) -> str:
        """The digest that stands for the model; reads every byte."""
        return digest_of_records([record(path) for path in self.paths])


def record(path: Path) -> dict[str, JSON]:
    """Digest, name and size of one file."""
    with path.open("rb") as file:
        return {"digest": digest_of_stream(file), "path": path.name, "size_bytes": path.stat().st_size}


def digest_of_records(records: list[dict[str, JSON]]) -> str:
    """Of one file its own digest; of several that of the canonical list of their digests and paths, sorted by path."""
    if len(records) == 1:
        return str(records[0]["digest"])
    named = sorted(
        ({"digest": one["digest"], "path": one["path"]} for one in records), key=lambda one: str(one["path"])
    )
    return digest_of(canonical(named))


def is_safetensors(path: Path) -> bool:
    """Whether this file's name says that it is a model in safetensors, or the index of one."""
    return path.name.endswith((SUFFIX, INDEX_SUFFIX))


def safetensors_path(given: Path) -> Path | None:
    """The file or index of a model in safetensors, given it or its folder; None where this is another format's."""
    if not given.is_dir():
        return given if is_safetensors(given) else None
    if (given / f"{_NAME}.onnx").is_file():
        return None
    return next((path for suffix in (SUFFIX, INDEX_SUFFIX) if (path := given / f"{_NAME}{suffix}").is_file()), None)


def open_model(path: Path) -> TensorModel:
    """Opens a file, or all shards of an index; close it. Raises EngineError (not_found), FileRefused; reads headers only."""
    if path.is_symlink() or not path.is_file():
        raise EngineError("not_found", f"There is no plain file {path}.", "Give the file itself, not a link to it.")
    weight_map: dict[str, str] | None = None
    index: dict[str, Any] | None = None
    names = [path.name]
    if path.name.endswith(INDEX_SUFFIX):
        index = _read_index(path)
        weight_map = index["weight_map"]
        names = sorted(set(weight_map.values()))
    with ExitStack() as stack:
        files = tuple(stack.enter_context(_opened(path.parent / name)) for name in names)
        if weight_map is not None:
            _check_map(path.name, weight_map, files)
        return TensorModel(path, files, index, stack.pop_all())


def write_index(before: Mapping[str, Any], files: Sequence[Path], path: Path) -> None:
    """The index of these shards: as it was before, but for which tensor is where, and how many bytes all of them take."""
    weight_map: dict[str, str] = {}
    held = 0
    for file in files:
        with TensorFile(file) as opened:
            weight_map |= dict.fromkeys(opened.entries, file.name)
            held += sum(one.size_bytes for one in opened.entries.values())
    metadata = before.get("metadata")
    sizes = (metadata if isinstance(metadata, dict) else {}) | {"total_size": held}
    document = dict(before) | {"metadata": sizes, "weight_map": weight_map}
    path.write_bytes(json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True).encode() + b"\n")


def _opened(path: Path) -> TensorFile:
    if not path.is_symlink() and path.is_file():
        inspect_file(path, name=path.name)  # says what else it is where it is not safetensors
    return TensorFile(path)


def _read_index(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _INDEX_BYTES_MAX:
        raise FileRefused("limit_exceeded", f"{path.name} has more than {_INDEX_BYTES_MAX:,} bytes.", _INDEX_HINT)
    try:
        index = json.loads(path.read_bytes().decode(), object_pairs_hook=_once)
        json.dumps(index, ensure_ascii=False).encode()  # half of a surrogate pair cannot be written down again
    except (ValueError, RecursionError) as error:
        raise _broken(f"{path.name} is not JSON: {error}.") from error
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise _broken(f"{path.name} has no weight_map.")
    for file in weight_map.values():
        plain = isinstance(file, str) and file.endswith(SUFFIX) and Path(file).name == file and "\0" not in file
        if not plain or "\\" in file:
            raise _broken(f"{path.name} names the file {shown(file)}, which is no safetensors file beside it.")
    found: dict[str, Any] = index
    return found


def _check_map(name: str, weight_map: dict[str, str], files: tuple[TensorFile, ...]) -> None:
    held: dict[str, str] = {}
    for file in files:
        for tensor in file.entries:
            if tensor in held:
                raise _broken(f"The tensor {shown(tensor)} is in {held[tensor]} and in {file.path.name}.")
            held[tensor] = file.path.name
    for tensor in [*weight_map, *held]:
        if weight_map.get(tensor) != held.get(tensor):
            says, has = weight_map.get(tensor, "no file"), held.get(tensor, "none of its shards")
            raise _broken(f"{name} says that {shown(tensor)} is in {says}; it is in {has}.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise invalid("A name stands twice in the index.")
    return result


def _broken(message: str) -> FileRefused:
    return FileRefused("structure_invalid", message, _INDEX_HINT)
