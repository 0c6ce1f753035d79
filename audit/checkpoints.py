"""Tree and checkpoints: the keeper grows the tiles, compares with the last checkpoint outside the database, and signs the next.

Rules:
- nothing is signed anywhere but where the installation stands (`audit.seat`);
- before signing, the ledger must contain the last outside checkpoint: same origin, not shorter, same root at that size;
- under a new origin (`ledger.reopened`) the last one may still be of an older origin: then the ledger must continue it, or the
  reopening must have sealed it as the last of what was lost;
- what a witness shows to be signed under this origin must be part of this ledger as well (`audit.witnessing.cosigning`);
- a ledger that is refused is not signed, and the reason is kept for the health page;
- the tree that is signed is the one that the entries' leaves give, whatever its tiles say;
- what is signed is on disk in the database before;
- the note goes to the file outside the database first (synced), then to the witnesses, then to its row, which keeps the
  cosignatures that came in time and never changes;
- size 0 is never signed; nothing is signed when there is no news.
"""

from __future__ import annotations

import datetime
import time
from typing import Any

from django.db import connection, transaction

from audit import entries, eras, merkle, notes, outside, seat
from audit.eras import Era
from audit.keys import log_signer
from audit.ledger import settle
from audit.models import Checkpoint, Entry, Tick, Tile
from audit.outside import FILE as FILE
from audit.outside import LATEST as LATEST
from audit.outside import every as outside_notes  # noqa: F401  (the name by which others ask for them)
from audit.refusal import LedgerRefused as LedgerRefused
from audit.witnessing import cosigning
from registry.digests import sha256

TICK = "sign-checkpoint"
WAIT_SECONDS = 5.0
KEEPER_SILENT_SECONDS = 10
_BATCH_LEAVES = 50_000


_REOPEN = (
    "Restore the newest backup of the database. If there is none that continues it, "
    "`pressmark reopen-ledger --restored` goes on under a new epoch; nothing was signed."
)


def demand_continuity() -> notes.Checkpoint | None:
    """Refuse a ledger that may not be signed on; writes nothing. The checkpoint that it continues, None when there is none yet."""
    found = _eras()
    origins = list(dict.fromkeys(era.origin for era in found))
    kept = outside.newest()
    last = _last_outside(found, kept)
    seat.demand(origins, signed=kept is not None)
    cosigning.refuse_other_history(lambda: found, root_or_none)
    if last is None:
        return None
    size = ledger_size()
    if size < last.size:
        raise LedgerRefused(
            f"The ledger has {size} entries, but a checkpoint over {last.size} was signed: an old backup, or it was cut.",
            hint=_REOPEN,
        )
    if root_at(last.size) != last.root:
        raise LedgerRefused(
            f"At size {last.size} this ledger has another root than the checkpoint that was signed for it: "
            "its history was rewritten, or grew again from an old backup.",
            hint=_REOPEN,
        )
    return last


def _eras() -> list[Era]:
    try:
        return eras.read()
    except eras.EraError as error:
        raise LedgerRefused(
            f"The keys of this ledger cannot be known: at position {error.position} {error}.",
            hint="Restore database and store/ from one backup, then see `pressmark verify-ledger`.",
        ) from None


def _last_outside(found: list[Era], kept: bytes | None) -> notes.Checkpoint | None:
    """The newest checkpoint outside the database under the present origin, its signature checked; None when there is none yet."""
    present = found[-1].origin
    begun = next(era for era in found if era.origin == present)
    signed = Checkpoint.objects.filter(size__gt=begun.first).exists()
    if kept is None:
        if signed:
            raise LedgerRefused(
                "The file of checkpoints outside the database is gone, but checkpoints were signed before.",
                hint="Restore checkpoints/ from its backup; without it nobody can tell this ledger from a shorter copy. "
                "If it is lost, or this is a copy, see `pressmark reopen-ledger`.",
            )
        return None
    try:
        last = eras.open_checkpoint(found, kept)
    except notes.NoteError as error:
        if not signed and is_sealed_by(begun, kept):
            return None
        raise LedgerRefused(
            f"The last checkpoint outside the database is not of this ledger: {error}.",
            hint="Restore the database and the keys that belong to this file of checkpoints. " + _REOPEN,
        ) from None
    if last.origin == present:
        return last
    if signed or not (is_sealed_by(begun, kept) or _continues(last, begun)):
        raise LedgerRefused(
            f"The last checkpoint outside the database is of {last.origin}, size {last.size}; this ledger goes on as {present}.",
            hint="Somebody signed on under the old origin, or the file was put back. Stop the other one, restore checkpoints/.",
        )
    return None


