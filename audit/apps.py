"""Wiring of the application `audit`: it listens to units, freezes its tables, and installs guards after every migration."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AuditConfig(AppConfig):
    name = "audit"
    label = "audit"
    verbose_name = "Audit"

    def ready(self) -> None:
        from audit import checkpoints, ledger
        from audit.models import Checkpoint, Entry
        from audit.records import RECORDS
        from audit.verification import orphans
        from registry import events, guards, images
        from registry.release import purging

        images.register_records(RECORDS)
        guards.freeze_table(Entry)
        guards.freeze_table(Checkpoint)
        events.appending.connect(ledger.append, dispatch_uid="audit.ledger.append")
        events.covering.connect(checkpoints.wait_for, dispatch_uid="audit.checkpoints.wait_for")
        purging.also_kept_by(orphans.referred)
        post_migrate.connect(_install, sender=self)


def _install(using: str, **kwargs: Any) -> None:
    from audit import ledger_postgres
    from registry import guards

    ledger_postgres.install(using)
    guards.install(using)
