"""Entries for people who look through the ledger: by stream, actor, kind and period, newest first, as far as they may read.

Rules:
- who may not read an entry does not see it, and it is not counted either;
- a page holds PAGE_ENTRIES and looks at no more than LOOKED_AT entries, so that it costs the same in a ledger of any size: where it
  stopped looking it says so, and the next page goes on from there;
- a stream is read by its own index, a period by halving; actor, kind and team are looked for in the bytes, in the database, within
  the stretch that the page looks at. There is no index on them, for every append would have to keep it.
"""

from __future__ import annotations

import datetime
import functools
import operator
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from audit import entries, queries
from audit.browsing.entry_search import entry_holds
from audit.history import moments
from audit.models import Entry
from registry.access.models import Actor
from registry.access.queries import readable_team_ids
from registry.catalog import queries as catalog
from registry.digests import time_text
from registry.errors import Invalid
from registry.events import Caller

PAGE_ENTRIES = 50
LOOKED_AT = 20_000
_READ = 200
_MICROSECOND = datetime.timedelta(microseconds=1)
_TEAMS_IN_QUERY = 20
_KIND = re.compile(r"[a-z][a-z_]{0,40}(\.([a-z][a-z_]{0,40})?)?")
_STREAM = re.compile(r"instance|[a-z_]{1,20}:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MODEL = re.compile(r"[a-z0-9._-]{1,63}/[a-z0-9._-]{1,63}")


@dataclass(frozen=True)
class Search:
    """What is looked for. `first` and `last` are the positions of the period, both included."""

    first: int
    last: int
    stream: str | None = None
    actor: str | None = None
    kind: str | None = None


@dataclass(frozen=True)
class Found:
    """A page of entries, newest first; from where to where was looked, and before which position the next page begins."""

    entries: list[Entry]
    highest: int
    lowest: int
    following: int | None


def parse_search(caller: Caller, query: Mapping[str, str]) -> Search:
    """What a form or an address asks for; Invalid says which field cannot be."""
    given = {name: query.get(name, "").strip() for name in ("stream", "actor", "kind", "begin", "end")}
    first, last = _period(given["begin"], given["end"])
    return Search(first, last, _stream(caller, given["stream"]), _actor(given["actor"]), _kind(given["kind"]))


def _period(begin: str, end: str) -> tuple[int, int]:
    newest = Entry.objects.order_by("-position").values_list("position", flat=True).first()
    if newest is None:
        return 0, -1
    first, last = 0, newest
    if begin:
        before = moments.parse_moment(begin) - _MICROSECOND
        found = moments.last_not_later(time_text(before), newest)
        first = 0 if found is None else found + 1
    if end:
        found = moments.last_not_later(time_text(moments.parse_moment(end)), newest)
        last = -1 if found is None else found
    return first, last


def _stream(caller: Caller, text: str) -> str | None:
    """A stream by its id, or the one of a model by its name."""
    if not text or _STREAM.fullmatch(text):
        return text or None
    if not _MODEL.fullmatch(text):
        raise Invalid(
            f"{text[:80]!r} is no stream.", hint="Write TEAM/MODEL, instance, or a stream as entries show it."
        )
    return f"model:{catalog.get_model(caller, *text.split('/')).pk}"


def _actor(text: str) -> str | None:
    if not text:
        return None
    try:
        return str(uuid.UUID(text))
    except ValueError:
        known = Actor.objects.filter(username=text.replace("\x00", "?"))  # PostgreSQL takes no U+0000
        found = known.values_list("pk", flat=True).first()
    if found is None:
        raise Invalid(f"There is no actor {text[:80]!r}.", hint="Give the user name, or the id that entries show.")
    return str(found)


def _kind(text: str) -> str | None:
    if text and not _KIND.fullmatch(text):
        raise Invalid(
            f"{text[:80]!r} is no kind of event.", hint="Write alias.promoted, or alias for all about aliases."
        )
    return text or None


def browse(caller: Caller, search: Search, before: str = "") -> Found:
    """The page of what is looked for that begins before a position (at the newest, where none is given)."""
    highest = min(search.last, _before(before) - 1 if before else search.last)
    if search.stream is None:
        lowest = max(search.first, highest - LOOKED_AT + 1)
        rows = Entry.objects.filter(position__gte=lowest).order_by("-position")
    else:
        rows, lowest = _of_stream(search.stream, search.first, highest)
    rows = _narrowed(rows, caller, search)
    return _page(caller, rows, search, highest, lowest)


def _before(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise Invalid(f"{text[:40]!r} is no position.", hint="Give a whole number.")
    return int(text)


def _of_stream(stream: str, first: int, highest: int) -> tuple[QuerySet[Entry], int]:
    """The newest LOOKED_AT entries of a stream up to a position, and the position from which on they were looked at."""
    own = Entry.objects.filter(stream=stream)
    seq = _number_at(own, highest)
    oldest = seq - LOOKED_AT + 1
    at_oldest = own.filter(stream_seq=oldest).values_list("position", flat=True).first() if oldest > 1 else None
    lowest = first if at_oldest is None else max(first, at_oldest)
    rows = own.filter(stream_seq__lte=seq, stream_seq__gte=max(oldest, 1), position__gte=first)
    return rows.order_by("-stream_seq"), lowest


def _number_at(own: QuerySet[Entry], position: int) -> int:
    """The number of the last entry of a stream at or before a position, by halving: numbers have no gaps."""
    low = 0
    high = own.order_by("-stream_seq").values_list("stream_seq", flat=True).first() or 0
    while low < high:
        middle = (low + high + 1) // 2
        found = own.filter(stream_seq=middle).values_list("position", flat=True).first()
        if found is None or found > position:
            high = middle - 1
        else:
            low = middle
    return low


def _narrowed(rows: QuerySet[Entry], caller: Caller, search: Search) -> QuerySet[Entry]:
    """What the database can leave out already, by the bytes of entries; `_fits` looks again at what they say."""
    wanted: list[Sequence[str]] = []
    if search.actor:
        wanted.append([_actor_text(search.actor)])
    if search.kind:
        wanted.append(
            [f'"kind":"{search.kind}"' if "." in search.kind.rstrip(".") else f'"kind":"{search.kind.rstrip(".")}.']
        )
    teams = readable_team_ids(caller.actor_id)
    if teams is not None and len(teams) <= _TEAMS_IN_QUERY:
        wanted.append(['"team":null', *(f'"team":"{team}"' for team in teams)])
    for number, texts in enumerate(wanted):
        names = {f"holds_{number}_{i}": entry_holds(text) for i, text in enumerate(texts)}
        rows = rows.annotate(**names).filter(functools.reduce(operator.or_, (Q(**{name: True}) for name in names)))
    return rows


def _page(caller: Caller, rows: QuerySet[Entry], search: Search, highest: int, lowest: int) -> Found:
    """Read in slices, so that what the database narrowed to little is not fetched whole; stop when the page is full."""
    may_read = queries.reader_of_entries(caller)
    found: list[Entry] = []
    before = highest + 1
    while before > lowest:
        part = list(rows.filter(position__lt=before, position__gte=lowest)[:_READ])
        for row in part:
            if _fits(row, search, may_read):
                found.append(row)
                if len(found) == PAGE_ENTRIES:
                    return Found(found, highest, row.position, row.position if row.position > search.first else None)
        if len(part) < _READ:
            break
        before = part[-1].position
    return Found(found, highest, lowest, lowest if lowest > search.first else None)


def _fits(row: Entry, search: Search, may_read: Callable[[Entry], bool]) -> bool:
    """What was found in the bytes is what the event itself says; one that cannot be read fits where nothing is asked of it."""
    event = event_of(row)
    if event is None:
        return not (search.kind or search.actor) and may_read(row)
    kind = search.kind or ""
    same_kind = event["kind"] == kind if "." in kind.rstrip(".") else event["kind"].startswith(kind.rstrip("."))
    same_actor = not search.actor or event["actor"]["id"] == search.actor
    return (not kind or same_kind) and same_actor and may_read(row)


def event_of(row: Entry) -> dict[str, Any] | None:
    """The event of an entry; None where somebody overwrote it with what cannot be read."""
    try:
        return entries.parse(bytes(row.entry)).event
    except entries.Bad:
        return None


def _actor_text(actor: str) -> str:
    return f'"actor":{{"id":"{actor}"'
