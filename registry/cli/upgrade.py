"""`pressmark upgrade`: migrate, put the guards back, compare the tables with the ledger, and seal that it was done."""

from __future__ import annotations

import argparse
from importlib.metadata import version

from django.core.management import call_command

from audit.models import Ledger
from audit.verification import replay
from registry import guards
from registry.access.models import SYSTEM_ROLE
from registry.access.queries import system_actor
from registry.errors import Conflict
from registry.events import Caller, emit, unit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(options: argparse.Namespace) -> int:
    """Refuses to seal when tables and ledger differ."""
    call_command("migrate", verbosity=1, interactive=False)
    guards.demand()
    differences = replay.compare()
    if differences:
        raise Conflict(
            f"{len(differences)} rows differ from what the ledger says they are.",
            hint="See `pressmark verify-ledger`; the upgrade is not sealed.",
            reasons=[str(d) for d in differences[:20]],
        )
    with unit(Caller(actor_id=system_actor().pk, via="setup"), role=SYSTEM_ROLE):
        emit("ledger.upgraded", Ledger.objects.get(ended_at=None), team=None)
    print(f"At version {version('pressmark')}; tables and ledger agree.")
    return 0
