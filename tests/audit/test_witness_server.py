"""Whatever is sent to a witness, and however slowly, the next honest request is answered."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.signing import Signer
from audit.witnessing import witness, witness_server
from audit.witnessing.witness import Witness
from audit.witnessing.witness_server import WitnessServer
from tests.audit.witnessing import ORIGIN, Log, WitnessProcess

LOG = Log().grow(5)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WitnessProcess]:
    """The server in this process, with deadlines that a test can wait for."""
    monkeypatch.setattr(witness_server, "REQUEST_SECONDS", 0.4)
    monkeypatch.setattr(witness_server, "CONNECTION_LIMIT", 8)
    Signer.from_seed("witness.test", b"\x09" * 32).save(tmp_path / witness.KEY_FILE)
    serving = WitnessServer("127.0.0.1", 0, Witness(tmp_path, [LOG.signer.public]))
    thread = threading.Thread(target=lambda: serving.serve_forever(poll_interval=0.02))
    thread.start()
    yield WitnessProcess(tmp_path, port=serving.server_port)
    serving.shutdown()
    serving.server_close()
    thread.join()


def raw(server: WitnessProcess, data: bytes) -> bytes:
    """What comes back for these bytes until the witness closes, or says nothing more for a while."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=2) as connection:
        connection.sendall(data)
        received = b""
        try:
            while chunk := connection.recv(4096):
                received += chunk
                connection.settimeout(0.1)
        except TimeoutError:
            pass
        except ConnectionResetError:
            pass
        return received


def status_of(answer: bytes) -> int:
    """0 where there is no answer of HTTP: the connection was closed."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


def test_what_is_no_request_is_refused_and_the_next_one_is_answered(server: WitnessProcess) -> None:
    head = b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n"
    for data, status in (
        (b"\x16\x03\x01\x02\x00" + bytes(200), 0),  # TLS
        (b"GET\r\n\r\n", 0),
        (b"GET / HTTP/9.9\r\n\r\n", 0),
        (b"GET / HTTP/1.1\r\nHost: w\r\n\r\n", 404),
        (b"GET /x/checkpoint HTTP/1.1\r\nHost: w\r\n\r\n", 404),
        (b"DELETE /add-checkpoint HTTP/1.1\r\nHost: w\r\n\r\n", 501),
        (b"POST /elsewhere HTTP/1.1\r\nHost: w\r\nContent-Length: 2\r\n\r\nxx", 404),
        (head + b"\r\n", 411),
        (head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (head + b"Content-Length: -1\r\n\r\n", 411),
        (head + "Content-Length: \u0663\r\n\r\n".encode(), 411),
        (head + b"Content-Length: 65537\r\n\r\n", 413),
        (head + b"Content-Length: 99999999999999999999\r\n\r\n", 413),
        (head + b"Content-Length: 3\r\n\r\n\xff\xfe\xfd", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (head + b"X: y\r\n" * 200 + b"\r\n", 431),
        (head + b"X: " + b"y" * 90_000 + b"\r\n\r\n", 431),
    ):
        answer = raw(server, data)
        assert status_of(answer) == status, (data[:60], answer[:60])
        assert b"Traceback" not in answer
        assert server.post(LOG.request(0, 1))[0] in {200, 409}


def test_who_sends_without_end_is_cut_off(server: WitnessProcess) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=2) as connection:
        try:
            while time.monotonic() - began < 5:
                connection.sendall(b"POST /add-checkpoint HTTP/1.1\r\n" + b"a: b\r\n" * 100)
        except OSError:
            pass
    assert time.monotonic() - began < 2
    assert server.post(LOG.request(0, 1))[0] == 200


def test_who_sends_a_byte_now_and_then_loses_the_connection_and_keeps_nobody_waiting(server: WitnessProcess) -> None:
    slow = [socket.create_connection(("127.0.0.1", server.port), timeout=2) for _ in range(7)]
    try:
        began = time.monotonic()
        for connection in slow:
            connection.sendall(b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 60000\r\n\r\n")
        assert server.post(LOG.request(0, 1))[0] == 200
        assert time.monotonic() - began < 0.3
        for _ in range(12):
            time.sleep(0.06)
            for connection in slow:
                try:
                    connection.send(b"o")
                except OSError:
                    continue
        assert all(is_closed(connection) for connection in slow), "the deadline is for the request, not for each byte"
    finally:
        for connection in slow:
            connection.close()


def is_closed(connection: socket.socket) -> bool:
    """Closed already, for a last byte was sent a moment ago."""
    connection.settimeout(0.1)
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def test_too_many_connections_are_turned_away_and_room_comes_back(server: WitnessProcess) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.port), timeout=2) for _ in range(8)]
    time.sleep(0.1)
    assert raw(server, b"GET / HTTP/1.1\r\n\r\n") == b""
    time.sleep(0.5)  # the idle ones run into their deadline
    assert server.post(LOG.request(0, 1))[0] == 200
    for connection in idle:
        connection.close()


def test_a_kept_connection_takes_several_requests(server: WitnessProcess) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=2)
    statuses = []
    for old, new in ((0, 1), (1, 3), (3, 5)):
        connection.request("POST", "/add-checkpoint", LOG.request(old, new))
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()
    assert statuses == [200, 200, 200]


def test_a_fault_of_ours_is_one_line_and_an_answer(
    server: WitnessProcess, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Witness, "add_checkpoint", lambda self, body: 1 / 0)
        assert server.post(LOG.request(0, 1))[0] == 500
    assert capfd.readouterr().err == "pressmark witness: a request failed: ZeroDivisionError\n"
    assert server.post(LOG.request(0, 1))[0] == 200
    assert server.newest(ORIGIN)[0] == 200
