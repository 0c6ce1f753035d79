"""Replay finds what was changed in the tables without an event; one attack per test."""

from __future__ import annotations

import uuid

import pytest

from audit import checkpoints, erasure
from audit.verification import replay
from registry.access import services as access
from registry.access.models import Actor, Membership, Team, Text
from registry.digests import commitment
from registry.images import record_types
from tests.worlds.audit import AuditWorld, tamper

pytestmark = pytest.mark.db_guarantee


def one() -> replay.Difference:
    found = replay.compare()
    assert len(found) == 1, [str(item) for item in found]
    return found[0]


def stored(value: uuid.UUID) -> object:
    from django.db import connection

    return str(value) if connection.vendor == "postgresql" else value.hex


def test_tables_written_through_services_agree_with_the_ledger(house: AuditWorld) -> None:
    house.teams(2)
    membership = Membership.objects.exclude(team=None)[0]
    access.end_membership(actor=house.cast.root, membership=membership)
    assert replay.compare() == []


def test_a_column_changed_behind_the_ledger_is_named(house: AuditWorld) -> None:
    team = house.teams(1)[0]
    tamper("access_team", "UPDATE access_team SET slug = 'renamed' WHERE id = %s", [stored(team.pk)])
    found = one()
    assert (found.type, found.id, found.column) == ("access.team/1", str(team.pk), "slug")
    assert "team-0" in found.sentence
    assert "renamed" in found.sentence


def test_a_row_that_no_event_sealed_is_named(house: AuditWorld) -> None:
    team = Team.objects.create(slug="smuggled", created_at="2026-01-01T00:00:00Z")
    assert "no event" in one().sentence
    assert one().id == str(team.pk)


def test_a_row_that_is_gone_is_named(house: AuditWorld) -> None:
    membership = Membership.objects.exclude(team=None)[0]
    tamper("access_membership", "DELETE FROM access_membership WHERE id = %s", [stored(membership.pk)])
    found = one()
    assert found.id == str(membership.pk)
    assert "gone" in found.sentence


def test_a_role_given_in_the_database_is_named(house: AuditWorld) -> None:
    member = Membership.objects.get(role="engineer")
    tamper(
        "access_membership",
        "UPDATE access_membership SET role = 'administrator' WHERE id = %s", [stored(member.pk)],
    )  # fmt: skip
    assert one().column == "role"


def test_a_text_that_does_not_open_its_commitment_is_named(house: AuditWorld) -> None:
    text = house.teams(1)[0].title
    assert text is not None
    tamper("access_text", "UPDATE access_text SET value = 'never said' WHERE id = %s", [stored(text.pk)])
    assert "commitment" in one().sentence


def test_a_text_that_vanished_without_an_erasure_is_named(house: AuditWorld) -> None:
    text = house.teams(1)[0].title
    assert text is not None
    Text.objects.filter(pk=text.pk).update(value=None, salt=None)
    assert "text.erased" in one().sentence


def test_an_erased_text_agrees(house: AuditWorld) -> None:
    text = house.teams(1)[0].title
    assert text is not None
    erasure.erase(actor=house.cast.root, texts=[text], reason="Asked for by the person.")
    assert replay.compare() == []


def test_an_erased_text_is_told_as_erased_with_the_entry_that_says_so(house: AuditWorld) -> None:
    text = house.teams(2)[0].title
    assert text is not None
    erasure.erase(actor=house.cast.root, texts=[text], reason="Asked for by the person.")
    told = replay.run()
    assert told.differences == []
    assert told.erased_count == 1
    assert [(item.id, item.position) for item in told.erased] == [(str(text.pk), checkpoints.ledger_size() - 1)]


def test_an_erased_text_that_stands_in_the_table_again_is_named(house: AuditWorld) -> None:
    text = house.teams(1)[0].title
    assert text is not None
    value, salt = text.value, bytes(text.salt)
    erasure.erase(actor=house.cast.root, texts=[text], reason="Asked for by the person.")
    tamper("access_text", "UPDATE access_text SET value = %s, salt = %s WHERE id = %s", [value, salt, stored(text.pk)])
    found = one()
    assert (found.id, found.column) == (str(text.pk), "value")
    assert "erased" in found.sentence
    assert replay.run().erased_count == 0


def test_a_text_that_lost_its_salt_alone_is_named(house: AuditWorld) -> None:
    text = house.teams(1)[0].title
    assert text is not None
    Text.objects.filter(pk=text.pk).update(salt=None)
    assert one().column == "value"


def test_a_salt_of_another_length_is_named_and_no_crash(house: AuditWorld) -> None:
    text = house.teams(1)[0].title
    assert text is not None
    tamper("access_text", "UPDATE access_text SET salt = %s WHERE id = %s", [b"short", stored(text.pk)])
    assert "commitment" in one().sentence


def test_several_columns_of_several_rows_are_named_each(house: AuditWorld) -> None:
    first, second = house.teams(2)
    tamper("access_team", "UPDATE access_team SET slug = 'a', title_id = NULL WHERE id = %s", [stored(first.pk)])
    tamper("access_team", "UPDATE access_team SET slug = 'b' WHERE id = %s", [stored(second.pk)])
    found = {(item.id, item.column) for item in replay.compare()}
    assert found == {(str(first.pk), "slug"), (str(first.pk), "title_id"), (str(second.pk), "slug")}


def test_an_entry_that_cannot_be_read_is_named_and_the_rest_is_compared(house: AuditWorld) -> None:
    team = house.teams(1)[0]
    position = checkpoints.ledger_size() - 1
    tamper("audit_entry", "UPDATE audit_entry SET entry = %s WHERE position = %s", [b"{}", position])
    found = replay.compare()
    assert ("audit.entry", str(position)) in {(item.type, item.id) for item in found}
    assert ("access.team/1", str(team.pk)) in {(item.type, item.id) for item in found}


def test_rows_are_compared_in_several_batches(house: AuditWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    house.teams(5)
    monkeypatch.setattr(replay, "_BATCH", 2)
    told = replay.run()
    assert told.differences == []
    assert told.rows == sum(t.model._default_manager.count() for t in record_types())


def test_a_swapped_commitment_is_named_by_its_column(house: AuditWorld) -> None:
    text = house.teams(1)[0].title
    assert text is not None
    other = commitment(bytes(text.salt), "another value")
    tamper(
        "access_text",
        "UPDATE access_text SET value = 'another value', commitment = %s WHERE id = %s", [other, stored(text.pk)],
    )  # fmt: skip
    assert one().column == "commitment"


def test_a_profile_may_change_without_an_event(house: AuditWorld) -> None:
    Actor.objects.filter(pk=house.cast.ada.actor_id).update(display_name="Ada Lovelace")
    assert replay.compare() == []


def test_no_more_differences_are_collected_than_asked_for(house: AuditWorld) -> None:
    house.teams(4)
    tamper("access_team", "UPDATE access_team SET created_at = '2020-01-01 00:00:00'")
    assert len(replay.compare(limit=2)) == 2
    assert {item.column for item in replay.compare()} == {"created_at"}
