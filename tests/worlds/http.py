"""A client of the API with a token of its own, made without the log-in door, whose rate is limited."""

from __future__ import annotations

from rest_framework.test import APIClient

from registry.access import services as access
from registry.access.models import Actor
from registry.events import Caller


def api(username: str) -> APIClient:
    """Somebody's client, by user name."""
    person = Actor.objects.get(username=username)
    _, secret = access.create_token(actor=Caller(actor_id=person.pk, via="cli"), person=person)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {secret}")
    return client
