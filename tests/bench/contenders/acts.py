"""What each contender does for one create and one update, and what it must have recorded for them.

The peers write inside `transaction.atomic`, as their documentation asks; ours in a unit that emits, with a receipt signed after it.
`recorded` counts what was really recorded, so that nobody is fast by doing nothing.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import transaction

LINES = 8


@dataclass(frozen=True)
class Acts:
    """A contender's way to set up, to create a child, to change one, and the counts of what it recorded.

    `create` does whatever the contender gives for a create, a receipt included; `append` leaves out what comes after COMMIT.
    """

    set_up: Callable[[], None]
    create: Callable[[int], uuid.UUID]
    append: Callable[[int], uuid.UUID]
    update: Callable[[uuid.UUID, int], None]
    recorded: Callable[[], dict[str, int]]


def acts() -> Acts:
    """Those of the contender that the settings name."""
    if settings.CONTENDER == "governed":
        from tests.bench.contenders.governed import acts as governed

        return governed.ACTS
    return Acts(set_up, create, create, update, recorded)


def item_model() -> Any:
    return apps.get_model(settings.CONTENDER, "Item")


def columns(number: int, actor: uuid.UUID, now: datetime.datetime) -> dict[str, Any]:
    """One child's values."""
    return {
        "number": number,
        "kind": "derived",
        "name": f"weights/model-{number:08d}.safetensors",
        "digest": "sha256:" + hashlib.sha256(str(number).encode()).hexdigest(),
        "size_bytes": 1_000_000 + number,
        "state": "registered",
        "created_by": actor,
        "created_at": now,
    }


_lines: list[uuid.UUID] = []


def line_id(number: int) -> uuid.UUID:
    """The parents take turns; their keys are read once."""
    if not _lines:
        _lines.extend(apps.get_model(settings.CONTENDER, "Line").objects.order_by("slug").values_list("pk", flat=True))
    return _lines[number % LINES]


# --- the peers, and nobody ---

_ACTOR = uuid.UUID(int=1)


def set_up() -> None:
    now = datetime.datetime.now(datetime.UTC)
    for number in range(LINES):
        apps.get_model(settings.CONTENDER, "Line").objects.create(slug=f"line-{number}", created_at=now)


def create(number: int) -> uuid.UUID:
    with transaction.atomic():
        now = datetime.datetime.now(datetime.UTC)
        item = item_model().objects.create(line_id=line_id(number), **columns(number, _ACTOR, now))
    key: uuid.UUID = item.pk
    return key


def update(key: uuid.UUID, number: int) -> None:
    with transaction.atomic():
        item = item_model().objects.select_for_update().get(pk=key)
        item.state = f"state-{number}"
        item.save()


def recorded() -> dict[str, int]:
    items = item_model().objects.count()
    if settings.CONTENDER == "auditlogged":
        from auditlog.models import LogEntry

        rows = LogEntry.objects.get_for_model(item_model())
        assert "state" in json.dumps(rows.first().changes)
        created, updated = rows.filter(action=0).count(), rows.filter(action=1).count()
    elif settings.CONTENDER == "historied":
        rows = item_model().history.all()
        created, updated = rows.filter(history_type="+").count(), rows.filter(history_type="~").count()
    elif settings.CONTENDER == "tracked":
        rows = apps.get_model("tracked", "ItemEvent").objects.all()
        created, updated = rows.filter(pgh_label="insert").count(), rows.filter(pgh_label="update").count()
    else:
        created = updated = 0
    return {"items": items, "created": created, "updated": updated}
