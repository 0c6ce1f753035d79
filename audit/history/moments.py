"""Which entry was the last one at a moment: from a time or a position to where the ledger stood (FORMATS, section 4).

Rules:
- as of a time: entries up to the highest position whose entry `at` is not later; the answer names that position, and calls it open
  while it is the ledger's last;
- as of a position: up to the end of the act that it belongs to, for nothing was ever true inside a unit;
- times are UTC; what is given without a zone is UTC, a date alone is its first moment;
- the future, what lies before the ledger, and what is no time are refused with the reason.
Entry times never go back except by `ledger.clock_corrected`, so each stretch between two corrections is searched by halving: some
twenty reads in a ledger of a million entries, and no index on times that every append would have to keep.
"""

from __future__ import annotations

import datetime
import json
import re
from dataclasses import dataclass

from audit.models import Entry, Intervention
from registry.digests import time_text
from registry.errors import Conflict, Invalid, Unavailable

_TIME = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)([T ](?P<clock>\d\d:\d\d(:\d\d(\.\d{1,6})?)?)(?P<zone>Z|[+-]\d\d:\d\d)?|(?P<day_zone>Z))?"
)
_POSITION = re.compile(r"[0-9]{1,18}")
_CORRECTED = b'"kind":"ledger.clock_corrected"'
_FORM = "Write it like 2026-03-01, 2026-03-01T12:00 or 2026-03-01T12:00:00Z; times are UTC."
_READ_AT_ONCE = 100


@dataclass(frozen=True)
class Moment:
    """Where the ledger stood: `position` is the last entry that counts, `time` the moment that is judged."""

    position: int
    last: int
    time: str
    sealed_at: str
    asked: str = ""

    @property
    def size(self) -> int:
        """How many entries count."""
        return self.position + 1

    @property
    def is_open(self) -> bool:
        """Whether the last entry that counts is the ledger's last: what comes next may still be of this moment."""
        return self.position == self.last

    @property
    def sentence(self) -> str:
        """The line that every answer carries."""
        still = ", which is open" if self.is_open else ""
        told = f"As of position {self.position} of {self.last}{still}, {readable(self.time)}, read from the ledger."
        if _POSITION.fullmatch(self.asked) and int(self.asked) < self.position:
            told += f" Position {int(self.asked)} stands inside an act that ends at {self.position}; acts count whole."
        return told


def readable(time: str) -> str:
    """A time for people: UTC to the second, or to the microsecond where it has one."""
    day, _, clock = time.removesuffix("Z").partition("T")
    return f"{day} {clock.removesuffix('.000000')} UTC"


def resolve(at: str = "", position: str = "") -> Moment:
    """The moment that somebody asks for, by time or by position; now when they give neither. Invalid says what is wrong."""
    at, position = at.strip(), position.strip()
    if at and position:
        raise Invalid("A moment is given by a time or by a position, not by both.", hint="Leave one of them out.")
    last = _last()
    if position:
        return _at_position(position, last)
    if at:
        return _at_time(at, last)
    sealed_at = _time_of(last)
    return Moment(last, last, max(time_text(datetime.datetime.now(datetime.UTC)), sealed_at), sealed_at)


def as_of_time(moment: datetime.datetime) -> Moment:
    """The moment of a time that has passed. Invalid when it has not, or when the ledger had not begun."""
    return _up_to(moment, _last(), "")


def _last() -> int:
    last = Entry.objects.order_by("-position").values_list("position", flat=True).first()
    if last is None:
        raise Unavailable("The ledger is empty.", hint="An installation is set up with `pressmark init`.")
    return last


# --- by position ---


def _at_position(text: str, last: int) -> Moment:
    if not _POSITION.fullmatch(text):
        raise Invalid(f"{text[:40]!r} is no position.", hint=f"Give a whole number from 0 to {last}.")
    asked = int(text)
    if asked > last:
        raise Invalid(f"The ledger ends at position {last}.", hint=f"Give a whole number from 0 to {last}.")
    position = _end_of_act(asked, last)
    sealed_at = _time_of(position)
    return Moment(position, last, sealed_at, sealed_at, text)


