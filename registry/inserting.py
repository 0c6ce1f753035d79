"""The INSERT of one row at the least cost, for the tables whose every row is sealed and which are written most.

Rules:
- the statement is the one that Django writes; it is asked for once for a table and a kind of database;
- a value goes to the driver as it is where Django would hand it on unchanged; every other is prepared by its column;
- a table whose statement depends on its values, or whose columns fill themselves, is left to Django.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from django.db import models
from django.db.models.sql import InsertQuery

Column: TypeAlias = "models.Field[Any, Any]"


class Insert(NamedTuple):
    """The statement of a table; each column with its attribute and the type whose values need no preparing."""

    statement: str
    columns: Sequence[tuple[Column, str, type | None]]

    def run(self, row: models.Model, connection: Any) -> None:
        """Insert the row."""
        values = []
        for column, attname, as_it_is in self.columns:
            value = getattr(row, attname)
            if value is not None and type(value) is not as_it_is:
                value = column.get_db_prep_save(value, connection)
            values.append(value)
        if connection.queries_logged or connection.execute_wrappers or not connection.in_atomic_block:
            with connection.cursor() as cursor:
                cursor.execute(self.statement, values)
        else:  # nobody listens, and the transaction is open: what Django puts around the cursor has nothing to do
            connection.validate_no_broken_transaction()
            with connection.wrap_database_errors:
                cursor = connection.create_cursor()
                cursor.execute(self.statement, values)
                cursor.close()


_known: dict[tuple[type[models.Model], str, int], Insert | None] = {}


def insert_of(model: type[models.Model], fields: Sequence[Column], connection: Any) -> Insert | None:
    """How a row of the table is inserted; None where that is better left to Django."""
    key = (model, connection.vendor, len(fields))
    if key not in _known:
        _known[key] = None if any(map(_is_peculiar, fields)) else _write(model, fields, connection)
    return _known[key]


def _is_peculiar(column: Column) -> bool:
    fills_itself = getattr(column, "auto_now", False) or getattr(column, "auto_now_add", False)
    return bool(fills_itself) or hasattr(column, "get_placeholder") or isinstance(column, models.FileField)


def _write(model: type[models.Model], fields: Sequence[Column], connection: Any) -> Insert:
    query = InsertQuery(model)
    query.insert_values(fields, [model()], raw=True)
    [(statement, values)] = query.get_compiler(connection=connection).as_sql()
    if len(values) != len(fields):
        raise AssertionError(f"{len(values)} values for the {len(fields)} columns of {model.__name__}")
    return Insert(statement, [(f, f.attname, passes_as_it_is(f, connection)) for f in fields])


def passes_as_it_is(column: Column, connection: Any) -> type | None:
    """The type whose values `column.get_db_prep_save` hands on unchanged to this database's driver."""
    if column.is_relation:
        column = column.target_field  # type: ignore[attr-defined]
    if isinstance(column, models.CharField) and type(column).get_prep_value is models.CharField.get_prep_value:
        return str
    if connection.vendor == "postgresql":
        if type(column) is models.UUIDField:
            return uuid.UUID
        if type(column) is models.DateTimeField:
            return datetime.datetime
    return None
