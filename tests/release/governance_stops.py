"""The plain model: what exists and what stops it. Versions and their descent, corrections, recalls, ways out of quarantine."""

from __future__ import annotations

from tests.release.governance_people import DECIDERS, People
from tests.release.governance_records import Correction, Quarantine, Recall, Version


class Stops(People):
    """Versions, and what stops them. Each act answers whether it is allowed, and changes the state only then."""

    def __init__(self) -> None:
        super().__init__()
        self.recalls: list[Recall] = []
        self.quarantines: list[Quarantine] = []

    def register(self, who: str, known: bool) -> bool:
        if "engineer" not in self.roles(who):
            return False
        self.versions.append(Version(who, known))
        return True

    def derive(self, who: str, parent: int) -> bool:
        """The worker made a child for somebody: it inherits what is known of its parent, and what stops that."""
        self.versions.append(Version(who, self.versions[parent].known, parent))
        child = len(self.versions) - 1
        for number, recall in enumerate(self.recalls):
            if not recall.ended and recall.version in self.line_of(child):
                self.quarantines.append(Quarantine(child, number))
        return True

    def line_of(self, version: int) -> list[int]:
        """A version and whatever it was made from."""
        found = [version]
        while (parent := self.versions[found[-1]].parent) is not None:
            found.append(parent)
        return found

    def measure(self, version: int, declared: bool) -> bool:
        """The worker measured something, or ada declared it."""
        if declared and "engineer" not in self.roles("ada"):
            return False
        if declared:
            self.versions[version].declared += 1
        else:
            self.versions[version].measured += 1
        return True

    def correct(self, who: str, version: int, known: bool) -> bool:
        """Whether it is known what it was trained on is said anew; what was made from it keeps its own word."""
        state = self.versions[version]
        if not self.roles(who) & {"engineer", "compliance_officer"} or state.known == known:
            return False
        state.known = known
        state.corrections.append(Correction(self.next(), self.day))
        return True

    def stopped(self, version: int) -> bool:
        return any(q.version == version and not q.ended for q in self.quarantines)

    def open_recall(self, version: int) -> int | None:
        return next((n for n, r in enumerate(self.recalls) if r.version == version and not r.ended), None)

    def recall(self, who: str, version: int) -> bool:
        if "compliance_officer" not in self.roles(who) or self.open_recall(version) is not None:
            return False
        self.recalls.append(Recall(version))
        for reached in range(len(self.versions)):
            if version in self.line_of(reached):
                self.quarantines.append(Quarantine(reached, len(self.recalls) - 1))
        return True

    def end_recall(self, who: str, version: int) -> bool:
        number = self.open_recall(version)
        if "compliance_officer" not in self.roles(who) or number is None:
            return False
        self.recalls[number].ended = True
        for row in self.quarantines:
            if row.recall == number:
                row.ended = True
        return True

    def ask_release(self, who: str, number: int) -> bool:
        row = self.quarantines[number]
        if "engineer" not in self.roles(who) or row.ended or row.waits:
            return False
        row.waits = True
        row.asked_by.add(who)
        return True

    def decide_release(self, who: str, number: int, granted: bool) -> bool:
        row = self.quarantines[number]
        mine = {self.versions[row.version].by, *row.asked_by}
        if not self.roles(who) & DECIDERS or who in mine or row.ended or not row.waits:
            return False
        row.waits = False
        row.ended = granted
        return True
