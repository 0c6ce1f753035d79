"""The base of every governed table: a UUIDv7 key, and the columns that may ever change, declared where the table is.

Rules (the database holds them through `registry.guards`, not only Python):
- a column changes only if it stands in `mutable` (freely), `once` (from NULL to a value) or `clearable` (to NULL);
- a row is never deleted; an end is a column;
- values are validated before every save, so that no service forgets it; keys of other rows and NULLs are the database's to check.
"""

from __future__ import annotations

from typing import Any, ClassVar

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
        self.clean_fields(exclude=self._left_to_the_database())
        super().save(*args, **kwargs)

    def _left_to_the_database(self) -> set[str]:
        return {
            f.name
            for f in self._meta.concrete_fields
            if f.is_relation or isinstance(f, models.JSONField) or (f.null and getattr(self, f.attname) is None)
        }


def governed_models() -> list[type[models.Model]]:
    """Every concrete governed model of the installation, in a stable order."""
    from django.apps import apps  # noqa: PLC0415  the registry of apps is filled only after this module is imported

    return sorted((m for m in apps.get_models() if issubclass(m, GovernedModel)), key=lambda m: m._meta.db_table)
