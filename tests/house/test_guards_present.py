"""A fresh database has every guard: `make check` refuses a house in which one is missing."""

from __future__ import annotations

import pytest

from registry import guards


@pytest.mark.django_db
def test_every_guard_is_there_after_the_migrations() -> None:
    assert guards.missing() == []
    guards.demand()
