"""The doors of the room `access` over HTTP: tokens, who am I, idempotency, receipts, problem+json."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from audit import keys, notes
from audit.models import Entry
from registry.access.models import Team, Token
from tests.world import PASSWORD, Cast


def log_in(username: str, password: str = PASSWORD) -> APIClient:
    client = APIClient()
    answer = client.post("/api/v1/log-in", {"username": username, "password": password}, format="json")
    assert answer.status_code == 201, answer.content
    client.credentials(HTTP_AUTHORIZATION=f"Token {answer.json()['token']}")
    return client


@pytest.fixture
def client_of(cast: Cast) -> Callable[[str], APIClient]:
    return log_in


def test_a_token_opens_the_api_and_says_who_the_caller_is(client_of: Callable[[str], APIClient]) -> None:
    body = client_of("ada").get("/api/v1/who-am-i").json()
    assert body["username"] == "ada"
    assert [m["role"] for m in body["memberships"]] == ["engineer"]


def test_without_a_token_nothing_is_answered(cast: Cast) -> None:
    answer = APIClient().get("/api/v1/who-am-i")
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:pressmark:problem:not-authenticated"


def test_a_wrong_password_gives_no_token(cast: Cast) -> None:
    answer = APIClient().post("/api/v1/log-in", {"username": "ada", "password": "wrong"}, format="json")
    assert answer.status_code == 403
    assert Token.objects.count() == 0


def test_only_the_hash_of_a_token_is_kept(cast: Cast) -> None:
    from knox.models import AuthToken

    answer = APIClient().post("/api/v1/log-in", {"username": "ada", "password": PASSWORD}, format="json").json()
    assert answer["token"] not in str(AuthToken.objects.values())
    assert AuthToken.objects.get().expiry is not None


def test_an_ended_token_opens_nothing(cast: Cast) -> None:
    client = log_in("ada")
    token = Token.objects.get()
    assert client.post(f"/api/v1/tokens/{token.pk}/end").status_code == 200
    assert client.get("/api/v1/who-am-i").status_code == 401
    token.refresh_from_db()
    assert token.ended_at is not None


def test_the_token_of_somebody_else_is_not_found(cast: Cast) -> None:
    log_in("ada")
    token = Token.objects.get()
    assert log_in("omar").post(f"/api/v1/tokens/{token.pk}/end").status_code == 404


def test_somebody_without_any_role_gets_no_token(cast: Cast) -> None:
    answer = APIClient().post("/api/v1/log-in", {"username": "eve", "password": PASSWORD}, format="json")
    assert answer.status_code == 403
    assert "role" in answer.json()["hint"]


def test_the_answer_to_a_command_carries_a_receipt_that_the_issuer_signed(cast: Cast) -> None:
    answer = log_in("root").post("/api/v1/teams", {"slug": "vision"}, format="json")
    assert answer.status_code == 201
    receipt = notes.open_receipt(base64.b64decode(answer["Pressmark-Receipt"]), keys.issuer_signer().public)
    sealed = bytes(Entry.objects.get(position=receipt.first).entry)
    assert b'"team.created"' in sealed
    assert b'"via":"api"' in sealed


def test_the_same_idempotency_key_with_the_same_body_gets_the_stored_answer_and_receipt(cast: Cast) -> None:
    client = log_in("root")
    first = client.post("/api/v1/teams", {"slug": "vision"}, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    again = client.post("/api/v1/teams", {"slug": "vision"}, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    assert again.status_code == 201
    assert again.json() == first.json()
    assert again["Pressmark-Receipt"] == first["Pressmark-Receipt"]
    assert Team.objects.filter(slug="vision").count() == 1


def test_the_same_idempotency_key_with_another_body_is_refused(cast: Cast) -> None:
    client = log_in("root")
    client.post("/api/v1/teams", {"slug": "vision"}, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    answer = client.post("/api/v1/teams", {"slug": "audio"}, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:pressmark:problem:idempotency-key-reused"
    assert not Team.objects.filter(slug="audio").exists()


def test_a_failed_command_leaves_its_idempotency_key_free(cast: Cast) -> None:
    client = log_in("root")
    assert (
        client.post("/api/v1/teams", {"slug": "Bad Name"}, format="json", HTTP_IDEMPOTENCY_KEY="k2").status_code == 422
    )
    assert client.post("/api/v1/teams", {"slug": "good"}, format="json", HTTP_IDEMPOTENCY_KEY="k2").status_code == 201


def test_who_lacks_the_role_is_told_which_one_is_needed(cast: Cast) -> None:
    answer = log_in("ada").post("/api/v1/teams", {"slug": "vision"}, format="json")
    assert answer.status_code == 403
    assert "Administrator" in answer.json()["detail"]


def test_nobody_gives_a_role_to_themselves(cast: Cast) -> None:
    answer = log_in("root").post("/api/v1/memberships", {"username": "root", "role": "approver"}, format="json")
    assert answer.status_code == 403


def test_an_auditor_must_expire(cast: Cast) -> None:
    answer = log_in("root").post("/api/v1/memberships", {"username": "eve", "role": "auditor"}, format="json")
    assert answer.status_code == 422
    assert "expire" in answer.json()["detail"]


def test_a_field_that_is_wrong_is_named(cast: Cast) -> None:
    answer = log_in("root").post("/api/v1/memberships", {"username": "eve", "role": "emperor"}, format="json")
    assert answer.status_code == 422
    assert "role" in answer.json()["fields"]


def test_a_stored_request_does_not_help_to_guess_the_password_in_it(cast: Cast) -> None:
    import hashlib
    import json

    from registry.access.models import IdempotencyKey

    body = {"username": "nina", "password": "an unlikely sentence"}
    answer = log_in("root").post("/api/v1/actors", body, format="json", HTTP_IDEMPOTENCY_KEY="k3")
    assert answer.status_code == 201
    plain = json.dumps({"path": "/api/v1/actors", "body": body}, sort_keys=True).encode()
    assert IdempotencyKey.objects.get(key="k3").request_digest != f"sha256:{hashlib.sha256(plain).hexdigest()}"
