"""Tree and checkpoints: the keeper grows the tiles, compares with the last checkpoint outside the database, and signs the next.

Rules:
- before signing, the ledger must contain the last outside checkpoint: same origin, not shorter, same root at that size;
- a ledger that is shorter or other is refused, and the reason is kept for the health page; nothing is signed then;
- the note goes to the file outside the database first (synced), then to its row;
- size 0 is never signed; nothing is signed when there is no news.
"""

from __future__ import annotations

import base64
import datetime
import os
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from audit import eras, merkle, notes
from audit.keys import log_signer
from audit.models import Checkpoint, Entry, Tick, Tile
from registry.errors import Conflict
from registry.storage import sync_folder

FILE = "checkpoints.log"
LATEST = "latest.note"
TICK = "sign-checkpoint"
WAIT_SECONDS = 5.0
KEEPER_SILENT_SECONDS = 10
_BATCH_LEAVES = 50_000


class LedgerRefused(Conflict):
    """The ledger does not continue the last checkpoint that was signed: an old backup, a copy, or a rewritten history."""

    code = "ledger-refused"
    title = "The ledger does not continue its own history"


def _folder() -> Path:
    return Path(settings.PRESSMARK_CHECKPOINTS)


def outside_notes() -> list[bytes]:
    """Every checkpoint in the file outside the database, oldest first."""
    try:
        lines = (_folder() / FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [base64.b64decode(line) for line in lines if line]


def last_outside() -> notes.Checkpoint | None:
    """The newest checkpoint outside the database, its signature checked against the key of its era.

    LedgerRefused when it is signed by no key of this ledger: it belongs to another one.
    """
    kept = outside_notes()
    if not kept:
        return None
    try:
        return eras.open_checkpoint(eras.read(), kept[-1])
    except (eras.EraError, notes.NoteError) as error:
        raise LedgerRefused(
            f"The last checkpoint outside the database is not of this ledger: {error}.",
            hint="Restore the database and the keys that belong to this file of checkpoints; nothing was signed.",
        ) from None


def _write_outside(note: bytes) -> None:
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("ab") as target:
        target.write(base64.b64encode(note) + b"\n")
        target.flush()
        os.fsync(target.fileno())
    temporary = folder / (LATEST + ".new")
    temporary.write_bytes(note)
    os.replace(temporary, folder / LATEST)
    sync_folder(folder)


def read_tile(level: int, index: int) -> bytes:
    """The hashes of one tile."""
    return bytes(Tile.objects.values_list("hashes", flat=True).get(level=level, index=index))


def tree(size: int | None = None) -> merkle.TileTree:
    """The tree as far as it is built."""
    return merkle.TileTree(read_tile, built_size() if size is None else size)


def built_size() -> int:
    """How many leaves the tiles hold."""
    last = Tile.objects.filter(level=0).order_by("-index").first()
    return 0 if last is None else last.index * merkle.TILE_WIDTH + len(last.hashes) // merkle.HASH_BYTES


def ledger_size() -> int:
    """How many entries there are."""
    last = Entry.objects.order_by("-position").values_list("position", flat=True).first()
    return 0 if last is None else last + 1


def grow() -> int:
    """Take every new leaf into the tiles; returns the size of the tree."""
    while True:
        with transaction.atomic():
            size = built_size()
            leaves = [
                bytes(leaf)
                for leaf in Entry.objects.filter(position__gte=size, position__lt=size + _BATCH_LEAVES)
                .order_by("position")
                .values_list("leaf", flat=True)
            ]
            if not leaves:
                return size
            for (level, index), hashes in merkle.grow_tiles(read_tile, size, leaves).items():
                Tile.objects.update_or_create(level=level, index=index, defaults={"hashes": hashes})


def sign_next() -> Checkpoint | None:
    """Sign the ledger as it stands, if there is news; None when there is none. Raises LedgerRefused."""
    last = last_outside()
    if last is None and Checkpoint.objects.exists():
        raise LedgerRefused(
            "The file of checkpoints outside the database is gone, but checkpoints were signed before.",
            hint="Restore the file from its backup; without it nobody can tell this ledger from a shorter copy.",
        )
    _refuse_shorter(last)
    size = grow()
    if size == 0:
        return None
    built = tree(size)
    if last is not None and built.root(last.size) != last.root:
        raise LedgerRefused(
            f"At size {last.size} this ledger has another root than the checkpoint that was signed for it.",
            hint="The history was rewritten or belongs to another copy. Restore the right database; nothing was signed.",
        )
    if last is not None and size == last.size:
        _store_missing(last, outside_notes()[-1])
        return None
    note = notes.sign_checkpoint(log_signer(size - 1), size, built.root())
    _write_outside(note)
    return _store(size, built.root(), note)


def _refuse_shorter(last: notes.Checkpoint | None) -> None:
    size = ledger_size()
    if last is not None and size < last.size:
        raise LedgerRefused(
            f"The ledger has {size} entries, but a checkpoint over {last.size} was signed.",
            hint="This is an old backup or a cut ledger. Restore the newest backup; nothing was signed.",
        )


def _store_missing(last: notes.Checkpoint, note: bytes) -> None:
    if not Checkpoint.objects.filter(size=last.size).exists():
        _store(last.size, last.root, note)


def _store(size: int, root: bytes, note: bytes) -> Checkpoint:
    now = datetime.datetime.now(datetime.UTC)
    return Checkpoint.objects.create(size=size, root=root, note=note.decode(), signed_at=now)


def covering(position: int) -> Checkpoint | None:
    """The newest checkpoint, if it covers the entry at that position."""
    last = Checkpoint.objects.order_by("-size").first()
    return last if last is not None and last.size > position else None


def wait_for(*, position: int, timeout_seconds: float = WAIT_SECONDS, **kwargs: Any) -> int | None:
    """Receiver of `registry.events.covering`: wait for the keeper to sign past a position; the size of that checkpoint.

    None when it does not come in time, and at once when no keeper has signed lately: the act stays committed, and is pending.
    """
    deadline = time.monotonic() + timeout_seconds
    while (found := covering(position)) is None:
        if time.monotonic() >= deadline or not _keeper_signs():
            return None
        time.sleep(0.05)
    return found.size


def _keeper_signs() -> bool:
    """Whether some keeper took its turn at signing within the last seconds, and did not fail."""
    recent = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=KEEPER_SILENT_SECONDS)
    return Tick.objects.filter(name=TICK, last_run_at__gte=recent, last_error="").exists()
