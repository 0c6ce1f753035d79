"""`pressmark upgrade`: migrate, put the guards back, compare the tables with the ledger, and seal that it was done."""

from __future__ import annotations

import argparse
from importlib.metadata import version

from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

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
    """Refuses to seal when tables and ledger differ, and to begin when no migration leads from the tables that are there."""
    _refuse_other_tables()
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


def _refuse_other_tables() -> None:
    """Before anything changes: tables that no migration is left to bring up to date belong to other code than this."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return
    with connection.cursor() as cursor:
        there = set(connection.introspection.table_names(cursor))
        strange = [
            table
            for model in apps.get_models()
            for table in [model._meta.db_table]
            if table not in there
            or {f.column for f in model._meta.concrete_fields}
            != {column.name for column in connection.introspection.get_table_description(cursor, table)}
        ]
    if strange:
        raise Conflict(
            f"The tables of this home were made by other code: {strange[0]} differs, and no migration leads from there to here.",
            hint="Homes made before the first release are not carried over. Nothing was changed: go on with the code that made "
            "this home, or make a new one with `pressmark init`.",
            code="other-tables",
        )
