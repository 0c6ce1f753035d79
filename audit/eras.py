"""Which two keys sign for the ledger at which position: the eras, read from the entries that begin them (FORMATS, section 6).

One reason: receipts, checkpoints, bundles and every verifier ask the same question, "whose signature is right at this position?".
Rules:
- an era begins with `ledger.created`, `key.rotated`, `key.revoked` or `ledger.reopened`, at the position of that entry, and lasts
  until the next one begins; it always brings both keys anew;
- its keys note is signed by both its keys; after a rotation, and when a restored ledger is reopened, by the two before as well, so
  that whoever knows one of them knows the next; after a revocation, and in a copy, by the new ones alone;
- a checkpoint of size n belongs to the era at position n - 1 of its origin; a receipt to the era at its first position;
- under an origin that the ledger has left, an earlier key of that origin may have signed in their place: what was lost with an old
  backup had other positions than what stands there now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from audit import entries, notes
from audit.entries import Bad
from audit.models import Entry, Key
from audit.signing import PublicKey
from registry import storage
from registry.errors import Problem

KINDS = ("ledger.created", "key.rotated", "key.revoked", "ledger.reopened")


@dataclass(frozen=True)
class Era:
    """From position `first` on these two keys sign. `vouched`: whether the keys before signed for these."""

    first: int
    kind: str
    keys: notes.KeysNote
    note: bytes
    vouched: bool

    @property
    def origin(self) -> str:
        return self.keys.origin


class EraError(ValueError):
    """An era that does not follow from the one before; `position` is the entry that claims to begin it."""

    def __init__(self, sentence: str, position: int) -> None:
        super().__init__(sentence)
        self.position = position


def read() -> list[Era]:
    """The eras of this ledger, oldest first, each checked against the one before. Raises EraError."""
    positions = sorted(set(Key.objects.values_list("first_position", flat=True)) | {0})
    rows = dict(Entry.objects.filter(position__in=positions).values_list("position", "entry"))
    found: list[Era] = []
    for position in positions:
        row = rows.get(position)
        if row is None:
            raise EraError("the entry that names the keys is missing", position)
        try:
            found.append(follow(found[-1] if found else None, entries.parse(bytes(row)), position))
        except Bad as error:
            raise EraError(f"the entry that names the keys cannot be read: {error}", position) from None
    return found


def follow(before: Era | None, entry: entries.ParsedEntry, position: int) -> Era:
    """The era that an entry begins after another one. Raises EraError."""
    kind = str(entry.event["kind"])
    if kind not in KINDS or (kind == KINDS[0]) != (before is None):
        raise EraError(f"{kind} begins no era here", position)
    digest = next((str(ref["digest"]) for ref in entry.event["refs"] if ref["name"] == "keys"), None)
    if digest is None:
        raise EraError(f"{kind} names no keys", position)
    try:
        note = storage.read_bytes(digest)
        keys = _opened(note)
    except (Problem, notes.NoteError) as error:
        raise EraError(f"the keys note of {kind} cannot be read: {error}", position) from None
    if keys.first != position:
        raise EraError(f"the keys note says position {keys.first}", position)
    vouched = before is not None and signed_by(note, before.keys.log, before.keys.issuer)
    _check_origin(before, kind, keys, vouched, position)
    return Era(position, kind, keys, note, vouched)


def _check_origin(before: Era | None, kind: str, keys: notes.KeysNote, vouched: bool, position: int) -> None:
    if before is None:
        return
    if kind == "key.rotated" and not vouched:
        raise EraError("the keys note of a rotation is not signed by the keys before", position)
    if (kind == "ledger.reopened") == (keys.origin == before.origin):
        raise EraError(f"{kind} goes from {before.origin} to {keys.origin}", position)


@lru_cache(maxsize=256)
def _opened(note: bytes) -> notes.KeysNote:
    """The keeper asks every second: the same bytes are not verified again."""
    return notes.open_keys(note)


@lru_cache(maxsize=256)
def signed_by(note: bytes, *keys: PublicKey) -> bool:
    """Whether each of the keys signed the note."""
    try:
        notes.parse_note(note).require(*keys)
    except notes.NoteError:
        return False
    return True


def era_at(eras: Sequence[Era], position: int) -> Era:
    """The era that a position belongs to."""
    return next(era for era in reversed(eras) if era.first <= position)


def era_of_checkpoint(eras: Sequence[Era], origin: str, size: int) -> Era | None:
    """The era whose log key signs a checkpoint of that origin and size; None when there is none of that origin.

    What was signed and then lost with an old backup is larger than its origin's last era is here: it belongs to that last one.
    """
    ours = [era for era in eras if era.origin == origin]
    return next((era for era in reversed(ours) if era.first < size), ours[0] if ours else None)


def open_checkpoint(eras: Sequence[Era], data: bytes) -> notes.Checkpoint:
    """The checkpoint, if the log key of its era signed it. Raises NoteError."""
    claimed = notes.parse_checkpoint_body(notes.parse_note(data).text)
    candidates = _candidates(eras, claimed.origin, claimed.size)
    if not candidates:
        raise notes.NoteError(f"the checkpoint is of {claimed.origin}, which is no origin of this ledger")
    log = next((era.keys.log for era in candidates if signed_by(data, era.keys.log)), candidates[0].keys.log)
    return notes.open_checkpoint(data, log)


def open_receipt(eras: Sequence[Era], data: bytes) -> notes.Receipt:
    """The receipt, if the issuer key of its era signed it. Raises NoteError."""
    claimed = notes.parse_receipt_body(notes.parse_note(data).text)
    candidates = _candidates(eras, claimed.origin, claimed.first + 1)
    if not candidates:
        raise notes.NoteError(f"the receipt is of {claimed.origin}, which is no origin of this ledger")
    issuer = next(
        (era.keys.issuer for era in candidates if signed_by(data, era.keys.issuer)), candidates[0].keys.issuer
    )
    return notes.open_receipt(data, issuer)


def _candidates(eras: Sequence[Era], origin: str, size: int) -> list[Era]:
    """The era whose keys sign there, then those before it whose keys may have, under an origin that was left."""
    own = era_of_checkpoint(eras, origin, size)
    if own is None:
        return []
    if origin == eras[-1].origin:
        return [own]
    return [era for era in reversed(eras) if era.origin == origin and era.first <= own.first]
