"""Append-only in the database itself: triggers that refuse what no service may do, so that bulk calls, shell and raw SQL fail too.

Rules held for every governed table, on SQLite and PostgreSQL:
- a frozen column never changes; a `once` column goes from NULL to a value; a `clearable` column goes to NULL only;
- no row is deleted, replaced or truncated;
- separation of duties that spans rows (`CONDITIONS`): the requester, the uploader and the author of the run decide nothing.
Ledger tables are frozen whole. Guards are generated from the models, dropped before a migration and installed after it
(a table rebuilt on SQLite loses its triggers silently), never written in a migration.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.db import connections, models

from registry.errors import Unavailable
from registry.governed import governed_models

PREFIX = "pressmark_guard_"
SOON = "A_MOMENT_AHEAD"
"""In a condition: five minutes from now, for rows that a machine whose clock is a little ahead writes."""
_CLOCKS = {
    "postgresql": {"CURRENT_TIMESTAMP": "clock_timestamp()", SOON: "(statement_timestamp() + INTERVAL '5 minutes')"},
    "sqlite": {SOON: "strftime('%Y-%m-%d %H:%M:%S', 'now', '+5 minutes')"},
}


@dataclass(frozen=True)
class Condition:
    """A rule over several rows: refuse an INSERT into `table` (an UPDATE, where `on` says so) when `refused_when` holds.

    `refused_when` is SQL that both databases read; NEW is the row as it would be, OLD (UPDATE only) as it is. CURRENT_TIMESTAMP is
    the moment of the statement on both: on PostgreSQL it would else be the begin of a transaction that somebody kept open.
    """

    name: str
    table: str
    refused_when: str
    message: str
    on: str = "INSERT"


_EXTRA_FROZEN: list[type[models.Model]] = []
_CONDITIONS: list[Condition] = []


def freeze_table(model: type[models.Model]) -> None:
    """Freeze a table that is not governed but append-only as a whole, such as the ledger's entries."""
    if model not in _EXTRA_FROZEN:
        _EXTRA_FROZEN.append(model)


def refuse_when(condition: Condition) -> None:
    """Add a rule over several rows."""
    if condition not in _CONDITIONS:
        _CONDITIONS.append(condition)


def _guarded_models() -> list[type[models.Model]]:
    return [*governed_models(), *_EXTRA_FROZEN]


def _column_rules(model: type[models.Model]) -> list[tuple[str, str]]:
    """(column, rule) for every column that may not change freely; rule is frozen, once or clearable."""
    mutable: tuple[str, ...] = getattr(model, "mutable", ())
    once: tuple[str, ...] = getattr(model, "once", ())
    clearable: tuple[str, ...] = getattr(model, "clearable", ())
    rules: list[tuple[str, str]] = []
    for column in model._meta.concrete_fields:
        if column.attname in mutable or column.name in mutable:
            continue
        rule = "frozen"
        if column.attname in once or column.name in once:
            rule = "once"
        elif column.name in clearable:
            rule = "clearable"
        rules.append((str(column.column), rule))
    return rules


def _unique_sets(model: type[models.Model]) -> list[tuple[str, ...]]:
    """Column sets that are unique without condition: where REPLACE could push a row out on SQLite."""
    sets: list[tuple[str, ...]] = [(str(f.column),) for f in model._meta.concrete_fields if f.unique]
    for constraint in model._meta.constraints:
        if isinstance(constraint, models.UniqueConstraint) and constraint.fields and not constraint.condition:
            sets.append(tuple(str(_column(model, name)) for name in constraint.fields))
    return sets


def _column(model: type[models.Model], name: str) -> str:
    column = model._meta.get_field(name).column  # type: ignore[union-attr]
    return str(column)


# --- SQLite ---


def _sqlite_changed(column: str, rule: str) -> str:
    changed = f'OLD."{column}" IS NOT NEW."{column}"'
    if rule == "once":
        return f'({changed} AND OLD."{column}" IS NOT NULL)'
    if rule == "clearable":
        return f'({changed} AND NEW."{column}" IS NOT NULL)'
    return changed


def _sqlite_statements() -> dict[str, str]:
    statements = {}
    for model in _guarded_models():
        table = model._meta.db_table
        changed = " OR ".join(_sqlite_changed(c, r) for c, r in _column_rules(model))
        name = f"{PREFIX}{table}_update"
        statements[name] = (
            f'CREATE TRIGGER "{name}" BEFORE UPDATE ON "{table}" WHEN {changed} '
            f"BEGIN SELECT RAISE(ABORT, 'pressmark: {table} is append-only; this column never changes'); END"
        )
        name = f"{PREFIX}{table}_delete"
        statements[name] = (
            f'CREATE TRIGGER "{name}" BEFORE DELETE ON "{table}" '
            f"BEGIN SELECT RAISE(ABORT, 'pressmark: rows of {table} are never deleted'); END"
        )
        taken = " OR ".join(
            f'EXISTS (SELECT 1 FROM "{table}" WHERE ' + " AND ".join(f'"{c}" = NEW."{c}"' for c in columns) + ")"
            for columns in _unique_sets(model)
        )
        name = f"{PREFIX}{table}_insert"
        statements[name] = (
            f'CREATE TRIGGER "{name}" BEFORE INSERT ON "{table}" WHEN {taken} '
            f"BEGIN SELECT RAISE(ABORT, 'UNIQUE constraint failed: {table} has this row already'); END"
        )
    for rule in _CONDITIONS:
        name = f"{PREFIX}{rule.name}"
        statements[name] = (
            f'CREATE TRIGGER "{name}" BEFORE {rule.on} ON "{rule.table}" WHEN {_by_clock(rule, "sqlite")} '
            f"BEGIN SELECT RAISE(ABORT, 'pressmark: {rule.message}'); END"
        )
    return statements


