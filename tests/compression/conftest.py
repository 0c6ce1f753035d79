"""Fixtures of this room: which engines were really started, and which messages went to the queue."""

from __future__ import annotations

from typing import Any

import pytest

from registry.compression import tasks
from registry.compression.child import EngineProcess


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The process ids of the engines that were really started."""
    started: list[int] = []
    original = EngineProcess.__init__

    def noted(self: EngineProcess, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        started.append(self.pid)

    monkeypatch.setattr(EngineProcess, "__init__", noted)
    return started


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The messages that went to the queue; nobody reads them."""
    sent: list[str] = []
    monkeypatch.setattr(tasks.execute_run, "apply_async", lambda args, **options: sent.append(args[0]))
    return sent
