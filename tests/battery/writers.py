"""100,000 events from 8 writer processes on each database, each putting children into rows that others hold.

There must be no fork, no gap, no loss, and no deadlock.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.harness import Row, at_least, at_most
from tests.services.home import Home
from tests.services.postgres import postgres_server

WRITERS, EVENTS_OF_A_UNIT = 8, 5
_UNITS_EACH, _SMALL_UNITS_EACH = 2500, 12


def run(small: bool) -> list[Row]:
    """Rows of both databases."""
    units_each = _SMALL_UNITS_EACH if small else _UNITS_EACH
    rows: list[Row] = []
    with homes(durable=not small) as found:
        for database, home in found.items():
            rows += _rows(database, units_each, home.ask("tests.battery.judging", "write", units_each, 1))
    return rows


@contextmanager
def homes(*, durable: bool) -> Iterator[dict[str, Home]]:
    """An installation on each database. SQLite waits for its disk, as the product has it; PostgreSQL if it is told to."""
    with tempfile.TemporaryDirectory(prefix="pressmark-battery-") as name, postgres_server(durable=durable) as server:
        server.create_database("pressmark")
        yield {
            "sqlite": Home(Path(name) / "sqlite"),
            "postgresql": Home(Path(name) / "postgresql", server.url("pressmark")),
        }


def _rows(database: str, units_each: int, judged: dict[str, Any]) -> list[Row]:
    units = WRITERS * units_each
    events = units * EVENTS_OF_A_UNIT
    rate = events / judged["seconds"]
    name, what = f"writers.{database}", f"{database}: {WRITERS} writers, {events:,} events ({rate:.0f}/s)"
    trouble = judged["deadlocks"] + len(judged["errors"])
    return [
        at_least(f"{name}.told", f"{what}: told to the writers", judged["told_events"], events, "events", units),
        at_most(f"{name}.deadlocks", f"{what}: deadlocks, errors", trouble, 0, "errors", units),
        *judgement(name, what, judged),
    ]


def judgement(name: str, what: str, judged: dict[str, Any]) -> list[Row]:
    """The rows that hold for whatever writers left."""
    complaints = [*judged["errors"][:3], *judged["flaws"][:3], *judged["differences"][:3]]
    if complaints:
        what += f" [{'; '.join(complaints)}]"
    units = judged["told_units"]
    return [
        at_most(f"{name}.lost", f"{what}: acknowledged and not there", judged["lost"], 0, "units", units),
        at_most(f"{name}.doubled", f"{what}: there twice", judged["doubled"], 0, "units", units),
        at_most(f"{name}.gaps", f"{what}: gaps and forks", judged["gaps"], 0, "entries", judged["entries"]),
        at_most(f"{name}.flaws", f"{what}: flaws for verify-ledger", judged["flaw_count"], 0, "flaws", judged["entries"]),
        at_most(
            f"{name}.tables", f"{what}: rows unlike their events", len(judged["differences"]), 0, "rows", judged["entries"]
        ),
    ]  # fmt: skip
