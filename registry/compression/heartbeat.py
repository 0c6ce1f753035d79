"""Keeps the lease of a run alive in a thread, passes progress on, and ends the engine when the run may not go on.

Rules:
- the lease is renewed from the claim until just before the last unit, whatever the main thread is busy with;
- a run stops for one reason, the first one met: cancelled, lost (somebody else has it, or the lease could not be renewed in
  time), or the time limit;
- the reason is known before the engine is told to stop, and an engine started after it is stopped at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import TracebackType
from typing import Protocol

from django.db import connections

logger = logging.getLogger(__name__)
_INTERVAL_MOST_SECONDS = 2.0
_BEATS_PER_LEASE = 4

Progress = Mapping[str, object]


class Held(StrEnum):
    """What renewing a lease answers."""

    HELD = "held"
    CANCELLED = "cancelled"
    LOST = "lost"


class Halt(StrEnum):
    """Why a run may not go on."""

    CANCELLED = "cancelled"
    LOST = "lost"
    TIME_LIMIT = "time_limit"


class Stoppable(Protocol):
    """What can be ended from the heartbeat's thread."""

    def stop(self) -> None: ...


class Heartbeat:
    """Use as a context around the work; `halt` says why the work may not go on, or None."""

    def __init__(self, renew: Callable[[Progress | None], Held], *, lease_seconds: float, limit_seconds: float) -> None:
        self._renew = renew
        self._lease_seconds = lease_seconds
        self._deadline = time.monotonic() + limit_seconds
        self._interval = min(_INTERVAL_MOST_SECONDS, lease_seconds / _BEATS_PER_LEASE)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._watched: Stoppable | None = None
        self._progress: Progress | None = None
        self.halt: Halt | None = None
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def tell(self, progress: Progress) -> None:
        """The newest progress; the next beat writes it down, so that a talkative engine costs no more writes."""
        self._progress = progress

    def watch(self, engine: Stoppable | None) -> None:
        """The engine process to end when the run may not go on."""
        with self._lock:
            self._watched = engine
            late = self.halt is not None
        if late and engine is not None:
            _stop(engine)

    def _beat(self) -> None:
        renewed = time.monotonic()
        try:
            while not self._over.wait(self._interval):
                progress, self._progress = self._progress, None
                try:
                    held = self._renew(progress)
                    renewed = time.monotonic()
                except Exception:  # the database may be away for a moment; the lease says how long that may last
                    logger.exception("a heartbeat failed")
                    held = Held.HELD if time.monotonic() - renewed < self._lease_seconds else Held.LOST
                halt = Halt(held) if held is not Held.HELD else self._late()
                if halt is not None:
                    self._end(halt)
                    if halt is Halt.LOST:
                        return
        finally:
            connections.close_all()

    def _late(self) -> Halt | None:
        return Halt.TIME_LIMIT if time.monotonic() > self._deadline else None

    def _end(self, halt: Halt) -> None:
        with self._lock:
            first = self.halt is None
            self.halt = self.halt or halt
            engine = self._watched
        if first:
            logger.info("the run may not go on: %s", halt)
            if engine is not None:
                _stop(engine)


def _stop(engine: Stoppable) -> None:
    """In a thread of its own: the engine gets time to clean up, and the lease is renewed meanwhile."""
    threading.Thread(target=engine.stop, name="stop-engine", daemon=True).start()
