"""Packs a model file, with the files of its external data, into one that is smaller and gives every byte back.

This is for storage and transfer. A packed model does not run; it is unpacked first, and is then as large and as fast as before.

Rules:
- the model is inspected before it is packed; its digests are taken before and after it is coded: a file that changes meanwhile is
  refused;
- every block is decoded again before it is written;
- memory is bounded by one block whatever the model's size;
- the same model gives the same bytes: only integers are computed with. (What lies between tensors is coded by liblzma: another
  release of that library may choose other bytes for it, which unpack to the same.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from compression_engine.canonical import JSON, digest_of_stream
from compression_engine.errors import EngineError, FileRefused
from compression_engine.formats.onnx_io import inspect_model
from compression_engine.limits import limits
from compression_engine.packed.blocks import BLOCK_BYTES, HEAD, decode_block, encode_block
from compression_engine.packed.header import PackedFile, header_bytes, is_packed, is_plain
from compression_engine.packed.placed import Placing
from compression_engine.packed.stretches import Stretch, archive_stretches, onnx_stretches, safetensors_stretches
from compression_engine.placing import whole_file
from compression_engine.progress import Progress, silent

_HINT = "Give a model in ONNX, safetensors or .pt2."


def pack(model: Path, output: Path, progress: Progress = silent) -> dict[str, JSON]:
    """Writes `model` (a file, or a folder with model.onnx) packed as the new file `output`.

    Returns `{"digest","path","size_bytes"}` of the packed file and `holds`, the same of each file in it. Raises EngineError
    (not_found, output_exists, disk_full, file_changed), FileRefused.
    """
    path = model / "model.onnx" if model.is_dir() else model
    if is_packed(path):
        raise FileRefused("format_unknown", f"{path.name} is packed already.", _HINT)
    inspection = inspect_model(path)
    if inspection.format == "onnx":
        stretches = onnx_stretches(path)
    else:
        stretches = {"": (safetensors_stretches if inspection.format == "safetensors" else archive_stretches)(path)}
    sources = {name: path.parent / name if name else path for name in sorted(stretches)}
    files = [_described(name or path.name, sources[name], stretches[name]) for name in sources]
    with whole_file(output) as target, target.open("wb") as file:
        _write(file, target, header_bytes(files))
        done, whole = 0, sum(one.size_bytes for one in files)
        for name, described in zip(sources, files, strict=True):

            def told(more_bytes: int) -> None:
                nonlocal done
                done += more_bytes
                progress("pack", done, whole, described.name)  # noqa: B023

            _pack_file(sources[name], stretches[name], described, lambda data: _write(file, target, data), told)
    return {
        "digest": _digest(output),
        "holds": [one.record() for one in files],
        "path": output.name,
        "size_bytes": output.stat().st_size,
    }


def _described(name: str, source: Path, stretches: list[Stretch]) -> PackedFile:
    if not is_plain(name):
        message = f"{name!r} cannot be the name of a file on every system."
        raise FileRefused("structure_invalid", message, "Give the model a plain name.")
    sizes = tuple(one.size_bytes if one.placing != Placing() else -one.size_bytes for one in stretches)
    return PackedFile(name, _digest(source), source.stat().st_size, sizes)


def _pack_file(
    source: Path,
    stretches: list[Stretch],
    described: PackedFile,
    write: Callable[[bytes], None],
    told: Callable[[int], None],
) -> None:
    with source.open("rb") as file:
        plain = (data for start, size in described.plain for data in _pieces(file, start, size))
        for data in _in_blocks(plain):
            write(_checked(data, Placing()))
            told(len(data))
        for stretch in stretches:
            if stretch.placing != Placing():
                offset = 0
                for data in _pieces(file, stretch.start, stretch.size_bytes):
                    write(_checked(data, replace(stretch.placing, offset=offset)))
                    offset += len(data)
                    told(len(data))
    if _digest(source) != described.digest:
        raise EngineError(
            "file_changed", f"{described.name} changed while it was packed.", "Pack a file that nobody writes to."
        )


def _pieces(file: BinaryIO, start: int, size_bytes: int) -> Iterator[bytes]:
    """A stretch in blocks; of a file that was cut meanwhile what is left."""
    for place in range(start, start + size_bytes, BLOCK_BYTES):
        file.seek(place)
        yield file.read(min(BLOCK_BYTES, start + size_bytes - place))


def _in_blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, in blocks that are full but for the last one."""
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= BLOCK_BYTES:
            yield bytes(held[:BLOCK_BYTES])
            del held[:BLOCK_BYTES]
    if held:
        yield bytes(held)


def _checked(data: bytes, placing: Placing) -> bytes:
    """A coded block, once it was decoded again and gave the same bytes."""
    coded = encode_block(data, placing)
    if decode_block(coded[0], memoryview(coded)[HEAD.size :], len(data)) != data:
        hint = "This is a fault of the engine: report it with the model; the model itself is as it was."
        raise EngineError("internal", "A block does not come back as it was packed.", hint)
    return coded


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return digest_of_stream(file)


def _write(file: BinaryIO, path: Path, data: bytes) -> None:
    limits().count(path, len(data))
    file.write(data)
