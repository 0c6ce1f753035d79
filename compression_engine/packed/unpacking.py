"""Gives back what a packed file holds, byte for byte, or nothing at all.

Rules:
- what it will take on disk is held against the limit of the call and against the room that is there, before anything is written;
- no block is decoded into more bytes than its stretch has left; memory is bounded by one block;
- a file counts only when its size and its digest are those of the header; else nothing of it stays;
- nothing is written outside the folder or file that was named.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from compression_engine.canonical import JSON, digest_of_stream
from compression_engine.errors import EngineError, FileRefused
from compression_engine.limits import RAISE_DISK, limits
from compression_engine.packed.blocks import BLOCK_BYTES, HEAD, decode_block
from compression_engine.packed.header import PackedFile, read_header
from compression_engine.placing import whole_file, whole_folder
from compression_engine.progress import Progress, silent
from compression_engine.structure.protobuf import invalid, truncated

_SUFFIXES = (".onnx", ".safetensors", ".pt2")
_DAMAGED = "Get the packed file again; its bytes were changed on the way."


def unpack(packed: Path, output: Path, progress: Progress = silent) -> list[dict[str, JSON]]:
    """Writes the files that `packed` holds: a new file where `output` ends as models do, else into a new folder.

    Returns `{"digest","path","size_bytes"}` of each, the model first. Raises EngineError (not_found, output_exists, disk_full),
    FileRefused (format_unknown, file_truncated, structure_invalid, limit_exceeded, digest_differs).
    """
    try:
        file = packed.open("rb")
    except OSError as error:
        raise EngineError("not_found", f"There is no file {packed}.", "Check the path.") from error
    with file:
        files = read_header(file, packed.name)
        if output.suffix.lower() in _SUFFIXES:
            if len(files) > 1:
                message = f"{packed.name} holds {len(files)} files, {output.name} would be one."
                raise EngineError("format_mismatch", message, "Give a folder.")
            _check_room(files, output)
            with whole_file(output) as target:
                _unpack(file, files, lambda one: target, progress)
            return [files[0].record() | {"path": output.name}]
        _check_room(files, output)
        with whole_folder(output) as folder:
            _unpack(file, files, lambda one: folder / one.name, progress)
    return [one.record() for one in files]


def unpack_into(packed: Path, folder: Path, progress: Progress = silent) -> Path:
    """Unpacks into a folder that is there and the caller's own; returns the path of the model. Raises as `unpack` does."""
    with packed.open("rb") as file:
        files = read_header(file, packed.name)
        _check_room(files, folder)
        _unpack(file, files, lambda one: folder / one.name, progress)
    return folder / files[0].name


def _unpack(file: BinaryIO, files: list[PackedFile], place: Callable[[PackedFile], Path], progress: Progress) -> None:
    done, whole = 0, sum(one.size_bytes for one in files)
    for one in files:
        target = place(one)
        target.parent.mkdir(parents=True, exist_ok=True)
        limits().count(target, one.size_bytes)
        with target.open("xb+") as made:
            for start, data in _placed(file, one):
                made.seek(start)
                made.write(data)
                done += len(data)
                progress("unpack", done, whole, one.name)
            made.seek(0)
            same = digest_of_stream(made) == one.digest
        if not same:
            raise FileRefused("digest_differs", f"{one.name} does not come back as it was packed.", _DAMAGED)
    if file.read(1):
        raise invalid("There are bytes behind the last block.")


def _placed(file: BinaryIO, one: PackedFile) -> Iterator[tuple[int, bytes]]:
    """Bytes of a file and where they stand in it: first the plain ones, which were coded as one, then the other stretches."""
    plain = deque(one.plain)
    for data in _blocks(file, sum(size for _, size in plain), one.name):
        used = 0
        while used < len(data):
            start, size = plain.popleft()
            piece = data[used : used + size]
            yield start, piece
            used += len(piece)
            if len(piece) < size:
                plain.appendleft((start + len(piece), size - len(piece)))
    for start, size in one.others:
        for data in _blocks(file, size, one.name):
            yield start, data
            start += len(data)


def _blocks(file: BinaryIO, size_bytes: int, name: str) -> Iterator[bytes]:
    left = size_bytes
    while left:
        expected = min(left, BLOCK_BYTES)
        head = file.read(HEAD.size)
        if len(head) < HEAD.size:
            raise truncated(f"The packed file ends where a block of {name} should begin.")
        kind, length = HEAD.unpack(head)
        if length > expected:
            raise invalid(f"A block of {name} claims more bytes than it stands for.")
        body = file.read(length)
        if len(body) < length:
            raise truncated(f"The packed file ends within a block of {name}.")
        yield decode_block(kind, memoryview(body), expected)
        left -= expected


def _check_room(files: list[PackedFile], output: Path) -> None:
    needed = sum(one.size_bytes for one in files)
    limits().take(needed)
    limits().take(-needed)
    folder = next(parent for parent in (output, *output.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(folder).free
    if needed > free:
        message = f"Unpacked it takes {needed:,} bytes, {free:,} are free."
        raise EngineError("disk_full", message, f"Make room, or name another folder. {RAISE_DISK}")
