"""Real servers on loopback for the notices: one that takes mail as RFC 5321 says, and one that receives webhooks."""

from __future__ import annotations

import datetime
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass
class Mailbox:
    """What a mail server took, and how it behaves. `refuses`: address -> answer to RCPT."""

    port: int = 0
    mails: list[tuple[list[str], Message]] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    greeting: str = "220 test.invalid ESMTP"
    after_data: str = "250 taken"
    holds_after_data: bool = False
    """Keeps silent once it has taken a mail, until released."""
    release: threading.Event = field(default_factory=threading.Event)
    context: ssl.SSLContext | None = None
    """Offers STARTTLS with it."""
    log_in: str = ""
    """`user password` that AUTH PLAIN has to bring."""

    @property
    def subjects(self) -> list[str]:
        return [mail["Subject"].replace("\r\n", "") for _, mail in self.mails]

    @property
    def ids(self) -> list[str]:
        return [mail["Message-ID"] for _, mail in self.mails]


class _Talk(socketserver.StreamRequestHandler):
    """One connection: greeting, EHLO, AUTH, MAIL, RCPT, DATA, RSET, QUIT; a verb out of turn is 503."""

    timeout = 20

    def say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self) -> None:
        box: Mailbox = self.server.box  # type: ignore[attr-defined]
        self.say(box.greeting)
        sender, receivers, known = "", [], not box.log_in
        while line := self.rfile.readline().decode("ascii", "replace").rstrip("\r\n"):
            verb = line.split(" ")[0].upper()
            if verb in {"EHLO", "HELO"}:
                self.say("250-test.invalid")
                if box.context and not isinstance(self.connection, ssl.SSLSocket):
                    self.say("250-STARTTLS")
                self.say("250 AUTH PLAIN" if box.log_in else "250 8BITMIME")
            elif verb == "STARTTLS" and box.context:
                self.say("220 begin")
                self._close_the_line(box.context)
            elif verb == "AUTH":
                import base64

                said = base64.b64decode(line.split(" ")[2]).decode().split("\0")
                known = f"{said[1]} {said[2]}" == box.log_in
                self.say("235 welcome" if known else "535 no")
            elif not known and verb != "QUIT":
                self.say("530 log in first")
            elif verb == "MAIL":
                sender, receivers = line, []
                self.say("250 ok")
            elif verb == "RCPT" and sender:
                address = line.partition("<")[2].partition(">")[0]
                answer = box.refuses.get(address, "250 ok")
                receivers += [address] if answer.startswith("250") else []
                self.say(answer)
            elif verb == "DATA" and receivers:
                self.say("354 go on")
                self._take(box, receivers)
            elif verb == "RSET":
                sender, receivers = "", []
                self.say("250 ok")
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("503 not now")

    def _close_the_line(self, context: ssl.SSLContext) -> None:
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def _take(self, box: Mailbox, receivers: list[str]) -> None:
        data = b""
        while (line := self.rfile.readline()) != b".\r\n":
            data += line[1:] if line.startswith(b"..") else line
        box.mails.append((list(receivers), message_from_bytes(data, policy=policy.default)))
        if box.holds_after_data:
            box.release.wait(30)
        self.say(box.after_data)


class _Threads(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what tests are about."""


@contextmanager
def mail_server(port: int = 0) -> Iterator[Mailbox]:
    """A mail server on 127.0.0.1, in the process of the test."""
    with _Threads(("127.0.0.1", port), _Talk) as server:
        box = Mailbox(port=server.server_address[1])
        server.box = box  # type: ignore[attr-defined]
        with _serving(server):
            try:
                yield box
            finally:
                box.release.set()


@dataclass
class Received:
    """One call that came in."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What came in, and what is answered; `steps` before the answer may wait or do whatever a test wants."""

    url: str = ""
    status: int = 204
    location: str = ""
    calls: list[Received] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    holds: bool = False
    drips: bool = False


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        kept: Receiver = self.server.kept  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kept.calls.append(Received(self.path, dict(self.headers), body))
        if kept.holds:
            kept.release.wait(30)
        if kept.drips:
            self._drip(kept)
            return
        self.send_response(kept.status)
        if kept.location:
            self.send_header("Location", kept.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _drip(self, kept: Receiver) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not kept.release.wait(0.05):
            try:
                self.wfile.write(b"a")
                self.wfile.flush()
            except OSError:
                return

    def log_message(self, *words: object) -> None:
        """Quiet."""


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what tests are about."""


@contextmanager
def receiver(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver of webhooks on 127.0.0.1, with TLS where a context is given."""
    with _Quiet(("127.0.0.1", 0), _Hook) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        kept = Receiver(url=f"http://127.0.0.1:{server.server_address[1]}/in?room=1")
        server.kept = kept  # type: ignore[attr-defined]
        with _serving(server):
            try:
                yield kept
            finally:
                kept.release.set()


class _Drip(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """The head of a TLS record of 16 KiB, and then a byte now and again."""
        released: threading.Event = self.server.released  # type: ignore[attr-defined]
        try:
            self.request.sendall(b"\x16\x03\x03\x40\x00")
            while not released.wait(0.05):
                self.request.sendall(b"\x02")
        except OSError:
            return


@contextmanager
def dripping() -> Iterator[int]:
    """A server on 127.0.0.1 that never ends its greeting; its port."""
    with _Threads(("127.0.0.1", 0), _Drip) as server:
        server.released = threading.Event()  # type: ignore[attr-defined]
        with _serving(server):
            try:
                yield server.server_address[1]
            finally:
                server.released.set()  # type: ignore[attr-defined]


def certificate_for(name: str, folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for a host name that signs itself: the file to trust, and the context of a server."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who).issuer_name(who).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    trusted, private = folder / "certificate.pem", folder / "key.pem"
    trusted.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return trusted, context


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
