"""A visitor of the pages, and the story that most tests read."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from html import unescape

import pytest
from django.http import HttpResponse
from django.test import Client

from tests.desk import scene as scenes
from tests.world import Cast, World


class Visitor:
    """One person of the cast before the pages."""

    def __init__(self, cast: Cast, name: str) -> None:
        self.client = Client()
        self.client.force_login(cast.people[name])

    def get(self, path: str) -> HttpResponse:
        return self.client.get(path)

    def post(self, path: str, **fields: str) -> HttpResponse:
        return self.client.post(path, fields, follow=True)

    def reads(self, path: str) -> str:
        """What stands on the page, without markup and with single spaces."""
        answer = self.client.get(path)
        assert answer.status_code == 200, f"{path} answers {answer.status_code}"
        return words(answer)


def words(answer: HttpResponse) -> str:
    """The text of an answer."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())))


@pytest.fixture
def visit(cast: Cast) -> Callable[[str], Visitor]:
    """`visit("ada")`."""
    return lambda name: Visitor(cast, name)


@pytest.fixture(scope="module")
def begun_story(once: Callable[[Callable[[World], scenes.Scene]], scenes.Scene]) -> scenes.Scene:
    """The story, told once for all tests of a module that ask for it."""
    return once(scenes.told)


@pytest.fixture
def story(begun_story: scenes.Scene, world: World) -> scenes.Scene:
    """Parent live, child measured but not yet released."""
    found = deepcopy(begun_story)
    found.world = world
    return found


@pytest.fixture
def released(story: scenes.Scene) -> scenes.Scene:
    """The child live as well."""
    scenes.release_child(story)
    return story
