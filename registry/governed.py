"""The base of every governed table: a UUIDv7 key, and the columns that may ever change, declared where the table is.

Rules (the database holds them through `registry.guards`, not only Python):
- a column changes only if it stands in `mutable` (freely), `once` (from NULL to a value) or `clearable` (to NULL);
- a row is never deleted; an end is a column;
- values are validated before every save, so that no service forgets it; keys of other rows and NULLs are the database's to check.
"""

from __future__ import annotations

import datetime
import uuid
from functools import cache
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models

from registry.ids import uuid7


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
        for column, own_type in _columns_to_clean(type(self)):
            value = getattr(self, column.attname)
            if isinstance(value, own_type) or (value is None and column.null):
                continue
            if column.blank and value in column.empty_values:
                continue
            try:
                setattr(self, column.attname, column.clean(value, self))
            except ValidationError as error:
                errors[column.name] = error.error_list
        if errors:
            raise ValidationError(errors)


_CLEAN_BY_TYPE: dict[type[models.Field[Any, Any]], type] = {
    models.UUIDField: uuid.UUID,
    models.DateTimeField: datetime.datetime,
}


@cache
def _columns_to_clean(model: type[GovernedModel]) -> list[tuple[models.Field[Any, Any], type | tuple[()]]]:
    """The columns whose values Python checks, each with the type of which every value will do (none for most)."""
    return [
        (column, () if column.validators or column.choices else _CLEAN_BY_TYPE.get(type(column), ()))
        for column in model._meta.concrete_fields
        if not column.is_relation and not isinstance(column, models.JSONField)
    ]


def governed_models() -> list[type[models.Model]]:
    """Every concrete governed model of the installation, in a stable order."""
    from django.apps import apps  # noqa: PLC0415  the registry of apps is filled only after this module is imported

    return sorted((m for m in apps.get_models() if issubclass(m, GovernedModel)), key=lambda m: m._meta.db_table)