def is_sealed_by(begun: Era, note: bytes) -> bool:
    """Whether the entry that began an era refers to this checkpoint as the last of what was before."""
    entry = entries.parse(bytes(Entry.objects.get(position=begun.first).entry))
    return any((ref["name"], ref["digest"]) == ("checkpoint", sha256(note)) for ref in entry.event["refs"])


def _continues(last: notes.Checkpoint, begun: Era) -> bool:
    return last.size <= begun.first and root_at(last.size) == last.root


def root_at(size: int) -> bytes:
    """The root of the first `size` entries, of which there must be as many; from the tiles, or the leaves where they end before."""
    if built_size() >= size:
        return tree().root(size)
    frontier = merkle.Frontier()
    leaves = Entry.objects.filter(position__lt=size).order_by("position").values_list("leaf", flat=True)
    for leaf in leaves.iterator(chunk_size=_BATCH_LEAVES):
        frontier.append(bytes(leaf))
    return frontier.root()


def root_or_none(size: int) -> bytes | None:
    """The root of the first `size` entries as they are now; None where there are not as many."""
    return root_at(size) if size <= ledger_size() else None


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
    last = demand_continuity()
    size = grow()
    if size == 0:
        return None
    if size > ledger_size():
        raise LedgerRefused(
            f"The tree holds {size} leaves, but the ledger has {ledger_size()} entries: tiles were changed, or the end was cut.",
            hint="See `pressmark verify-ledger`; restore the newest backup of the database. Nothing was signed.",
        )
    kept = outside.newest() or b""
    if last is not None and _body_of(kept) != last:
        return None  # another keeper signs at this moment
    if last is not None and size == last.size:
        _store_missing(last, kept)
        return None
    built, signer = tree(size), log_signer(size - 1)
    _demand_tiles_of_entries(0 if last is None else last.size, built)
    if last is not None and cosigning.PANEL.unheard():
        cosigning.PANEL.look(question(kept, last, built))
        cosigning.refuse_other_history(_eras, root_or_none)
    settle(connection)  # what is signed outside must not be taken back by a crash
    note = notes.sign_checkpoint(signer, size, built.root())
    if last is None:
        seat.take(signer.name)
    if not outside.append(note):
        return None  # another keeper signed on while this one slept
    return _store(size, built.root(), _cosigned(note, built))


def _demand_tiles_of_entries(signed: int, built: merkle.TileTree) -> None:
    """What is signed is the root over the entries' leaves: tiles that were changed since they grew are not signed.

    `signed`: the size of the checkpoint that the tiles were compared with already; only the leaves from there on are read.
    """
    try:
        frontier = tree(signed).frontier()
        leaves = Entry.objects.filter(position__gte=signed, position__lt=built.size).order_by("position")
        for leaf in leaves.values_list("leaf", flat=True).iterator(chunk_size=_BATCH_LEAVES):
            frontier.append(bytes(leaf))
        holds = frontier.size == built.size and frontier.root() == built.root()
    except (merkle.MerkleError, Tile.DoesNotExist):
        holds = False
    if not holds:
        raise LedgerRefused(
            f"The stored tree over {built.size} entries is not the one that the entries give: a tile was changed or is missing.",
            hint="See `pressmark verify-ledger`, which names it; restore the newest backup of the database. Nothing was signed.",
        )


def _body_of(note: bytes) -> notes.Checkpoint:
    return notes.parse_checkpoint_body(notes.parse_note(note).text)


def _cosigned(note: bytes, built: merkle.TileTree) -> bytes:
    """The note with the cosignatures that come in time. LedgerRefused when a witness shows another history."""
    cosigned = cosigning.PANEL.cosigned(question(note, _body_of(note), built))
    cosigning.refuse_other_history(_eras, root_or_none)
    if cosigned != note:
        outside.write_latest(cosigned)
    return cosigned


def question(note: bytes, signed: notes.Checkpoint, built: merkle.TileTree) -> cosigning.Question:
    """What is put to the witnesses."""
    return cosigning.Question(note, signed, built, root_or_none)


def _store_missing(last: notes.Checkpoint, note: bytes) -> None:
    if not Checkpoint.objects.filter(size=last.size).exists():
        _store(last.size, last.root, note)


def _store(size: int, root: bytes, note: bytes) -> Checkpoint:
    now = datetime.datetime.now(datetime.UTC)
    row, _ = Checkpoint.objects.get_or_create(
        size=size, defaults={"root": root, "note": note.decode(), "signed_at": now}
    )
    return row  # where the file was set back, or another keeper was quicker, the row stands already


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
