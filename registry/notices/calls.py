"""Notices as signed HTTP calls: one POST to the address that was looked at, no redirect, a deadline, nothing kept.

Pressmark-Event: <id>            the same at every attempt: a receiver drops what it has seen
Pressmark-Timestamp: <seconds>   of this attempt
Pressmark-Signature: v1=<hex>    HMAC-SHA256 with the webhook's secret over "<timestamp>.<body>"
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from registry.digests import canonical
from registry.notices.addresses import Destination, NotAllowed, resolve
from registry.notices.models import Outgoing
from registry.notices.outcomes import Failed, Held, Outcome, Sent

STEP_SECONDS = 10
DEADLINE_SECONDS = 20


def call_all(rows: Sequence[Outgoing], report: Callable[[Outcome], None], turn_seconds: float) -> None:
    """Send these to their one webhook, in order. What does not answer is asked once: the rest waits for its next turn."""
    silent, end = "", time.monotonic() + turn_seconds
    for row in rows:
        if silent:
            report(Failed(row, silent))
            continue
        if time.monotonic() > end:
            report(Held(row))
            continue
        try:
            status = _call(row)
        except (NotAllowed, OSError, http.client.HTTPException) as error:
            silent = _said(error)
            report(Failed(row, silent))
        else:
            report(Sent(row) if 200 <= status < 300 else Failed(row, f"the receiver answers with status {status}"))


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What stands in `Pressmark-Signature`."""
    return f"v1={hmac.new(secret.encode(), timestamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


def headers(secret: str, body: bytes, notice: Mapping[str, Any], seconds: int) -> dict[str, str]:
    """The headers of a call at a moment."""
    return {
        "Connection": "close",
        "Content-Type": "application/json",
        "Pressmark-Event": str(notice["event"]),
        "Pressmark-Signature": signature(secret, str(seconds), body),
        "Pressmark-Timestamp": str(seconds),
        "User-Agent": "Pressmark-Notices/1",
    }


def _call(row: Outgoing) -> int:
    """The status of the answer; nothing else of it is read."""
    assert row.webhook is not None
    destination = resolve(row.webhook.url)
    body = canonical(row.body)
    connection = _Connection(destination)
    end = threading.Timer(DEADLINE_SECONDS, connection.cut)
    end.daemon = True
    end.start()
    try:  # no redirect is followed, and no proxy of the environment is asked: http.client knows neither
        sent = headers(row.webhook.secret, body, row.body, int(time.time()))
        connection.request("POST", destination.place.target, body, sent)
        status = connection.getresponse().status
        if connection.was_cut:  # the end of what came looks like the end of the headers
            raise TimeoutError
        return status
    finally:
        end.cancel()
        connection.close()


class _Connection(http.client.HTTPConnection):
    """Goes to an address that was resolved before; name and certificate are those of the URL."""

    def __init__(self, destination: Destination) -> None:
        place = destination.place
        super().__init__(place.host, place.port, timeout=STEP_SECONDS)
        self._address = destination.address
        self._context = ssl.create_default_context() if place.scheme == "https" else None
        self.was_cut = False

    def connect(self) -> None:
        """Plain, or with TLS for the host of the URL. The socket is ours to cut before the other side says its first word."""
        self.sock = socket.create_connection((self._address, self.port), STEP_SECONDS)
        if self._context is None:
            return
        shaking = self._context.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
        self.sock = shaking
        shaking.do_handshake()

    def cut(self) -> None:
        """Ends whatever the other side still drips."""
        self.was_cut = True
        try:
            if self.sock is not None:
                self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def _said(error: Exception) -> str:
    if isinstance(error, NotAllowed):
        return str(error)
    if isinstance(error, ssl.SSLError):
        return "the certificate of the receiver does not hold"
    return f"the receiver does not answer ({type(error).__name__})"
