"""What a packed file says of itself before its blocks: which files it holds, with digest, size and stretches of each.

Layout: eight bytes of magic; version and length of the header (four little-endian bytes each); the header, canonical JSON; its
SHA-256 (32 bytes); then for each file the blocks of its plain bytes, those of its other stretches in their order, and nothing more.

Rules:
- names are plain relative paths below the folder that is unpacked into; no name stands twice, none lies below another;
- the stretches of a file add up to its size; a negative one is plain: bytes between tensors, all of which are coded as one;
- a header has at most 16 MiB and is canonical;
- at most 1,000 files.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

from compression_engine.canonical import JSON, CanonicalError, canonical, parse_canonical
from compression_engine.errors import FileRefused
from compression_engine.structure.protobuf import invalid, over_limit, truncated

MAGIC = b"\x93PMPACK\n"
VERSION = 1
FORMAT = "pressmark/packed/1"
SUFFIX = ".packed"
_FIXED = struct.Struct("<8sII")
_HEADER_BYTES_MAX = 16 * 1024 * 1024
_FILES_MAX = 1000
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class PackedFile:
    """One file that a packed one gives back; the first is the model itself."""

    name: str
    digest: str
    size_bytes: int
    stretches: tuple[int, ...]

    def document(self) -> dict[str, JSON]:
        """As the header has it."""
        return {
            "digest": self.digest,
            "name": self.name,
            "size_bytes": self.size_bytes,
            "stretches": list(self.stretches),
        }

    def record(self) -> dict[str, JSON]:
        """As results name files."""
        return {"digest": self.digest, "path": self.name, "size_bytes": self.size_bytes}

    @property
    def plain(self) -> list[tuple[int, int]]:
        """Start and length of each stretch of plain bytes."""
        return [place for place, size in zip(self._places(), self.stretches, strict=True) if size < 0]

    @property
    def others(self) -> list[tuple[int, int]]:
        """Start and length of each other stretch."""
        return [place for place, size in zip(self._places(), self.stretches, strict=True) if size > 0]

    def _places(self) -> list[tuple[int, int]]:
        starts = accumulate((abs(size) for size in self.stretches), initial=0)
        return [(start, abs(size)) for start, size in zip(starts, self.stretches, strict=False)]


def header_bytes(files: list[PackedFile]) -> bytes:
    """Everything before the first block; raises FileRefused (limit_exceeded) for a model of too many stretches."""
    try:
        document = canonical({"files": [file.document() for file in files], "format": FORMAT})
    except CanonicalError as error:
        raise over_limit(f"The model cannot be described in the header of a packed file: {error}.") from error
    return _FIXED.pack(MAGIC, VERSION, len(document)) + document + hashlib.sha256(document).digest()


def is_packed(path: Path) -> bool:
    """Whether a file begins as packed ones do."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_header(file: BinaryIO, name: str) -> list[PackedFile]:
    """The files that are in it; leaves `file` at the first block. Raises FileRefused."""
    start = file.read(_FIXED.size)
    if not start.startswith(MAGIC):
        raise FileRefused("format_unknown", f"{name} is no packed model.", "Give a file that `pack` wrote.")
    if len(start) < _FIXED.size:
        raise truncated(f"{name} ends within its first bytes.")
    _, version, length = _FIXED.unpack(start)
    if version != VERSION:
        hint = "Unpack it with the version of the engine that packed it, or a newer one."
        raise FileRefused("format_unknown", f"{name} is packed in version {version}; this reads {VERSION}.", hint)
    if length > _HEADER_BYTES_MAX:
        raise over_limit(f"The header claims {length:,} bytes; at most {_HEADER_BYTES_MAX:,} are read.")
    document = file.read(length)
    digest = file.read(hashlib.sha256().digest_size)
    if len(document) != length or len(digest) != hashlib.sha256().digest_size:
        raise truncated(f"{name} ends within its header.")
    if hashlib.sha256(document).digest() != digest:
        raise invalid(f"The header of {name} is not what was written: its digest differs.")
    try:
        return _files(parse_canonical(document))
    except (CanonicalError, KeyError, TypeError) as error:
        raise invalid(f"The header of {name} is not one: {error}.") from error


def _files(document: JSON) -> list[PackedFile]:
    if not isinstance(document, dict) or document.get("format") != FORMAT or set(document) != {"files", "format"}:
        raise invalid(f"The header is not of the format {FORMAT}.")
    if not 1 <= len(document["files"]) <= _FILES_MAX:
        raise over_limit(f"A packed model has from 1 to {_FILES_MAX} files.")
    files = [_file(entry) for entry in document["files"]]
    taken: set[str] = set()
    for file in files:
        parts = file.name.split("/")
        above = {"/".join(parts[:end]) for end in range(1, len(parts))}
        if file.name in taken or above & {other.name for other in files}:
            raise invalid(f"Two files of the packed model would lie at {file.name!r}.")
        taken.add(file.name)
    return files


def _file(entry: JSON) -> PackedFile:
    if not isinstance(entry, dict) or set(entry) != {"digest", "name", "size_bytes", "stretches"}:
        raise invalid("A file is not described by digest, name, size_bytes and stretches.")
    name, digest, size_bytes, stretches = entry["name"], entry["digest"], entry["size_bytes"], entry["stretches"]
    if not isinstance(name, str) or not is_plain(name):
        raise invalid(f"{name!r} is not the plain path of a file.")
    if not isinstance(digest, str) or not _DIGEST.match(digest):
        raise invalid(f"{name!r} has no digest.")
    numbers = [size_bytes, *stretches] if isinstance(stretches, list) else [None]
    if any(not isinstance(number, int) or isinstance(number, bool) for number in numbers):
        raise invalid(f"{name!r} has no sizes.")
    if 0 in stretches or sum(map(abs, stretches)) != size_bytes:
        raise invalid(f"The stretches of {name!r} do not add up to its size.")
    return PackedFile(name, digest, size_bytes, tuple(stretches))


def is_plain(name: str) -> bool:
    """Whether a name stays below the folder that it is put into, on every system."""
    parts = name.split("/")
    return (
        len(name) <= 1024
        and not any(part in {"", ".", ".."} or len(part.encode()) > 200 for part in parts)
        and not any(letter in '\\:*?"<>|' or ord(letter) < 0x20 or ord(letter) == 0x7F for letter in name)
    )
