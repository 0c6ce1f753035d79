"""What every benchmark hands back: rows of figures, each with the target that it must hold.

A row without a target (`holds` null) is a peer's figure or something that could not be measured, and says why.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One figure. `target` is text such as `>= 3.9`; `n` is how many observations it rests on, `spread` how they differ."""

    id: str
    what: str
    value: float | None
    unit: str
    target: str | None
    holds: bool | None
    n: int
    spread: float | None
    reason: str | None = None

    def document(self) -> dict[str, Any]:
        """The row as JSON."""
        return asdict(self)


def at_least(row_id: str, what: str, value: float, limit: float, unit: str, n: int, spread: float | None = None) -> Row:
    """A figure that must not be below its limit."""
    return Row(row_id, what, value, unit, f">= {limit:g}", value >= limit, n, spread)


def at_most(row_id: str, what: str, value: float, limit: float, unit: str, n: int, spread: float | None = None) -> Row:
    """A figure that must not be above its limit."""
    return Row(row_id, what, value, unit, f"<= {limit:g}", value <= limit, n, spread)


def of_a_peer(row_id: str, what: str, value: float, unit: str, n: int, spread: float | None = None) -> Row:
    """A peer's figure, for comparison."""
    return Row(row_id, what, value, unit, None, None, n, spread, "a peer's figure; it has no target here")


def reported(row_id: str, what: str, value: float, unit: str, n: int, spread: float | None = None) -> Row:
    """A figure of ours that has no target of its own."""
    return Row(row_id, what, value, unit, None, None, n, spread, "it has no target")


def not_measured(row_id: str, what: str, unit: str, reason: str) -> Row:
    """A figure that is missing, and why."""
    return Row(row_id, what, None, unit, None, None, 0, None, reason)


def described(row_id: str, what: str, value: float, unit: str, reason: str) -> Row:
    """A fact about the run itself, such as the machine."""
    return Row(row_id, what, value, unit, None, None, 1, None, reason)


def failed(row_id: str, what: str, reason: str) -> Row:
    """Something that should have been measured and broke: it does not hold."""
    return Row(row_id, what, None, "-", "measured", False, 0, None, reason)


def table(rows: list[Row]) -> str:
    """The rows for a person."""
    lines = [f"{'figure':<72} {'value':>12} {'target':>12}  holds"]
    for row in rows:
        value = "-" if row.value is None else f"{row.value:.5g}"
        holds = {True: "yes", False: "NO", None: "-"}[row.holds]
        lines.append(f"{row.what[:72]:<72} {value:>12} {row.target or '':>12}  {holds}")
        if row.value is None:
            lines.append(f"    {row.reason}")
    return "\n".join(lines)
