"""What lies in a place, by digest: every file of a folder, or one file. Nothing is followed out of it, nothing is left out.

Rules:
- a link is refused wherever it stands: what it points to may be another thing a moment later;
- what is neither a file nor a folder is refused, and so is a name that no version can hold, before anything is read; a folder too
  deep for such a name is refused where that is seen, and more files than a version can have are not hashed to the end;
- two names that differ only in their case are refused: on another file system they would be one;
- a file that changes while it is read is refused;
- the manifest that `pressmark pull` leaves is told apart from the files: its own digest is that of the version.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from audit.admission_verdict import ALONE
from compression_engine.manifest import MANIFEST_NAME
from registry.digests import CanonicalError, check_paths, is_path

FILES_LIMIT = 10_000
_SHOWN_CHARACTERS = 100
_CHUNK_BYTES = 1024 * 1024


class NotDeployable(Exception):
    """What lies there can be no version, whatever a server says; the message is one sentence."""


@dataclass(frozen=True)
class Lying:
    """Digests by path (a file that stands alone has the path ALONE), and that of the manifest where one lies beside them."""

    files: dict[str, str]
    manifest: str | None


def read(path: Path) -> Lying:
    """Hash what lies at a path. NotDeployable names what breaks a rule; OSError what cannot be read."""
    state = os.lstat(path)
    if stat.S_ISLNK(state.st_mode):
        raise NotDeployable(f"{path} is a link; name what it points to.")
    if stat.S_ISREG(state.st_mode):
        return Lying({ALONE: _digest(path)}, None)
    if not stat.S_ISDIR(state.st_mode):
        raise NotDeployable(f"{path} is neither a file nor a folder.")
    named = _named(path)
    found = {name: _digest(file) for name, file in named.items()}
    manifest = found.pop(MANIFEST_NAME, None)
    if not found:
        raise NotDeployable(f"{path} holds no file.")
    return Lying(found, manifest)


def _named(folder: Path) -> dict[str, Path]:
    """Every file by its name in the folder; nothing is opened yet."""
    found: dict[str, Path] = {}
    for name, file in _files(folder, ""):
        found[name] = file
        if len(found) > FILES_LIMIT + 1:  # and the manifest
            raise NotDeployable(f"{folder} holds more than {FILES_LIMIT:,} files; no version has so many.")
    try:
        check_paths([name for name in found if name != MANIFEST_NAME])
    except CanonicalError as error:
        raise NotDeployable(f"{folder} holds what no version can hold: {error}.") from None
    return found


def _files(folder: Path, below: str) -> Iterator[tuple[str, Path]]:
    with os.scandir(folder) as entries:
        inside = sorted(entries, key=lambda entry: entry.name)
    for entry in inside:
        name = f"{below}{entry.name}"
        if entry.is_symlink():
            raise NotDeployable(
                f"{_shown(name)} is a link; a version holds files, and what a link points to may change."
            )
        if entry.is_dir(follow_symlinks=False):
            if not is_path(f"{name}/f"):
                raise NotDeployable(f"{_shown(name)} is a name that no folder of a version has.")
            yield from _files(Path(entry.path), f"{name}/")
        elif not entry.is_file(follow_symlinks=False):
            raise NotDeployable(f"{_shown(name)} is neither a file nor a folder.")
        elif not is_path(name):
            raise NotDeployable(f"{_shown(name)} is a name that no file of a version has.")
        else:
            yield name, Path(entry.path)


def _shown(name: str) -> str:
    return ascii(name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}...")


def _digest(path: Path) -> str:
    hasher = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would wait for ever
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise NotDeployable(f"{path} is no file any more.")
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
        after = os.fstat(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise NotDeployable(f"{path} changed while it was read.")
    return f"sha256:{hasher.hexdigest()}"
