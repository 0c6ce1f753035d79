"""The loops that keep an installation going: one table of ticks, each under a lock row, so any number of keepers may run.

Rules:
- a tick is claimed by one conditional UPDATE; a keeper that dies loses it when the lock runs out;
- a tick that fails says so in its row, with what to do (the health page shows it), and is tried again at its next turn; it never
  stops the others; the log says it once, and again when the reason changes;
- a turn or a lock that lies in the future was written by a clock that has been set right since: it bars nothing;
- time rules are decided at the moment of use; the keeper only reaps, re-sends, signs and sweeps.
"""

from __future__ import annotations

import datetime
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.db import close_old_connections, connection, transaction
from django.db.models import Q

from audit import anchors, checkpoints, keys, ledger
from audit.models import Ledger, Tick
from audit.positions import position_of
from audit.verification import orphans
from audit.witnessing import late_cosignatures
from registry.compression import execution, profile_tasks, tasks
from registry.errors import Problem
from registry.notices import reminders
from registry.notices.sending import Sender
from registry.release.services.lapses import open_lapse_findings

logger = logging.getLogger(__name__)
LOCK_SECONDS = 120


@dataclass(frozen=True)
class TickSpec:
    """One loop: how often, and what it does."""

    name: str
    every_seconds: float
    act: Callable[[], object]


def _reap() -> object:
    return execution.reap(datetime.datetime.now(datetime.UTC))


TICKS = [
    TickSpec(checkpoints.TICK, 1.0, checkpoints.sign_next),
    TickSpec("collect-cosignatures", 5.0, late_cosignatures.collect),
    TickSpec("reap-runs", 5.0, _reap),
    TickSpec("resend-runs", 5.0, tasks.resend),
    TickSpec("reap-profiles", 10.0, profile_tasks.reap),
    TickSpec("resend-profiles", 10.0, profile_tasks.resend),
    TickSpec("send-notices", 2.0, Sender(position_of, lambda: ledger.settle(connection)).start),
    TickSpec("write-reminders", 600.0, reminders.write),
    TickSpec("tell-lapses", 300.0, open_lapse_findings),
    TickSpec("sweep-orphans", 3600.0, orphans.sweep),
    TickSpec("anchor-checkpoint", settings.PRESSMARK_ANCHOR_SECONDS, anchors.anchor_newest),
]


def prepare() -> None:
    """Make the lock rows that are not there yet."""
    for spec in TICKS:
        Tick.objects.get_or_create(name=spec.name)


def turn(spec: TickSpec, owner: uuid.UUID) -> bool:
    """Take one turn of a tick if it is due and free; True when it ran."""
    now = datetime.datetime.now(datetime.UTC)
    lock = datetime.timedelta(seconds=LOCK_SECONDS)
    due = Q(last_run_at__lte=now - datetime.timedelta(seconds=spec.every_seconds)) | Q(last_run_at__gt=now + lock)
    free = Q(locked_until=None) | Q(locked_until__lt=now) | Q(locked_until__gt=now + 2 * lock)
    with transaction.atomic():
        claimed = Tick.objects.filter(Q(last_run_at=None) | due, free, name=spec.name).update(
            owner=owner, locked_until=now + lock
        )
    if not claimed:
        return False
    failure = ""
    try:
        spec.act()
    except Exception as error:  # one loop that fails must not stop the others
        failure = _said(error)
        if not Tick.objects.filter(name=spec.name, last_error=failure).exists():
            logger.error("%s failed: %s", spec.name, failure)
    finished = datetime.datetime.now(datetime.UTC)
    Tick.objects.filter(name=spec.name, owner=owner).update(
        owner=None, locked_until=None, last_run_at=finished, last_error=failure
    )
    return True


def _said(error: Exception) -> str:
    """What is wrong, and what to do where that is known."""
    remedy = f" What to do: {error.hint}" if isinstance(error, Problem) and error.hint else ""
    return f"{type(error).__name__}: {error}{remedy}"


def run(stop: Callable[[], bool]) -> None:
    """Turn until `stop` says so."""
    owner = uuid.uuid4()
    prepare()
    keys.set_spent_aside(
        str(Ledger.objects.get(ended_at=None).instance)
    )  # where a revocation was killed after its COMMIT
    while not stop():
        for spec in TICKS:
            if stop():
                return
            if _due(spec):
                turn(spec, owner)
        close_old_connections()
        time.sleep(0.25)


_last: dict[str, float] = {}


def _due(spec: TickSpec) -> bool:
    """A look at this process's own clock first, so that an idle keeper asks the database seldom."""
    now = time.monotonic()
    if now - _last.get(spec.name, -spec.every_seconds) < spec.every_seconds:
        return False
    _last[spec.name] = now
    return True


def health() -> list[dict[str, str]]:
    """What each loop last did: for the health page and `pressmark check`."""
    return [
        {
            "name": tick.name,
            "last_run_at": tick.last_run_at.isoformat() if tick.last_run_at else "never",
            "error": tick.last_error,
        }
        for tick in Tick.objects.order_by("name")
    ]
