"""What a fact is: an outcome, one plain sentence, and the records it was read from. Pure.

Rules:
- a fact is computed from a snapshot alone, so the same snapshot gives the same fact;
- nothing recorded is `missing`, never passed over; evidence that contradicts is `fails`; what ran out is `stale`;
- `collected_at` is the time of the newest record it rests on, `expires_at` the moment after which it would be stale.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from audit.facts.case import Case
from audit.snapshots import Record
from registry.digests import parse_time, time_text

PASSES, PARTIAL, STALE, FAILS, MISSING = "passes", "partial", "stale", "fails", "missing"
OUTCOMES = (PASSES, PARTIAL, STALE, FAILS, MISSING)


@dataclass(frozen=True)
class Input:
    """One record or document that a fact was read from."""

    name: str
    id: str | None
    digest: str | None
    position: int | None
    at: str | None


@dataclass(frozen=True)
class Fact:
    """The answer."""

    outcome: str
    sentence: str
    value: str
    inputs: tuple[Input, ...] = ()
    expires_at: str | None = None

    @property
    def collected_at(self) -> str | None:
        return max((i.at for i in self.inputs if i.at is not None), default=None)


FactFunction = Callable[[Case, Mapping[str, Any]], Fact]


@dataclass(frozen=True)
class FactSpec:
    """A fact by name: what it says, how it is computed, and the parameters it takes (name -> default)."""

    name: str
    about: str
    compute: FactFunction
    parameters: Mapping[str, Any]


def inputs_of(records: Iterable[Record | None]) -> tuple[Input, ...]:
    """Inputs for records, each once, in the order of the ledger."""
    found = {r.id: r for r in records if r is not None}
    return tuple(input_of(r) for r in sorted(found.values(), key=lambda r: (r.position, r.type, r.id)))


def input_of(record: Record) -> Input:
    """The input of one record: its id, its digest where it has one, and where it was sealed."""
    digest = record.row.get("digest") or record.row.get("version_digest")
    return Input(record.type, record.id, digest, record.position, record.at)


def missing(sentence: str, value: str = "none") -> Fact:
    return Fact(MISSING, sentence, value)


def after_days(at: str, days: int) -> str:
    """The moment so many days later, as text."""
    return time_text(parse_time(at) + datetime.timedelta(days=days))


def days_between(earlier: str, later: str) -> int:
    """Whole days from one moment to another."""
    return (parse_time(later) - parse_time(earlier)).days


def count_of(number: int, noun: str, plural: str | None = None) -> str:
    """`1 version`, `2 versions`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def ago(days: int) -> str:
    """`today`, `1 day ago`."""
    return "today" if days < 1 else f"{count_of(days, 'day')} ago"


def joined(names: Iterable[str], limit: int = 4) -> str:
    """Names in a sentence; beyond the limit their number is said."""
    listed = list(names)
    if len(listed) > limit:
        return f"{', '.join(listed[:limit])} and {len(listed) - limit} more"
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}" if listed else "none"