def _end_of_act(position: int, last: int) -> int:
    """The last position of the unit that an entry belongs to; its events lie side by side."""
    unit = _unit_of(_entry(position))
    while position < last:
        rows = Entry.objects.filter(position__gt=position, position__lte=position + _READ_AT_ONCE).order_by("position")
        for following, data in rows.values_list("position", "entry").iterator(chunk_size=_READ_AT_ONCE):
            if following != position + 1 or _unit_of(bytes(data)) != unit:
                return position
            position = following
    return position


def before_act(position: int) -> int | None:
    """The last position before the act that an entry belongs to; None for the first act of the ledger."""
    unit = _unit_of(_entry(position))
    while position > 0:
        rows = Entry.objects.filter(position__lt=position, position__gte=position - _READ_AT_ONCE).order_by("-position")
        for earlier, data in rows.values_list("position", "entry").iterator(chunk_size=_READ_AT_ONCE):
            if earlier != position - 1 or _unit_of(bytes(data)) != unit:
                return earlier
            position = earlier
    return None


def _entry(position: int) -> bytes:
    data = Entry.objects.filter(position=position).values_list("entry", flat=True).first()
    if data is None:
        raise broken(position)
    return bytes(data)


def _unit_of(data: bytes) -> str:
    try:
        return str(json.loads(data)["event"]["unit"])
    except (ValueError, KeyError, TypeError):
        return ""


def broken(position: int) -> Conflict:
    """What is said of an entry that is missing or cannot be read."""
    return Conflict(
        f"The entry at position {position} is missing or cannot be read.",
        hint="Run `pressmark verify-ledger`: it says what was changed.",
        code="ledger-broken",
    )


# --- by time ---


def _at_time(text: str, last: int) -> Moment:
    return _up_to(parse_moment(text), last, text)


def parse_moment(text: str) -> datetime.datetime:
    """A time as people write it. Invalid when it is none."""
    found = _TIME.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        zone = found["zone"] or "Z"
        moment = datetime.datetime.fromisoformat(f"{found['day']}T{found['clock'] or '00:00'}{zone}")
        return moment.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise Invalid(f"{text[:60]!r} is no time.", hint=_FORM, code="time") from None


def _up_to(moment: datetime.datetime, last: int, asked: str) -> Moment:
    text = time_text(moment)
    if moment > datetime.datetime.now(datetime.UTC):
        raise Invalid(
            f"{readable(text)} lies in the future.", hint="Give a time that has passed, or none for now.", code="time"
        )
    position = last_not_later(text, last)
    if position is None:
        begin = readable(_time_of(0))
        raise Invalid(
            f"The ledger begins at {begin}; it knows nothing of {readable(text)}.",
            hint="Give a later time.",
            code="time",
        )
    return Moment(position, last, text, _time_of(position), asked)


def last_not_later(time: str, last: int) -> int | None:
    """The highest position, up to the ledger's last, whose entry time is not later; None when all are."""
    ends = last
    for first in reversed([0, *_corrections(last)]):
        if _time_of(first) <= time:
            return _search(time, first, ends)
        ends = first - 1
    return None


def _search(time: str, low: int, high: int) -> int:
    """The highest position of a stretch without correction whose time is not later; that of `low` is not."""
    while low < high:
        middle = (low + high + 1) // 2
        if _time_of(middle) <= time:
            low = middle
        else:
            high = middle - 1
    return low


def _corrections(last: int) -> list[int]:
    """Positions at which the clock was set back, ascending. The table only says whether it is worth looking."""
    if not Intervention.objects.filter(kind=Intervention.Kind.CLOCK_CORRECTED).exists():
        return []
    rows = Entry.objects.filter(stream="instance", position__lte=last).order_by("stream_seq")
    entries = rows.values_list("position", "entry").iterator(chunk_size=1000)
    return [position for position, data in entries if _CORRECTED in bytes(data)]


def _time_of(position: int) -> str:
    at = Entry.objects.filter(position=position).values_list("at", flat=True).first()
    if at is None:
        raise broken(position)
    return at
