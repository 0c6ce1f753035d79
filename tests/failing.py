"""A ledger that takes nothing: an act under it must leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db.models import Model

from audit.models import Entry
from registry.access.models import Text
from registry.events import UnitError


@contextmanager
def ledger_down() -> Iterator[None]:
    """Nobody listens to what is emitted, as when the ledger cannot be written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("registry.events.appending.receivers", [])
        patch.setattr("registry.events.appending.sender_receivers_cache", {}, raising=False)
        yield


def keeps_nothing_without_ledger(act: Callable[[], Any], *tables: type[Model]) -> None:
    """The act fails while the ledger is down, and leaves neither rows, texts nor entries."""
    watched = (*tables, Text, Entry)
    before = [list(table._default_manager.order_by("pk").values_list()) for table in watched]
    with ledger_down(), pytest.raises(UnitError, match="listen"):
        act()
    assert [list(table._default_manager.order_by("pk").values_list()) for table in watched] == before
