"""The files of a bundle before and while they become one zip: digests for the manifest, then the one allowed form.

One reason: a bundle may be larger than memory. Rules (docs/bundle-format.md):
- small files wait in memory, large ones in a scratch folder, stored documents where they are; each is hashed on the way in;
- what is read from the store is checked against its digest again when it is packed, for its digest is in the manifest by then;
- the zip is stored, sorted by path, 1980-01-01, mode 0644, without extra fields, and never zip64: too much is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from registry import storage
from registry.digests import JSON, canonical, sha256
from registry.errors import BytesDiffer, Conflict

MEMORY_LIMIT_BYTES = 64 * 1024
FILES_LIMIT = 65_534
BYTES_LIMIT = 2_000_000_000  # the format allows 4 GiB; the zip writer turns to zip64 at 2 GiB
_HEADERS_BYTES = 30 + 46


@dataclass(frozen=True)
class _Part:
    """One file: its digest and size, and where its bytes wait (nowhere of ours: in the store, under its digest)."""

    digest: str
    size_bytes: int
    held: bytes | Path | None


class Contents:
    """The files of one bundle by path."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._parts: dict[str, _Part] = {}
        self._places = itertools.count()

    def add(self, path: str, data: bytes) -> None:
        """A file that we made."""
        if len(data) > MEMORY_LIMIT_BYTES:
            with self.writing(path) as out:
                out.write(data)
        else:
            self._parts[path] = _Part(sha256(data), len(data), data)

    def add_all(self, files: Mapping[str, bytes]) -> None:
        for path, data in files.items():
            self.add(path, data)

    def add_stored(self, path: str, digest: str, size_bytes: int) -> None:
        """A document of the store; BytesDiffer when it has not its size any more."""
        found = storage.path_of(digest).stat().st_size
        if found != size_bytes:
            raise BytesDiffer(
                f"The stored bytes of {digest} are {found}; {size_bytes} were recorded.",
                hint="Restore the file from a backup; a bundle with it would not verify.",
            )
        self._parts[path] = _Part(digest, size_bytes, None)

    @contextlib.contextmanager
    def writing(self, path: str) -> Iterator[_Hashing]:
        """A large file, written piece by piece."""
        place = self._scratch / str(next(self._places))
        with place.open("xb") as target:
            out = _Hashing(target)
            yield out
        self._parts[path] = _Part(f"sha256:{out.hasher.hexdigest()}", out.size_bytes, place)

    def rows(self) -> list[JSON]:
        """Digest, path and size of every file, as the manifest lists them."""
        return [
            {"digest": part.digest, "path": path, "size_bytes": part.size_bytes}
            for path, part in sorted(self._parts.items())
        ]

    def extent(self) -> tuple[int, int]:
        """How many files there are so far, and how many bytes they and their headers take in the zip."""
        total = sum(part.size_bytes + 2 * len(path) + _HEADERS_BYTES for path, part in self._parts.items())
        return len(self._parts), total

    def check_fits(self) -> None:
        """Conflict when the files are more than one bundle may hold."""
        refuse_too_large(*self.extent())

    def pack(self, out: BinaryIO) -> None:
        """The one allowed form of the zip."""
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
            for path, part in sorted(self._parts.items()):
                info = _zip_info(path)
                info.file_size = part.size_bytes
                with archive.open(info, "w") as target:
                    for chunk in _chunks(part):
                        target.write(chunk)


def refuse_too_large(files: int, size_bytes: int) -> None:
    """Conflict when that is more than one bundle may hold."""
    if files > FILES_LIMIT or size_bytes > BYTES_LIMIT:
        raise Conflict(
            f"The bundle would hold {files} files and {size_bytes} bytes at the least; "
            f"at most {FILES_LIMIT} and {BYTES_LIMIT} are possible.",
            hint="Issue bundles for single models or versions; together they hold the same.",
            code="too-large",
        )


class _Hashing:
    """A file that is hashed and counted while it is written."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self.hasher = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> None:
        self.hasher.update(data)
        self.size_bytes += len(data)
        self._target.write(data)


def _chunks(part: _Part) -> Iterator[bytes]:
    if isinstance(part.held, bytes):
        yield part.held
    elif isinstance(part.held, Path):
        with part.held.open("rb") as source:
            yield from storage.chunks_of(source)
    else:
        yield storage.read_bytes(part.digest, limit_bytes=part.size_bytes)


def _zip_info(path: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
    info.create_system = 3
    info.external_attr = 0o100644 << 16
    return info


def document(value: JSON, what: str) -> bytes:
    """Canonical bytes of one of the bundle's own lists; Conflict when it would be longer than a document may be."""
    try:
        return canonical(value)
    except ValueError as error:
        raise Conflict(
            f"{what} would not fit into one document: {error}.",
            hint="Issue bundles for single models or versions; together they hold the same.",
            code="too-large",
        ) from None
