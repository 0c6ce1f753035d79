"""What a step says about itself: every large weight is either changed, and how, or left alone, and why."""

from __future__ import annotations

from dataclasses import dataclass, field

from compression_engine.canonical import JSON


@dataclass
class Report:
    """What a step did: tensors changed (and how), tensors left alone (and why)."""

    changed: list[dict[str, JSON]] = field(default_factory=list)
    left: list[dict[str, JSON]] = field(default_factory=list)

    def change(self, name: str, how: str) -> None:
        """Notes a changed tensor."""
        self.changed.append({"how": how, "name": name})

    def leave(self, name: str, reason: str) -> None:
        """Notes a tensor that stays as it is."""
        self.left.append({"name": name, "reason": reason})
