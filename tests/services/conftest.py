"""Real servers and whole installations for the tests of this folder."""

from tests.services.fixtures import postgres_url, valkey_url

__all__ = ["postgres_url", "valkey_url"]