# --- PostgreSQL ---


def _postgres_changed(column: str, rule: str) -> str:
    changed = f'OLD."{column}" IS DISTINCT FROM NEW."{column}"'
    if rule == "once":
        return f'({changed} AND OLD."{column}" IS NOT NULL)'
    if rule == "clearable":
        return f'({changed} AND NEW."{column}" IS NOT NULL)'
    return changed


def _postgres_function(name: str, condition: str, message: str) -> str:
    return (
        f'CREATE OR REPLACE FUNCTION "{name}"() RETURNS trigger LANGUAGE plpgsql AS $guard$ BEGIN '
        f"IF ({condition}) THEN RAISE EXCEPTION 'pressmark: {message}' USING ERRCODE = 'integrity_constraint_violation'; END IF; "
        "RETURN NEW; END $guard$"
    )


def _postgres_statements() -> dict[str, str]:
    statements = {}
    for model in _guarded_models():
        table = model._meta.db_table
        changed = " OR ".join(_postgres_changed(c, r) for c, r in _column_rules(model))
        name = f"{PREFIX}{table}_update"
        statements[name] = (
            _postgres_function(name, changed, f"{table} is append-only; this column never changes")
            + f'; CREATE TRIGGER "{name}" BEFORE UPDATE ON "{table}" FOR EACH ROW EXECUTE FUNCTION "{name}"()'
        )
        for verb in ("delete", "truncate"):
            name = f"{PREFIX}{table}_{verb}"
            statements[name] = (
                _postgres_function(name, "TRUE", f"rows of {table} are never deleted")
                + f'; CREATE TRIGGER "{name}" BEFORE {verb.upper()} ON "{table}" FOR EACH STATEMENT '
                f'EXECUTE FUNCTION "{name}"()'
            )
    for rule in _CONDITIONS:
        name = f"{PREFIX}{rule.name}"
        statements[name] = (
            _postgres_function(name, _by_clock(rule, "postgresql"), rule.message)
            + f'; CREATE TRIGGER "{name}" BEFORE {rule.on} ON "{rule.table}" FOR EACH ROW EXECUTE FUNCTION "{name}"()'
        )
    return statements


# --- both ---


def _by_clock(rule: Condition, vendor: str) -> str:
    """The condition with the moments of this database."""
    text = rule.refused_when
    for name, moment in _CLOCKS[vendor].items():
        text = text.replace(name, moment)
    return text


def _statements(connection: Any) -> dict[str, str]:
    return _postgres_statements() if connection.vendor == "postgresql" else _sqlite_statements()


def _installed(connection: Any) -> dict[str, str]:
    """Guard name -> table, as the database has them now, switched-off ones left out."""
    if connection.vendor == "postgresql":
        query = (
            "SELECT t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE starts_with(t.tgname, %s) AND t.tgenabled IN ('O', 'A')"
        )
    else:
        query = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, 16) = %s"
    with connection.cursor() as cursor:
        cursor.execute(query, [PREFIX])
        return dict(cursor.fetchall())


def _altered(connection: Any) -> set[str]:
    """Guards that bear the right name and do something else: a trigger that never fires would look like one that does."""
    wanted = _statements(connection)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT t.tgname, p.prosrc, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
                "WHERE starts_with(t.tgname, %s)",
                [PREFIX],
            )
            return {
                name for name, body, trigger in cursor.fetchall() if _postgres_differs(wanted.get(name), body, trigger)
            }
        cursor.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, 16) = %s", [PREFIX]
        )
        return {name for name, sql in cursor.fetchall() if wanted.get(name) != sql}


def _postgres_differs(wanted: str | None, body: str, trigger: str) -> bool:
    if wanted is None:
        return True
    _, wanted_body, wanted_trigger = wanted.split("$guard$")
    plain = re.sub(r" (ON|FUNCTION) [a-z_]+\.", r" \1 ", trigger.replace('"', ""))  # the schema is named or not
    return body != wanted_body or plain != wanted_trigger.removeprefix("; ").replace('"', "")


def install(using: str = "default") -> None:
    """Install every guard whose table exists, replacing what is there."""
    connection = connections[using]
    drop(using)
    with connection.cursor() as cursor:
        for statement in _statements(connection).values():
            cursor.execute(statement)


def drop(using: str = "default") -> None:
    """Remove every guard; migrations only."""
    connection = connections[using]
    with connection.cursor() as cursor:
        for name, table in _installed(connection).items():
            on = f' ON "{table}"' if connection.vendor == "postgresql" else ""
            cursor.execute(f'DROP TRIGGER "{name}"{on}')


def missing(using: str = "default") -> list[str]:
    """Names of guards that should be there and are not, or are there and are not what they should be."""
    connection = connections[using]
    return sorted((set(_statements(connection)) - set(_installed(connection))) | _altered(connection))


def demand(using: str = "default") -> None:
    """Refuse to go on when a guard is missing."""
    absent = missing(using)
    if absent:
        raise Unavailable(
            f"{len(absent)} guards of the database are missing or altered, the first is {absent[0]}.",
            hint="This Pressmark is newer than its database, someone changed them, or a migration stopped half-way. Run "
            "`pressmark upgrade`, then `pressmark verify-ledger`.",
            code="guards-missing",
        )
