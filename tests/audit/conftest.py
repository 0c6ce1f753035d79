"""Fixtures of the audit house."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.world import Cast, World
from tests.worlds.audit import AuditWorld, Story, restore_keys_note


@pytest.fixture
def house(cast: Cast) -> AuditWorld:
    """A ledger with the cast in it, and a store that holds the keys note of entry 0."""
    restore_keys_note()
    return AuditWorld(cast)


@pytest.fixture(scope="module")
def begun_story(once: Callable[[Callable[[World], Any]], Any]) -> Story:
    """The story, told once for all tests of a module that ask for it."""
    parent, child = once(World.story)
    return parent, child


@pytest.fixture
def story(begun_story: Story, cast: Cast) -> Story:
    """Parent and child of the story, for one test."""
    return deepcopy(begun_story)
