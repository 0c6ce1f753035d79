"""Every way to an approval that nobody may have: through the services, the shell, bulk calls and raw rows. None is accepted.

Who requested, brought or made a version is tried in test_separation_of_duties, what deputies may not
in test_deputy_attacks, the doors of the admin site in tests/admin.
"""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.access import services as access
from registry.access.models import Actor, Membership, Role
from registry.errors import Conflict, Forbidden, Invalid, Problem
from registry.release import queries, services
from registry.release.models import AliasAssignment, Decision
from tests.release.attacks import caller, copied, fresh, open_approval, raw, refused_by_the_database, word
from tests.world import World
from tests.worlds.http import api

pytestmark = pytest.mark.db_guarantee

DAY = datetime.timedelta(days=1)


# --- roles and numbers ---


def test_a_compliance_officer_decides_only_where_the_policy_asks_for_one(world: World) -> None:
    approval, carla = open_approval(world), world.cast.people["carla"]
    with pytest.raises(Forbidden):
        services.grant_approval(actor=world.cast.carla, approval=approval, reason="Fine.")
    refused_by_the_database(raw(approval, carla, role="compliance_officer"))
    refused_by_the_database(raw(approval, carla, role="approver"))
    refused_by_the_database(raw(approval, world.cast.people["omar"], role="compliance_officer"))


def test_each_role_gives_the_grants_that_are_asked_of_it_and_no_others(world: World) -> None:
    world.needing(2, officers=1)
    approval, olga = open_approval(world), world.second_approver()
    services.grant_approval(actor=world.cast.omar, approval=approval, reason="Fine.")
    with pytest.raises(Conflict, match="a grant by: compliance officer"):
        services.grant_approval(actor=olga, approval=approval, reason="Fine.")
    refused_by_the_database(raw(approval, Actor.objects.get(pk=olga.actor_id)))
    assert word(approval) == "requested"
    services.grant_approval(actor=world.cast.carla, approval=approval, reason="In order.")
    assert word(approval) == "granted"
    refused_by_the_database(raw(approval, Actor.objects.get(pk=olga.actor_id)))


def test_a_membership_that_has_run_out_decides_nothing_even_dated_back(world: World) -> None:
    approval = open_approval(world)
    person = world.person("nina", Role.VIEWER)
    Membership.objects.create(
        actor=person, team=world.team, role="approver", granted_by_id=world.cast.root.actor_id,
        created_at=timezone.now() - 9 * DAY, expires_at=timezone.now() - DAY,
    )  # fmt: skip
    with pytest.raises(Forbidden):
        services.grant_approval(actor=caller(person), approval=approval, reason="r")
    refused_by_the_database(raw(approval, person))
    refused_by_the_database(raw(approval, person, decided_at=timezone.now() - 2 * DAY))


def test_a_role_lost_between_the_question_and_the_lock_decides_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    approval, omar = open_approval(world), world.cast.people["omar"]
    module = services.grant_approval.__globals__
    opens = module["unit"]

    def late(*given: Any, **named: Any) -> Any:
        access.end_membership(actor=world.cast.root, membership=omar.memberships.get(ended_at=None))
        return opens(*given, **named)

    monkeypatch.setitem(module, "unit", late)
    with pytest.raises(Problem):
        services.grant_approval(actor=world.cast.omar, approval=approval, reason="Fine.")
    assert not Decision.objects.exists()


# --- order ---


def test_nothing_is_granted_while_a_question_waits_and_only_an_engineer_who_did_not_decide_answers(
    world: World,
) -> None:
    approval, omar = open_approval(world), world.cast.people["omar"]
    bea = world.person("bea", Role.ENGINEER, Role.APPROVER)
    refused_by_the_database(raw(approval, world.cast.people["ada"], "answered", role="engineer"))
    with pytest.raises(Conflict, match="no question"):
        services.answer_approval(actor=world.cast.ada, approval=approval, reason="Here.")
    services.return_approval(actor=caller(bea), approval=approval, reason="On which rows?")
    assert word(approval) == "returned"
    with pytest.raises(Conflict, match="is returned"):
        services.grant_approval(actor=world.cast.omar, approval=approval, reason="Fine.")
    refused_by_the_database(raw(approval, omar))
    refused_by_the_database(raw(approval, omar, "answered"))
    with pytest.raises(Forbidden):
        services.answer_approval(actor=world.cast.omar, approval=approval, reason="Here.")
    with pytest.raises(Forbidden, match="You decided"):
        services.answer_approval(actor=caller(bea), approval=approval, reason="Here.")
    services.answer_approval(actor=world.cast.ada, approval=approval, reason="On the held-out ones.")
    assert word(approval) == "requested"
    services.grant_approval(actor=world.cast.omar, approval=approval, reason="Fine.")
    assert word(approval) == "granted"


