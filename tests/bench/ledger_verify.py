"""How fast a ledger is verified, proofs are made and checkpoints come: on SQLite and on a real PostgreSQL.

The ledgers are long and true to the product's (see `long_ledger`); each measurement is a process of its own, so that its memory is
its own. `verify_rows`, `proof_rows` and `checkpoint_rows` each start what they need.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.harness import Row, at_least, at_most
from tests.services.home import Home
from tests.services.postgres import postgres_server

_BUILD, _MEASURES, _DELAYS = "tests.bench.long_ledger", "tests.bench.ledger_measures", "tests.bench.ledger_delays"
_MILLION = 1_000_000
_KEEPER_STARTS_SECONDS = 3


@dataclass(frozen=True)
class _Sizes:
    """How much is measured."""

    entries: dict[str, int]
    rounds: int
    proofs: int
    teams: int
    delays: int


_FULL = _Sizes({"sqlite": _MILLION, "postgresql": _MILLION}, rounds=3, proofs=300, teams=3000, delays=100)
_QUICK = _Sizes({"sqlite": 20_000, "postgresql": 20_000}, rounds=1, proofs=100, teams=300, delays=8)


def verify_rows(quick: bool) -> list[Row]:
    """Hash only, end to end, a million entries, memory; and replay."""
    sizes, rows = _QUICK if quick else _FULL, []
    for database in sizes.entries:
        with _home(database) as home:
            home.ask(_BUILD, "build", sizes.entries[database])
            rows += _verify_rows(database, home, sizes)
        with _home(database) as home:
            home.ask(_BUILD, "teams", sizes.teams)
            rows.append(_replay_row(database, home))
    return rows


def proof_rows(quick: bool) -> list[Row]:
    """Inclusion and consistency from tiles in SQL, each from a tree that has read nothing yet."""
    sizes, rows = _QUICK if quick else _FULL, []
    for database in sizes.entries:
        with _home(database) as home:
            home.ask(_BUILD, "build", sizes.entries[database])
            told = home.ask(_MEASURES, "proofs", sizes.proofs)
        for kind in ("inclusion", "consistency"):
            rows += _proof_rows(database, kind, told["size"], told[kind], sizes.proofs)
    return rows


def checkpoint_rows(quick: bool) -> list[Row]:
    """From COMMIT to the signed checkpoint, with the product's own keeper in a process beside the writer."""
    sizes = _QUICK if quick else _FULL
    with ThreadPoolExecutor() as pool:  # both sleep most of the time
        return list(pool.map(lambda database: _checkpoint_row(database, sizes.delays), sizes.entries))


@contextmanager
def _home(database: str) -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="pressmark-bench-", ignore_cleanup_errors=True) as name:
        place = Path(name) / "home"
        if database == "sqlite":
            yield Home(place)
            return
        with postgres_server(durable=False) as server:
            server.create_database("bench")
            yield Home(place, server.url("bench"))


# --- rows ---


def _verify_rows(database: str, home: Home, sizes: _Sizes) -> list[Row]:
    hashed = home.ask(_MEASURES, "hash_only")
    rounds = [home.ask(_MEASURES, "verify") for _ in range(sizes.rounds)]
    rates = sorted(told["entries"] / told["wall_s"] for told in rounds)
    wall_s = [told["wall_s"] for told in rounds]
    entries, peak_mb = rounds[0]["entries"], max(told["resident_mb"] for told in rounds)
    median, spread = rates[len(rates) // 2], rates[-1] - rates[0]
    what = f"{database}: verify-ledger, {entries:,} entries, {rounds[0]['checkpoints']:,} checkpoints"
    rows = [
        at_least(
            f"verify.{database}.hash", f"{database}: hash only, entries per CPU-second", entries / hashed["cpu_s"], 100_000,
            "entries/CPU-s", entries,
        ),
        at_least(f"verify.{database}.rate", f"{what}, entries per second", median, 35_000, "entries/s", sizes.rounds, spread),
        at_most(f"verify.{database}.memory", f"{what}, memory of both processes", peak_mb, 200, "MB", sizes.rounds),
        _cpu_row(database, rounds),
    ]  # fmt: skip
    if entries >= _MILLION:
        middle = sorted(wall_s)[len(wall_s) // 2]
        spread = max(wall_s) - min(wall_s)
        rows.append(at_most(f"verify.{database}.million", what, middle, 30, "s", sizes.rounds, spread))
    return rows


def _cpu_row(database: str, rounds: list[dict[str, Any]]) -> Row:
    """What it costs where nobody else works: on a busy machine the rate by the clock says little."""
    rates = sorted(told["entries"] / told["cpu_s"] for told in rounds)
    reason = f"beside the rate by the clock; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    return Row(
        f"verify.{database}.cpu", f"{database}: verify-ledger, entries per CPU-second", rates[len(rates) // 2], "entries/CPU-s",
        None, None, len(rates), rates[-1] - rates[0], reason,
    )  # fmt: skip


def _replay_row(database: str, home: Home) -> Row:
    told = home.ask(_MEASURES, "rebuild")
    reason = "no target; verify-ledger runs it after the ledger itself"
    what = f"{database}: replay, rows rebuilt and compared"
    rate = told["rows"] / told["wall_s"]
    return Row(f"replay.{database}.rate", what, rate, "rows/s", None, None, told["rows"], None, reason)


def _proof_rows(database: str, kind: str, size: int, told: dict[str, Any], count: int) -> list[Row]:
    what, name = f"{database}: {kind} proof at {size:,} leaves", f"proof.{database}.{kind}"
    return [
        at_most(f"{name}.p50", f"{what}, cold, p50", told["p50_ms"], 5, "ms", count, told["p99_ms"] - told["p50_ms"]),
        at_most(f"{name}.hashes", f"{what}, hashes at most", told["hashes"], 21, "hashes", count),
        at_most(f"{name}.check", f"{what}, its check, p50", told["check_p50_ms"], 0.2, "ms", count),
    ]


def _checkpoint_row(database: str, count: int) -> Row:
    with _home(database) as home:
        home.ask(_DELAYS, "install")
        keeper = home.start("-m", "registry.cli.main", "keeper")
        try:
            time.sleep(_KEEPER_STARTS_SECONDS)
            told = home.ask(_DELAYS, "delays", count)
        finally:
            keeper.terminate()
            keeper.wait()
    what = f"{database}: from COMMIT to the signed checkpoint, p99 (p50 {told['p50_ms']:.0f} ms)"
    return at_most(f"checkpoint.{database}.p99", what, told["p99_ms"] / 1000, 2, "s", count, told["max_ms"] / 1000)
