"""Keeps what a finished stage of an evaluation gave, so that a run that is killed does not do it again.

    <name>.stage    one stage: the SHA-256 of what follows, then the bytes; the name is made of the key

Rules:
- a key is the identity of the evaluation (models, rows, plan, libraries), the stage's name and the digest of what else went
  into it: what was made of something else is never found;
- bytes count once they are whole on the disk: written beside their place, fsynced, renamed, the folder fsynced;
- what lies there and is not what was written is thrown away and made again; it is never given out;
- no link in the folder is followed, nor is the folder one (work_differs);
- what is kept must be what the stage would give again, to the byte: timings do not belong here.
"""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

from compression_engine.canonical import canonical, digest_of
from compression_engine.limits import limits
from compression_engine.steps.work_files import opened, read, refuse_link

_SUFFIX = ".stage"
_SUM_BYTES = hashlib.sha256().digest_size


class StageStore:
    """Bytes of finished stages in a folder; without a folder nothing is kept and nothing found."""

    def __init__(self, folder: Path | None = None, identity: str = "") -> None:
        """`identity` is what all keys rest on; two evaluations with different ones find nothing of each other's."""
        self._folder = folder
        self._identity = identity
        if folder is not None:
            refuse_link(folder)
        for path in [] if folder is None or not folder.is_dir() else folder.iterdir():
            limits().forget(path)
            limits().count(path, path.lstat().st_size)

    def get(self, stage: str, inputs: str) -> bytes | None:
        """What was put under this stage and digest of inputs; None where there is nothing whole."""
        if self._folder is None:
            return None
        path = self._path(self._folder, stage, inputs)
        try:
            held = read(path)
        except FileNotFoundError:
            return None
        data = held[_SUM_BYTES:]
        if held[:_SUM_BYTES] == _sum(path.name, data):
            return data
        path.unlink(missing_ok=True)
        return None

    def put(self, stage: str, inputs: str, data: bytes) -> None:
        """Keeps what the stage gave for inputs with this digest. Raises EngineError (disk_full), and OSError as at a full disk."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(self._folder, stage, inputs)
        refuse_link(self._folder)
        partial = path.with_suffix(f"{_SUFFIX}.partial")
        limits().forget(path)
        limits().count(path, _SUM_BYTES + len(data))
        try:
            with opened(partial, "wb") as file:
                file.write(_sum(path.name, data))
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            limits().forget(path)
            raise
        _sync_folder(self._folder)

    def _path(self, folder: Path, stage: str, inputs: str) -> Path:
        key = digest_of(canonical({"identity": self._identity, "inputs": inputs, "stage": stage}))
        return folder / f"{key.removeprefix('sha256:')}{_SUFFIX}"


def _sum(name: str, data: bytes) -> bytes:
    """Over the name as well: a file that was moved to another key's place is not taken for that key's."""
    return hashlib.sha256(name.encode() + b"\n" + data).digest()


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot sync a folder
            raise
    finally:
        os.close(opened)
