"""Uploading: bytes stream in, a cut or differing stream leaves nothing, and a digest alone gives no right."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from audit.models import Entry
from registry.access import services as access
from registry.access.models import Role, Team
from registry.errors import Forbidden, Invalid
from registry.provenance import services
from registry.provenance.models import Upload
from registry.storage import is_stored, path_of
from registry.wsgi import application
from tests.provenance.http import client_for, make_eve_engineer_of, problem, upload
from tests.world import Cast, World
from tests.worlds.audit import restore_keys_note


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def stored_files() -> list[Path]:
    """Everything in the store but the keys note of entry 0."""
    note = path_of(restore_keys_note())
    return [path for path in Path(settings.PRESSMARK_STORE).rglob("*") if path.is_file() and path != note]


def nothing_is_kept() -> bool:
    return not stored_files() and not Upload.objects.exists()


def test_an_upload_answers_digest_and_size_and_keeps_the_bytes(cast: Cast) -> None:
    answer = upload(client_for(cast, "ada"), b"weights")
    assert answer.status_code == 201
    assert answer.json() == {"digest": digest_of(b"weights"), "size_bytes": 7}
    assert path_of(digest_of(b"weights")).read_bytes() == b"weights"


def test_an_upload_is_no_governed_fact_and_makes_no_entry(world: World) -> None:
    before = Entry.objects.count()
    world.upload(b"weights")
    assert Entry.objects.count() == before


def test_the_same_bytes_twice_are_one_upload(world: World) -> None:
    assert world.upload(b"weights").pk == world.upload(b"weights").pk


def test_an_upload_with_the_expected_digest_is_taken(cast: Cast) -> None:
    answer = upload(client_for(cast, "ada"), b"weights", HTTP_PRESSMARK_DIGEST=digest_of(b"weights"))
    assert answer.status_code == 201


def test_an_upload_with_another_digest_leaves_nothing(cast: Cast) -> None:
    answer = upload(client_for(cast, "ada"), b"weights", HTTP_PRESSMARK_DIGEST=digest_of(b"other"))
    body = problem(answer, 422, "digest-mismatch")
    assert digest_of(b"weights") in body["detail"]
    assert nothing_is_kept()


def test_an_expected_digest_that_is_none_is_refused(cast: Cast) -> None:
    problem(upload(client_for(cast, "ada"), b"weights", HTTP_PRESSMARK_DIGEST="md5:1"), 422, "invalid")
    assert nothing_is_kept()


def test_an_upload_over_the_limit_leaves_nothing(cast: Cast, settings: Any) -> None:
    settings.PRESSMARK_UPLOAD_LIMIT_BYTES = 5
    problem(upload(client_for(cast, "ada"), b"weights"), 422, "invalid")
    assert nothing_is_kept()


def test_without_a_token_not_a_byte_is_read(cast: Cast) -> None:
    class Untouched(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            raise AssertionError("the body was read")

    status, _ = through_wsgi(Untouched(), "", length="7")
    assert status.startswith("401")
    assert nothing_is_kept()


@pytest.mark.parametrize("name", ["otto"])
def test_a_role_that_registers_nothing_may_not_upload(cast: Cast, name: str) -> None:
    problem(upload(client_for(cast, name), b"weights"), 403, "forbidden")
    assert nothing_is_kept()


def test_somebody_without_a_role_may_not_upload(cast: Cast) -> None:
    with pytest.raises(Forbidden):
        services.store_upload(actor=cast.eve, chunks=[b"weights"])
    assert nothing_is_kept()


def test_an_ended_membership_does_not_upload(cast: Cast) -> None:
    membership = cast.people["ada"].memberships.get(role=Role.ENGINEER)
    access.end_membership(actor=cast.root, membership=membership)
    with pytest.raises(Forbidden):
        services.store_upload(actor=cast.ada, chunks=[b"weights"])


def test_a_stream_that_breaks_in_the_middle_leaves_nothing(cast: Cast) -> None:
    def chunks() -> Any:
        yield b"first"
        raise OSError("the other side is gone")

    with pytest.raises(OSError, match="gone"):
        services.store_upload(actor=cast.ada, chunks=chunks())
    assert nothing_is_kept()


def test_bytes_of_another_team_cannot_be_named_by_their_digest(world: World, outsider_team: Team) -> None:
    make_eve_engineer_of(world.cast, outsider_team)
    secret = world.dataset_version(data=b'{"text":"secret"}\n', uses=["training"])
    dataset = world.dataset(actor=world.cast.eve, team=outsider_team)
    with pytest.raises(Invalid, match="not uploaded by you"):
        services.register_dataset_version(
            actor=world.cast.eve,
            dataset=dataset,
            licence=world.licence(),
            origin="Guessed.",
            uses=["training"],
            digest=secret.digest,
        )


def test_a_viewer_cannot_take_data_that_he_may_only_see_into_a_team_of_his_own(
    world: World, outsider_team: Team
) -> None:
    make_eve_engineer_of(world.cast, outsider_team)
    person = world.cast.people["eve"]
    access.grant_membership(actor=world.cast.root, person=person, role=Role.VIEWER, team=world.team)
    rows = world.dataset_version(data=b'{"text":"seen"}\n')
    with pytest.raises(Invalid, match="not uploaded by you"):
        services.measure_uploads(actor=world.cast.eve, files=[("", str(rows.digest))])
    access.grant_membership(actor=world.cast.root, person=person, role=Role.ENGINEER, team=world.team)
    (found,) = services.measure_uploads(actor=world.cast.eve, files=[("", str(rows.digest))])
    assert found.measured.row_count == 1


# --- below HTTP -------------------------------------------------------------------------------------------------------


def through_wsgi(body: Any, token: str, *, length: str | None, terminated: bool = False) -> tuple[str, bytes]:
    """One request to the real application, with a body that is a stream."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/api/v1/uploads", "SERVER_NAME": "localhost", "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http", "wsgi.input": body, "wsgi.errors": io.StringIO(),
        "CONTENT_TYPE": "application/octet-stream", "HTTP_AUTHORIZATION": f"Token {token}",
    }  # fmt: skip
    if length is not None:
        environ["CONTENT_LENGTH"] = length
    if terminated:
        environ["wsgi.input_terminated"] = True
    status: list[str] = []
    # as Django's own test client does: the connection of the test must outlive the request
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    try:
        answer = application(environ, lambda line, headers, error=None: status.append(line))
        body = b"".join(answer)
        answer.close()
    finally:
        request_started.connect(close_old_connections)
        request_finished.connect(close_old_connections)
    return status[0], body


