"""Says what a model file is by its bytes, and refuses what is not safe to keep. Standard library only; the file is
walked through a small window, so a large model costs no memory.

Rules:
- the formats are ONNX, safetensors and `.pt2`; everything else is refused;
- pickles are refused under every name, before anything else;
- a packed model is called what it is, and how it is unpacked: here it is judged by the bytes that run;
- the name and the content must say the same format;
- then the rules of that format: see `structure.onnx`, `structure.safetensors`, `structure.archive`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from compression_engine.errors import EngineError, FileRefused
from compression_engine.structure.archive import inspect_archive
from compression_engine.structure.external import Siblings
from compression_engine.structure.findings import Inspection, Port
from compression_engine.structure.onnx import inspect_onnx
from compression_engine.structure.pickles import looks_pickled, refused
from compression_engine.structure.safetensors import inspect_safetensors

__all__ = ["FORMATS", "Inspection", "Port", "inspect_file"]

FORMATS: dict[str, str] = {".onnx": "onnx", ".pt2": "pt2", ".safetensors": "safetensors"}
"""Suffix -> format of the files that hold weights."""

_HEAD_BYTES = 64 * 1024
_HINT = "Give a file .onnx, .safetensors or .pt2 (torch.export.save)."
_PACKED = b"\x93PMPACK\n"
_UNPACK = "Unpack it (python -m compression_engine unpack FILE --output MODEL) and give that: every byte of the model comes back."
_OTHERS = {
    b"GGUF": "a GGUF file",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"\x93NUMPY": "a numpy array",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\x00": "an xz archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"#!": "a script",
    b"%PDF": "a PDF",
    b"version https://git-lfs": "a Git LFS pointer, not the model itself",
}


def inspect_file(
    source: str | os.PathLike[str] | BinaryIO, *, name: str, siblings: Siblings = frozenset()
) -> Inspection:
    """The structure of a model file.

    `source` is a path or a seekable binary file, `name` the path under which it is declared (its suffix is the declared
    format), `siblings` the paths of the files that come with it, relative to the file's own folder (with their sizes, where these
    are known: then what lies there must fit). Raises FileRefused
    with a stable code; the file is never executed, unpickled or followed to other files.
    """
    if isinstance(source, str | os.PathLike):
        try:
            with Path(source).open("rb") as file:
                return _inspect(file, name, siblings)
        except (FileNotFoundError, IsADirectoryError) as error:
            raise EngineError("not_found", f"There is no file {os.fspath(source)}.", "Check the path.") from error
    return _inspect(source, name, siblings)


def _inspect(file: BinaryIO, name: str, siblings: Siblings) -> Inspection:
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    if not head:
        raise FileRefused("file_truncated", f"{name} is empty.", "Upload the file again.")
    if looks_pickled(head):
        raise refused(name, "is a pickle")
    declared = FORMATS.get(Path(name).suffix.lower())
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        # before the name is judged: an archive with a pickle is called what it is under every name
        found = inspect_archive(file, size_bytes, name)
        _agree(name, declared, found.format)
        return found
    if size_bytes > 262 and head[257:262] == b"ustar":
        raise refused(name, "is a tar archive; PyTorch kept pickles in these")
    if head.startswith(_PACKED):
        raise FileRefused("model_packed", f"{name} is a packed model, which nothing runs.", _UNPACK)
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            raise FileRefused("format_unknown", f"{name} is {what}.", _HINT)
    content = "safetensors" if _opens_safetensors(head) else "onnx" if _opens_onnx(head) else None
    if declared is None:
        raise FileRefused("format_unknown", f"The name {name} says no format that is accepted.", _HINT)
    if content is not None:
        _agree(name, declared, content)
    if declared == "safetensors":
        return inspect_safetensors(file, size_bytes)
    if declared == "onnx":
        return inspect_onnx(file, size_bytes, siblings)
    raise FileRefused("format_mismatch", f"{name} is called .pt2, but is not an archive.", _HINT)


def _agree(name: str, declared: str | None, content: str) -> None:
    if declared != content:
        says = f"its name says {declared}" if declared else "its name says no format that is accepted"
        hint = f"If it is meant to be {content}, give it the right suffix; else give the right file."
        raise FileRefused("format_mismatch", f"{name} holds {content}, {says}.", hint)


def _opens_safetensors(head: bytes) -> bool:
    return len(head) > 8 and head[8:9] == b"{" and head[5:8] == b"\0\0\0"


def _opens_onnx(head: bytes) -> bool:
    # field 1, a varint: the IR version, which every exporter writes first; below 128 for as long as ONNX exists
    return len(head) > 2 and head[0] == 0x08 and 0 < head[1] < 0x80
