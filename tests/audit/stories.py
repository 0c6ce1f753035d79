"""Bundles of every kind, told by the small builder: whose keys changed, which ledger was restored or copied, who cosigned."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from audit import notes
from audit.signing import Signer
from tests.audit import bundle_builder as builder
from tests.audit.bundle_builder import ELSEWHERE, INSTANCE, Ledger, Story, Witness
from tests.audit.verdicts import edit_entry

RESTORED, COPIED = f"pressmark/{INSTANCE}/2", f"pressmark/{ELSEWHERE}/2"
BACKUP, LOST = 9, 13  # the backup holds so many entries; the ledger that was lost had so many


def rotate(ledger: Ledger) -> Ledger:
    ledger.rotate()
    return ledger


def revoke(ledger: Ledger) -> Ledger:
    ledger.revoke()
    return ledger


@dataclass
class Reopen:
    """A ledger that was lost and goes on from an old backup, or a copy; `lost` is what was sealed and is no more."""

    origin: str
    lost: Ledger | None = None

    def __call__(self, ledger: Ledger) -> Ledger:
        self.lost = ledger
        goes_on = ledger.fork(BACKUP)
        goes_on.act((builder.OTHER, "version.registered", [], []))  # sealed by nobody before somebody noticed
        goes_on.reopen(self.origin, old=ledger, agreed_size=BACKUP)
        return goes_on


def rotated(**about: Any) -> Story:
    """Rotated twice before the bundle was issued, and once between that and its checkpoint."""
    return builder.tell(acts={2: rotate, 4: rotate, builder.VERSIONS: rotate}, **about)


def revoked(**about: Any) -> Story:
    """Rotated, then the new keys were stolen and revoked, then rotated."""
    return builder.tell(acts={1: rotate, 3: revoke, 5: rotate}, **about)


def reopened(origin: str = RESTORED, **about: Any) -> tuple[Story, Ledger]:
    """A ledger of 13 entries was lost, one of its 9 first goes on; and the lost one."""
    reopen = Reopen(origin)
    story = builder.tell(acts={3: reopen}, **about)
    assert reopen.lost is not None
    assert len(reopen.lost.entries) == LOST
    return story, reopen.lost


def witnessed(**about: Any) -> Story:
    story = builder.tell(**about)
    story.witnesses = [Witness(), Witness("witness.example/w2", 0x71)]
    return story


def resigned(story: Story, number: int, *signers: Signer, **changes: Any) -> Story:
    """The keys note of an era signed by others, or saying other things, and sealed so by the operator."""
    era = story.ledger.eras[number]
    facts: dict[str, Any] = {
        "origin": era.origin,
        "first": era.first,
        "log": era.log.public,
        "issuer": era.issuer.public,
    }
    note = notes.sign_keys(notes.KeysNote(**(facts | changes)), *signers)
    story.ledger.eras[number] = dataclasses.replace(era, note=note)
    reference = story.ledger.store("keys", note)
    edit_entry(story, era.first, lambda entry: entry["event"].update(refs=[reference]))
    return story


def is_never_signed(ledger: Ledger, size: int) -> bool:
    """Sizes between what a reopened ledger continues and where it goes on: the keeper signs none of them."""
    reopened = [era.first for era in ledger.eras if era.origin != ledger.eras[0].origin]
    return bool(reopened) and BACKUP < size <= reopened[0]


KINDS: dict[str, Callable[[], Story]] = {
    "model": builder.tell,
    "version": lambda: builder.tell(version=builder.version_id(2)),
    "instance": lambda: builder.tell(subject="instance"),
    "rotated": rotated,
    "revoked": revoked,
    "restored": lambda: reopened()[0],
    "copied": lambda: reopened(COPIED)[0],
    "witnessed": witnessed,
    "instance_rotated": lambda: rotated(subject="instance"),
}