def test_who_answered_does_not_decide(world: World) -> None:
    approval, bea = open_approval(world), world.person("bea", Role.ENGINEER, Role.APPROVER)
    services.return_approval(actor=world.cast.omar, approval=approval, reason="On which rows?")
    services.answer_approval(actor=caller(bea), approval=approval, reason="On the held-out ones.")
    with pytest.raises(Forbidden, match="You answered"):
        services.grant_approval(actor=caller(bea), approval=approval, reason="Fine.")
    refused_by_the_database(raw(approval, bea))


def test_an_expired_request_is_granted_by_nobody_even_dated_back(world: World) -> None:
    short = services.request_approval(
        actor=world.cast.ada, version=world.parent_version(), alias="production", reason="r",
        expires_at=timezone.now() + DAY,
    )  # fmt: skip
    now = timezone.now()
    row = copied(short, requested_at=now - 3 * DAY, expires_at=now - DAY)
    row.save()
    omar = world.cast.people["omar"]
    assert word(row) == "expired"
    with pytest.raises(Conflict, match="is expired"):
        services.grant_approval(actor=world.cast.omar, approval=row, reason="Fine.")
    refused_by_the_database(raw(row, omar))
    refused_by_the_database(raw(row, omar, decided_at=now - 2 * DAY))


@pytest.mark.parametrize("kind", ["granted", "rejected"])
def test_a_decision_is_not_played_again(world: World, kind: str) -> None:
    world.needing(2)
    approval = open_approval(world)
    act = services.grant_approval if kind == "granted" else services.reject_approval
    refused_by_the_database(copied(act(actor=world.cast.omar, approval=approval, reason="Said once.")))


