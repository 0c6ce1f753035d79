"""Ten attacks on ledgers of every size, on SQLite and on a real PostgreSQL, with what an outsider kept: all must be caught.

Beside them, ledgers that nobody touched, with rotations, revocations, reopenings and erasures: none must be complained of.
Full size: 200 trials of each attack and 400 clean ledgers on each database, from two ledgers that grow.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.harness import Row, at_least, at_most
from tests.services.home import Home
from tests.services.postgres import PostgresServer, postgres_server

_SEEDS = {"sqlite": (11, 12), "postgresql": (21, 22)}
_STEPS, _SMALL_STEPS = 100, 3


@dataclass(frozen=True)
class _Lineage:
    """A ledger that grows: on which database, by which chances, how often."""

    database: str
    seed: int
    steps: int


def run(small: bool) -> list[Row]:
    """Rows of both databases."""
    seeds = {name: found[:1] if small else found for name, found in _SEEDS.items()}
    steps = _SMALL_STEPS if small else _STEPS
    lineages = [_Lineage(database, seed, steps) for database, found in seeds.items() for seed in found]
    with (
        tempfile.TemporaryDirectory(prefix="pressmark-battery-") as name,
        postgres_server(durable=False) as server,
        ThreadPoolExecutor(max_workers=2) as pool,
    ):
        told = list(pool.map(lambda lineage: _tell(Path(name), server, lineage), lineages))
    rows: list[Row] = []
    for database in seeds:
        rows += _rows(database, [t for lineage, t in zip(lineages, told, strict=True) if lineage.database == database])
    return rows


def _tell(folder: Path, server: PostgresServer, lineage: _Lineage) -> dict[str, Any]:
    """What one growing ledger's trials came to."""
    url, place = "", f"{lineage.database}-{lineage.seed}"
    if lineage.database == "postgresql":
        server.create_database(place)
        url = server.url(place)
    home = Home(folder / place, url)
    tally = home.ask("tests.battery.tampering_trials", "in_an_installation", lineage.seed, lineage.steps)
    for fault in tally["faults"]:
        print(f"{place}: {fault}", file=sys.stderr)
    return tally


def _rows(database: str, told: list[dict[str, Any]]) -> list[Row]:
    attacked, caught, named = (_sum(told, member) for member in ("attacked", "caught", "named"))
    rows = [
        at_least(f"tampering.{database}.{number}", f"{database}: {name}", caught[name], count, "caught", count)
        for number, (name, count) in enumerate(attacked.items(), 1)
    ]
    total, clean = attacked.total(), sum(tally["clean"] for tally in told)
    sizes = [size for tally in told for size in tally["sizes"]]
    over = f"ledgers of {min(sizes)} to {max(sizes)} entries"
    alarms = sum(tally["false_alarms"] for tally in told)
    return [
        *rows,
        at_least(f"tampering.{database}.caught", f"{database}: caught, {over}", caught.total(), total, "caught", total),
        at_least(
            f"tampering.{database}.named", f"{database}: first bad position named", named.total(), total, "named", total
        ),
        at_most(f"tampering.{database}.false_alarms", f"{database}: clean ledgers complained of", alarms, 0, "ledgers", clean),
    ]  # fmt: skip


def _sum(told: list[dict[str, Any]], member: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for tally in told:
        total.update(tally[member])
    return total
