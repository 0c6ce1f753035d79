"""The answer of verify-ledger: which rules are broken, where, and from which position on nothing can be relied on.

Rules:
- a flaw names one entry, or the first and last of those among which the fault lies (a receipt covers a unit, a checkpoint more);
- the first bad position is the lowest that is known to be wrong: of a run of entries it is the first, unless another flaw tells
  more exactly which of them it is;
- a notice is worth knowing and no flaw: history that was lost with an old backup and said to be, a key that was revoked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FLAWS_KEPT = 100
_EXACT = {"leaf", "entry", "columns", "position", "tile", "receipt"}


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
    def _last(self) -> int | None:
        return self.position if self.until is None else self.until

    @property
    def _order(self) -> tuple[bool, int, int]:
        return self.position is None, self.position or 0, self._last or 0

    def _tells_more_than(self, other: Flaw) -> bool:
        """Whether it names some of the entries among which the other's fault lies, by looking at just these."""
        if self.position is None or other.position is None or self._last is None or other._last is None:
            return False
        inside = other.position <= self.position and self._last <= other._last
        return self.code in _EXACT and inside and self._last - self.position < other._last - other.position


@dataclass
class LedgerReport:
    """The answer. `flaws` keeps a hundred, those of the lowest positions; `flaw_count` counts all."""

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
        """The lowest position known to be wrong; None when none is, or when what is wrong belongs to no entry."""
        named = [
            flaw.position
            for flaw in self.flaws
            if flaw.position is not None and not any(other._tells_more_than(flaw) for other in self.flaws)
        ]
        return min(named, default=None)

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
        """Put the flaws in order of position, and keep the first of those that tell exactly and the first of the others."""
        self.flaws.sort(key=lambda flaw: flaw._order)
        if len(self.flaws) > FLAWS_KEPT:
            exact = [flaw for flaw in self.flaws if flaw.code in _EXACT]
            others = [flaw for flaw in self.flaws if flaw.code not in _EXACT]
            half = FLAWS_KEPT // 2
            kept = exact[: max(half, FLAWS_KEPT - len(others))] + others[: max(half, FLAWS_KEPT - len(exact))]
            self.flaws = sorted(kept, key=lambda flaw: flaw._order)

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
