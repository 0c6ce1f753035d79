"""Opens what lies in a work folder, and never follows a link there.

A work folder outlives the call, and may lie where others can write: through a link in it a run would overwrite a file elsewhere, or
take somebody else's bytes for its own answers. Whoever holds the account under which the engine runs can still change what lies
there.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import IO, Any

from compression_engine.errors import EngineError


def opened(path: Path, mode: str) -> IO[bytes]:
    """The file as `open` gives it, in a binary mode; EngineError (work_differs) where it is a link."""
    try:
        return open(path, mode, opener=_without_links)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _link(path) from error
        raise


def refuse_link(folder: Path) -> None:
    """EngineError (work_differs) where a folder of ours inside a work folder is a link."""
    if folder.is_symlink():
        raise _link(folder)


def read(path: Path) -> bytes:
    """All bytes of a file; EngineError (work_differs) where it is a link."""
    with opened(path, "rb") as file:
        return file.read()


def _without_links(name: Any, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def _link(path: Path) -> EngineError:
    message = f"{path} is a link, and no link is followed in a work folder."
    return EngineError("work_differs", message, "Delete the link, or give another folder.")
