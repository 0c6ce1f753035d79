"""What `test_entry_feed` lets run in an installation of its own. Import it only where Django is set up."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from django.conf import settings

from audit import checkpoints
from audit.verification import entry_feed, raw_entries, verify_ledger
from audit.verification.entry_feed import Item
from audit.verification.entry_patterns import Patterns
from registry import guards
from registry.access import services as access
from registry.images import record_types
from tests.bench.long_ledger import set_up
from tests.worlds.audit import rewrite_entry

SPECIAL = frozenset({"team.created"})


def both_ways() -> dict[str, Any]:
    """Items and answers with and without a second process, on a ledger with faults of every sort; and what when it fails."""
    world = set_up()
    for number in range(30):
        access.create_team(actor=world.cast.root, slug=f"team-{number}")
    guards.drop()
    size = checkpoints.ledger_size()
    rewrite_entry(size - 5, b'"via":"cli"', b'"via":"api"')
    rewrite_entry(size - 4, b'"v":1}', b'"v": 1}', leaf=True)
    rewrite_entry(size - 3, b'"slug":"', b'"slug":"\\u00e9', leaf=True)
    with mock.patch.object(raw_entries, "BATCH", 7):
        here = _items(beside=False)
        with _counted() as came:
            beside = _items(beside=True)
        with _counted() as came_from_another, mock.patch.dict(os.environ, PRESSMARK_HOME=_elsewhere()):
            another = _items(beside=True)
        with _counted() as came_before_the_end, _killed_after(9):
            killed = _items(beside=True)
    answers = [verify_ledger.verify(beside=way).document() for way in (False, True)]
    return {
        "items": len(here), "size": size, "same": here == beside, "beside": came[0],
        "same_with_another_ledger": here == another, "from_another_ledger": came_from_another[0],
        "same_when_killed": here == killed, "before_it_was_killed": came_before_the_end[0],
        "same_answer": answers[0] == answers[1], "flaws": answers[0]["flaw_count"],
    }  # fmt: skip


def _items(*, beside: bool) -> list[Item]:
    patterns = Patterns(record_types())
    found = list(entry_feed.items(checkpoints.ledger_size(), patterns, SPECIAL, beside=beside))
    return [(*item[:6], None if item[6] is None else item[6]._replace(records=()), item[7]) for item in found]  # type: ignore[misc]


@contextlib.contextmanager
def _counted() -> Iterator[list[int]]:
    """How many items came from the second process."""
    come, read = [0], entry_feed._from_beside

    def counting(*words: Any) -> Iterator[Item]:
        for item in read(*words):
            come[0] += 1
            yield item

    with mock.patch.object(entry_feed, "_from_beside", counting):
        yield come


@contextlib.contextmanager
def _killed_after(items: int) -> Iterator[None]:
    """The second process dies after so many items."""
    read = entry_feed._read
    calls = [0]

    def killing(source: Any) -> Any:
        calls[0] += 1
        if calls[0] == 1:
            return read(source)
        batch = read(source)
        for child in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        return batch[:items] if calls[0] == 2 else None

    with mock.patch.object(entry_feed, "_read", killing):
        yield


def _elsewhere() -> str:
    """A home whose ledger is as long, and begins otherwise."""
    place = Path(settings.PRESSMARK_HOME) / "elsewhere"
    place.mkdir()
    database = Path(settings.DATABASES["default"]["NAME"])
    with (
        contextlib.closing(sqlite3.connect(database)) as here,
        contextlib.closing(sqlite3.connect(place / database.name)) as copy,
    ):
        here.backup(copy)
        copy.execute("UPDATE audit_entry SET entry = ? WHERE position = 0", (b"another beginning",))
        copy.commit()
    return str(place)
