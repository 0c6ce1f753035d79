"""The answer of verify-ledger: which rules are broken, where, and from which position on nothing can be relied on.

Rules:
- a flaw names one entry, or the first and last of those among which the fault lies (a receipt covers a unit, a checkpoint more);
- the first bad position is the lowest that a flaw names; where that is a run of entries and one of them is wrong in its own bytes,
  it is that one;
- a notice is worth knowing and no flaw: history that was lost with an old backup and said to be, a key that was revoked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FLAWS_KEPT = 100
_IN_ITS_OWN_BYTES = {"leaf", "entry", "columns", "position", "tile"}


@dataclass(frozen=True)
class Flaw:
    """One broken rule, by the code of the rule; the entries `position` to `until`, None for what belongs to no entry."""

    code: str
    sentence: str
    position: int | None = None
    until: int | None = None

    def __str__(self) -> str:
        where = "" if self.position is None else f"position {self.position}: "
        if self.position is not None and self.until not in {None, self.position}:
            where = f"positions {self.position} to {self.until}: "
        return f"{where}{self.sentence} [{self.code}]"

    @property
    def _order(self) -> tuple[bool, int, int]:
        last = self.position if self.until is None else self.until
        return self.position is None, self.position or 0, last or 0


@dataclass
class LedgerReport:
    """The answer. `flaws` keeps those of the lowest positions; `flaw_count` counts all."""

    size: int = 0
    root: str = ""
    origin: str = ""
    checkpoints_checked: int = 0
    receipts_checked: int = 0
    documents_checked: int = 0
    documents_hashed: bool = False
    flaw_count: int = 0
    flaws: list[Flaw] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.flaw_count == 0

    @property
    def first_bad_position(self) -> int | None:
        """The lowest position that breaks a rule; None when none does, or when what is wrong belongs to no entry."""
        named = sorted((flaw for flaw in self.flaws if flaw.position is not None), key=lambda flaw: flaw._order)
        if not named or named[0].position is None:
            return None
        first, last = named[0].position, named[0]._order[2]
        exact = [
            flaw.position
            for flaw in named
            if flaw.code in _IN_ITS_OWN_BYTES and flaw.position is not None and first <= flaw.position <= last
        ]
        return min(exact, default=first)

    def add(self, code: str, sentence: str, position: int | None = None, until: int | None = None) -> None:
        """One more flaw."""
        self.flaw_count += 1
        self.flaws.append(Flaw(code, sentence, position, until))
        if len(self.flaws) >= 2 * FLAWS_KEPT:
            self.close()

    def notice(self, sentence: str) -> None:
        """Something worth knowing; said once."""
        if sentence not in self.notices and len(self.notices) < FLAWS_KEPT:
            self.notices.append(sentence)

    def close(self) -> None:
        """Put the flaws in order of position, and keep the first of them."""
        self.flaws.sort(key=lambda flaw: flaw._order)
        del self.flaws[FLAWS_KEPT:]

    def document(self) -> dict[str, Any]:
        """As JSON; the members are those of docs/commands.md."""
        return {
            "checkpoints_checked": self.checkpoints_checked,
            "documents_checked": self.documents_checked,
            "documents_hashed": self.documents_hashed,
            "first_bad_position": self.first_bad_position,
            "flaw_count": self.flaw_count,
            "flaws": [
                {"code": flaw.code, "position": flaw.position, "sentence": flaw.sentence, "until": flaw.until}
                for flaw in self.flaws
            ],
            "notices": list(self.notices),
            "origin": self.origin,
            "receipts_checked": self.receipts_checked,
            "root": self.root,
            "size": self.size,
        }
