"""Holds a network of torch to what a model is held to in onnxruntime: a batch has its time, and memory its end.

Rules:
- a pass that has not ended in the time of a batch is ended between two of its nodes, or two rounds of a loop
  (batch_does_not_end); a single operation of torch that never ends is not ended by this, as one of onnxruntime is not;
- while something is trained on the processor this process takes no more memory than is at hand: what goes beyond is refused by
  the system, where it would else end a process, perhaps another one; what torch says of it is told as such (out_of_memory);
- limits decide whether there is an outcome, never which one.
"""

from __future__ import annotations

import math
import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from compression_engine.answers import batch_watch
from compression_engine.errors import EngineError
from compression_engine.limits import limits
from compression_engine.memory_at_hand import memory_at_hand_bytes

_PROCESS = Path("/proc/self/statm")
_DATA = 5  # its field of private memory that can be written, in pages
_LOOKED_AT_EVERY_SECONDS = 0.5
_NO_ROOM = ("can't allocate memory", "not enough memory", "bad_alloc", "out of memory")
_HINT = "Train with smaller batches (batch_size), give the run more memory, or take a smaller model."


class PassWatch:
    """The time of the pass that runs in a thread. Whoever loops looks at `terminate`, and calls `check` where it is set."""

    def __init__(self) -> None:
        self.terminate = False
        self._until, self._seconds = math.inf, 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """One pass, held to the time of a batch."""
        self._seconds = limits().seconds_per_batch
        self.terminate, self._until = False, time.monotonic() + self._seconds
        batch_watch.begin(self, self._seconds)
        try:
            yield
        finally:
            batch_watch.end()
            self.terminate = False

    def check(self) -> None:
        """Raises EngineError (batch_does_not_end); not where it was a signal that asked, which Python deals with itself."""
        if time.monotonic() < self._until:
            return
        hint = (
            "If it only is slow, train with smaller batches, or give it more time: --seconds-per-batch in a shell; in a registry a "
            "twelfth of PRESSMARK_RUN_TIME_LIMIT_SECONDS."
        )
        message = f"In training the model had not answered a batch after {self._seconds:,} seconds."
        raise EngineError("batch_does_not_end", message, hint)


class _Watches(threading.local):
    def __init__(self) -> None:
        self.watch = PassWatch()


_WATCHES = _Watches()


def pass_watch() -> PassWatch:
    """That of this thread."""
    return _WATCHES.watch


class _Room:
    """The limit of the system on this process's own memory, as long as something is trained."""

    def __init__(self) -> None:
        self._depth = 0
        self._looked_at = -math.inf
        self._before = resource.RLIM_INFINITY

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Takes no more than is at hand, in here."""
        if self._depth == 0 and _PROCESS.is_file():
            self._before = resource.getrlimit(resource.RLIMIT_DATA)[0]
            self._looked_at = -math.inf
        self._depth += 1
        self.look()
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._set(self._before)

    def look(self) -> None:
        """Sets the limit by what is at hand now, every half second: others take memory, and give it back."""
        now = time.monotonic()
        if not self._depth or now - self._looked_at < _LOOKED_AT_EVERY_SECONDS or not _PROCESS.is_file():
            return
        self._looked_at = now
        at_hand_bytes = memory_at_hand_bytes()
        if at_hand_bytes < math.inf:
            pages = int(_PROCESS.read_text(encoding="ascii").split()[_DATA])
            wanted = pages * os.sysconf("SC_PAGE_SIZE") + int(at_hand_bytes)
            self._set(wanted if self._before == resource.RLIM_INFINITY else min(wanted, self._before))

    def _set(self, soft: int) -> None:
        if _PROCESS.is_file():
            hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
            resource.setrlimit(
                resource.RLIMIT_DATA, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
            )


_ROOM = _Room()


@contextmanager
def within_memory(*, on_processor: bool = True) -> Iterator[None]:
    """Takes no more memory than is at hand; what torch could not get is told. Raises EngineError (out_of_memory).

    Not `on_processor`: nothing is limited, for drivers of other devices put aside more of a process than they take.
    """
    with _ROOM.kept() if on_processor else nullcontext():
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise out_of_memory("training") from error


def look_at_memory() -> None:
    """What is at hand may have changed: asked before every pass."""
    _ROOM.look()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is how Python or torch, on whatever device, say that memory ran out."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _NO_ROOM)


def out_of_memory(what: str) -> EngineError:
    """The error that there is not enough memory for something."""
    return EngineError("out_of_memory", f"There is not enough memory for {what}.", _HINT)
