"""Fixtures for real servers; each is started once for a test session, and only when a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.postgres import running_postgres
from tests.services.valkey import running_valkey


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """`redis://127.0.0.1:PORT/0` of a server of our own."""
    with running_valkey() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """`postgresql://pressmark@127.0.0.1:PORT/pressmark` of a server of our own."""
    with running_postgres() as url:
        yield url
