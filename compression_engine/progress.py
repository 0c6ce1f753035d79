"""How the engine tells how far it is: a callable, so that a shell, a worker and a test each listen in their own way."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told about every step: the stage's name, how much of it is done, how much there is, and a short message."""

    def __call__(self, stage: str, done: int, total: int, message: str) -> None: ...


def silent(stage: str, done: int, total: int, message: str) -> None:
    """Tells nobody."""
