"""A witness that is slow, endless, broken or a liar: it cannot hold up the keeper, stop the ledger, or bring a line into a note."""

from __future__ import annotations

import base64
import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from audit import checkpoints, keys, notes
from audit.models import Witness
from audit.signing import Signer
from audit.witnessing import cosigning, witness_client, witnesses
from audit.witnessing.cosignatures import cosign, cosigner_of
from audit.witnessing.cosigning import Panel
from registry.access import services as access
from tests.audit.witnessing import Log
from tests.worlds.audit import AuditWorld

LIAR = Signer.from_seed("liar.test", b"\x0d" * 32)
Script = Callable[[socket.socket, bytes], None]


class Liar(socketserver.ThreadingTCPServer):
    """A witness that does what a test says with each connection: `script(connection, body of the request)`."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked = 0
        super().__init__(("127.0.0.1", 0), _Lies)
        threading.Thread(target=lambda: self.serve_forever(poll_interval=0.02), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Lies(socketserver.StreamRequestHandler):
    server: Liar

    def handle(self) -> None:
        self.server.asked += 1
        length = 0
        while (line := self.rfile.readline().strip()) != b"":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        with contextlib.suppress(OSError):
            self.server.script(self.connection, self.rfile.read(length))


def http(status: int, body: bytes, kind: str = "text/plain") -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def says(answer: bytes) -> Script:
    return lambda connection, body: connection.sendall(answer)


def text_of(body: bytes) -> str:
    return notes.parse_note(body.split(b"\n\n", 1)[1]).text


def good_line(body: bytes, seconds: int | None = None) -> str:
    return cosign(LIAR, LIAR.name, text_of(body), int(time.time()) if seconds is None else seconds)


@pytest.fixture
def lie(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Script], Liar]]:
    """Name a liar, the only witness, in the file of a keeper that has just started; patience is short."""
    settings.PRESSMARK_WITNESSES = tmp_path / "witnesses"
    monkeypatch.setattr(cosigning, "WAIT_SECONDS", 0.6)
    monkeypatch.setattr(cosigning, "PATIENCE_SECONDS", 1.0)
    running: list[Liar] = []

    def begin(script: Script) -> Liar:
        monkeypatch.setattr(cosigning, "PANEL", Panel())
        liar = Liar(script)
        running.append(liar)
        settings.PRESSMARK_WITNESSES.write_text(f"{cosigner_of(LIAR).key_line} {liar.url}\n")
        return liar

    yield begin
    for liar in running:
        liar.shutdown()
        liar.server_close()


def sign(house: AuditWorld) -> tuple[bytes, float]:
    """One more act and its checkpoint; the note, and how long signing took."""
    access.create_team(actor=house.cast.root, slug=f"t-{time.monotonic_ns()}")
    began = time.monotonic()
    row = checkpoints.sign_next()
    assert row is not None
    return row.note.encode(), time.monotonic() - began


def signers_of(note: bytes) -> list[str]:
    return [signature.name for signature in notes.parse_note(note).signatures]


def trouble() -> str:
    return Witness.objects.get().error


def settle() -> None:
    """Wait until nobody is asked any more, and take what came."""
    end = time.monotonic() + 5
    while cosigning.PANEL._talks and time.monotonic() < end:
        cosigning.PANEL._take_what_came()
        time.sleep(0.02)
    assert not cosigning.PANEL._talks


# --- time


def silent(connection: socket.socket, body: bytes) -> None:
    time.sleep(3)


def dripping(connection: socket.socket, body: bytes) -> None:
    for byte in http(200, good_line(body).encode() + b"\n"):
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def endless_head(connection: socket.socket, body: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")


def endless_body(connection: socket.socket, body: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1000\r\n" + b"y" * 0x1000 + b"\r\n")


def endless_promises(connection: socket.socket, body: bytes) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


@pytest.mark.parametrize("script", [silent, dripping, endless_head, endless_body, endless_promises])
def test_who_is_slow_or_endless_costs_one_short_wait_and_then_none(
    house: AuditWorld, lie: Callable[[Script], Liar], script: Script
) -> None:
    liar = lie(script)
    threads = threading.active_count()
    note, seconds = sign(house)
    assert seconds < 1.2
    assert signers_of(note) == [keys.log_signer().name]
    for _ in range(3):
        note, seconds = sign(house)
        assert seconds < 0.5, "who was late is asked beside the work"
        assert signers_of(note) == [keys.log_signer().name]
    assert threading.active_count() <= threads + liar.asked + 1
    settle()
    asked = liar.asked
    assert sign(house)[1] < 0.5
    assert liar.asked == asked, "only the loop between the signatures asks it again"
    assert trouble() in {
        "does not cosign: it does not answer within 1 s",
        "does not cosign: it cannot be reached (FloodError)",
        "does not cosign: what it answers is no HTTP",
        "answers with something else than its cosignature; is its key line right?",
    }


def speak_no_tls(listening: socket.socket) -> None:
    with listening.accept()[0] as connection:
        connection.sendall(b"no TLS here\r\n")


def test_an_address_where_nobody_answers_is_told(
    house: AuditWorld, lie: Callable[[Script], Liar], settings: Any
) -> None:
    lie(silent)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        settings.PRESSMARK_WITNESSES.write_text(f"{cosigner_of(LIAR).key_line} https://127.0.0.1:{port}\n")
        assert sign(house)[1] < 0.5
        assert "Connection refused" in trouble()
        nobody.listen()
        accepted = threading.Thread(target=speak_no_tls, args=(nobody,))
        accepted.start()
        cosigning.PANEL.collect(question())
        settle()
        accepted.join()
    assert "TLS is refused" in trouble()


def test_who_needs_a_third_of_a_second_is_waited_for_even_after_a_turn_that_waits_less(
    house: AuditWorld, lie: Callable[[Script], Liar], monkeypatch: pytest.MonkeyPatch
) -> None:
    def thinking(connection: socket.socket, body: bytes) -> None:
        time.sleep(0.3)
        connection.sendall(http(200, f"{good_line(body)}\n".encode()))

    lie(thinking)
    monkeypatch.setattr(cosigning, "HEARD_SECONDS", 0)
    monkeypatch.setattr(cosigning, "COLLECT_WAIT_SECONDS", 0.05)
    for _ in range(2):
        assert "liar.test" in signers_of(sign(house)[0])
        cosigning.PANEL.collect(question())
        assert cosigning.PANEL._talks
        time.sleep(0.6)  # longer than a punctual one takes: what counts is how long it took, not when we looked


# --- lies


def question() -> cosigning.Question:
    note = checkpoints.outside_notes()[-1]
    signed = notes.parse_checkpoint_body(notes.parse_note(note).text)
    return checkpoints.question(note, signed, checkpoints.tree(signed.size))


def foreign(body: bytes) -> bytes:
    """Our cosignature is good, and beside it come lines of others, one with the log's own name."""
    thief = Signer.from_seed(keys.log_signer().name, b"\x0e" * 32)
    extra = notes.sign_note(text_of(body), thief, Signer.from_seed("evil.test", b"\x0f" * 32)).decode()
    return f"{extra.split(chr(10) * 2)[1]}{good_line(body)}\n".encode()


