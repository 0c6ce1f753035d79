"""Clients of the API with real tokens, and what an answer must look like."""

from __future__ import annotations

from typing import Any

from rest_framework.test import APIClient

from registry.access import services as access
from registry.access.models import Role, Team
from tests.world import Cast


def client_for(cast: Cast, name: str) -> APIClient:
    """A client with a token of that person (who must hold a role somewhere)."""
    _, secret = access.create_token(actor=getattr(cast, name), person=cast.people[name])
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {secret}")
    return client


def make_eve_engineer_of(cast: Cast, team: Team) -> None:
    """Eve may do everything in her own team, and nothing in that of the others."""
    access.grant_membership(actor=cast.root, person=cast.people["eve"], role=Role.ENGINEER, team=team)


def upload(client: APIClient, data: bytes, **headers: str) -> Any:
    """Send bytes through the upload door."""
    return client.generic("POST", "/api/v1/uploads", data, content_type="application/octet-stream", **headers)


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The body of a refusal, which must be problem+json with that status and code, and say what to do."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:pressmark:problem:{code}"
    assert body["detail"]
    return body
