"""A unit is one transaction and one run of ledger entries; whatever breaks inside, nothing of it stays."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from audit import keys, merkle, notes, receipts
from audit.models import Entry
from registry.access import services as access
from registry.access.models import Actor, Team
from registry.digests import parse_canonical
from registry.events import Caller, UnitError, emit, unit
from tests.world import Cast


def last_entries(count: int) -> list[dict]:
    rows = Entry.objects.order_by("-position")[:count]
    return [parse_canonical(bytes(row.entry)) for row in reversed(rows)]


def new_team(opened, slug: str) -> Team:
    return Team.objects.create(slug=slug, created_at=opened.now)


def test_events_of_a_unit_share_actor_time_request_and_unit_and_lie_side_by_side(cast: Cast) -> None:
    with unit(cast.root, role="administrator") as opened:
        first, second = new_team(opened, "one"), new_team(opened, "two")
        emit("team.created", first, team=first.pk)
        emit("team.created", second, team=second.pk)
    one, two = last_entries(2)
    for member in ("actor", "at", "request", "unit"):
        assert one["event"][member] == two["event"][member]
    assert one["at"] == two["at"]
    assert list(opened.positions) == [opened.positions[0], opened.positions[0] + 1]
    assert one["stream"] == f"team:{first.pk}"
    assert one["stream_seq"] == 1


def test_an_event_outside_a_unit_is_refused(cast: Cast) -> None:
    with pytest.raises(UnitError, match="outside a unit"):
        emit("team.created", cast.team, team=cast.team.pk)


def test_an_error_inside_keeps_neither_rows_nor_entries(cast: Cast) -> None:
    before = Entry.objects.count()
    with pytest.raises(RuntimeError), unit(cast.root, role="administrator") as opened:
        team = new_team(opened, "lost")
        emit("team.created", team, team=team.pk)
        raise RuntimeError
    assert Entry.objects.count() == before
    assert not Team.objects.filter(slug="lost").exists()


def test_a_swallowed_inner_failure_kills_the_whole(cast: Cast) -> None:
    before = Entry.objects.count()
    with pytest.raises(UnitError, match="inner unit failed"), unit(cast.root, role="administrator") as opened:
        team = new_team(opened, "outer")
        emit("team.created", team, team=team.pk)
        try:
            with unit(cast.root, role="administrator"):
                raise RuntimeError
        except RuntimeError:
            pass
    assert Entry.objects.count() == before
    assert not Team.objects.filter(slug="outer").exists()


def test_a_savepoint_inside_a_unit_is_refused(cast: Cast) -> None:
    with pytest.raises(UnitError, match="savepoint"), unit(cast.root, role="administrator"), transaction.atomic():
        emit("team.created", cast.team, team=cast.team.pk)


def test_a_transaction_marked_for_rollback_is_an_error_even_without_events(cast: Cast) -> None:
    with pytest.raises(UnitError, match="marked for rollback"), unit(cast.root, role="administrator"):
        connection.needs_rollback = True


def test_nobody_listening_is_an_error(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.events.appending.receivers", [])
    monkeypatch.setattr("registry.events.appending.sender_receivers_cache", {}, raising=False)
    with pytest.raises(UnitError, match="0 ledgers listen"), unit(cast.root, role="administrator") as opened:
        team = new_team(opened, "unheard")
        emit("team.created", team, team=team.pk)
    assert not Team.objects.filter(slug="unheard").exists()


def test_free_text_cannot_be_sealed_in_clear(cast: Cast) -> None:
    with pytest.raises(ValueError, match="sealed in clear"), unit(cast.root, role="administrator") as opened:
        team = Team(slug="gruen", created_at=opened.now)
        team.slug = "grün"
        emit("team.created", team, team=team.pk)


def test_records_of_two_streams_do_not_fit_one_event(cast: Cast) -> None:
    with pytest.raises(UnitError, match="several streams"), unit(cast.root, role="administrator") as opened:
        emit("team.created", new_team(opened, "a1"), new_team(opened, "b1"), team=None)


def test_another_actor_cannot_join_a_unit(cast: Cast) -> None:
    with (
        pytest.raises(UnitError, match="one actor"),
        unit(cast.root, role="administrator"),
        unit(cast.ada, role="engineer"),
    ):
        pass


def test_what_people_type_is_sealed_as_a_commitment_only(cast: Cast) -> None:
    team = access.create_team(actor=cast.root, slug="quiet", title="Die stille Gruppe")
    sealed = bytes(Entry.objects.order_by("-position")[0].entry)
    assert b"stille" not in sealed
    assert team.title is not None
    assert team.title.commitment.encode() in sealed


def test_a_person_is_sealed_by_id_never_by_name(cast: Cast) -> None:
    access.create_actor(actor=cast.root, username="zoe.visible", display_name="Zoe", password="a long enough secret")
    sealed = bytes(Entry.objects.order_by("-position")[0].entry)
    assert b"zoe" not in sealed.lower()
    assert str(Actor.objects.get(username="zoe.visible").pk).encode() in sealed


@pytest.mark.usefixtures("committed_db")
@pytest.mark.db_guarantee
def test_a_commit_that_fails_gives_no_receipt_and_no_entry() -> None:
    """A deferred constraint is checked at COMMIT on SQLite, and before the append on PostgreSQL."""
    cast = Cast.assemble()
    before = Entry.objects.count()
    units = []
    with pytest.raises(IntegrityError), unit(cast.root, role="administrator") as opened:
        units.append(opened)
        team = Team.objects.create(slug="dangling", title_id=cast.team.pk, created_at=opened.now)
        emit("team.created", team, team=team.pk)
    assert [u.receipt for u in units] == [None]
    assert Entry.objects.count() == before


def test_the_receipt_is_signed_by_the_issuer_over_the_leaves(cast: Cast) -> None:
    with unit(cast.root, role="administrator") as opened:
        team = new_team(opened, "receipt")
        emit("team.created", team, team=team.pk)
    receipt = notes.open_receipt(opened.receipt.encode(), keys.issuer_signer().public)
    leaf = bytes(Entry.objects.get(position=opened.positions[0]).leaf)
    assert receipt.first == opened.positions[0]
    assert receipt.root == merkle.root([leaf])


def test_a_receipt_is_signed_once_for_whoever_takes_it_and_never_before_commit(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed: list[int] = []
    monkeypatch.setattr(receipts, "sign", lambda first, leaves, at: signed.append(first) or f"receipt of {first}")
    with unit(cast.root, role="administrator") as opened:
        emit("team.changed", cast.team, team=cast.team.pk)
        assert opened.receipt is None
    assert signed == []
    assert opened.receipt == opened.receipt == f"receipt of {opened.positions[0]}"
    assert signed == list(opened.positions)


def test_the_caller_says_who_and_the_unit_says_when(cast: Cast) -> None:
    caller = Caller(actor_id=cast.root.actor_id, via="api")
    with unit(caller, role="administrator") as opened:
        team = new_team(opened, "stated")
        emit("team.created", team, team=team.pk)
    event = last_entries(1)[0]["event"]
    assert event["actor"] == {
        "id": str(cast.root.actor_id), "on_behalf_of": None, "role": "administrator", "via": "api",
    }  # fmt: skip
    assert event["records"][0]["row"]["created_at"] == event["at"]
