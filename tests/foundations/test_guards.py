"""The database itself refuses to change history: ORM, bulk calls and raw SQL alike."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from audit.models import Entry
from registry import guards
from registry.access.models import Actor, Team, Text
from registry.errors import Unavailable
from registry.governed import governed_models
from registry.images import missing_record_types
from tests.world import Cast

pytestmark = pytest.mark.db_guarantee


def refused(sql: str, *parameters: object) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql, parameters)
    except DatabaseError as error:
        return "pressmark" in str(error) or "UNIQUE" in str(error)
    return False


def test_a_frozen_column_never_changes(cast: Cast) -> None:
    assert refused("UPDATE access_team SET slug = 'other'")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Team.objects.update(slug="other")


def test_a_column_that_may_be_set_once_is_set_once(cast: Cast) -> None:
    Team.objects.filter(pk=cast.team.pk).update(ended_at="2026-01-01T00:00:00Z")
    with pytest.raises(DatabaseError), transaction.atomic():
        Team.objects.filter(pk=cast.team.pk).update(ended_at=None)


def test_no_row_is_deleted(cast: Cast) -> None:
    assert refused("DELETE FROM access_team")
    with pytest.raises(DatabaseError), transaction.atomic():
        Team.objects.all()._raw_delete("default")


def test_no_table_is_truncated(cast: Cast) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no TRUNCATE")
    assert refused("TRUNCATE access_team CASCADE")


def test_a_row_is_not_replaced(cast: Cast) -> None:
    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL has no REPLACE")
    assert refused("INSERT OR REPLACE INTO access_team SELECT * FROM access_team")
    assert refused("PRAGMA recursive_triggers=OFF") is False
    assert refused("INSERT OR REPLACE INTO audit_entry SELECT * FROM audit_entry")


def test_ledger_entries_never_change(cast: Cast) -> None:
    assert refused("UPDATE audit_entry SET stream = 'instance' WHERE stream <> 'instance'")
    assert refused("DELETE FROM audit_entry")
    with pytest.raises(DatabaseError), transaction.atomic():
        Entry.objects.all()._raw_delete("default")


def test_erasing_a_text_is_the_only_change_to_it(cast: Cast) -> None:
    text = Text.objects.all()[0]
    with pytest.raises(DatabaseError), transaction.atomic():
        Text.objects.filter(pk=text.pk).update(value="something else")
    Text.objects.filter(pk=text.pk).update(value=None, salt=None)


def test_profile_columns_of_people_may_change(cast: Cast) -> None:
    Actor.objects.filter(pk=cast.ada.actor_id).update(display_name="Ada L.")


def test_every_governed_table_is_guarded_and_can_be_sealed(cast: Cast) -> None:
    assert guards.missing() == []
    assert missing_record_types() == []
    installed = set(guards._installed(connection))
    wanted = {f"pressmark_guard_{m._meta.db_table}_{verb}" for m in governed_models() for verb in ("update", "delete")}
    assert wanted - installed == set()


def test_a_missing_guard_is_noticed(cast: Cast) -> None:
    on = " ON access_team" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER pressmark_guard_access_team_delete{on}")
    assert guards.missing() == ["pressmark_guard_access_team_delete"]
    with pytest.raises(Unavailable, match="guards"):
        guards.demand()
    guards.install()


def test_a_guard_that_was_replaced_by_one_that_never_fires_is_noticed(cast: Cast) -> None:
    name = "pressmark_guard_access_team_delete"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            body = "BEGIN RETURN OLD; END"
            cursor.execute(
                f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $guard$ {body} $guard$"
            )
        else:
            cursor.execute(f"DROP TRIGGER {name}")
            cursor.execute(f"CREATE TRIGGER {name} BEFORE DELETE ON access_team WHEN 0 BEGIN SELECT 1; END")
    assert guards.missing() == [name]
    with pytest.raises(Unavailable, match="altered"):
        guards.demand()
    guards.install()
    assert guards.missing() == []
