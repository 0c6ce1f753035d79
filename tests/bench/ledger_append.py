"""What a create costs with history beside it: plain, three peers, and ours, in interleaved rounds on both databases.

Every contender is a process with settings of its own, so that nobody's signals slow another; all have the same business model,
the same database options, and a database that waits for its disk (PostgreSQL with fsync, SQLite with synchronous=FULL).
A round takes each contender once, in turns of who begins. CPU is the client's process alone; ratios are within a round.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from tests.bench.contenders.handle import Contender
from tests.bench.harness import Row, at_least, at_most, not_measured, of_a_peer
from tests.services.postgres import PostgresServer, postgres_server

OURS, PLAIN = "governed", "plain"
PEERS = {"auditlogged": "auditlog", "historied": "simple_history", "tracked": "pghistory"}
NAMES = {
    PLAIN: "plain save",
    "auditlogged": "django-auditlog",
    "historied": "django-simple-history",
    "tracked": "django-pghistory",
    OURS: "Pressmark",
}
WRITERS = 8


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    rounds: int
    acts: int
    acts_of_each_writer: int


FULL = Sizes(rounds=11, acts=300, acts_of_each_writer=150)
QUICK = Sizes(rounds=3, acts=60, acts_of_each_writer=20)


@dataclass
class Figures:
    """One contender's rounds: CPU milliseconds per act, and acts per second."""

    append_cpu_ms: list[float] = field(default_factory=list)
    create_cpu_ms: list[float] = field(default_factory=list)
    update_cpu_ms: list[float] = field(default_factory=list)
    create_rate: list[float] = field(default_factory=list)
    update_rate: list[float] = field(default_factory=list)
    writers_rate: list[float] = field(default_factory=list)


def append_rows(quick: bool) -> list[Row]:
    """Rows of both databases. `quick`: fewer rounds of fewer acts."""
    sizes = QUICK if quick else FULL
    with tempfile.TemporaryDirectory(prefix="pressmark-bench-") as name:
        folder = Path(name)
        with postgres_server(durable=True) as server:
            found = {"postgresql": _measure(folder, "postgresql", sizes, server)}
        found["sqlite"] = _measure(folder, "sqlite", sizes, None)
    return _rows(found)


# --- measuring ---


def _installed(database: str) -> list[str]:
    names = [PLAIN, *(name for name, module in PEERS.items() if find_spec(module)), OURS]
    return [name for name in names if database == "postgresql" or name != "tracked"]


def _measure(folder: Path, database: str, sizes: Sizes, server: PostgresServer | None) -> dict[str, Figures]:
    with contextlib.ExitStack() as stack:
        contenders = {}
        for name in _installed(database):
            home = folder / f"{database}-{name}"
            url = f"sqlite:///{home / 'db.sqlite3'}"
            if server is not None:
                server.create_database(name)
                url = server.url(name)
            contender = stack.enter_context(Contender(name, home, url))
            durability = contender.ask("set_up")["durability"]
            assert durability == ("onon" if server is not None else "2"), durability
            contender.ask("create", count=20)  # a first look at everything is nobody's cost
            contender.ask("update", count=20)
            contenders[name] = contender
        found = {name: Figures() for name in contenders}
        order = list(contenders)
        for _ in range(sizes.rounds):
            _round(order, contenders, found, sizes)
            order = order[1:] + order[:1]
        for contender in contenders.values():
            _demand_records(contender)
    return found


def _round(order: Sequence[str], contenders: dict[str, Contender], found: dict[str, Figures], sizes: Sizes) -> None:
    for name in order:
        answer = contenders[name].ask("append", count=sizes.acts)
        found[name].append_cpu_ms.append(1000 * answer["cpu_s"] / sizes.acts)
    for name in order:
        answer = contenders[name].ask("create", count=sizes.acts)
        found[name].create_cpu_ms.append(1000 * answer["cpu_s"] / sizes.acts)
        found[name].create_rate.append(sizes.acts / answer["wall_s"])
    for name in order:
        answer = contenders[name].ask("update", count=sizes.acts)
        found[name].update_cpu_ms.append(1000 * answer["cpu_s"] / sizes.acts)
        found[name].update_rate.append(sizes.acts / answer["wall_s"])
    for name in order:
        answer = contenders[name].ask("writers", writers=WRITERS, count=sizes.acts_of_each_writer)
        found[name].writers_rate.append(WRITERS * sizes.acts_of_each_writer / answer["wall_s"])


