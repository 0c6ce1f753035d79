"""The base of every governed table: a UUIDv7 key, and the columns that may ever change, declared where the table is.

Rules (the database holds them through `registry.guards`, not only Python):
- a column changes only if it stands in `mutable` (freely), `once` (from NULL to a value) or `clearable` (to NULL);
- a row is never deleted; an end is a column;
- values are validated before every save, so that no service forgets it; keys of other rows and NULLs are the database's to check.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import connections, models

from registry.ids import uuid7
from registry.inserting import insert_of


class GovernedModel(models.Model):
    """Abstract: id, and what may change."""

    mutable: ClassVar[tuple[str, ...]] = ()
    once: ClassVar[tuple[str, ...]] = ()
    clearable: ClassVar[tuple[str, ...]] = ()

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        self._clean_values()
        super().save(*args, **kwargs)

    def _clean_values(self) -> None:
        errors: dict[str, Any] = {}
        for column, surely_holds in _columns_to_clean(type(self)):
            value = getattr(self, column.attname)
            if surely_holds(value) or (value is None and column.null):
                continue
            if column.blank and value in column.empty_values:
                continue
            try:
                setattr(self, column.attname, column.clean(value, self))
            except ValidationError as error:
                errors[column.name] = error.error_list
        if errors:
            raise ValidationError(errors)

    def _do_insert(
        self, manager: Any, using: str, fields: Sequence[models.Field[Any, Any]], returning_fields: Any, raw: bool
    ) -> Any:
        """As Django does it, but that the statement is written once for a table and not for every row."""
        connection = connections[using]
        insert = None if raw or returning_fields else insert_of(type(self), fields, connection)
        if insert is None:
            return super()._do_insert(manager, using, fields, returning_fields, raw)  # type: ignore[misc]
        insert.run(self, connection)
        return []


@cache
def _columns_to_clean(model: type[GovernedModel]) -> list[tuple[models.Field[Any, Any], Callable[[Any], bool]]]:
    """The columns whose values Python checks, each with a quick look: False only says that the column itself must be asked."""
    return [
        (column, _quick_look(column))
        for column in model._meta.concrete_fields
        if not column.is_relation and not isinstance(column, models.JSONField)
    ]


_SURELY_IN_RANGE = range(2**15)  # in every integer column of every database
_SURELY_IN_BIG_RANGE = range(2**63)


def _quick_look(column: models.Field[Any, Any]) -> Callable[[Any], bool]:
    if column._validators:  # type: ignore[attr-defined]
        return _asks_the_column
    own: Callable[[Any], bool] | None = getattr(column, "surely_holds", None)
    if own is not None:
        return own
    if column.choices:
        choices = frozenset(value for value, _ in column.flatchoices)
        return lambda value: type(value) is str and value in choices
    if type(column) is models.DateTimeField:
        return lambda value: isinstance(value, datetime.datetime)
    if type(column) is models.UUIDField:
        return lambda value: isinstance(value, uuid.UUID)
    if isinstance(column, models.IntegerField):
        surely_in_range = _SURELY_IN_BIG_RANGE if type(column) is models.BigIntegerField else _SURELY_IN_RANGE
        return lambda value: type(value) is int and value in surely_in_range
    return _asks_the_column


def _asks_the_column(value: object) -> bool:
    return False


def governed_models() -> list[type[models.Model]]:
    """Every concrete governed model of the installation, in a stable order."""
    from django.apps import apps  # noqa: PLC0415  the registry of apps is filled only after this module is imported

    return sorted((m for m in apps.get_models() if issubclass(m, GovernedModel)), key=lambda m: m._meta.db_table)
