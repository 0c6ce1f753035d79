"""Record types, and the image of a row that an event seals (FORMATS, section 4).

Rules:
- a row's image holds every column but the key and the unsealed ones, under Django's attname, from the typed value;
- text is one line of printable ASCII; what people type freely is an `access.Text` and stands here by its id;
- the stream of a record follows from its row alone, so a verifier can recompute it;
- a table without a record type cannot be emitted, and a governed table without one fails `missing_record_types`.
"""

from __future__ import annotations

import base64
import datetime
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.db import models

from registry.digests import JSON, date_text, time_text
from registry.governed import governed_models

Row = dict[str, JSON]


@dataclass(frozen=True)
class RecordType:
    """How the rows of one table are sealed: `room.noun/number`, what is left out, and which stream they belong to."""

    name: str
    number: int
    model: type[models.Model]
    stream: Callable[[uuid.UUID, Row], str]
    unsealed: frozenset[str] = frozenset()

    @property
    def type(self) -> str:
        return f"{self.name}/{self.number}"

    @property
    def columns(self) -> list[models.Field[Any, Any]]:
        """The sealed columns in the order of the model."""
        return [f for f in self.model._meta.concrete_fields if not f.primary_key and f.attname not in self.unsealed]


_TYPES: dict[type[models.Model], RecordType] = {}


def register_records(types: Iterable[RecordType]) -> None:
    """Make record types known; called once when the applications are ready."""
    for record_type in types:
        _TYPES[record_type.model] = record_type


def record_type_of(model: type[models.Model]) -> RecordType:
    """The record type in force for a table; LookupError when it has none."""
    try:
        return _TYPES[model]
    except KeyError:
        raise LookupError(f"{model.__name__} has no record type; add it to its room's records.py") from None


def record_types() -> list[RecordType]:
    """Every record type in force, by name."""
    return sorted(_TYPES.values(), key=lambda t: t.name)


def missing_record_types() -> list[str]:
    """Governed tables that nobody could seal. Empty, or the house is broken."""
    return [m.__name__ for m in governed_models() if m not in _TYPES]


def seal_value(value: Any) -> JSON:
    """A column's typed value as it stands in an image."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        if not (value.isascii() and (value.isprintable() or value == "")):
            raise ValueError(f"free text cannot be sealed in clear: {value[:40]!r}")
        return value
    if isinstance(value, datetime.datetime):
        return time_text(value)
    if isinstance(value, datetime.date):
        return date_text(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, list | tuple):
        return [seal_value(v) for v in value]
    if isinstance(value, dict):
        return {str(k): seal_value(v) for k, v in value.items()}
    raise TypeError(f"a column of type {type(value).__name__} cannot be sealed")


def image(instance: models.Model) -> Row:
    """The row as an event seals it."""
    record_type = record_type_of(type(instance))
    return {f.attname: seal_value(getattr(instance, f.attname)) for f in record_type.columns}


def stream_of(instance: models.Model) -> str:
    """The stream that the row belongs to, recomputed from the row."""
    record_type = record_type_of(type(instance))
    return record_type.stream(instance.pk, image(instance))
