"""Writers that work at once on an installation, and are killed at it. Import it only where Django is set up.

Each unit is told in a file of acknowledgements once it has returned, with its receipt; a server that stops between the commit and
the signature leaves an act that is done and has none yet. Half of the writers hold the strongest lock
on a team of theirs while they change it; the others put children into the teams that those hold, so that the check of their
foreign keys has to wait. Whoever is killed leaves what was acknowledged, and must not leave half of anything.
"""

from __future__ import annotations

import base64
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import Error, connection, connections

from audit import checkpoints, keys, outside
from audit import services as audit
from registry.access import services as access
from registry.access.models import Actor, Membership, Team
from registry.access.queries import system_actor
from registry.access.services import new_text
from registry.events import Caller, Unit, emit, unit
from registry.ids import uuid7

WRITERS = 8
PEOPLE = 6
CHILDREN = 4
EVENTS = CHILDREN + 1
NO_RECEIPT = "-"
_context = multiprocessing.get_context("fork")


def set_up() -> dict[str, Any]:
    """Tables, ledger, a few people, one team for each writer, and a first checkpoint."""
    call_command("migrate", verbosity=0, interactive=False)
    instance = uuid7()
    log, issuer = audit.make_keys(audit.origin_of(instance, 1), keys.folder())
    audit.create_ledger(instance=instance, log=log, issuer=issuer)
    with unit(Caller(actor_id=system_actor().pk, via="setup"), role="system") as opened:
        for number in range(PEOPLE):  # nobody logs in
            access.add_actor(f"person-{number}", "person", "", "", None, opened.now)
        for number in range(WRITERS):
            team = Team.objects.create(slug=f"writer-{number}", created_at=opened.now)
            emit("team.created", team, team=team.pk)
    checkpoints.sign_next()
    return {}


def folder() -> Path:
    """Where writers tell what they were answered."""
    place = Path(settings.PRESSMARK_HOME) / "told"
    place.mkdir(exist_ok=True)
    return place


# --- one writer ---


