"""Ends that come near are told once, in time, to whom they concern."""

from __future__ import annotations

import datetime
from typing import Any

from django.utils import timezone

from registry.access import services as access
from registry.access.models import Actor, Deputyship, Role
from registry.events import emit, unit
from registry.notices import reminders, sending
from registry.notices.models import Outgoing
from registry.oversight import services as oversight
from registry.oversight.models import Finding, Review
from registry.release import services as release
from tests.world import World

DAY = datetime.timedelta(days=1)


def told(kind: str) -> list[str]:
    return sorted(Outgoing.objects.filter(kind=kind, webhook=None).values_list("actor__username", flat=True))


def in_days(days: float) -> datetime.datetime:
    return timezone.now() + days * DAY


def test_an_approval_that_ends_is_told_fourteen_and_two_days_before_and_each_once(world: World) -> None:
    approval = world.granted(world.parent_version())
    left = approval.expires_at - timezone.now()
    assert reminders.write(timezone.now() + left - 15 * DAY) == 0
    for days, count in ((13, 1), (12, 0), (3, 0), (1.9, 1), (0.5, 0)):
        assert reminders.write(approval.expires_at - days * DAY) == count, days
    assert reminders.write(approval.expires_at + DAY) == 0
    assert told("approval.ending") == ["ada", "ada"]
    body = Outgoing.objects.filter(kind="approval.ending").first().body
    assert body["says"] == f"An approval ends on {approval.expires_at.date()}: {approval.version} for production"


def test_a_keeper_that_stood_still_tells_the_nearer_end_alone(world: World) -> None:
    approval = world.granted(world.parent_version())
    assert reminders.write(approval.expires_at - DAY) == 1


def test_what_was_revoked_or_replaced_is_told_no_more(world: World) -> None:
    approval = world.granted(world.parent_version())
    release.revoke_approval(actor=world.cast.omar, approval=approval, reason="No longer.")
    assert reminders.write(approval.expires_at - DAY) == 0


def test_a_longer_one_silences_the_reminder_once_it_is_granted_and_not_when_it_is_asked_for(world: World) -> None:
    version = world.parent_version()
    approval = release.request_approval(
        actor=world.cast.ada, version=version, alias="production", reason="For a month.", expires_at=in_days(30)
    )
    release.grant_approval(actor=world.cast.omar, approval=approval, reason="Read.")
    longer = world.approval(version)
    assert reminders.write(approval.expires_at - 13 * DAY) == 1
    release.grant_approval(actor=world.cast.omar, approval=longer, reason="Read.")
    assert reminders.write(approval.expires_at - DAY) == 0


def test_what_was_told_is_not_looked_up_again(world: World, django_assert_max_num_queries: Any) -> None:
    model = world.model()
    for number in range(12):
        oversight.open_finding(
            actor=world.cast.carla, stream=f"model:{model.pk}", team_id=world.team.pk, subject=f"s{number}",
            description="d", owner=world.cast.people["ada"], due_on=timezone.now().date() + DAY,
        )  # fmt: skip
    assert reminders.write(in_days(4)) == 24
    with django_assert_max_num_queries(16):
        assert reminders.write(in_days(5)) == 0


def test_a_waiver_is_told_to_signer_and_owner_unless_it_was_short_from_the_beginning(world: World) -> None:
    version = world.parent_version(training_data="incomplete")
    world.waiver(version, days=10)
    assert reminders.write(in_days(1)) == 0  # nine days left, and it never had more than fourteen
    assert reminders.write(in_days(8.5)) == 2
    assert told("waiver.ending") == ["ada", "carla"]


