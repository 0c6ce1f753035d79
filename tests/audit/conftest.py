"""Fixtures of the audit house."""

from __future__ import annotations

import pytest

from tests.world import Cast
from tests.worlds.audit import AuditWorld, restore_keys_note


@pytest.fixture
def house(cast: Cast) -> AuditWorld:
    """A ledger with the cast in it, and a store that holds the keys note of entry 0."""
    restore_keys_note()
    return AuditWorld(cast)
