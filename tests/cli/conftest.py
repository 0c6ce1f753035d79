"""A server, a configuration folder of the test's own, and one way to call a verb as somebody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.access import services as access
from registry.cli.main import main
from registry.events import Caller
from tests.world import Cast, World

Pressmark = Callable[..., int]


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration folder of the user who calls."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    return tmp_path / "configuration" / "pressmark"


@pytest.fixture
def served(committed_db: None) -> World:
    """A world whose commits a server can see."""
    return World(Cast.assemble())


@pytest.fixture
def pressmark(served: World, live_server: Any, configuration: Path, monkeypatch: pytest.MonkeyPatch) -> Pressmark:
    """Call a verb as somebody: `pressmark("root", "end-actor", "ada")` gives its exit status."""
    monkeypatch.setenv("PRESSMARK_SERVER", live_server.url)

    def call(who: str, *words: str) -> int:
        person = served.cast.people[who]
        _, secret = access.create_token(actor=Caller(actor_id=person.pk, via="cli"), person=person)
        monkeypatch.setenv("PRESSMARK_TOKEN", secret)
        return main(words)

    return call
