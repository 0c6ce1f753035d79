"""Asking witnesses over HTTP without waiting for them: each question has a thread, a deadline and a largest answer. No Django.

Rules:
- a witness has at most one question at a time, so however many hang, there are never more threads than witnesses;
- the deadline is for the whole exchange, and what is read is limited: neither a slow nor an endless answer can hold or fill us
  (only a name server may keep a thread longer; nobody waits for it, and it ends with the process);
- redirects are not followed, and nothing of an answer is believed here.
"""

from __future__ import annotations

import http.client
import io
import queue
import socket
import ssl
import threading
import time
from dataclasses import dataclass, replace
from typing import cast
from urllib.parse import urlsplit

from audit.witnessing.deadlines import DeadlineReader

ANSWER_LIMIT_BYTES = 64 * 1024


@dataclass(frozen=True)
class Reply:
    """An answer as it came; or none, and why in our own words."""

    status: int
    content_type: str
    body: bytes
    failure: str = ""
    seconds: float = 0.0
    """How long it took, however late somebody looked."""


@dataclass(frozen=True)
class Call:
    """One question: POST when it has a body, else GET."""

    url: str
    body: bytes | None
    seconds: float


class Callers:
    """The questions that are under way, by the name of whom they are put to, and the replies that nobody took yet."""

    def __init__(self) -> None:
        self._busy: set[str] = set()
        self._replies: queue.SimpleQueue[tuple[str, Reply]] = queue.SimpleQueue()

    def is_busy(self, name: str) -> bool:
        return name in self._busy

    def start(self, name: str, call: Call) -> bool:
        """Ask; False when the last question to that name is still under way, or its reply was not taken."""
        if name in self._busy:
            return False
        self._busy.add(name)
        threading.Thread(target=self._run, args=(name, call), name=f"witness {name}", daemon=True).start()
        return True

    def next(self, timeout_seconds: float) -> tuple[str, Reply] | None:
        """The next reply; None when none comes in time."""
        try:
            name, reply = self._replies.get(timeout=max(0.0, timeout_seconds))
        except queue.Empty:
            return None
        self._busy.discard(name)
        return name, reply

    def _run(self, name: str, call: Call) -> None:
        began = time.monotonic()
        try:
            reply = exchange(call)
        except Exception as error:  # a thread that dies without a reply would leave its witness busy for ever
            reply = Reply(0, "", b"", f"the question failed ({type(error).__name__})")
        self._replies.put((name, replace(reply, seconds=time.monotonic() - began)))


def exchange(call: Call) -> Reply:
    """One request and its answer, within the deadline of the call; every failure is a sentence of ours."""
    end = time.monotonic() + call.seconds
    try:
        with _connect(call.url, end) as connection:
            connection.settimeout(_left(end))
            connection.sendall(_request(call))
            response = http.client.HTTPResponse(cast(socket.socket, _Answering(connection, end)))
            response.begin()
            body = response.read(ANSWER_LIMIT_BYTES)
            return Reply(response.status, (response.headers.get("Content-Type") or "").strip().lower(), body)
    except TimeoutError:
        return Reply(0, "", b"", f"it does not answer within {call.seconds:g} s")
    except ssl.SSLError as error:
        return Reply(0, "", b"", f"its TLS is refused ({error.reason or type(error).__name__})")
    except socket.gaierror:
        return Reply(0, "", b"", "the name of its host is not known")
    except OSError as error:
        return Reply(0, "", b"", f"it cannot be reached ({error.strerror or type(error).__name__})")
    except (http.client.HTTPException, ValueError):
        return Reply(0, "", b"", "what it answers is no HTTP")


class _Answering:
    """What `HTTPResponse` wants of a socket: a file to read, here one with a deadline and a limit."""

    def __init__(self, connection: socket.socket, end: float) -> None:
        self._reader = DeadlineReader(connection, _left(end), 2 * ANSWER_LIMIT_BYTES)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader)


def _connect(url: str, end: float) -> socket.socket:
    parts = urlsplit(url)
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    connection = socket.create_connection((host, parts.port or (443 if secure else 80)), timeout=_left(end))
    if not secure:
        return connection
    try:
        connection.settimeout(_left(end))
        return ssl.create_default_context().wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise


def _request(call: Call) -> bytes:
    parts = urlsplit(call.url)
    lines = [
        f"{'GET' if call.body is None else 'POST'} {parts.path or '/'} HTTP/1.1",
        f"Host: {parts.netloc}",
        "User-Agent: pressmark",
        "Connection: close",
    ]
    if call.body is not None:
        lines += ["Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(call.body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + (call.body or b"")


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline has passed")
    return left
