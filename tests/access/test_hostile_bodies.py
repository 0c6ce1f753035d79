"""Bodies made to break the server: each is refused with a sentence, none is an error of ours, and nothing is stored."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connections
from django.test import Client
from rest_framework.test import APIClient

from registry.access.models import Team
from registry.access.throttling import LogInThrottle
from registry.catalog.models import RegisteredModel
from tests.world import Cast
from tests.worlds.http import api

MODELS = "/api/v1/teams/search/models"
HOSTILE = {
    "deep lists": b'{"slug":"m","title":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"slug":"m","more":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}",
    "a name that is half a character": b'{"slug":"m","\\ud800":1}',
    "a text that is half a character": b'{"slug":"m","more":["\\udfff"]}',
    "a text with U+0000": b'{"slug":"m","more":{"a":"\\u0000"}}',
    "no number": b'{"slug":"m","more":NaN}',
    "a number of too many digits": b'{"slug":"m","more":' + b"9" * 5_000 + b"}",
}


@pytest.fixture(autouse=True)
def _own_count() -> Iterator[None]:
    """Attempts to log in are counted anew."""
    cache.clear()
    yield
    cache.clear()


def post(client: APIClient, path: str, body: bytes, **headers: str) -> Any:
    client.raise_request_exception = False
    return client.post(path, body, content_type="application/json", **headers)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("headers", [{}, {"HTTP_IDEMPOTENCY_KEY": "once"}], ids=["plain", "with a key"])
def test_a_hostile_body_is_refused_as_no_usable_json(cast: Cast, name: str, headers: dict[str, str]) -> None:
    answer = post(api("ada"), MODELS, HOSTILE[name], **headers)
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert not RegisteredModel.objects.exists()


def test_the_door_without_a_token_refuses_them_too(cast: Cast) -> None:
    for body in HOSTILE.values():
        assert post(APIClient(), "/api/v1/log-in", body).status_code == 400


def test_a_body_with_odd_but_storable_members_is_hashed_for_its_idempotency_key(cast: Cast) -> None:
    body = b'{"slug":"m","Odd Name":[1.5,99999999999999999999,true,null,{"b":{"c":{"d":{"e":{"f":{"g":{"h":1}}}}}}}]}'
    client = api("ada")
    first = post(client, MODELS, body, HTTP_IDEMPOTENCY_KEY="once")
    again = post(client, MODELS, body, HTTP_IDEMPOTENCY_KEY="once")
    assert (first.status_code, again.json()) == (201, first.json())
    other = body.replace(b"1.5", b"1.25")
    assert post(client, MODELS, other, HTTP_IDEMPOTENCY_KEY="once").status_code == 422


def test_the_same_request_at_once_with_one_key_gives_every_caller_the_same_answer(
    committed_db: None,
) -> None:
    Cast.assemble()
    clients = [api("root") for _ in range(4)]
    barrier, answers = threading.Barrier(4), []

    def ask(client: APIClient) -> None:
        try:
            barrier.wait()
            answers.append(client.post("/api/v1/teams", {"slug": "vision"}, format="json", HTTP_IDEMPOTENCY_KEY="once"))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Team.objects.filter(slug="vision").count() == 1


def test_guessing_is_counted_by_the_address_of_the_connection_not_by_what_the_client_claims(cast: Cast) -> None:
    allowed = int(LogInThrottle.rate.partition("/")[0])
    for number in range(allowed):
        Client().post("/login/", {"username": "ada", "password": "x"}, headers={"X-Forwarded-For": f"10.0.0.{number}"})
    answer = APIClient().post(
        "/api/v1/log-in", {"username": "ada", "password": "x"}, format="json", HTTP_X_FORWARDED_FOR="10.9.9.9"
    )
    assert answer.status_code == 429


def test_a_body_beyond_the_limit_is_refused_with_the_limit(cast: Cast, caplog: pytest.LogCaptureFixture) -> None:
    body = b'{"slug":"m","title":"' + b"A" * 2_200_000 + b'"}'
    for client, path in ((api("ada"), MODELS), (APIClient(), "/api/v1/log-in")):
        answer = post(client, path, body)
        assert (answer.status_code, answer["Content-Type"]) == (413, "application/problem+json")
        assert "2,097,152 bytes" in answer.json()["detail"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert not RegisteredModel.objects.exists()
