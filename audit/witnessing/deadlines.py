"""Reading from a socket by a deadline: the other side may be slow, endless or hostile, and costs a bounded time and memory.

One reason: a timeout of a socket is for one read, so whoever sends a byte now and then could hold a thread for ever. The witness
reads its requests, and the keeper the witness's answers, through this instead. No Django.
"""

from __future__ import annotations

import io
import socket
import time
from typing import Any


class FloodError(OSError):
    """The other side sent more than it may."""


class DeadlineReader(io.RawIOBase):
    """The bytes of a socket until a moment, and up to a number; after `begin` both count anew."""

    def __init__(self, source: socket.socket, seconds: float, limit_bytes: int) -> None:
        super().__init__()
        self._source = source
        self.begin(seconds, limit_bytes)

    def begin(self, seconds: float, limit_bytes: int) -> None:
        """From now on this many seconds and bytes are left."""
        self._end = time.monotonic() + seconds
        self._left_bytes = limit_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises TimeoutError at the deadline, FloodError past the limit."""
        left_seconds = self._end - time.monotonic()
        if left_seconds <= 0:
            raise TimeoutError("the deadline has passed")
        if self._left_bytes <= 0:
            raise FloodError("more was sent than is read")
        self._source.settimeout(left_seconds)
        view = memoryview(buffer)[: self._left_bytes]
        count = self._source.recv_into(view)
        self._left_bytes -= count
        return count
