"""What tests of keys and epochs do again and again: an act with its receipt, the last event, checkpoints outside the database."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from django.conf import settings

from audit import checkpoints, eras, notes
from audit.models import Entry
from audit.signing import Signer
from registry.access.models import Team
from registry.digests import parse_canonical
from registry.events import Unit, emit, unit
from tests.worlds.base import BaseWorld


def act(world: BaseWorld, slug: str) -> Unit:
    """One more entry; the unit has its receipt."""
    with unit(world.cast.root, role="administrator") as opened:
        team = Team.objects.create(slug=slug, created_at=opened.now)
        emit("team.created", team, team=team.pk)
    return opened


def receipt_of(opened: Unit) -> notes.Receipt:
    """Its receipt, signed by the issuer key of its era."""
    assert opened.receipt is not None
    return eras.open_receipt(eras.read(), opened.receipt.encode())


def last_event() -> dict[str, Any]:
    """The event of the last entry."""
    row = Entry.objects.order_by("-position").first()
    assert row is not None
    event: dict[str, Any] = parse_canonical(bytes(row.entry))["event"]  # type: ignore[assignment, index, call-overload]
    return event


def rows_of(event: dict[str, Any], record_type: str) -> list[dict[str, Any]]:
    """The sealed rows of one type."""
    return [record["row"] for record in event["records"] if record["type"] == record_type]


def write_outside(note: bytes) -> None:
    """Add a checkpoint to the file outside the database, as a keeper of another copy would."""
    path = Path(settings.PRESSMARK_CHECKPOINTS) / checkpoints.FILE
    with path.open("ab") as target:
        target.write(base64.b64encode(note) + b"\n")


def lost_checkpoint(signer: Signer, further: int, root: bytes = b"\x07" * 32) -> bytes:
    """A checkpoint over entries that this ledger does not have: signed before an old backup was restored."""
    return notes.sign_checkpoint(signer, checkpoints.ledger_size() + further, root)


def files() -> list[str]:
    """The names in the folder of keys."""
    return sorted(path.name for path in Path(settings.PRESSMARK_KEYS).iterdir())
