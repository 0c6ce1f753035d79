"""What attacks on approvals are made of: raw rows as a shell would write them, and a database that has to refuse them."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from registry.access.models import Actor
from registry.events import Caller
from registry.release import queries
from registry.release.models import Approval, Decision
from tests.world import World


def caller(person: Actor) -> Caller:
    return Caller(actor_id=person.pk, via="cli")


def fresh(approval: Approval) -> Approval:
    return queries.approvals_of(approval.version).get(pk=approval.pk)


def word(approval: Approval) -> str:
    return queries.approval_status(fresh(approval))


def raw(approval: Approval, person: Actor, kind: str = "granted", **changes: Any) -> Decision:
    """What a shell would write."""
    given = {
        "model_id": approval.model_id, "approval": approval, "kind": kind, "role": "approver",
        "reason_id": approval.reason_id, "decided_by": person, "decided_at": timezone.now(),
    }  # fmt: skip
    return Decision(**{**given, **changes})


def refused_by_the_database(row: models.Model) -> None:
    """Neither saved, nor written in bulk, whatever the row's key."""
    table = type(row)
    before = table._default_manager.count()
    for write in (lambda: row.save(force_insert=True), lambda: table._default_manager.bulk_create([row])):
        with pytest.raises(IntegrityError), transaction.atomic():
            write()
    assert table._default_manager.count() == before


def copied(row: models.Model, **changes: Any) -> Any:
    """The same row under a key of its own."""
    fields = {f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields if not f.primary_key}
    return type(row)(**{**fields, **changes})


def open_approval(world: World, **more: Any) -> Approval:
    return world.approval(world.parent_version(), **more)
