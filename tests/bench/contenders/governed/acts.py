"""Ours: each act is a unit with one event, appended to the ledger in its transaction and receipted after COMMIT."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

from audit import eras, keys, merkle
from audit import services as audit
from audit.models import Entry
from registry.access.queries import system_actor
from registry.events import Caller, Unit, emit, unit
from registry.ids import uuid7
from tests.bench.contenders.acts import LINES, Acts, columns, line_id
from tests.bench.contenders.governed.models import Item, Line

_RECEIPTS_KEPT = 50
_receipts: list[str] = []
_actors: list[uuid.UUID] = []


def _caller() -> Caller:
    if not _actors:
        _actors.append(system_actor().pk)
    return Caller(actor_id=_actors[0], via="worker")


def set_up() -> None:
    instance = uuid7()
    log, issuer = audit.make_keys(audit.origin_of(instance, 1), keys.folder())
    audit.create_ledger(instance=instance, log=log, issuer=issuer)
    for number in range(LINES):
        with unit(_caller(), role="system") as opened:
            line = Line.objects.create(slug=f"line-{number}", created_at=opened.now)
            emit("line.created", line, team=None)


def create(number: int) -> uuid.UUID:
    key, opened = _create(number)
    _keep(opened.receipt)
    return key


def append(number: int) -> uuid.UUID:
    """A create whose receipt nobody takes."""
    return _create(number)[0]


def _create(number: int) -> tuple[uuid.UUID, Unit]:
    caller = _caller()
    with unit(caller, role="system") as opened:
        item = Item.objects.create(line_id=line_id(number), **columns(number, caller.actor_id, opened.now))
        emit("item.created", item, team=item.line_id)
    return item.pk, opened


def update(key: uuid.UUID, number: int) -> None:
    with unit(_caller(), role="system") as opened:
        item = Item.objects.select_for_update(no_key=True).get(pk=key)
        item.state = f"state-{number}"
        item.save()
        emit("item.changed", item, team=item.line_id)
    _keep(opened.receipt)


def _keep(receipt: str | None) -> None:
    assert receipt is not None
    if len(_receipts) < _RECEIPTS_KEPT:
        _receipts.append(receipt)


def recorded() -> dict[str, int]:
    """Counts of the events; on the way every position, stream number, leaf and kept receipt is checked."""
    kinds: dict[str, int] = {}
    numbers: dict[str, int] = {}
    leaves: list[bytes] = []
    for row in Entry.objects.order_by("position").iterator():
        data = bytes(row.entry)
        entry: dict[str, Any] = json.loads(data)
        leaves.append(hashlib.sha256(b"\x00" + data).digest())
        numbers[row.stream] = numbers.get(row.stream, 0) + 1
        assert (row.position, row.stream_seq, bytes(row.leaf)) == (len(leaves) - 1, numbers[row.stream], leaves[-1])
        assert (entry["stream"], entry["stream_seq"]) == (row.stream, row.stream_seq)
        kinds[entry["event"]["kind"]] = kinds.get(entry["event"]["kind"], 0) + 1
    known = eras.read()
    for note in _receipts:
        receipt = eras.open_receipt(known, note.encode())
        assert merkle.root(leaves[receipt.first : receipt.first + receipt.count]) == receipt.root
    return {
        "items": Item.objects.count(),
        "created": kinds.get("item.created", 0),
        "updated": kinds.get("item.changed", 0),
    }


ACTS = Acts(set_up, create, append, update, recorded)
