"""What an anchor is given, and how it says that it did not take a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from audit import notes


class AnchorError(Exception):
    """The checkpoint was not anchored; the message says why and what to do."""


@dataclass(frozen=True)
class Task:
    """One checkpoint for one anchor. `place` is a folder of the anchor's own; `root_at` gives this ledger's root at a size."""

    target: str
    option: str
    checkpoint: notes.Checkpoint
    note: bytes
    place: Path
    root_at: Callable[[int], bytes | None]

    @property
    def file_stem(self) -> str:
        """The origin as part of a file name."""
        return self.checkpoint.origin.replace("/", "-")

    def demand_continued(self, note: bytes, where: str) -> notes.Checkpoint:
        """The checkpoint that lies there, if this ledger continues it. Raises AnchorError."""
        try:
            theirs = notes.parse_checkpoint_body(notes.parse_note(note).text)
        except notes.NoteError as error:
            raise AnchorError(f"{where} holds something that is no checkpoint: {error}") from None
        if theirs.origin == self.checkpoint.origin and self.root_at(theirs.size) != theirs.root:
            raise AnchorError(
                f"{where} holds a checkpoint over {theirs.size} entries that this ledger does not continue: one of the two was "
                "rewritten, restored from an old backup, or copied. Run `pressmark verify-ledger` with that file as --checkpoint"
            )
        return theirs


Anchor = Callable[[Task], bytes | None]
"""Takes a checkpoint away; returns a proof to keep beside it, or None. Raises AnchorError."""
