"""The witness on the network: two addresses of C2SP tlog-witness over the standard library's HTTP server. No Django.

    POST /add-checkpoint                    200, 400, 403, 404, 409, 422; 411, 413; 503 when its state cannot be trusted or kept
    GET  /<SHA-256 of origin>/checkpoint    the newest cosigned checkpoint

Rules:
- a request has a deadline and a largest size, and there is a largest number of connections at a time: nobody can hold it for ever;
- whatever a request does, the next one is served; a fault is one line in the log, without the sender's bytes.
"""

from __future__ import annotations

import io
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from audit.witnessing.deadlines import DeadlineReader, FloodError
from audit.witnessing.witness import Answer, StateError, Witness

REQUEST_SECONDS = 10.0
HEAD_LIMIT_BYTES = 16 * 1024
BODY_LIMIT_BYTES = 64 * 1024
CONNECTION_LIMIT = 64


class WitnessServer(ThreadingHTTPServer):
    """One witness on one address."""

    daemon_threads = True
    request_queue_size = 128  # the default of five makes a burst of connections wait a second for their second try

    def __init__(self, host: str, port: int, witness: Witness) -> None:
        self.witness = witness
        self._places = threading.BoundedSemaphore(CONNECTION_LIMIT)
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Without the look-up of our own name, which may wait for a name server and is not needed."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for the connection, or none when too many are open: whoever is turned away asks again."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One line instead of a traceback; a connection that the other side broke is no news."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            _say(f"a request from {client_address[0]} failed: {type(error).__name__}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "pressmark-witness"
    sys_version = ""
    server: WitnessServer

    def setup(self) -> None:
        super().setup()
        self._reader = DeadlineReader(self.connection, REQUEST_SECONDS, HEAD_LIMIT_BYTES + BODY_LIMIT_BYTES)
        self.rfile = io.BufferedReader(self._reader)

    def handle_one_request(self) -> None:
        """Each request of a kept connection has a deadline of its own."""
        self._reader.begin(REQUEST_SECONDS, HEAD_LIMIT_BYTES + BODY_LIMIT_BYTES)
        try:
            super().handle_one_request()
        except (FloodError, ConnectionError):
            self.close_connection = True

    def do_POST(self) -> None:
        if self.path != "/add-checkpoint":
            self._answer(Answer(404, "There is POST /add-checkpoint.\n"), close=True)
            return
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            self._answer(Answer(411, "A request says how long it is (Content-Length).\n"), close=True)
        elif len(length) > 9 or int(length) > BODY_LIMIT_BYTES:
            self._answer(Answer(413, f"A request has at most {BODY_LIMIT_BYTES} bytes.\n"), close=True)
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                self._judge(body)
            else:
                self.close_connection = True

    def do_GET(self) -> None:
        parts = self.path.split("/")
        if len(parts) != 3 or parts[2] != "checkpoint":
            self._answer(Answer(404, "There is GET /<SHA-256 of the origin>/checkpoint.\n"))
            return
        self._guarded(lambda: self.server.witness.newest(parts[1]))

    def _judge(self, body: bytes) -> None:
        self._guarded(lambda: self.server.witness.add_checkpoint(body))

    def _guarded(self, act: Any) -> None:
        try:
            answer: Answer = act()
        except StateError as error:
            _say(f"REFUSES: {error}")
            answer = Answer(503, "This witness cannot trust or keep its state; its operator must look.\n")
        except Exception as error:  # whatever it was, the next request is served
            _say(f"a request failed: {type(error).__name__}")
            answer = Answer(500, "The witness failed at this request.\n")
        if answer.status == 422:
            _say(f"REFUSED a checkpoint under a known key, see the folder evidence: {answer.body.strip()}")
        self._answer(answer)

    def _answer(self, answer: Answer, *, close: bool = False) -> None:
        body = answer.body.encode()
        self.connection.settimeout(REQUEST_SECONDS)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        if close:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing for each request: what matters is said where it happens."""


def _say(line: str) -> None:
    sys.stderr.write(f"pressmark witness: {line}\n")
    sys.stderr.flush()