def test_a_statement_a_role_and_a_token_are_told_to_their_people(world: World) -> None:
    version = world.parent_version()
    stream = f"model:{version.model_id}"
    oversight.sign_attestation(
        actor=world.cast.carla, stream=stream, team_id=world.team.pk, framework="f", requirement="GOVERN 1.1",
        statement="s", expires_at=in_days(60),
    )  # fmt: skip
    eve = world.cast.people["eve"]
    access.grant_membership(
        actor=world.cast.root, person=eve, role=Role.VIEWER, team=world.team, expires_at=in_days(60)
    )
    access.create_token(actor=world.cast.ada, person=world.cast.people["ada"], days=60)
    robot = world.cast.service_account(answers="omar")
    access.grant_membership(actor=world.cast.root, person=world.person("rhea"), role=Role.ADMINISTRATOR, team=None)
    access.create_token(actor=world.cast.root, person=robot, days=60)
    reminders.write(in_days(47))
    assert told("attestation.ending") == ["carla"]
    assert told("membership.ending") == ["eve", "root"]
    assert told("token.ending") == ["ada", "omar", "root"], "who answers for the account, and who issued the token"
    assert "search" not in str(Outgoing.objects.filter(kind="membership.ending").first().body)


def test_a_deputyship_is_told_to_both(world: World) -> None:
    with unit(world.cast.omar, role="approver") as opened:
        reason = access.new_text(stream=f"team:{world.team.pk}", purpose="reason", value="Away.", now=opened.now)
        row = Deputyship.objects.create(
            principal=world.cast.people["omar"], deputy=world.cast.people["otto"], team=world.team, role=Role.APPROVER,
            reason=reason, created_at=opened.now, begins_at=opened.now, ends_at=opened.now + 30 * DAY,
        )  # fmt: skip
        emit("deputyship.appointed", row, reason, team=world.team.pk)
    assert told("deputyship.appointed") == ["otto"]
    reminders.write(in_days(17))
    assert told("deputyship.ending") == ["omar", "otto"]


def test_a_review_is_due_again_unless_a_newer_one_was_signed(world: World) -> None:
    version = world.parent_version()
    stream = f"model:{version.model_id}"

    def review(days: int) -> None:
        with unit(world.cast.carla, role="compliance_officer") as opened:
            text = access.new_text(stream=stream, purpose="statement", value="Read.", now=opened.now)
            row = Review.objects.create(
                stream=stream, kind="vetting", subject="s", about=version.pk, accepted=True, statement=text,
                reviewed_by=world.cast.people["carla"], role="compliance_officer", reviewed_at=opened.now,
                next_on=(opened.now + days * DAY).date(),
            )  # fmt: skip
            emit("review.signed", row, text, team=world.team.pk)

    review(30)
    assert reminders.write(in_days(20)) == 1
    assert told("review.ending") == ["carla"]
    review(90)
    assert reminders.write(in_days(28.5)) == 0


def test_an_overdue_finding_is_told_once_for_each_day_that_it_was_due(world: World) -> None:
    version = world.parent_version()
    today = timezone.now().date()
    finding = oversight.open_finding(
        actor=world.cast.carla, stream=f"model:{version.model_id}", team_id=world.team.pk, subject="s",
        description="d", owner=world.cast.people["ada"], due_on=today + 3 * DAY,
    )  # fmt: skip
    assert reminders.write(in_days(2)) == 0
    assert reminders.write(in_days(4)) == 2  # its owner, and who opened it
    assert reminders.write(in_days(5)) == 0
    Finding.objects.filter(pk=finding.pk).update(due_on=today + 10 * DAY)
    assert reminders.write(in_days(11)) == 2
    oversight.close_finding(actor=world.cast.carla, finding=finding, closure="Mended.")
    assert reminders.write(in_days(40)) == 0


def test_a_reminder_leaves_by_mail(world: World, mailbox: Any) -> None:
    approval = world.granted(world.parent_version())
    Outgoing.objects.all().delete()
    Actor.objects.filter(username="ada").update(email="ada@example.org")
    reminders.write(approval.expires_at - 13 * DAY)
    Outgoing.objects.update(next_attempt_at=timezone.now())
    assert sending.send_due() == 1
    assert mailbox.subjects == [
        f"[Pressmark] An approval ends on {approval.expires_at.date()}: {approval.version} for production"
    ]


def test_notices_of_long_ago_are_forgotten_and_those_that_wait_are_not(world: World) -> None:
    world.granted(world.parent_version())
    Outgoing.objects.update(created_at=in_days(-500))
    waits = Outgoing.objects.first()
    Outgoing.objects.filter(pk=waits.pk).update(next_attempt_at=timezone.now())
    reminders.write()
    assert list(Outgoing.objects.filter(created_at__lt=in_days(-1))) == [waits]