def test_the_same_call_with_the_same_key_decides_once(world: World) -> None:
    world.needing(2)
    approval, omar = open_approval(world), api("omar")
    answers = [
        omar.post(
            f"/api/v1/approvals/{approval.pk}/grant", {"reason": "Fine."}, format="json", HTTP_IDEMPOTENCY_KEY="k"
        )
        for _ in range(2)
    ]
    assert [a.status_code for a in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert Decision.objects.count() == 1


# --- what it is for ---


def test_conditions_lie_inside_of_the_request_and_do_not_contradict(world: World) -> None:
    world.needing(2)
    edge, cloud = world.target("edge"), world.target("cloud")
    approval, omar, olga = open_approval(world), world.cast.people["omar"], world.second_approver()
    for late in (approval.expires_at + DAY, timezone.now() - DAY):
        with pytest.raises(Invalid, match="grant ends after now"):
            services.grant_approval(actor=world.cast.omar, approval=approval, reason="r", expires_at=late)
        refused_by_the_database(raw(approval, omar, expires_at=late))
    services.grant_approval(actor=world.cast.omar, approval=approval, reason="There.", target=edge)
    with pytest.raises(Conflict, match="would contradict"):
        services.grant_approval(actor=olga, approval=approval, reason="Elsewhere.", target=cloud)
    refused_by_the_database(raw(approval, Actor.objects.get(pk=olga.actor_id), target=cloud))
    services.grant_approval(actor=olga, approval=approval, reason="Anywhere.", expires_at=timezone.now() + DAY)
    now = queries.status_of(fresh(approval))
    assert (now.word, now.target) == ("granted", edge.pk)
    assert now.ends_at is not None
    assert now.ends_at < timezone.now() + 2 * DAY
    services.end_target(actor=world.cast.otto, target=edge)
    assert queries.status_of(fresh(approval)).changes == ("target",)


def test_a_target_of_another_team_is_no_condition(world: World) -> None:
    elsewhere = access.create_team(actor=world.cast.root, slug="elsewhere")
    access.grant_membership(actor=world.cast.root, person=world.cast.people["otto"], role="operator", team=elsewhere)
    foreign = services.register_target(
        actor=world.cast.otto, team=elsewhere, slug="edge", runtime="onnxruntime", hardware="8 cores"
    )
    approval = open_approval(world)
    with pytest.raises(Invalid, match="another team"):
        services.grant_approval(actor=world.cast.omar, approval=approval, reason="r", target=foreign)
    with pytest.raises(Invalid, match="another team"):
        services.request_approval(
            actor=world.cast.ada, version=approval.version, alias="staging", reason="r", target=foreign
        )
    refused_by_the_database(raw(approval, world.cast.people["omar"], target=foreign))
    refused_by_the_database(copied(approval, target_id=foreign.pk))


def test_an_approval_is_of_the_version_alias_evidence_policy_and_tier_that_its_verdict_is_of(world: World) -> None:
    approval = open_approval(world)
    other = world.parent_version(approval.model, seed=5)
    another = world.approval(other, alias="staging")
    draft = services.author_policy(
        actor=world.cast.root, slug="limited", document=world.policy_document(change=lambda d: d.update(title="Draft"))
    )
    for change in (
        {"alias": "staging"},
        {"version_id": other.pk},
        {"version_digest": other.digest},
        {"version_id": other.pk, "version_digest": other.digest},
        {"verdict_id": another.verdict_id},
        {"evidence_set_digest": approval.policy_digest},
        {"policy_id": draft.pk, "policy_digest": draft.digest},
        {"policy_digest": draft.digest},
        {"tier": "minimal"},
        {"model_id": world.model().pk},
    ):
        refused_by_the_database(copied(approval, **change))
    copied(approval).save()  # nothing else stands against the row


def test_a_blocked_verdict_carries_no_approval(world: World) -> None:
    version = world.parent_version(training_data="unknown")
    verdict = services.evaluate_gate(actor=world.cast.ada, version=version, alias="production")
    assert verdict.outcome == "blocked"
    good = open_approval(world)
    refused_by_the_database(
        copied(
            good, version_id=version.pk, version_digest=version.digest, model_id=version.model_id, verdict_id=verdict.pk,
            evidence_set_digest=verdict.evidence_set_digest,
        )
    )  # fmt: skip


def test_the_same_files_in_another_model_are_not_what_was_approved(world: World) -> None:
    approval = world.granted(world.parent_version(seed=4))
    twin = world.version(world.model(use_case=approval.use_case), seed=4)
    assert [a.digest for a in twin.artifacts.all()] == [a.digest for a in approval.version.artifacts.all()]
    with pytest.raises(Conflict, match="The approval is for"):
        services.promote(actor=world.cast.otto, model=twin.model, alias="production", approval=approval)
    assert world.approval(twin) != approval
    assert queries.approval_status(queries.approvals_of(twin).get()) == "requested"


@pytest.mark.parametrize(
    "how", ["a grant is missing", "an officer is missing", "a question waits", "a grant has ended"]
)
def test_an_alias_moves_under_no_approval_that_is_not_whole(world: World, how: str) -> None:
    officers = int(how == "an officer is missing")
    world.needing(2, officers)
    version = world.parent_version()
    olga = world.second_approver()
    served = world.approval(version, "staging")
    services.grant_approval(actor=world.cast.omar, approval=served, reason="Fine.")
    services.grant_approval(actor=world.cast.carla if officers else olga, approval=served, reason="Fine.")
    move = services.promote(actor=world.cast.otto, model=version.model, alias="staging", approval=served)
    broken = copied(served)
    broken.save()
    end = timezone.now() + datetime.timedelta(seconds=2) if how == "a grant has ended" else None
    services.grant_approval(actor=world.cast.omar, approval=broken, reason="Fine.", expires_at=end)
    if how == "a question waits":
        services.return_approval(actor=olga, approval=broken, reason="On which rows?")
    if how == "a grant has ended":
        services.grant_approval(actor=olga, approval=broken, reason="Fine.")
        with pytest.raises(IntegrityError), transaction.atomic():
            copied(move, number=9, approval_id=broken.pk, assigned_at=timezone.now() + DAY).save()
        return
    with pytest.raises(Conflict):
        services.promote(actor=world.cast.otto, model=version.model, alias="staging", approval=broken)
    refused_by_the_database(copied(move, number=9, approval_id=broken.pk, assigned_at=timezone.now()))
    assert AliasAssignment.objects.count() == 1
