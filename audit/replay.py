"""Replay the ledger and compare: the last image of every record must be the row that stands in its table today.

Rules:
- the last image per (type, id) is the state; each table in force is compared whole, in both directions;
- a row without an event, a row that is gone, and each column that differs are named;
- a free text opens its commitment, or it was erased by a `text.erased` (FORMATS section 5).
Unsealed columns (secrets, profiles, leases) are not compared: the ledger never knew them. Memory stays constant: images lie in
a temporary file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from django.db import models

from audit import entries
from audit.models import Entry
from audit.spill import Spill
from registry.access.models import Text
from registry.digests import canonical, commitment, parse_canonical
from registry.images import RecordType, Row, image, record_types

_BATCH = 1000


@dataclass(frozen=True)
class Difference:
    """One way in which a table is not what the ledger says: which record, which column, what both say."""

    type: str
    id: str
    column: str | None
    sentence: str
    position: int | None = None

    def __str__(self) -> str:
        column = "" if self.column is None else f" column {self.column}:"
        return f"{self.type} {self.id}{column} {self.sentence}"


def compare(limit: int = 100) -> list[Difference]:
    """Every difference between ledger and tables, at most `limit`; empty when they agree."""
    found: list[Difference] = []
    for difference in differences():
        found.append(difference)
        if len(found) >= limit:
            break
    return found


def differences() -> Iterator[Difference]:
    """Differences one by one, table by table."""
    with Spill() as spill:
        yield from _keep_last_images(spill)
        for record_type in record_types():
            yield from _compare_table(record_type, spill)
        for kind, key, position in spill.left():
            yield Difference(kind, key, None, f"is sealed at position {position}, but its row is gone", position)


def _keep_last_images(spill: Spill) -> Iterator[Difference]:
    in_force = {record_type.type for record_type in record_types()}
    position = 0
    while rows := list(Entry.objects.filter(position__gte=position).order_by("position")[:_BATCH]):
        position = rows[-1].position + 1
        images = []
        for row in rows:
            try:
                event = entries.parse(bytes(row.entry)).event
            except entries.Bad as error:
                yield Difference("audit.entry", str(row.position), None, str(error), row.position)
                continue
            for record in event["records"]:
                if record["type"] not in in_force:
                    yield Difference(record["type"], record["id"], None, "is of a type not in force", row.position)
                    continue
                images.append(
                    (record["type"], record["id"], row.position, event["kind"], canonical(record["row"]))
                )  # fmt: skip
        spill.keep_last(images)


def _compare_table(record_type: RecordType, spill: Spill) -> Iterator[Difference]:
    table = record_type.model._default_manager.order_by("pk")
    for instance in table.iterator(chunk_size=_BATCH):
        key = str(instance.pk)
        sealed = spill.take(record_type.type, key)
        if sealed is None:
            yield Difference(record_type.type, key, None, "stands in its table, but no event has sealed it")
            continue
        position, kind, data = sealed
        yield from _compare_row(record_type, instance, cast(Row, parse_canonical(data)), position)
        if isinstance(instance, Text):
            yield from _compare_text(record_type, instance, kind, position)


def _compare_row(record_type: RecordType, instance: models.Model, sealed: Row, position: int) -> Iterator[Difference]:
    key = str(instance.pk)
    try:
        present = image(instance)
    except (ValueError, TypeError) as error:
        yield Difference(record_type.type, key, None, f"cannot be sealed as it stands: {error}", position)
        return
    for column in sorted(set(present) | set(sealed)):
        if present.get(column) != sealed.get(column):
            sentence = f"the ledger says {_short(sealed.get(column))}, the table {_short(present.get(column))}"
            yield Difference(record_type.type, key, column, sentence, position)


def _compare_text(record_type: RecordType, text: Text, kind: str, position: int) -> Iterator[Difference]:
    key = str(text.pk)
    if text.value is None or text.salt is None:
        if kind != "text.erased":
            yield Difference(record_type.type, key, "value", "is gone, but no text.erased says so", position)
    elif commitment(bytes(text.salt), text.value) != text.commitment:
        yield Difference(record_type.type, key, "value", "does not open the commitment in the ledger", position)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
