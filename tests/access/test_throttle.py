"""Guessing passwords is slow, by whichever door."""

from __future__ import annotations

from django.test import Client
from rest_framework.test import APIClient

from registry.access.throttling import LogInThrottle
from tests.world import PASSWORD, Cast


def guess_by_page() -> int:
    return Client().post("/login/", {"username": "ada", "password": "guess"}).status_code


def guess_by_api() -> int:
    return APIClient().post("/api/v1/log-in", {"username": "ada", "password": "guess"}, format="json").status_code


def test_the_attempts_of_page_and_api_are_counted_together(cast: Cast) -> None:
    allowed = int(LogInThrottle.rate.partition("/")[0])
    for number in range(allowed):
        assert (guess_by_page() if number % 2 else guess_by_api()) in {200, 403}
    assert (guess_by_page(), guess_by_api()) == (429, 429)
    answer = Client().post("/login/", {"username": "ada", "password": PASSWORD})
    assert answer.status_code == 429
    assert b"Wait a minute" in answer.content
