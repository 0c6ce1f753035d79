"""Ends a batch that does not end by itself: a model with an endless loop would otherwise hold its process for ever.

Rules:
- one thread looks, every half second, whether the batch that runs has had its time, and asks the runtime to end it;
- a signal that asks the process to stop ends the batch at once: Python would deal with it only after the batch;
- the runtime looks at such a request between two operators: a single operator that never ends is not ended by this.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from typing import Protocol

_LOOKS_EVERY_SECONDS = 0.5
_SIGNALS_AT_ONCE = 64


class Stoppable(Protocol):
    """The options of a run of onnxruntime."""

    terminate: bool


class _Watch:
    """The thread, and the batch that runs now: its options and the moment at which its time is over."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, tuple[Stoppable, float]] = {}
        self._signalled, self._signal = os.pipe()
        self._started = False
        os.set_blocking(self._signal, False)

    def begin(self, options: Stoppable, seconds: float) -> None:
        if not self._started:
            self._start()
        self._running[threading.get_ident()] = (options, time.monotonic() + seconds)

    def end(self) -> None:
        self._running.pop(threading.get_ident(), None)

    def hear_signals(self) -> None:
        signal.set_wakeup_fd(self._signal, warn_on_full_buffer=False)
        self._start()

    def _start(self) -> None:
        with self._lock:
            if not self._started:
                self._started = True
                threading.Thread(target=self._look, name="batch watch", daemon=True).start()

    def _look(self) -> None:
        while True:
            ready, _, _ = select.select([self._signalled], [], [], _LOOKS_EVERY_SECONDS)
            if ready:
                os.read(self._signalled, _SIGNALS_AT_ONCE)
            now = time.monotonic()
            for options, until in list(self._running.values()):
                if ready or now >= until:
                    options.terminate = True


_WATCH = _Watch()


def begin(options: Stoppable, seconds: float) -> None:
    """A batch begins in this thread; its options are told to terminate when its time is over."""
    _WATCH.begin(options, seconds)


def end() -> None:
    """The batch of this thread has ended."""
    _WATCH.end()


def end_batches_on_signals() -> None:
    """From now on a signal that Python handles ends the batch that runs; only in the main thread."""
    _WATCH.hear_signals()
