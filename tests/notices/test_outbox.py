"""What is told is written in the transaction of what it tells: to the right people, with no word that somebody typed."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError

from registry import events
from registry.access import services as access
from registry.access.models import Actor, Role, Team
from registry.events import unit
from registry.notices.models import Channel, Outgoing, Preference
from registry.oversight import services as oversight
from registry.release import services as release
from tests.world import World


def told(kind: str) -> dict[str, Outgoing]:
    """User name -> notice, for the people who were told of a kind of event."""
    return {row.actor.username: row for row in Outgoing.objects.filter(kind=kind, webhook=None).select_related("actor")}


@pytest.fixture(autouse=True)
def _mail_server(settings: Any) -> None:
    settings.PRESSMARK_MAIL_HOST = "127.0.0.1"


def address(world: World, *names: str) -> None:
    for name in names:
        Actor.objects.filter(username=name).update(email=f"{name}@example.org")


def test_a_request_is_told_to_those_who_decide_and_not_to_whoever_asked(world: World) -> None:
    world.approval(world.parent_version())
    notices = told("approval.requested")
    assert set(notices) == {"omar", "carla"}
    assert "search/" in notices["omar"].body["says"]
    assert "for production" in notices["omar"].body["says"]
    assert notices["omar"].body["path"].startswith("/approvals/")
    assert "approver" in notices["omar"].body["reason"]


def test_a_decision_is_told_to_whoever_asked_and_to_the_owner(world: World) -> None:
    world.granted(world.parent_version())
    assert set(told("approval.granted")) == {"ada"}


def test_a_unit_that_is_rolled_back_leaves_nothing_in_the_outbox(world: World) -> None:
    version = world.parent_version()
    before = Outgoing.objects.count()
    with pytest.raises(RuntimeError), unit(world.cast.ada):
        world.approval(version)
        raise RuntimeError
    assert Outgoing.objects.count() == before


def test_a_failing_outbox_kills_the_unit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    version = world.parent_version()

    def broken(*args: object) -> list[Outgoing]:
        raise IntegrityError("no room")

    monkeypatch.setattr("registry.notices.outbox.rows_of", broken)
    with pytest.raises(IntegrityError):
        world.approval(version)
    assert not version.approvals.exists()


def test_nothing_more_is_emitted_by_who_writes_before_the_append(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def talkative(opened: events.Unit) -> None:
        events.emit("team.created", world.team, team=world.team.pk)

    monkeypatch.setattr(events, "before_appending", [talkative])
    with pytest.raises(events.UnitError, match="emits nothing more"):
        access.create_team(actor=world.cast.root, slug="other")


def test_a_kind_without_a_rule_asks_the_database_nothing(world: World, django_assert_num_queries: Any) -> None:
    with unit(world.cast.root, role="administrator") as opened:
        events.emit("team.created", world.team, team=world.team.pk)
        from registry.notices import outbox

        with django_assert_num_queries(0):
            outbox.write(opened)


def test_no_word_that_somebody_typed_and_no_name_of_a_person_is_told(world: World) -> None:
    version = world.parent_version()
    release.request_approval(actor=world.cast.ada, version=version, alias="production", reason="Xylophone reason")
    stream = f"model:{version.model_id}"
    oversight.open_finding(
        actor=world.cast.carla, stream=stream, team_id=world.team.pk, subject="Xylophone subject",
        description="Xylophone description", owner=world.cast.people["ada"], due_on=version.created_at.date().replace(year=2999),
    )  # fmt: skip
    bodies = " ".join(str(row.body) for row in Outgoing.objects.all())
    assert told("finding.opened").keys() == {"ada"}
    assert "Xylophone" not in bodies
    assert not {"Ada", "Omar", "Carla", "ada ", "omar"} & set(bodies.split())


def test_whoever_may_not_read_the_team_is_not_told(world: World, outsider_team: Team) -> None:
    eve = world.cast.people["eve"]
    access.grant_membership(actor=world.cast.root, person=eve, role=Role.APPROVER, team=outsider_team)
    version = world.parent_version()
    oversight.open_finding(
        actor=world.cast.carla, stream=f"model:{version.model_id}", team_id=world.team.pk, subject="s",
        description="d", owner=eve, due_on=version.created_at.date().replace(year=2999),
    )  # fmt: skip
    world.approval(version)
    assert "eve" not in {*told("finding.opened"), *told("approval.requested")}


def test_somebody_of_the_whole_instance_is_told_and_somebody_whose_role_ended_is_not(world: World) -> None:
    olga = world.person("olga")
    access.grant_membership(actor=world.cast.root, person=olga, role=Role.APPROVER, team=None)
    ended = world.cast.people["omar"].memberships.get()
    access.end_membership(actor=world.cast.root, membership=ended)
    world.approval(world.parent_version())
    assert set(told("approval.requested")) == {"olga", "carla"}


def test_a_role_that_is_given_is_told_without_naming_the_team(world: World) -> None:
    world.person("nils", Role.VIEWER)
    body = told("membership.granted")["nils"].body
    assert body["team"] is None
    assert "search" not in str(body)


def test_mail_goes_to_who_wants_it_and_has_an_address_and_the_rest_stands_on_the_page(world: World) -> None:
    address(world, "omar", "carla")
    Preference.objects.create(actor=world.cast.people["carla"], mail=False, changed_at="2026-01-01T00:00:00Z")
    world.second_approver()  # without an address
    world.approval(world.parent_version())
    channels = {name: (row.channel, row.next_attempt_at is None) for name, row in told("approval.requested").items()}
    assert channels == {
        "omar": (Channel.MAIL, False), "carla": (Channel.PAGE, True), "olga": (Channel.PAGE, True),
    }  # fmt: skip


def test_without_a_mail_server_everything_stands_on_the_page(world: World, settings: Any) -> None:
    settings.PRESSMARK_MAIL_HOST = ""
    address(world, "omar")
    world.approval(world.parent_version())
    assert told("approval.requested")["omar"].channel == Channel.PAGE


def test_many_events_of_a_kind_in_one_unit_are_one_notice_for_a_person(world: World) -> None:
    version = world.parent_version()
    due = version.created_at.date().replace(year=2999)
    with unit(world.cast.carla):
        for number in range(3):
            oversight.open_finding(
                actor=world.cast.carla, stream=f"model:{version.model_id}", team_id=world.team.pk, subject=f"s{number}",
                description="d", owner=world.cast.people["ada"], due_on=due,
            )  # fmt: skip
    assert Outgoing.objects.filter(kind="finding.opened").count() == 1
    assert told("finding.opened")["ada"].body["more"] == 2


def test_drift_is_told_to_operators_approvers_and_the_owner(world: World) -> None:
    world.drifted()
    names = set(told("incident.opened"))
    assert {"omar", "ada"} <= names
    assert all("search/" in row.body["says"] for row in told("incident.opened").values())


def test_moves_are_told_to_owner_and_operators(world: World) -> None:
    _, child = world.released_pair()
    assert set(told("alias.promoted")) == {"ada"}  # otto did it
    release.suspend(actor=world.cast.omar, model=child.model, alias="production", reason="Looked odd.")
    assert set(told("alias.suspended")) == {"ada", "otto"}


def test_the_account_of_the_system_and_services_are_told_nothing(world: World) -> None:
    robot = access.create_actor(actor=world.cast.root, username="robot", kind="service")
    access.grant_membership(actor=world.cast.root, person=robot, role=Role.APPROVER, team=world.team)
    world.approval(world.parent_version())
    assert "robot" not in told("approval.requested")
