"""What lies in a place, by digest: every file of a folder, or one file. Nothing is followed out of it, nothing is left out.

Rules:
- a link is refused wherever it stands: what it points to may be another thing a moment later;
- what is neither a file nor a folder is refused, and so is a name that no version can hold;
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
from registry.digests import is_path

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
    found = {name: _digest(file) for name, file in _files(path, "")}
    manifest = found.pop(MANIFEST_NAME, None)
    if not found:
        raise NotDeployable(f"{path} holds no file.")
    return Lying(found, manifest)


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
            yield from _files(Path(entry.path), f"{name}/")
        elif not entry.is_file(follow_symlinks=False):
            raise NotDeployable(f"{_shown(name)} is neither a file nor a folder.")
        elif not is_path(name):
            raise NotDeployable(f"{_shown(name)} is a name that no file of a version has.")
        else:
            yield name, Path(entry.path)


def _shown(name: str) -> str:
    return ascii(name)


def _digest(path: Path) -> str:
    hasher = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
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
