"""A moment that somebody names, read from text: with its zone, or in UTC where none is given. It has passed."""

from __future__ import annotations

import datetime
import re

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from registry.errors import Invalid

_LOST_PLUS = re.compile(r"(:\d\d(?:\.\d+)?) (\d\d:?\d\d)$")  # a plus sign in an address arrives as a space
_HINT = "Write it as 2026-03-03T14:00:00Z; without a zone it is UTC."


def moment_of(text: str) -> datetime.datetime:
    """The moment in UTC; Invalid when the text is none, or when nobody can know yet what was served then."""
    try:
        found = parse_datetime(_LOST_PLUS.sub(r"\1+\2", text.strip()))
    except ValueError:
        found = None
    if found is None or ":" not in text:  # a day alone is no moment
        raise Invalid(f"'at' is {text[:40]!r}, which is no time.", hint=_HINT, code="moment")
    try:
        moment = found.replace(tzinfo=found.tzinfo or datetime.UTC).astimezone(datetime.UTC)
    except OverflowError:
        raise Invalid(
            f"'at' is {text[:40]!r}, which lies outside of the calendar.", hint=_HINT, code="moment"
        ) from None
    if moment > timezone.now():
        raise Invalid(
            f"'at' is {text[:40]!r}, which lies in the future.", hint="Give a moment that has passed.", code="moment"
        )
    return moment
