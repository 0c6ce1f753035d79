"""Replay the ledger and compare: the last image of every record must be the row that stands in its table today.

Rules:
- the last image per (type, id) is the state; each table in force is compared whole, in both directions;
- a row without an event, a row that is gone, and each column that differs are named;
- a free text opens its commitment, or a `text.erased` said that it went (FORMATS section 5); then it is told as erased, which is no
  difference, and neither salt nor value may stand there any more.
Unsealed columns (secrets, profiles, leases) are not compared: the ledger never knew them. Memory stays constant: of each record
only the position and the hash of its last image are kept, in a temporary file; the image is read again where the hash differs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from django.db import models

from audit import checkpoints, entries
from audit.models import Entry
from audit.verification import raw_entries
from audit.verification.entry_patterns import Patterns, PlainEntry
from audit.verification.spill import LastImages, scratch
from registry.access.models import Text
from registry.digests import JSON, canonical, commitment
from registry.images import RecordType, Row, image, record_types

_BATCH = 1000
ERASED_KEPT = 100
_ERASED = "text.erased"
_NOT_ERASED = '"erased_at":null'


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


@dataclass(frozen=True)
class Erased:
    """A text that is gone because the entry at that position says so."""

    id: str
    position: int


@dataclass
class Replay:
    """What was compared. Of the erased texts the first hundred are named, all are counted."""

    rows: int = 0
    erased_count: int = 0
    erased: list[Erased] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    def tell_erased(self, key: str, position: int) -> None:
        """One more text that was erased as it must be."""
        self.erased_count += 1
        if len(self.erased) < ERASED_KEPT:
            self.erased.append(Erased(key, position))


def compare(limit: int = 100) -> list[Difference]:
    """Every difference between ledger and tables, at most `limit`; empty when they agree."""
    return run(limit).differences


def run(limit: int = 100) -> Replay:
    """Rebuild and compare every table; at most `limit` differences are collected."""
    told = Replay()
    with scratch() as connection:
        told.differences = list(islice(_differences(LastImages(connection), told), limit))
    return told


def _differences(images: LastImages, told: Replay) -> Iterator[Difference]:
    yield from _keep_last_images(images)
    for record_type in record_types():
        yield from _compare_table(record_type, images, told)
    for type_, key, position in images.left():
        yield Difference(type_, key, None, f"is sealed at position {position}, but its row is gone", position)


# --- reading the ledger ---


def _keep_last_images(images: LastImages) -> Iterator[Difference]:
    types = record_types()
    in_force, patterns = {t.type for t in types}, Patterns(types)
    for rows in raw_entries.batches(checkpoints.ledger_size()):
        batch: list[tuple[str, str, int, bytes, bool]] = []
        for position, _, _, _, data, _ in rows:
            try:
                entry = read(data, patterns)
            except entries.Bad as error:
                yield Difference("audit.entry", str(position), None, str(error), position)
                continue
            for type_, key, row in entry.records:
                if type_ in in_force:
                    erased = entry.kind == _ERASED and _NOT_ERASED not in row  # its reason is a text beside it
                    batch.append((type_, key, position, _hash(row.encode()), erased))
                else:
                    yield Difference(type_, key, None, "is of a type not in force", position)
        images.keep(batch)


def read(data: bytes, patterns: Patterns) -> PlainEntry:
    """An entry by its plain pattern, or else by the exact reader. Raises Bad."""
    return patterns.read(data) or entries.plain(entries.parse(data))


def _hash(row: bytes) -> bytes:
    return hashlib.sha256(row).digest()


# --- comparing the tables ---


def _compare_table(record_type: RecordType, images: LastImages, told: Replay) -> Iterator[Difference]:
    rows = record_type.model._default_manager.order_by("pk").iterator(chunk_size=_BATCH)
    while batch := list(islice(rows, _BATCH)):
        told.rows += len(batch)
        yield from _compare_batch(record_type, batch, images, told)


def _compare_batch(
    record_type: RecordType, batch: Sequence[models.Model], images: LastImages, told: Replay
) -> Iterator[Difference]:
    sealed = images.take(record_type.type, [str(instance.pk) for instance in batch])
    for instance in batch:
        key = str(instance.pk)
        if key not in sealed:
            yield Difference(record_type.type, key, None, "stands in its table, but no event has sealed it")
            continue
        position, digest, erased = sealed[key]
        yield from _compare_row(record_type, instance, digest, position)
        if isinstance(instance, Text):
            yield from _compare_text(record_type, instance, position, erased, told)


def _compare_row(record_type: RecordType, instance: models.Model, digest: bytes, position: int) -> Iterator[Difference]:
    key = str(instance.pk)
    try:
        present = image(instance)
        if _hash(canonical(present)) == digest:
            return
    except (ValueError, TypeError) as error:
        yield Difference(record_type.type, key, None, f"cannot be sealed as it stands: {error}", position)
        return
    sealed = _sealed_row(record_type, key, position)
    for column in sorted(set(present) | set(sealed)):
        if present.get(column) != sealed.get(column):
            sentence = f"the ledger says {_short(sealed.get(column))}, the table {_short(present.get(column))}"
            yield Difference(record_type.type, key, column, sentence, position)


def _sealed_row(record_type: RecordType, key: str, position: int) -> Row:
    """The image that the entry at that position holds."""
    entry = entries.parse(raw_entries.as_bytes(Entry.objects.values_list("entry", flat=True).get(position=position)))
    rows: Iterator[Row] = (
        r["row"] for r in entry.event["records"] if (r["type"], r["id"]) == (record_type.type, key)
    )  # fmt: skip
    return next(rows)


def _compare_text(
    record_type: RecordType, text: Text, position: int, erased: bool, told: Replay
) -> Iterator[Difference]:
    key = str(text.pk)
    gone = text.value is None or text.salt is None
    if erased and text.value is None and text.salt is None:
        told.tell_erased(key, position)
    elif erased:
        yield Difference(record_type.type, key, "value", "was erased, but stands in the table again", position)
    elif gone:
        yield Difference(record_type.type, key, "value", f"is gone, but no {_ERASED} says so", position)
    elif not _opens(text):
        yield Difference(record_type.type, key, "value", "does not open the commitment in the ledger", position)


def _opens(text: Text) -> bool:
    try:
        return commitment(raw_entries.as_bytes(text.salt), str(text.value)) == str(text.commitment)
    except ValueError:  # a salt of another length, or characters that are no text
        return False


def _short(value: JSON) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
