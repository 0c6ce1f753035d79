"""Where steps put the numbers that they make of a model that is worked on block by block: one file, gone in the end.

Rules:
- the file lies in the folder of the output, where there is room for it, and not in one for temporary files: that may be memory;
- what is reserved counts against the limit of the call (disk_full) before it is written;
- each range begins at a multiple of 64 bytes; what is in the file never decides where the output has it.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.limits import limits

_ALIGNED_BYTES = 64


class Spool:
    """A file that grows by ranges."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor
        self._end = 0

    def reserve(self, size_bytes: int) -> int:
        """Where a new range of so many bytes begins. Raises EngineError (disk_full)."""
        start = -(-self._end // _ALIGNED_BYTES) * _ALIGNED_BYTES
        limits().count(self.path, start + size_bytes - self._end)
        self._end = start + size_bytes
        return start

    def write(self, values: NDArray[Any], offset: int) -> None:
        """Writes contiguous numbers at a byte of the file."""
        left = values.view(np.uint8).data
        while left:
            count = os.pwrite(self._descriptor, left, offset)
            left, offset = left[count:], offset + count


_SPOOL: ContextVar[Spool | None] = ContextVar("spool", default=None)


def spool() -> Spool:
    """That of the call that is going on; where none is, one in the folder for temporary files that goes with the process."""
    found = _SPOOL.get()
    if found is None:
        descriptor, name = tempfile.mkstemp(prefix="pressmark-numbers-")
        found = Spool(Path(name), descriptor)
        _SPOOL.set(found)
        atexit.register(found.path.unlink, missing_ok=True)
    return found


@contextmanager
def spooling(folder: Path) -> Iterator[None]:
    """Gives steps a file in this folder; what they made can be read until the end."""
    descriptor, name = tempfile.mkstemp(prefix=".numbers-", dir=folder)
    path = Path(name)
    token = _SPOOL.set(Spool(path, descriptor))
    try:
        yield
    finally:
        _SPOOL.reset(token)
        os.close(descriptor)
        limits().forget(path)
        path.unlink(missing_ok=True)
