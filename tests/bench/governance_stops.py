"""Rows of what stops and turns back: a recall over 10,000 nodes, and how soon a roll-back is decided, by the clock.

Sealing ten thousand quarantines is told beside the walk, without a limit of its own: it is the ledger's speed, not the graph's.
Reading a version's bytes again is told apart from deciding: it grows with the model and is measured by every drill.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.harness import Row, at_most
from tests.services.home import Home

REACH_LIMIT_MS = 500.0
PREVIEW_LIMIT_MS = 1000.0
DECISION_LIMIT_MS = 1000.0
_RECALL = {
    "reach": ("the versions that a recall stops", REACH_LIMIT_MS),
    "preview": ("what a recall would stop, with what is live, as its page shows it", PREVIEW_LIMIT_MS),
    "start": ("a whole recall, every quarantine sealed", None),
    "end": ("the end of a whole recall", None),
}


def recall_rows(database: str, rounds: int, home: Home) -> Iterator[Row]:
    """Of the shape `layers`, in a home of its own."""
    found = home.ask("tests.bench.governance_moves", "measure_recall", 0, rounds)
    for name, (what, limit) in _RECALL.items():
        figures = found[name]
        row_id, told = f"governance-recall-{name}-{database}", f"{what}, {figures['nodes']:,} nodes, {database}"
        spread = figures["worst_ms"] - figures["median_ms"]
        if limit is None:
            yield Row(row_id, told, figures["median_ms"], "ms", None, None, figures["n"], spread, "no limit of its own")
        else:
            yield at_most(row_id, told, figures["median_ms"], limit, "ms", figures["n"], spread)


def rollback_rows(database: str, rounds: int, home: Home) -> Iterator[Row]:
    """Roll-backs to and fro, in a home of its own."""
    found = home.ask("tests.bench.governance_moves", "measure_rollback", rounds)
    for name, what in (
        ("decision", "deciding on a roll-back, without the bytes"), ("act", "the move itself: judged again, sealed, committed"),
    ):  # fmt: skip
        figures = found[name]
        n = int(figures["n"])
        row_id, told = f"governance-rollback-{name}", f"{what}, {database}"
        yield Row(
            f"{row_id}-p50-{database}",
            f"{told}, p50",
            figures["p50_ms"],
            "ms",
            None,
            None,
            n,
            None,
            "its p99 has the limit",
        )
        yield at_most(f"{row_id}-p99-{database}", f"{told}, p99", figures["p99_ms"], DECISION_LIMIT_MS, "ms", n)
