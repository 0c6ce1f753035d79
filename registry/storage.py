"""Content-addressed bytes: a file is named by its SHA-256, written once, and never believed without its digest.

Rules:
- bytes are hashed while they stream in, written to a temporary name, synced, renamed, and the directory synced;
- a path from outside never reaches the file system: the key is the digest;
- storing what is already there keeps the old file; its bytes are checked first when it is small;
- the row comes after the bytes: what no row names is an orphan, swept after a day.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from registry.digests import hex_of, is_digest
from registry.errors import BytesDiffer, Invalid, NotFound

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Stored:
    """Bytes that are safely on disk."""

    digest: str
    size_bytes: int


def _root() -> Path:
    return Path(settings.PRESSMARK_STORE)


def path_of(digest: str) -> Path:
    """Where the bytes of a digest lie (whether or not they are there)."""
    if not is_digest(digest):
        raise Invalid("That is not a digest.", hint="A digest is 'sha256:' and 64 lower-case hexadecimal digits.")
    name = hex_of(digest)
    return _root() / name[:2] / name


def sync_folder(folder: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def chunks_of(source: BinaryIO) -> Iterator[bytes]:
    """A file object in pieces of at most CHUNK_BYTES."""
    while chunk := source.read(CHUNK_BYTES):
        yield chunk


def store(chunks: Iterable[bytes], *, expected: str | None = None, limit_bytes: int | None = None) -> Stored:
    """Write a stream and return its digest and size.

    Raises Invalid when the stream is longer than `limit_bytes` or its digest is not the `expected` one; nothing is kept then.
    """
    incoming = _root() / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=incoming)
    temporary = Path(name)
    hasher, size = hashlib.sha256(), 0
    try:
        with os.fdopen(handle, "wb") as target:
            for chunk in chunks:
                size += len(chunk)
                if limit_bytes is not None and size > limit_bytes:
                    raise Invalid(
                        f"The upload is larger than {limit_bytes} bytes.", hint="Raise PRESSMARK_UPLOAD_LIMIT_BYTES."
                    )
                hasher.update(chunk)
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        digest = f"sha256:{hasher.hexdigest()}"
        if expected is not None and digest != expected:
            raise Invalid(
                f"The bytes that arrived have digest {digest}, not {expected}.",
                hint="The upload was cut or changed on the way; send it again.",
                code="digest-mismatch",
            )
        _publish(temporary, digest)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    return Stored(digest, size)


def _publish(temporary: Path, digest: str) -> None:
    final = path_of(digest)
    final.parent.mkdir(parents=True, exist_ok=True)
    os.chmod(temporary, 0o444)
    os.rename(temporary, final)
    sync_folder(final.parent)
    sync_folder(final.parent.parent)


def store_bytes(data: bytes) -> Stored:
    """Write a small document; what is there already is kept as it is."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if is_stored(digest) and path_of(digest).read_bytes() == data:
        return Stored(digest, len(data))
    return store([data], expected=digest)


def is_stored(digest: str) -> bool:
    """Whether a file of that name is there; its bytes are not looked at."""
    return path_of(digest).is_file()


def size_of(digest: str) -> int | None:
    """How many bytes lie under that name; None when there is no such file. Quick enough to ask for each of a million."""
    name = hex_of(digest)
    try:
        found = os.stat(f"{settings.PRESSMARK_STORE}/{name[:2]}/{name}")  # building a Path costs more than asking
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def open_stored(digest: str) -> BinaryIO:
    """The bytes for reading; NotFound when they are not here."""
    try:
        return path_of(digest).open("rb")
    except FileNotFoundError:
        raise NotFound(
            f"The bytes of {digest} are not stored here.", hint="They were purged or lost; restore them from a backup."
        ) from None


def read_bytes(digest: str, *, limit_bytes: int = 16 * 1024 * 1024) -> bytes:
    """A small document, checked against its digest."""
    with open_stored(digest) as source:
        data = source.read(limit_bytes + 1)
    if len(data) > limit_bytes or f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
        raise BytesDiffer(
            f"The stored bytes of {digest} have another digest.",
            hint="Restore the file from a backup; nothing was used.",
        )
    return data


def rehash(digest: str, size_bytes: int) -> None:
    """Read the stored bytes again and compare; BytesDiffer when they are missing or changed."""
    hasher, size = hashlib.sha256(), 0
    try:
        source = path_of(digest).open("rb")
    except FileNotFoundError:
        raise BytesDiffer(f"The bytes of {digest} are missing.", hint="Restore them from a backup.") from None
    with source:
        for chunk in chunks_of(source):
            hasher.update(chunk)
            size += len(chunk)
    found = f"sha256:{hasher.hexdigest()}"
    if found != digest or size != size_bytes:
        raise BytesDiffer(
            f"The stored bytes of {digest} ({size_bytes} bytes) now have digest {found} ({size} bytes).",
            hint="Restore the file from a backup; until then this version cannot be moved to or downloaded.",
        )


def remove(digest: str) -> None:
    """Remove the bytes of a digest for good, durably; nothing happens where there are none. Callers decide who still needs them."""
    path = path_of(digest)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        sync_folder(path.parent)


def sweep(named: set[str], *, older_than_seconds: int, now: float) -> list[str]:
    """Remove files that no row names and that are old enough; returns their digests."""
    removed = []
    for folder in sorted(_root().glob("[0-9a-f][0-9a-f]")):
        for path in folder.iterdir():
            digest = f"sha256:{path.name}"
            if digest not in named and now - path.stat().st_mtime > older_than_seconds:
                path.unlink()
                removed.append(digest)
    for path in (_root() / "incoming").glob("*"):
        if now - path.stat().st_mtime > older_than_seconds:
            path.unlink()
    return removed
