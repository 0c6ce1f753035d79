"""A long ledger that is true to the product's: a story told through the services, then told again until it is long enough.

The story's own entries are the mould: each telling has its own ids, documents and times, and goes into the tables in bulk, with the
leaves, tiles and checkpoints (one for a hundred entries, in the database and outside) that the product would have made.
Import it only where Django is set up.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from psycopg2.extras import execute_values

from audit import checkpoints, keys, merkle, notes
from audit.models import Checkpoint, Entry
from audit.services import create_ledger, make_keys, origin_of
from registry import guards
from registry.access import services as access
from registry.ids import uuid7
from registry.storage import path_of
from tests.world import Cast, World

ENTRIES_PER_CHECKPOINT = 100
_BATCH = 5000
_AT = slice(7, 34)  # where an entry says its time
_TOKEN = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|sha256:[0-9a-f]{64}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z"
)


def build(entries: int) -> dict[str, Any]:
    """A story, then tellings of it until the ledger has `entries`."""

    set_up().story()
    guards.drop()
    told = _Telling()
    told.tell_until(entries)
    guards.install()
    checkpoints.grow()
    return {"entries": checkpoints.ledger_size(), "mean_bytes": told.bytes_written / max(told.rows_written, 1)}


def set_up() -> World:
    """An installation with the cast in it."""

    call_command("migrate", verbosity=0, interactive=False)
    if connection.vendor == "sqlite":
        connection.cursor().execute("PRAGMA synchronous=OFF")  # building is not what is measured
    instance = uuid7()
    log, issuer = make_keys(origin_of(instance, 1), keys.folder())
    create_ledger(instance=instance, log=log, issuer=issuer)
    return World(Cast.assemble())


class _Mould:
    """The story's entries as text with places for what differs between tellings."""

    def __init__(self, entries: list[str], common: set[str]) -> None:
        places: dict[str, int] = {}
        self._entries: list[tuple[list[str], list[int]]] = []
        for text in entries:
            pieces, numbers, end = [], [], 0
            for found in _TOKEN.finditer(text):
                if found[0] not in common:
                    pieces.append(text[end : found.start()])
                    numbers.append(places.setdefault(found[0], len(places)))
                    end = found.end()
            self._entries.append(([*pieces, text[end:]], numbers))
        first, last = (datetime.datetime.fromisoformat(entries[at][_AT][:-1]) for at in (0, -1))
        span = last - first
        step = datetime.timedelta(seconds=int(span.total_seconds()) + 1)
        self.make: dict[str, Callable[[int], str]] = {token: _maker(token, step) for token in places}

    def tell(self, number: int) -> Iterator[str]:
        """The entries of one telling."""
        tokens = [make(number) for make in self.make.values()]
        for pieces, numbers in self._entries:
            filled = itertools.chain.from_iterable(zip(pieces, (tokens[index] for index in numbers), strict=False))
            yield "".join(filled) + pieces[-1]


def _is_time(token: str) -> bool:
    return token[4] == "-"


def _maker(token: str, step: datetime.timedelta) -> Callable[[int], str]:
    """The token as it stands in a telling."""
    if token.startswith("sha256:"):
        return lambda number: "sha256:" + hashlib.sha256(b"%d %s" % (number, token.encode())).hexdigest()
    if _is_time(token):
        moment = datetime.datetime.fromisoformat(token[:-1])
        return lambda number: (moment + number * step).isoformat(timespec="microseconds") + "Z"
    milliseconds = int(token[:8] + token[9:13], 16)

    def later(number: int) -> str:
        text = f"{milliseconds + number * step // datetime.timedelta(milliseconds=1):012x}"
        return f"{text[:8]}-{text[8:]}{token[13:]}"

    return later


class _Telling:
    """The story again and again, written in bulk."""

    def __init__(self) -> None:

        told: list[str] = []
        common: set[str] = set()  # people, team, keys: they are not born again
        self._frontier = merkle.Frontier()
        for stream, entry, leaf in Entry.objects.order_by("position").values_list("stream", "entry", "leaf"):
            self._frontier.append(bytes(leaf))
            text = bytes(entry).decode()
            if stream == "instance" or stream.startswith("team:"):
                common.update(_TOKEN.findall(text))
            else:
                told.append(text)
        self._mould = _Mould(told, common)
        self._documents = [
            ref["digest"] for text in told for ref in json.loads(text)["event"]["refs"]
            if ref["digest"] in self._mould.make
        ]  # fmt: skip
        self._signer = keys.log_signer()
        self._rows: list[Any] = []
        self._checkpoints: list[Any] = []
        self.rows_written = self.bytes_written = 0

    def tell_until(self, wanted: int) -> None:
        """Tell until there are so many entries."""
        for number in itertools.count(1):
            if self._frontier.size >= wanted:
                break
            self._store(number)
            for text in itertools.islice(self._mould.tell(number), wanted - self._frontier.size):
                self._add(text)
            if len(self._rows) >= _BATCH:
                self._write()
        self._write()

    def _store(self, number: int) -> None:
        """The documents of a telling are other names of the story's own: their sizes are what verification asks for."""

        for digest in dict.fromkeys(self._documents):
            link = path_of(self._mould.make[digest](number))
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(path_of(digest), link)

    def _add(self, text: str) -> None:

        data = text.encode()
        leaf = merkle.leaf_hash(data)
        stream, _, number = text[text.rindex('"stream":"') + 10 : -len(',"v":1}')].partition('","stream_seq":')
        position = self._frontier.size
        self._rows.append((position, stream, int(number), text[_AT], data, leaf))
        self._frontier.append(leaf)
        self.bytes_written += len(data)
        if self._frontier.size % ENTRIES_PER_CHECKPOINT == 0:
            root = self._frontier.root()
            note = notes.sign_checkpoint(self._signer, self._frontier.size, root).decode()
            now = datetime.datetime.now(datetime.UTC)
            self._checkpoints.append(Checkpoint(size=self._frontier.size, root=root, note=note, signed_at=now))

    def _write(self) -> None:

        _insert(self._rows)
        Checkpoint.objects.bulk_create(self._checkpoints)
        folder = Path(settings.PRESSMARK_CHECKPOINTS)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / checkpoints.FILE).open("ab") as file:
            file.writelines(base64.b64encode(row.note.encode()) + b"\n" for row in self._checkpoints)
        self.rows_written += len(self._rows)
        self._rows.clear()
        self._checkpoints.clear()


def _insert(rows: list[Any]) -> None:

    insert = "INSERT INTO audit_entry (position, stream, stream_seq, at, entry, leaf) VALUES "
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.executemany(insert + "(%s, %s, %s, %s, %s, %s)", rows)
        else:
            execute_values(cursor.cursor, insert + "%s", rows, page_size=500)


def teams(count: int) -> dict[str, Any]:
    """A ledger of so many teams, made by the service: every row of theirs stands in a table."""

    world = set_up()
    for number in range(count):
        access.create_team(actor=world.cast.root, slug=f"team-{number}", title=f"Team number {number}")
    return {"teams": count}