def token_of(cast: Cast, name: str) -> str:
    return access.create_token(actor=getattr(cast, name), person=cast.people[name])[1]


def test_an_upload_cut_in_the_middle_is_refused_and_leaves_nothing(cast: Cast) -> None:
    status, body = through_wsgi(io.BytesIO(b"half of it"), token_of(cast, "ada"), length="1000")
    assert status.startswith("422")
    assert b'"urn:pressmark:problem:upload-cut"' in body
    assert b"broke off after 10 of 1000 bytes" in body
    assert nothing_is_kept()


def test_a_chunked_upload_needs_no_length(cast: Cast) -> None:
    status, _ = through_wsgi(io.BytesIO(b"weights"), token_of(cast, "ada"), length=None, terminated=True)
    assert status.startswith("201")
    assert is_stored(digest_of(b"weights"))


def test_where_the_end_of_the_body_is_not_known_a_length_is_asked_for(cast: Cast) -> None:
    status, body = through_wsgi(io.BytesIO(b"weights"), token_of(cast, "ada"), length=None)
    assert status.startswith("411")
    assert b"length-required" in body
    assert nothing_is_kept()


class Generated(io.RawIOBase):
    """A body of many bytes that nobody ever held."""

    def __init__(self, size_bytes: int) -> None:
        self.left = size_bytes

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        count = min(self.left, size)
        self.left -= count
        return b"x" * count


def test_an_upload_never_stands_in_memory(cast: Cast) -> None:
    size_bytes = 128 * 1024 * 1024
    token = token_of(cast, "ada")
    tracemalloc.start()
    try:
        status, _ = through_wsgi(Generated(size_bytes), token, length=str(size_bytes))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert status.startswith("201")
    assert peak < 16 * 1024 * 1024
    assert sum(os.path.getsize(path) for path in stored_files()) == size_bytes


@pytest.mark.usefixtures("committed_db")
def test_a_connection_that_breaks_in_the_middle_of_an_upload_leaves_nothing(live_server: Any) -> None:
    token = token_of(Cast.assemble(), "ada")
    before = stored_files()  # the keys note of entry 0 may be written here
    host, port = live_server.thread.host, live_server.thread.port
    head = f"POST /api/v1/uploads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Token {token}\r\nContent-Length: 100000\r\n\r\n"
    with socket.create_connection((host, port), timeout=20) as connection:
        connection.sendall(head.encode() + b"x" * 5000)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert b"422" in answer.split(b"\r\n", 1)[0]
    assert b"upload-cut" in answer
    assert stored_files() == before
    assert not Upload.objects.exists()
