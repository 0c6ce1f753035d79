"""Terms and recalls over a lineage of 10,000 nodes, in three shapes, on both databases, beside a plain recursive statement.

The plain statement reads ids and licences and computes nothing: it is the floor beneath which no walk can be, not a rival. Each
contender takes its turn in every round, in another order. What is held against the limit is the work of both processes (CPU), which
neighbours on the machine cannot lengthen by taking turns; the time on the clock stands beside it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.governance_stops import recall_rows, rollback_rows
from tests.bench.governance_trials import trial_rows
from tests.bench.harness import Row, at_most, not_measured, of_a_peer
from tests.services.home import Home
from tests.services.postgres import ServiceMissing, running_postgres

SHAPES = ("layers", "chain", "star")
LIMIT_MS = 500.0
_WHAT = {
    "terms": "effective terms with proof",
    "terms_listed": "the same with every source listed",
    "descendants": "all descendants, for a recall",
    "terms_cte": "plain recursive statement upwards",
    "descendants_cte": "plain recursive statement downwards",
}


def run(quick: bool) -> list[Row]:
    """Rows of both databases. `quick`: fewer rounds."""
    rounds = 3 if quick else 11
    rows = []
    with tempfile.TemporaryDirectory(prefix="pressmark-bench-") as name:
        for shape in range(len(SHAPES)):
            rows += _rows("sqlite", shape, rounds, Home(Path(name) / f"sqlite-{shape}"))
        rows += recall_rows("sqlite", rounds, Home(Path(name) / "sqlite-recall"))
        rows += rollback_rows("sqlite", 4 * rounds, Home(Path(name) / "sqlite-rollback"))
        rows += trial_rows("sqlite", 1 if quick else 3, Home(Path(name) / "sqlite-trials"))
        try:
            for shape in range(len(SHAPES)):
                with running_postgres() as url:
                    rows += _rows("postgresql", shape, rounds, Home(Path(name) / f"postgresql-{shape}", url))
            with running_postgres() as url:
                rows += recall_rows("postgresql", rounds, Home(Path(name) / "postgresql-recall", url))
            with running_postgres() as url:
                rows += rollback_rows("postgresql", 4 * rounds, Home(Path(name) / "postgresql-rollback", url))
            with running_postgres() as url:
                rows += trial_rows("postgresql", 1 if quick else 3, Home(Path(name) / "postgresql-trials", url))
        except ServiceMissing as missing:
            rows.append(not_measured("governance-postgresql", "terms and recalls on PostgreSQL", "ms", str(missing)))
    return rows


def _rows(database: str, shape: int, rounds: int, home: Home) -> list[Row]:
    found = home.ask("tests.bench.governance_graph", "measure", shape, rounds)
    return list(_each(database, SHAPES[shape], rounds, found))


def _each(database: str, shape: str, rounds: int, found: dict[str, Any]) -> Iterator[Row]:
    for name, what in _WHAT.items():
        figures = found[name]
        row_id = f"governance-{name.replace('_', '-')}-{shape}-{database}"
        told = f"{what}, {figures['nodes']:,} nodes, {shape}, {database}"
        cpu, spread = figures["cpu_ms"], figures["cpu_spread_ms"]
        if name.endswith("_cte"):
            yield of_a_peer(row_id, told, cpu, "ms", rounds, spread)
        else:
            yield at_most(row_id, told, cpu, LIMIT_MS, "ms", rounds, spread)
            clock = "the time on the clock, with whatever else ran"
            yield Row(f"{row_id}-clock", f"{told}, clock", figures["wall_ms"], "ms", None, None, rounds, None, clock)
