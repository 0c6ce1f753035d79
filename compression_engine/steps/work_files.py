"""Opens what lies in a work folder, and never follows a link there.

A work folder outlives the call, and may lie where others can write: through a link in it a run would overwrite a file elsewhere, or
take somebody else's bytes for its own answers. Whoever holds the account under which the engine runs can still change what lies
there.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from compression_engine.errors import EngineError

_SECONDS_WAITED, _SECONDS_BETWEEN_TRIES = 5.0, 0.1
"""For processes of a killed attempt to be gone."""


def opened(path: Path, mode: str) -> IO[bytes]:
    """The file as `open` gives it, in a binary mode; EngineError (work_differs) where it is a link, or no plain file."""
    try:
        file = open(path, mode, opener=_without_links)  # noqa: SIM115  whoever asked for it closes it
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _link(path) from error
        if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.ENXIO):
            raise _not_plain(path) from error
        raise
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise _not_plain(path)
    return file


@contextmanager
def alone_in(folder: Path | None) -> Iterator[None]:
    """Keeps other attempts out of a work folder, which is made if it is not there; they would write over each other's files.

    What a killed attempt held is free once its processes are gone. Raises EngineError (work_differs) where another one stays.
    """
    held = None if folder is None else _locked(folder)
    try:
        yield
    finally:
        if held is not None:
            os.close(held)


def _locked(folder: Path) -> int | None:
    refuse_link(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None  # whoever writes there says what is wrong with it
    until = time.monotonic() + _SECONDS_WAITED
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                os.close(held)
                hint = "Wait until the other attempt has ended, or give a folder of its own."
                raise EngineError("work_differs", f"{folder} is in use by another attempt.", hint) from error
            time.sleep(_SECONDS_BETWEEN_TRIES)
        except OSError:
            return held  # a file system without locks
        else:
            return held


def refuse_link(folder: Path) -> None:
    """EngineError (work_differs) where a folder of ours inside a work folder is a link."""
    if folder.is_symlink():
        raise _link(folder)


def read(path: Path) -> bytes:
    """All bytes of a file; EngineError (work_differs) where it is a link."""
    with opened(path, "rb") as file:
        return file.read()


def _without_links(name: Any, flags: int) -> int:
    # a pipe that nobody writes into would be waited for without end
    return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)


def _link(path: Path) -> EngineError:
    message = f"{path} is a link, and no link is followed in a work folder."
    return EngineError("work_differs", message, "Delete the link, or give another folder.")


def _not_plain(path: Path) -> EngineError:
    message = f"{path} cannot be used: it, or a folder that it lies in, is not what a work folder holds."
    return EngineError("work_differs", message, "Delete what lies there, or give another folder.")