def test_only_its_own_cosignature_is_taken_from_what_it_answers(
    house: AuditWorld, lie: Callable[[Script], Liar]
) -> None:
    lie(lambda connection, body: connection.sendall(http(200, foreign(body))))
    note, _ = sign(house)
    assert signers_of(note) == [keys.log_signer().name, "liar.test"]
    assert b"evil" not in note
    assert trouble() == ""


def borrowed(body: bytes) -> str:
    """A good cosignature of another checkpoint."""
    return cosign(LIAR, LIAR.name, text_of(body).replace("\n", "\n1", 1), int(time.time()))


def other_text(body: bytes) -> bytes:
    """Another text that is cosigned rightly: glued behind our note, all of both is the text of one note."""
    answer = "x\n\nevil\n"
    line = cosign(LIAR, LIAR.name, body.split(b"\n\n", 1)[1].decode() + answer, int(time.time()))
    return f"{answer}\n{line}\n".encode()


NOT_ITS_OWN = "answers with something else than its cosignature"
FALSE_ANSWERS: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda body: http(200, b""), NOT_ITS_OWN),
    (lambda body: http(200, b"\xff" * 100), NOT_ITS_OWN),
    (lambda body: http(200, b"<html>hello</html>\n"), NOT_ITS_OWN),
    (lambda body: http(200, good_line(body).encode()), NOT_ITS_OWN),  # no newline
    (lambda body: http(200, f"{good_line(body)}\n{good_line(body)}\n".encode()), NOT_ITS_OWN),
    (lambda body: http(200, f"{good_line(body)}\nevil\n".encode()), NOT_ITS_OWN),
    (lambda body: http(200, (f"{good_line(body)}\n" * 70).encode()), NOT_ITS_OWN),
    (lambda body: http(200, f"{borrowed(body)}\n".encode()), NOT_ITS_OWN),
    (lambda body: http(200, other_text(body)), NOT_ITS_OWN),
    (lambda body: http(200, f"{good_line(body, 1)}\n".encode()), "s behind ours"),
    (lambda body: http(200, f"{good_line(body, 2**62)}\n".encode()), "s ahead of ours"),
    (lambda body: http(200, f"{good_line(body, int(time.time()) + 700)}\n".encode()), "s ahead of ours"),
    (lambda body: http(301, b"") + b"Location: http://127.0.0.1:1/\r\n", "status 301"),
    (lambda body: http(204, b""), "status 204"),
    (lambda body: http(400, b"evil words"), "status 400"),
    (lambda body: http(403, b""), "does not know the log key in force"),
    (lambda body: http(404, b""), "does not know this ledger"),
    (lambda body: http(500, b""), "status 500"),
    (lambda body: http(503, b""), "cannot trust or keep its own state"),
    (lambda body: b"", "cannot be reached|no HTTP"),
    (lambda body: b"evil\r\n\r\n", "no HTTP"),
    (lambda body: b"HTTP/1.1 -5 x\r\n\r\n", "no HTTP"),
    (lambda body: b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nx", NOT_ITS_OWN),
    (lambda body: b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nx", "no HTTP|" + NOT_ITS_OWN),
    (lambda body: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "no HTTP"),
    (lambda body: b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500 + b"\r\n", "no HTTP"),
]


@pytest.mark.parametrize("number", range(len(FALSE_ANSWERS)))
def test_a_false_answer_is_told_in_our_words_and_the_ledger_is_signed_without_it(
    house: AuditWorld, lie: Callable[[Script], Liar], number: int
) -> None:
    answer, reason = FALSE_ANSWERS[number]
    lie(lambda connection, body: connection.sendall(answer(body)))
    note, _ = sign(house)
    assert signers_of(note) == [keys.log_signer().name]
    settle()
    assert any(each in trouble() for each in reason.split("|")), trouble()
    assert "evil" not in trouble()
    told = Client().get("/health/").json()["troubles"]
    assert any(line.startswith("The witness liar.test ") for line in told)
    assert not any("127.0.0.1" in line for line in told), "addresses are not for everybody"


def shows(connection: socket.socket, body: bytes, *, status: int, told: bytes, held: bytes) -> None:
    """Refuses, and when it is asked what it holds, shows this."""
    kind = "text/x.tlog.size" if status == 409 else "text/plain"
    connection.sendall(http(status, told, kind) if body else http(200, held))


@pytest.mark.parametrize(("status", "told"), [(409, b"999999\n"), (409, b"0\n"), (409, b"x\n"), (409, b""), (422, b"")])
def test_who_only_claims_another_history_does_not_stop_the_ledger(
    house: AuditWorld, lie: Callable[[Script], Liar], status: int, told: bytes, settings: Any
) -> None:
    origin = keys.log_signer().name
    first = house.checkpoint().note.encode()
    forged = Log(Signer.from_seed(origin, b"\x10" * 32)).grow(50).note()
    elsewhere = notes.sign_checkpoint(Signer.from_seed("example.com/other", b"\x01" * 32), 50, bytes(32))
    for held in (b"", b"evil", forged, elsewhere, first[:-1], first, base64.b64encode(first)):
        lie(lambda connection, body, held=held: shows(connection, body, status=status, told=told, held=held))  # type: ignore[misc]
        note, _ = sign(house)
        assert signers_of(note) == [origin]
        settle()
        assert trouble().startswith("refuses the checkpoint (")
        assert ("though it shows one that this ledger continues" in trouble()) == (held == first)
    assert not list(Path(settings.PRESSMARK_CHECKPOINTS).glob("other-history-*"))


def test_who_shows_another_history_under_our_key_does(house: AuditWorld, lie: Callable[[Script], Liar]) -> None:
    """The counterpart: the same words, with a checkpoint that only our key can have signed."""
    house.checkpoint()
    other = Log(keys.log_signer()).grow(50).note()
    lie(lambda connection, body: shows(connection, body, status=409, told=b"50\n", held=other))
    with pytest.raises(checkpoints.LedgerRefused, match="over 50 entries"):
        sign(house)


def test_a_liar_beside_an_honest_witness_takes_nothing_from_it(
    house: AuditWorld, lie: Callable[[Script], Liar], settings: Any
) -> None:
    honest = Signer.from_seed("honest.test", b"\x11" * 32)
    lie(endless_body)

    def answers(connection: socket.socket, body: bytes) -> None:
        connection.sendall(http(200, f"{cosign(honest, honest.name, text_of(body), int(time.time()))}\n".encode()))

    other = Liar(answers)
    with Path(settings.PRESSMARK_WITNESSES).open("a") as file:
        file.write(f"{cosigner_of(honest).key_line} {other.url}\n")
    for _ in range(3):
        assert signers_of(sign(house)[0]) == [keys.log_signer().name, "honest.test"]
    other.shutdown()
    other.server_close()


def test_a_question_that_fails_in_an_unforeseen_way_frees_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness_client, "exchange", lambda call: 1 / 0)
    callers = witness_client.Callers()
    assert callers.start("a", witness_client.Call("http://x", None, 1))
    came = callers.next(2)
    assert came is not None
    assert came[1].failure == "the question failed (ZeroDivisionError)"
    assert not callers.is_busy("a")
    assert callers.next(0) is None


def test_a_witness_has_one_question_at_a_time(lie: Callable[[Script], Liar]) -> None:
    liar = lie(silent)
    callers = witness_client.Callers()
    assert callers.start("a", witness_client.Call(liar.url, b"x", 0.3))
    assert not callers.start("a", witness_client.Call(liar.url, b"x", 0.3))
    came = callers.next(2)
    assert came is not None
    assert "within 0.3 s" in came[1].failure
    assert liar.asked == 1


def test_a_witness_that_was_struck_off_the_list_is_not_heard(
    house: AuditWorld, lie: Callable[[Script], Liar], settings: Any
) -> None:
    def later(connection: socket.socket, body: bytes) -> None:
        time.sleep(0.8)
        connection.sendall(http(200, f"{good_line(body)}\n".encode()))

    lie(later)
    sign(house)
    settings.PRESSMARK_WITNESSES.write_text("")
    settle()
    assert not Witness.objects.exists()
    assert witnesses.troubles() == []
