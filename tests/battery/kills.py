"""1,000 writers killed at random moments, 50 immediate stops of PostgreSQL while 8 write, keepers killed while they sign.

Nothing that was acknowledged may be lost, stand twice, or fork, and what was signed must fit what is there.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.battery.writers import WRITERS, homes, judgement
from tests.bench.harness import Row, at_least, at_most
from tests.services.home import Home
from tests.services.postgres import postgres_server

_WRITING, _JUDGING = "tests.battery.writing", "tests.battery.judging"


@dataclass(frozen=True)
class Sizes:
    """How many are killed, and how often the server is stopped."""

    writers: int
    keepers: int
    stops: int


FULL, SMALL = Sizes(1000, 100, 50), Sizes(16, 3, 2)


def run(small: bool) -> list[Row]:
    """Rows of both databases."""
    sizes = SMALL if small else FULL
    return killed(sizes) + server_stopped(sizes)


def killed(sizes: Sizes) -> list[Row]:
    """Writers and keepers on both databases."""
    rows: list[Row] = []
    with homes(durable=sizes is FULL) as found:
        for database, home in found.items():
            told = home.ask(_JUDGING, "kill", sizes.writers, sizes.keepers, 2)
            rows += _writers_killed(database, sizes.writers, told["writers"])
            rows += _keepers_killed(database, sizes.keepers, told["keepers"])
    return rows


def _writers_killed(database: str, kills: int, told: dict[str, Any]) -> list[Row]:
    name = f"kills.{database}.writers"
    what = f"{database}: {told['kills']:,} writers killed in {told['seconds']:.0f} s, {told['told_units']:,} units told"
    return [
        at_least(f"{name}.kills", f"{what}: kills", told["kills"], kills, "kills", 1),
        at_least(f"{name}.told", f"{what}: units told", told["told_units"], kills, "units", 1),
        at_most(f"{name}.errors", f"{what}: errors of writers", len(told["errors"]), 0, "errors", told["kills"]),
        *judgement(name, what, told),
    ]


def _keepers_killed(database: str, kills: int, told: dict[str, Any]) -> list[Row]:
    name = f"kills.{database}.keepers"
    what = (
        f"{database}: {kills:,} keepers killed in {told['seconds']:.0f} s, {told['checkpoints']:,} checkpoints signed"
    )
    return [
        at_least(f"{name}.checkpoints", f"{what}: checkpoints", told["checkpoints"], kills, "checkpoints", kills),
        at_most(f"{name}.errors", f"{what}: errors of keepers", len(told["errors"]), 0, "errors", kills),
        at_least(f"{name}.signed", f"{what}: signed to the end", float(told["signed_to_the_end"]), 1, "share", 1),
        *judgement(name, what, told),
    ]


def server_stopped(sizes: Sizes) -> list[Row]:
    """PostgreSQL goes down as in a crash while 8 write, again and again."""
    chance, recovered_s, stops, durable = random.Random(4), [], sizes.stops, sizes is FULL
    with tempfile.TemporaryDirectory(prefix="pressmark-battery-") as name, postgres_server(durable=durable) as server:
        server.create_database("pressmark")
        home = Home(Path(name) / "home", server.url("pressmark"))
        home.ask(_WRITING, "set_up")
        writers = home.start("-m", "tests.services.in_django", _WRITING, "write_until_told", "3600", "4")
        try:
            told = Path(name) / "home" / "told"
            _wait_for_news(told, 0)
            for _ in range(stops):
                time.sleep(chance.uniform(0.1, 0.8))
                server.stop_at_once()
                before = _size(told)
                begun = time.monotonic()
                server.start()
                recovered_s.append(time.monotonic() - begun)
                _wait_for_news(told, before)
            (told / "stop").touch()
            writers.wait(60)
        finally:
            writers.kill()
        judged = home.ask(_JUDGING, "judge")
    what = (
        f"postgresql: {stops} immediate stops, up again in {max(recovered_s):.1f} s at most, "
        f"{judged['told_units']:,} units told, {judged['untold_units']:,} stood untold"
    )
    return [
        at_least("kills.postgresql.stops", f"{what}: stops", len(recovered_s), stops, "stops", stops),
        at_most(
            "kills.postgresql.stops.errors", f"{what}: errors of writers", len(judged["errors"]), 0, "errors", stops
        ),
        at_most(
            "kills.postgresql.stops.unsigned",
            f"{what}: told without a receipt (one for each writer and stop at most)",
            judged["without_receipt"],
            stops * WRITERS,
            "units",
            judged["told_units"],
        ),
        *judgement("kills.postgresql.stops", what, judged),
    ]


def _size(told: Path) -> int:
    return sum(path.stat().st_size for path in told.glob("*")) if told.is_dir() else 0


def _wait_for_news(told: Path, before: int) -> None:
    """Somebody was answered: the writers are at it (again)."""
    end = time.monotonic() + 60
    while _size(told) <= before:
        if time.monotonic() > end:
            raise subprocess.TimeoutExpired("the writers", 60)
        time.sleep(0.02)
