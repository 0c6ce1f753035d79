"""What is told is written in the transaction of what it tells: to the right people, with no word that somebody typed."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError

from registry import events
from registry.access import services as access
from registry.access.models import Actor, Deputyship, Role, Team
from registry.compression.models import Run
from registry.events import unit
from registry.ids import uuid7
from registry.notices.models import Channel, Outgoing, Preference
from registry.notices.rules import REMINDERS, RULES, SILENT
from registry.oversight import services as oversight
from registry.oversight.services_proofs import place_hold
from registry.oversight.services_replays import open_replay_finding
from registry.oversight.subjects import of_dataset, of_version
from registry.release import services as release
from registry.release.models import Approval, DecisionKind, MoveKind
from tests.world import World

ROOT = Path(__file__).resolve().parents[2]


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
    assert set(notices) == {"omar"}, "this policy asks for no officer"
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
    reader = access.grant_membership(actor=world.cast.root, person=eve, role=Role.VIEWER, team=world.team)
    finding = oversight.open_finding(
        actor=world.cast.carla, stream=f"model:{version.model_id}", team_id=world.team.pk, subject="s",
        description="d", owner=eve, due_on=version.created_at.date().replace(year=2999),
    )  # fmt: skip
    assert set(told("finding.opened")) == {"eve"}
    access.end_membership(actor=world.cast.root, membership=reader)
    oversight.close_finding(actor=world.cast.omar, finding=finding, closure="Mended.")
    world.approval(version)
    assert set(told("finding.closed")) == {"carla"}
    assert "eve" not in told("approval.requested")


def test_somebody_of_the_whole_instance_is_told_and_somebody_whose_role_ended_is_not(world: World) -> None:
    olga = world.person("olga")
    access.grant_membership(actor=world.cast.root, person=olga, role=Role.APPROVER, team=None)
    ended = world.cast.people["omar"].memberships.get()
    access.end_membership(actor=world.cast.root, membership=ended)
    world.approval(world.parent_version())
    assert set(told("approval.requested")) == {"olga"}


def test_a_role_that_is_given_is_told_without_naming_the_team(world: World) -> None:
    world.person("nils", Role.VIEWER)
    body = told("membership.granted")["nils"].body
    assert body["team"] is None
    assert "search" not in str(body)


def test_mail_goes_to_who_wants_it_and_has_an_address_and_the_rest_stands_on_the_page(world: World) -> None:
    world.second_approver("nora")  # without an address
    world.second_approver("mute")
    address(world, "omar", "mute")
    Preference.objects.create(actor=world.cast.people["mute"], mail=False, changed_at="2026-01-01T00:00:00Z")
    world.approval(world.parent_version())
    channels = {name: (row.channel, row.next_attempt_at is None) for name, row in told("approval.requested").items()}
    assert channels == {
        "omar": (Channel.MAIL, False), "mute": (Channel.PAGE, True), "nora": (Channel.PAGE, True),
    }  # fmt: skip


def test_a_deputy_is_told_in_place_of_whom_he_stands_for_and_only_if_he_may_read(world: World) -> None:
    def stands_in(deputy: str, days: int) -> None:
        with unit(world.cast.omar, role="approver") as opened:
            reason = access.new_text(stream=f"team:{world.team.pk}", purpose="reason", value="Away.", now=opened.now)
            row = Deputyship.objects.create(
                principal=world.cast.people["omar"], deputy=world.cast.people[deputy], team=world.team,
                role=Role.APPROVER, reason=reason, created_at=opened.now,
                begins_at=opened.now + datetime.timedelta(days=days), ends_at=opened.now + datetime.timedelta(days=9),
            )  # fmt: skip
            events.emit("deputyship.appointed", row, reason, team=world.team.pk)

    stands_in("otto", 0)
    stands_in("carla", 5)
    stands_in("eve", 0)
    world.approval(world.parent_version())
    assert set(told("approval.requested")) == {"omar", "otto"}


def test_officers_are_told_of_a_request_that_needs_one(world: World) -> None:
    version = world.parent_version()
    approval = world.approval(version, "staging")
    Outgoing.objects.all().delete()
    asked = Approval.objects.get(pk=approval.pk)
    asked.pk, asked.officers = uuid7(), 1
    with unit(world.cast.ada, role="engineer"):
        asked.save(force_insert=True)
        events.emit("approval.requested", asked, team=world.team.pk)
    assert set(told("approval.requested")) == {"omar", "carla"}


def emitted() -> set[str]:
    product = [p for folder in ("registry", "audit") for p in (ROOT / folder).rglob("*.py")]
    said = re.findall(r"\bemit\(\s*\"([a-z_]+\.[a-z_]+)\"", "\n".join(p.read_text() for p in product))
    return {*said, *(f"approval.{kind}" for kind in DecisionKind.values), *(_moved(kind) for kind in MoveKind.values)}


def _moved(kind: str) -> str:
    return f"alias.{kind.replace('-', '_')}"


def test_of_every_kind_of_event_somebody_decided_who_is_told() -> None:
    assert len(emitted()) > 60
    assert emitted() - RULES.keys() - SILENT == set()
    assert not RULES.keys() & SILENT


def test_every_sentence_can_be_said() -> None:
    for kind, rule in {**RULES, **REMINDERS}.items():
        said = rule.says.format(about="search/minilm@2", until="2026-12-01")
        assert said[0].isupper(), kind
        assert said.isascii(), kind
        assert not said.endswith("."), kind
        assert rule.do.isascii(), kind
        assert bool(rule.to) == bool(rule.do), kind
        assert not (rule.personal and "{about}" in rule.says), kind


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
    assert told("finding.opened")["ada"].body["more"] is True


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
    world.cast.service_account("robot", Role.APPROVER)
    world.approval(world.parent_version())
    assert "robot" not in told("approval.requested")


def test_a_hold_on_data_is_told_to_its_steward(world: World) -> None:
    place_hold(actor=world.cast.carla, subject=of_dataset(world.dataset()), reason="A dispute.")
    notices = told("hold.placed")
    assert set(notices) == {"ada", "root"}
    assert "steward" in notices["ada"].body["reason"]


@pytest.mark.parametrize("kind", ["recalled", "broken-glass"])
def test_a_finding_that_is_opened_by_an_act_names_what_it_is_about(world: World, kind: str) -> None:
    parent, child = world.released_pair()
    if kind == "recalled":
        release.start_recall(actor=world.cast.carla, subject=of_version(child), reason="Asked for.")
        about = str(child)
    else:
        release.break_glass(actor=world.cast.otto, version=parent, alias="canary", reason="Customers are down.")
        about = f"{child.model}@canary"
    body = told("finding.opened")["ada"].body
    assert body["says"] == f"There is something to be mended: {about}"
    assert body["path"].startswith("/findings/")


def test_a_replay_that_differs_is_told_to_owner_officers_and_operators_with_its_version(world: World) -> None:
    child = world.child_version(world.parent_version(), evidence=False)
    run = Run(model=child.model, parent=child, rederives=child)
    with unit(world.cast.ada, role="engineer") as opened:
        open_replay_finding(opened, run, "One tensor differs.")
    notices = told("finding.opened")
    assert set(notices) >= {"carla", "otto"}
    assert str(child) in notices["carla"].body["says"]
    assert notices["carla"].body["path"].startswith("/findings/")