def _demand_records(contender: Contender) -> None:
    """Whoever recorded less than was done has not taken part."""
    answer = contender.ask("check")
    done, recorded = answer["done"], answer["recorded"]
    assert recorded["items"] == done["created"], (contender.name, answer)
    if contender.name != PLAIN:
        assert (recorded["created"], recorded["updated"]) == (done["created"], done["updated"]), (
            contender.name,
            answer,
        )


# --- rows ---


@dataclass(frozen=True)
class Target:
    """Ours divided by somebody's, round by round: it must not be above (or below) its limit; without one it is only told."""

    id: str
    database: str
    figure: str
    against: str
    what: str
    most: float | None = None
    least: float | None = None


TARGETS = [
    Target("pg.append_cpu", "postgresql", "append_cpu_ms", PLAIN, "client CPU of a create with its append", most=1.6),
    Target("pg.create_cpu", "postgresql", "create_cpu_ms", PLAIN, "the same with its receipt signed"),
    Target(
        "pg.create_cpu_auditlog", "postgresql", "create_cpu_ms", "auditlogged", "client CPU, receipt signed", most=1
    ),
    Target("pg.create_cpu_history", "postgresql", "create_cpu_ms", "historied", "client CPU, receipt signed", most=1),
    Target("pg.writers_rate", "postgresql", "writers_rate", "auditlogged", f"creates of {WRITERS} writers", least=1),
    Target("sqlite.create_rate", "sqlite", "create_rate", "historied", "creates, receipt signed", least=1),
]
TITLES = {"postgresql": "PostgreSQL", "sqlite": "SQLite FULL"}
ABSOLUTE = {
    "append_cpu_ms": ("client CPU of a create with its append", "ms"),
    "create_cpu_ms": ("client CPU of a create, receipt signed", "ms"),
    "update_cpu_ms": ("client CPU of a change", "ms"),
    "create_rate": ("creates by one writer", "1/s"),
    "update_rate": ("changes by one writer", "1/s"),
    "writers_rate": (f"creates by {WRITERS} writers", "1/s"),
}


def _rows(found: dict[str, dict[str, Figures]]) -> list[Row]:
    rows = [_target_row(target, found[target.database]) for target in TARGETS]
    for database, contenders in found.items():
        for figure, (what, unit) in ABSOLUTE.items():
            for name, figures in contenders.items():
                values = getattr(figures, figure)
                title = f"{TITLES[database]}: {what}, {NAMES[name]}"
                row_id = f"{database}.{figure}.{name}"
                rows.append(
                    of_a_peer(row_id, title, statistics.median(values), unit, len(values), quartile_range(values))
                )
        for name in sorted(set(NAMES) - set(contenders)):
            reason = "it works on PostgreSQL only" if find_spec(PEERS[name]) else "install the extra 'bench'"
            rows.append(not_measured(f"{database}.{name}", f"{TITLES[database]}: {NAMES[name]}", "1/s", reason))
    return rows


def _target_row(target: Target, contenders: dict[str, Figures]) -> Row:
    what = f"{TITLES[target.database]}: {target.what}, of {NAMES[target.against]}'s"
    if target.against not in contenders:
        return not_measured(target.id, what, "ratio", f"{NAMES[target.against]} is not here; install the extra 'bench'")
    ours, theirs = (getattr(contenders[name], target.figure) for name in (OURS, target.against))
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    value, n, spread = statistics.median(ratios), len(ratios), quartile_range(ratios)
    if target.most is not None:
        return at_most(target.id, what, value, target.most, "ratio", n, spread)
    if target.least is not None:
        return at_least(target.id, what, value, target.least, "ratio", n, spread)
    return Row(target.id, what, value, "ratio", None, None, n, spread, "told beside the target above; it has none")


def quartile_range(values: Sequence[float]) -> float:
    """The width of the middle half."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low
