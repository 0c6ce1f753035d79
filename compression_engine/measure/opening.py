"""Opens models for measuring in turns, each session with its threads pinned.

Rules:
- the first time, models that are open with as many threads are taken as they are; later they are opened afresh from their files,
  since where weights happen to lie in memory makes a session some percent faster or slower than the next;
- what is opened first lies otherwise than what is opened next to it, and was up to 2 % slower (one model against itself, 6 runs of
  6): so the order of opening turns round every time, while the calls keep theirs;
- only one set of sessions of ours is open at a time; a model without a path is never opened again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compression_engine.measure.rounds import Call
from compression_engine.runtime import Model

Caller = Callable[[str, Model], list[Call]]


@dataclass
class Opener:
    """Gives the calls of all roles in their order."""

    models: Mapping[str, Model]
    paths: Mapping[str, Path]
    threads: int
    threads_open: int
    calls: Caller
    opened: dict[str, Model] = field(default_factory=dict)
    backwards: bool = False
    """Whether the models were opened in reversed order the last time."""

    def __call__(self) -> list[Call]:
        if not self.opened and self.threads == self.threads_open:
            self.opened = dict(self.models)
        else:
            self.opened.clear()
            order = list(self.models)[:: 1 if self.backwards else -1]
            fresh = {role: self._fresh(role) for role in order}
            self.opened = {role: fresh[role] for role in self.models}
            self.backwards = not self.backwards
        return [call for role, model in self.opened.items() for call in self.calls(role, model)]

    def _fresh(self, role: str) -> Model:
        model = self.models[role]
        return model.reopened(self.threads) if role in self.paths else model
