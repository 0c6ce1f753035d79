"""Rules that come into force by a second person are not written twice: what stands already, or waits, is found by its content.

Rules:
- what is in force, or was written after it and waits, can still judge: the same content again would say nothing new;
- what has ended, was superseded, or was overtaken while it waited can judge no more, and is written anew.
No Django here.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Protocol, TypeVar


class Numbered(Protocol):
    """A state of rules that are told apart by number."""

    @property
    def number(self) -> int: ...
    @property
    def digest(self) -> str: ...
    @property
    def in_force_at(self) -> datetime.datetime | None: ...
    @property
    def ended_at(self) -> datetime.datetime | None: ...


R = TypeVar("R", bound=Numbered)


def find_same(rows: Sequence[R], digest: str) -> tuple[R, bool] | None:
    """The row of this content that is in force (True) or can still be approved (False). `rows`: one name's, the newest first."""
    judging = next((row for row in rows if row.in_force_at is not None and row.ended_at is None), None)
    for row in rows:
        if row.digest != digest or row.ended_at is not None:
            continue
        if row is judging or judging is None or row.number > judging.number:
            return row, row is judging
    return None
