"""The short ways of a governed write lead where Django's long ways lead: what is checked, and what is inserted."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, models, transaction
from django.test.utils import CaptureQueriesContext

from registry.access.models import Actor, Membership, Role, Team
from registry.access.queries import system_actor
from registry.fields import CheckedCharField
from registry.governed import GovernedModel, _columns_to_clean, governed_models
from registry.inserting import insert_of, passes_as_it_is
from registry.release.models import Approval
from tests.world import Cast

pytestmark = pytest.mark.db_guarantee
NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)
VALUES: list[Any] = [
    "", "a", "a.b-c", "..", "A" * 63, "a" * 64, "x" * 1000, "\u00fc", "two\nlines", "tab\t", "sha256:" + "0" * 64,
    "sha256:" + "A" * 64, " ", 0, 1, -1, 32_768, 2**31 - 1, 2**31, 2**63, True, False, 1.5, None, uuid.UUID(int=7), NOW,
    NOW.replace(tzinfo=None), NOW.date(), b"bytes", [], {}, "2026-01-02", "not a choice", *Role.values,
]  # fmt: skip


def choices_of(column: models.Field) -> list[Any]:
    return [value for value, _ in column.flatchoices] if column.choices else []


@pytest.mark.parametrize("model", governed_models(), ids=lambda model: model.__name__)
def test_a_value_that_passes_the_quick_look_passes_every_check_unchanged(model: type[GovernedModel], db: None) -> None:
    for column, surely_holds in _columns_to_clean(model):
        passed = [v for v in [*VALUES, *choices_of(column)] if surely_holds(v)]
        for value in passed:
            assert column.clean(value, None) == value, (column, value)
        usual = isinstance(column, CheckedCharField | models.UUIDField | models.DateTimeField | models.IntegerField)
        assert passed or not (usual or column.choices), f"the quick look at {column} knows no value"


@pytest.mark.parametrize("model", governed_models(), ids=lambda model: model.__name__)
def test_what_goes_to_the_driver_unprepared_is_what_django_would_hand_it(model: type[GovernedModel], db: None) -> None:
    for column in model._meta.concrete_fields:
        own_type = passes_as_it_is(column, connection)
        for value in [v for v in VALUES if type(v) is own_type and v != NOW.replace(tzinfo=None)]:
            if column.is_relation and value == "":
                continue
            prepared = column.get_db_prep_save(value, connection)
            assert (type(prepared), prepared) == (type(value), value), column


def rows_of(model: type[models.Model], keys: list[uuid.UUID]) -> list[tuple[Any, ...]]:
    """The rows as the driver gives them, without their keys."""
    columns = ", ".join(f'"{f.column}"' for f in model._meta.concrete_fields if not f.primary_key)
    found = []
    with connection.cursor() as cursor:
        for key in keys:
            prepared = model._meta.pk.get_db_prep_value(key, connection)
            cursor.execute(f'SELECT {columns} FROM "{model._meta.db_table}" WHERE id = %s', [prepared])
            found.append(cursor.fetchone())
    return found


def test_a_row_of_ours_is_the_row_that_django_writes(cast: Cast) -> None:
    values = {
        "actor": cast.people["eve"], "team": None, "role": Role.VIEWER, "granted_by_id": cast.root.actor_id,
        "created_at": NOW, "expires_at": NOW,
    }  # fmt: skip
    ours, theirs = Membership(**values), Membership(**values)
    ours.save()
    fields = list(Membership._meta.local_concrete_fields)
    assert insert_of(Membership, fields, connection) is not None
    models.Model._do_insert(theirs, Membership._base_manager, "default", fields, [], False)
    one, other = rows_of(Membership, [ours.pk, theirs.pk])
    assert one == other
    assert None in one
    assert ours == Membership.objects.get(pk=ours.pk)


def test_a_column_that_fills_itself_or_needs_a_placeholder_is_left_to_django() -> None:
    for column in (models.DateTimeField(auto_now_add=True), models.BinaryField(), models.FileField()):
        assert insert_of(Actor, [column], connection) is None


def test_whoever_listens_to_queries_hears_of_an_insert(cast: Cast) -> None:
    heard = []
    with connection.execute_wrapper(lambda run, sql, *rest: heard.append(sql) or run(sql, *rest)):
        Team.objects.create(slug="heard", created_at=NOW)
    assert ["INSERT" in sql for sql in heard] == [True]
    with CaptureQueriesContext(connection) as captured:
        Team.objects.create(slug="logged", created_at=NOW)
    assert 'INSERT INTO "access_team"' in captured[0]["sql"]


def test_an_insert_into_a_broken_transaction_is_refused(cast: Cast) -> None:
    with transaction.atomic():
        connection.needs_rollback = True
        with pytest.raises(transaction.TransactionManagementError):
            Team.objects.create(slug="late", created_at=NOW)


def test_a_row_that_breaks_a_rule_of_the_database_is_djangos_own_error(cast: Cast) -> None:
    Team.objects.create(slug="once", created_at=NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        Team.objects.create(slug="once", created_at=NOW)
    assert not connection.needs_rollback


def test_wrong_values_are_refused_with_the_name_of_each_column(cast: Cast) -> None:
    with pytest.raises(ValidationError) as found:
        Membership(actor=system_actor(), role="king", granted_by_id=cast.root.actor_id, created_at="yesterday").save()
    assert sorted(found.value.message_dict) == ["created_at", "role"]
    with pytest.raises(ValidationError, match="lower-case"):
        Approval(evidence_set_digest="sha256:no").save()
