"""The quantisation map for readers: how many tensors are stored how, and the list of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SHOWN_MAX = 400


@dataclass(frozen=True)
class StoredTensors:
    """The first entries by name, how many there are, and a line of what they are."""

    rows: Sequence[Mapping[str, Any]]
    total: int
    said: str

    @property
    def more(self) -> int:
        """How many are not listed here; the run has them all."""
        return self.total - len(self.rows)


def stored_tensors(entries: Sequence[Mapping[str, Any]]) -> StoredTensors | None:
    """What the page shows of a map; None for an empty one."""
    if not entries:
        return None
    weights = Counter(str(one["dtype"]) for one in entries if one["values_digest"] is not None)
    running = sum(one["values_digest"] is None for one in entries)
    said = [f"{count} {_tensors(count)} in {dtype}" for dtype, count in sorted(weights.items())]
    if running:
        said.append(f"{running} {_tensors(running)} rounded while running")
    return StoredTensors(entries[:_SHOWN_MAX], len(entries), ", ".join(said))


def _tensors(count: int) -> str:
    return "tensor" if count == 1 else "tensors"
