"""How much a call may write in all, and how long a model may take for one batch: set where the call begins, asked where it counts.

Rules:
- every file whose size grows with rows or model is counted here while it lies there, nameless ones too; what is removed is given
  back; documents, of 16 MiB at most, are not counted;
- what would go beyond the limit is refused before it is written (disk_full); each file counts with its length;
- outside a call (`within`) nothing is limited but the time of a batch;
- limits decide whether there is an outcome, never which one.
"""

from __future__ import annotations

import resource
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from compression_engine.errors import EngineError

SECONDS_PER_BATCH = 1800
"""How long a batch may run where nothing else is said and no limit of processor time is in force."""
_SHARE_OF_PROCESSOR_TIME = 12
_GIB = 1024**3
RAISE_DISK = (
    "Give fewer rows, or raise the limit: --disk-limit in a shell; "
    "in a registry it is four times PRESSMARK_RUN_MEMORY_LIMIT_BYTES."
)


class Limits:
    """What a call may take, and how many bytes lie in its files now. A limit of None is none."""

    def __init__(self, disk_bytes: int | None = None, seconds_per_batch: int | None = None) -> None:
        self.disk_bytes = disk_bytes
        self.seconds_per_batch = seconds_per_batch or _seconds_by_processor_time()
        self._files: dict[Path, int] = {}
        self.used_bytes = 0

    def count(self, file: Path, more_bytes: int) -> None:
        """So many bytes are about to be added to a file. Raises EngineError (disk_full)."""
        self.take(more_bytes)
        self._files[file] = self._files.get(file, 0) + more_bytes

    def forget(self, file: Path) -> None:
        """A file is gone."""
        self.used_bytes -= self._files.pop(file, 0)

    def forget_folder(self, folder: Path) -> None:
        """All files in a folder are gone."""
        for file in [file for file in self._files if folder in file.parents]:
            self.forget(file)

    def take(self, more_bytes: int) -> None:
        """So many bytes more lie there, or EngineError (disk_full); negative where some are gone."""
        if more_bytes > 0 and self.disk_bytes is not None and self.used_bytes + more_bytes > self.disk_bytes:
            message = (
                f"The work would take more than {_told(self.disk_bytes)} of the disk: {_told(self.used_bytes)} are written, "
                f"{_told(more_bytes)} more are needed."
            )
            raise EngineError("disk_full", message, RAISE_DISK)
        self.used_bytes += more_bytes


class Nameless:
    """The bytes of a file without a name, which are gone with the object that holds them."""

    def __init__(self, holder: object) -> None:
        self._limits = limits()
        self._bytes = 0
        self._end = weakref.finalize(holder, self._gone)

    def count(self, more_bytes: int) -> None:
        """So many bytes are about to be added; raises EngineError (disk_full)."""
        self._limits.take(more_bytes)
        self._bytes += more_bytes

    def belongs_to(self, holder: object) -> None:
        """Something else holds them from now on."""
        self._end.detach()
        self._end = weakref.finalize(holder, self._gone)

    def _gone(self) -> None:
        self._limits.take(-self._bytes)


_LIMITS: ContextVar[Limits | None] = ContextVar("limits", default=None)


def limits() -> Limits:
    """Those of the call that is going on."""
    return _LIMITS.get() or _UNLIMITED


@contextmanager
def within(chosen: Limits) -> Iterator[None]:
    """Holds a call to its limits."""
    token = _LIMITS.set(chosen)
    try:
        yield
    finally:
        _LIMITS.reset(token)


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A folder that goes, with all that was counted in it."""
    with tempfile.TemporaryDirectory(prefix=prefix) as made:
        folder = Path(made)
        try:
            yield folder
        finally:
            limits().forget_folder(folder)


def disk_by_file_limit() -> int | None:
    """The length that the system allows one file, as the limit for all of them together; None where it allows any."""
    soft = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def _seconds_by_processor_time() -> int:
    """A twelfth of the processor time that this process may use; 1800 where it may use any."""
    soft = resource.getrlimit(resource.RLIMIT_CPU)[0]
    return SECONDS_PER_BATCH if soft == resource.RLIM_INFINITY else max(1, soft // _SHARE_OF_PROCESSOR_TIME)


def _told(size_bytes: int) -> str:
    return f"{size_bytes:,} bytes" if size_bytes < _GIB else f"{size_bytes / _GIB:.1f} GiB"


_UNLIMITED = Limits()
