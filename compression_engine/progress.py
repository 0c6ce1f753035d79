"""How the engine tells how far it is: a callable, so that a shell, a worker and a test each listen in their own way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """Told about every step: the stage's name, how much of it is done, how much there is, and a short message."""

    def __call__(self, stage: str, done: int, total: int, message: str) -> None: ...


def silent(stage: str, done: int, total: int, message: str) -> None:
    """Tells nobody."""


def by_name(progress: Progress, stage: str, total: int) -> Callable[[str], None]:
    """A listener for the name of each thing as it is begun: tells how many of `total` were begun before, never more than all."""
    done = 0

    def told(name: str) -> None:
        nonlocal done
        progress(stage, min(done, total), total, name)
        done += 1

    return told


Told = Callable[[int], None]
"""Told about so many bytes more that were worked on."""
_STEPS = 100


class ByBytes:
    """Tells about bytes that were worked on, at the beginning of each tensor and about a hundred times in all."""

    def __init__(self, progress: Progress, stage: str, total_bytes: int) -> None:
        self._progress, self._stage, self._total = progress, stage, total_bytes
        self._done, self._said, self._name = 0, 0, ""

    def begin(self, name: str) -> None:
        """The next tensor."""
        self._name = name
        self._say()

    def told(self, more_bytes: int) -> None:
        """So many bytes more of the tensor."""
        self._done = min(self._done + more_bytes, self._total)
        if (self._done - self._said) * _STEPS >= self._total:
            self._say()

    def end(self, message: str) -> None:
        """Everything is done, also where some was left alone."""
        self._done, self._name = self._total, message
        self._say()

    def _say(self) -> None:
        self._said = self._done
        self._progress(self._stage, self._done, self._total, self._name)
