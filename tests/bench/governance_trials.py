"""Rows of trying a policy on all that is served, and of looking for lapsed approvals. The limit holds for the work (CPU)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.harness import Row, at_most
from tests.services.home import Home

LIMIT_S = 30.0
_WHAT = {
    "dry-run": "a policy tried on 1,000 aliases that serve 20 versions",
    "lapses": "one look for lapsed approvals behind 1,000 aliases",
}


def trial_rows(database: str, rounds: int, home: Home) -> Iterator[Row]:
    """In a home of its own; building it takes a minute."""
    found = home.ask("tests.bench.governance_rules", "measure", rounds)
    for name, what in _WHAT.items():
        figures, row_id = found[name], f"governance-{name}-{database}"
        told, n = f"{what}, {database}", int(figures["n"])
        yield at_most(row_id, told, figures["cpu_s"], LIMIT_S, "s", n, figures["spread_s"])
        clock = "the time on the clock, with whatever else ran"
        yield Row(f"{row_id}-clock", f"{told}, clock", figures["clock_s"], "s", None, None, n, None, clock)
