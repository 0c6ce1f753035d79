"""What was signed for this ledger before it is reopened: read from the checkpoints outside the database, and those kept elsewhere.

One reason: a reopening seals where the old origin ended. Rules:
- the end of the old origin is its largest checkpoint that a key of this installation signed, wherever it was kept;
- what this ledger agrees with is the largest of them that it still continues;
- every origin of this instance that was ever signed for is used up: the next epoch is beyond all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from audit import checkpoints, eras, keys, notes
from audit.models import Checkpoint, Ledger
from audit.outside import every
from audit.signing import PublicKey
from registry.errors import Invalid

_ORIGIN = re.compile(r"pressmark/([0-9a-f-]{36})/([1-9][0-9]{0,8})")


@dataclass(frozen=True)
class Past:
    """`last`: the end of the old origin, None when nothing was ever signed. `documents`: the notes that the reopening seals."""

    last: notes.Checkpoint | None
    agreed_size: int
    epoch: int
    documents: list[bytes]


@dataclass(frozen=True)
class _Claim:
    checkpoint: notes.Checkpoint
    note: bytes


@dataclass(frozen=True)
class _Judge:
    """The log keys that this ledger ever had, and those whose private half lies here: of a history that was lost."""

    keys: list[PublicKey]

    def is_signed(self, claim: _Claim) -> bool:
        """Whether one of them signed it."""
        for key in self.keys:
            with suppress(notes.NoteError):
                notes.open_checkpoint(claim.note, key)
                return True
        return False


def read(ledger: Ledger, given: Sequence[bytes] = ()) -> Past:
    """`given`: checkpoints that somebody kept elsewhere. Invalid when one is of another instance or of an ended origin."""
    judge = _Judge([era.keys.log for era in reversed(eras.read())] + keys.log_keys_here())
    outside = every()
    elsewhere = [_given(ledger, note) for note in given]
    claims = [*_claims(outside), *elsewhere, *_claims([row.note.encode() for row in _newest_rows()])]
    ours = sorted((c for c in claims if c.checkpoint.origin == ledger.origin), key=lambda c: -c.checkpoint.size)
    last = next((claim for claim in ours if judge.is_signed(claim)), None)
    documents = [claim.note for claim in ([] if last is None else [last]) + elsewhere]
    return Past(
        last=None if last is None else last.checkpoint,
        agreed_size=_agreed_size(judge, ours),
        epoch=max([ledger.epoch, *(_epoch(ledger, c.checkpoint.origin) for c in claims)]),
        documents=list(dict.fromkeys([*documents, *outside[-1:]])),
    )


def _claims(data: Sequence[bytes]) -> Iterator[_Claim]:
    for note in data:
        try:
            yield _Claim(notes.parse_checkpoint_body(notes.parse_note(note).text), note)
        except notes.NoteError:  # a damaged line proves nothing; `pressmark verify-ledger` names it
            continue


def _given(ledger: Ledger, note: bytes) -> _Claim:
    claim = next(_claims([note]), None)
    if claim is None:
        raise Invalid("That is no checkpoint.", hint="Give the note as it was handed out: three lines and a signature.")
    epoch = _epoch(ledger, claim.checkpoint.origin)
    if 0 < epoch < ledger.epoch:
        raise Invalid(
            f"That checkpoint is of {claim.checkpoint.origin}, which ended when the ledger was reopened as {ledger.origin}.",
            hint=f"How the old origin ended is sealed already. Give the newest checkpoint of {ledger.origin} that anybody kept, "
            "or leave it out. Whether this ledger continues an old one, `pressmark verify-ledger --checkpoint FILE` says.",
        )
    if not epoch:
        raise Invalid(
            f"That checkpoint is of {claim.checkpoint.origin}, this ledger is {ledger.origin}.",
            hint="Give a checkpoint of this installation.",
        )
    return claim


def _newest_rows() -> list[Checkpoint]:
    """Where the file outside is lost, what the database remembers of it must do."""
    return list(Checkpoint.objects.order_by("-size")[:2])


def _epoch(ledger: Ledger, origin: str) -> int:
    """The epoch of an origin of this instance; 0 for one of another."""
    match = _ORIGIN.fullmatch(origin)
    return int(match[2]) if match and match[1] == str(ledger.instance) else 0


def _agreed_size(judge: _Judge, ours: Sequence[_Claim]) -> int:
    size = checkpoints.ledger_size()
    for claim in ours:
        known = claim.checkpoint
        if known.size <= size and judge.is_signed(claim) and checkpoints.root_at(known.size) == known.root:
            return known.size
    return 0