class Writer:
    """A writer in a process of its own: its team, the teams of the others, and the file of its acknowledgements."""

    def __init__(self, slot: int, seed: int) -> None:
        connections.close_all()
        self.slot, self.chance = slot, random.Random(f"{seed}/{slot}/{os.getpid()}")
        teams = dict(Team.objects.filter(slug__startswith="writer-").values_list("slug", "pk"))
        self.teams = [teams[f"writer-{number}"] for number in range(WRITERS)]
        self.people = list(Actor.objects.filter(kind="person").order_by("username").values_list("pk", flat=True))
        self.caller = Caller(actor_id=self.people[slot % PEOPLE], via="worker")
        self.file = os.open(folder() / f"{slot}-{os.getpid()}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def act(self) -> None:
        """One unit of EVENTS events, told once it has returned."""
        with unit(self.caller, role="administrator") as opened:
            self._change_own_team(opened)
            place = self.teams[self.slot if self._is_strong() else self.chance.randrange(0, WRITERS, 2)]
            for _ in range(CHILDREN):
                child = Membership.objects.create(
                    actor_id=self.chance.choice(self.people), role="viewer", team_id=place,
                    granted_by_id=self.caller.actor_id, created_at=opened.now,
                )  # fmt: skip
                emit("membership.granted", child, team=place)
        receipt = base64.b64encode((opened.receipt or "").encode()).decode() or NO_RECEIPT
        os.write(self.file, f"{opened.positions[0]} {len(opened.positions)} {opened.id} {receipt}\n".encode())

    def _is_strong(self) -> bool:
        return self.slot % 2 == 0

    def _change_own_team(self, opened: Unit) -> None:
        team = Team.objects.select_for_update(no_key=not self._is_strong()).get(pk=self.teams[self.slot])
        title = str(self.chance.random())
        text = new_text(stream=f"team:{team.pk}", purpose="title", value=title, now=opened.now)
        team.title = text
        team.save(update_fields=["title"])
        emit("team.changed", team, text, team=team.pk)


def _tell_error(error: BaseException) -> None:
    with (folder() / "errors").open("a") as target:
        target.write(f"{type(error).__name__}: {str(error).strip()}\n")


def _in_a_process(act: Callable[..., None], *arguments: Any) -> ForkProcess:
    """A child of this process that shares nothing with it any more; what goes wrong in it is told."""

    def run() -> None:
        try:
            act(*arguments)
        except BaseException as error:
            _tell_error(error)
            raise

    connections.close_all()
    process = _context.Process(target=run)
    process.start()
    return process


def _write(slot: int, seed: int, units: int) -> None:
    writer = Writer(slot, seed)
    for _ in range(units):
        writer.act()


def _write_for_ever(slot: int, seed: int) -> None:
    writer = Writer(slot, seed)
    while True:
        writer.act()


def _write_through_crashes(slot: int, seed: int, end: float) -> None:
    """A database that goes away is no end: what was not answered is not told, and the next unit is tried."""
    writer = Writer(slot, seed)
    while time.time() < end and not (folder() / "stop").exists():
        try:
            writer.act()
        except Error:
            connection.close()
            time.sleep(0.02)


# --- what batteries do with them ---


def write(units_each: int, seed: int) -> dict[str, Any]:
    """All writers at once, each so many units; how long it took, and how many deadlocks the database broke up."""
    begun = time.monotonic()
    processes = [_in_a_process(_write, slot, seed, units_each) for slot in range(WRITERS)]
    for process in processes:
        process.join()
    return {"seconds": time.monotonic() - begun, "deadlocks": _deadlocks()}


def _deadlocks() -> int:
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def kill_writers(kills: int, seed: int) -> dict[str, Any]:
    """Whoever is hit is killed at a random moment, and another takes the place."""
    chance, begun = random.Random(seed), time.monotonic()
    processes = [_in_a_process(_write_for_ever, slot, seed) for slot in range(WRITERS)]
    for _ in range(kills):
        time.sleep(min(chance.expovariate(25), 0.2))
        slot = chance.randrange(WRITERS)
        _kill(processes[slot])
        processes[slot] = _in_a_process(_write_for_ever, slot, seed)
    for process in processes:
        _kill(process)
    return {"kills": kills + WRITERS, "seconds": time.monotonic() - begun}


def _kill(process: ForkProcess) -> None:
    process.kill()
    process.join()


def write_until_told(seconds: int, seed: int) -> dict[str, Any]:
    """All writers, through crashes of the database, until a file `stop` appears (or so many seconds are over)."""
    end = time.time() + seconds
    processes = [_in_a_process(_write_through_crashes, slot, seed, end) for slot in range(WRITERS)]
    for process in processes:
        process.join()
    return {}


def kill_keepers(kills: int, seed: int) -> dict[str, Any]:
    """A keeper that does nothing but sign is killed again and again while three writers go on; then one signs to the end.

    Once, half a line is put behind what they signed, as a power cut would leave it.
    """
    chance, begun = random.Random(seed), time.monotonic()
    writers = [_in_a_process(_write_through_crashes, slot, seed, time.time() + 3600) for slot in range(3)]
    for number in range(kills):
        at_it = _context.Event()
        keeper = _in_a_process(_sign_for_ever, at_it)
        at_it.wait(60)
        time.sleep(min(chance.expovariate(20), 0.3))
        _kill(keeper)
        if number == kills // 2:
            with (outside.folder() / outside.FILE).open("ab") as target:
                target.write(b"cHJlc3NtYXJrLzAxOTI")
    (folder() / "stop").touch()
    for process in writers:
        process.join()
    signed = checkpoints.sign_next()
    return {
        "kills": kills,
        "seconds": time.monotonic() - begun,
        "signed_to_the_end": checkpoints.ledger_size() == (signed.size if signed else checkpoints.built_size()),
        "checkpoints": len(outside.every()),
    }


def _sign_for_ever(at_it: Any) -> None:
    while True:
        checkpoints.sign_next()
        at_it.set()
