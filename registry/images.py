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
from functools import cached_property
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

    @cached_property
    def type(self) -> str:
        return f"{self.name}/{self.number}"

    @cached_property
    def columns(self) -> list[models.Field[Any, Any]]:
        """The sealed columns in the order of the model."""
        return [f for f in self.model._meta.concrete_fields if not f.primary_key and f.attname not in self.unsealed]

    @cached_property
    def attnames(self) -> list[str]:
        """The names of the sealed columns."""
        return [column.attname for column in self.columns]


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


def _seal_text(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise ValueError(f"free text cannot be sealed in clear: {value[:40]!r}")
    return value if type(value) is str else str.__str__(value)  # a choice gives its stored value


def _as_it_is(value: JSON) -> JSON:
    return value


_SEALS: dict[type, Callable[[Any], JSON]] = {
    type(None): _as_it_is,
    bool: _as_it_is,
    int: _as_it_is,
    str: _seal_text,
    datetime.datetime: time_text,
    datetime.date: date_text,
    uuid.UUID: str,
    bytes: lambda value: base64.b64encode(value).decode(),
    memoryview: lambda value: base64.b64encode(bytes(value)).decode(),
    list: lambda value: [seal_value(v) for v in value],
    tuple: lambda value: [seal_value(v) for v in value],
    dict: lambda value: {str(k): seal_value(v) for k, v in value.items()},
}
"""The base before what inherits from it must not be taken for it: a datetime is a date, a bool is an int."""


def seal_value(value: Any) -> JSON:
    """A column's typed value as it stands in an image."""
    seal = _SEALS.get(type(value))
    if seal is None:  # a subclass, such as a text of a list of choices
        seal = next((_SEALS[base] for base in type(value).__mro__ if base in _SEALS), None)
    if seal is None:
        raise TypeError(f"a column of type {type(value).__name__} cannot be sealed")
    return seal(value)


def image(instance: models.Model) -> Row:
    """The row as an event seals it."""
    row = {}
    for name in record_type_of(type(instance)).attnames:
        value = getattr(instance, name)
        seal = _SEALS.get(type(value), seal_value)
        row[name] = seal(value)
    return row
