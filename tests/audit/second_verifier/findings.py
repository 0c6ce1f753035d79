"""The four answers and what they are made of: each reason for a "no" or a "not checked" belongs to one of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .forms import Unreadable

FILES, SIGNATURE, KEY, STREAMS = "FILES", "SIGNATURE", "KEY", "STREAMS"
ANSWERS = (FILES, SIGNATURE, KEY, STREAMS)
YES, NO, OPEN = "yes", "no", "not checked"


class WrongCall(Exception):
    """Nothing is judged: the call itself cannot be understood."""


@dataclass
class Findings:
    against: list[tuple[str, str]] = field(default_factory=list)
    unchecked: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def no(self, answer: str, reason: str) -> None:
        self.against.append((answer, reason))

    def open(self, answer: str, reason: str) -> None:
        self.unchecked.append((answer, reason))

    def demand(self, holds: bool, answer: str, reason: str) -> bool:
        if not holds:
            self.no(answer, reason)
        return holds

    @contextmanager
    def readable(self, answer: str, what: str) -> Iterator[None]:
        """What cannot be read inside the block is a "no" of this answer."""
        try:
            yield
        except Unreadable as error:
            self.no(answer, f"{what}: {error}")

    def result(self, answer: str) -> str:
        if any(a == answer for a, _ in self.against):
            return NO
        return OPEN if any(a == answer for a, _ in self.unchecked) else YES

    @property
    def results(self) -> dict[str, str]:
        return {answer: self.result(answer) for answer in ANSWERS}

    @property
    def exit_code(self) -> int:
        results = set(self.results.values())
        return 1 if NO in results else 3 if OPEN in results else 0
