"""Every way to an approval that nobody may have: through the services, the shell, bulk calls and raw rows. None is accepted.

Who requested, brought or made a version is tried in test_separation_of_duties, the doors of the admin site in tests/admin.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from audit.models import Entry
from registry.access import services as access
from registry.access import services_deputies as deputies
from registry.access.models import Actor, Deputyship, Membership, Role
from registry.errors import Conflict, Forbidden, Invalid, Problem
from registry.events import Caller
from registry.ids import uuid7
from registry.release import queries, services
from registry.release.models import AliasAssignment, Approval, Decision
from tests.world import World
from tests.worlds.http import api

pytestmark = pytest.mark.db_guarantee

DAY = datetime.timedelta(days=1)


def caller(person: Actor) -> Caller:
    return Caller(actor_id=person.pk, via="cli")


def fresh(approval: Approval) -> Approval:
    return queries.approvals_of(approval.version).get(pk=approval.pk)


def word(approval: Approval) -> str:
    return queries.approval_status(fresh(approval))


def raw(approval: Approval, person: Actor, kind: str = "granted", **changes: Any) -> Decision:
    """What a shell would write."""
    given = {
        "model_id": approval.model_id, "approval": approval, "kind": kind, "role": "approver",
        "reason_id": approval.reason_id, "decided_by": person, "decided_at": timezone.now(),
    }  # fmt: skip
    return Decision(**{**given, **changes})


def refused_by_the_database(row: models.Model) -> None:
    """Neither saved, nor written in bulk, whatever the row's key."""
    table = type(row)
    before = table._default_manager.count()
    for write in (lambda: row.save(force_insert=True), lambda: table._default_manager.bulk_create([row])):
        with pytest.raises(IntegrityError), transaction.atomic():
            write()
    assert table._default_manager.count() == before


def copied(row: models.Model, **changes: Any) -> Any:
    """The same row under a key of its own."""
    fields = {f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields if not f.primary_key}
    return type(row)(**{**fields, **changes})


# --- deputies ---

Setting = Callable[[World], tuple[Approval, Actor, dict[str, Any]]]


def open_approval(world: World, **more: Any) -> Approval:
    return world.approval(world.parent_version(), **more)


def past_deputyship(world: World, **changes: Any) -> None:
    """A deputyship of dora for omar as it stands in the table once its days are others."""
    row = world.deputy("dora")
    Deputyship(
        **{**{f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields}, "id": uuid7(), **changes}
    ).save()
    deputies.end_deputyship(actor=world.cast.omar, deputyship=row)


def of_a_requester(world: World) -> tuple[Approval, Actor, dict[str, Any]]:
    bea = world.person("bea", Role.ENGINEER, Role.APPROVER)
    world.deputy("dora", "bea")
    return open_approval(world, actor=caller(bea)), world.cast.people["dora"], {"on_behalf_of": bea}


def the_requester_as_deputy(world: World) -> tuple[Approval, Actor, dict[str, Any]]:
    bea = world.person("bea", Role.ENGINEER)
    world.deputy("bea", "omar")
    return open_approval(world, actor=caller(bea)), bea, {"on_behalf_of": world.cast.people["omar"]}


def of_the_uploader(world: World) -> tuple[Approval, Actor, dict[str, Any]]:
    bea = world.person("bea", Role.ENGINEER, Role.APPROVER)
    world.deputy("dora", "bea")
    version = world.version(world.governed_model(), actor=caller(bea))
    return world.approval(version), world.cast.people["dora"], {"on_behalf_of": bea}


def without_a_deputyship(world: World) -> tuple[Approval, Actor, dict[str, Any]]:
    return open_approval(world), world.person("dora", Role.VIEWER), {"on_behalf_of": world.cast.people["omar"]}


def after_its_days(world: World) -> tuple[Approval, Actor, dict[str, Any]]:
    past_deputyship(world, begins_at=timezone.now() - 9 * DAY, ends_at=timezone.now() - DAY)
    return open_approval(world), world.cast.people["dora"], {"on_behalf_of": world.cast.people["omar"]}


def after_its_days_dated_back(world: World) -> tuple[Approval, Actor, dict[str, Any]]:
    approval, dora, changes = after_its_days(world)
    return approval, dora, {**changes, "decided_at": timezone.now() - 2 * DAY}


def before_its_days(world: World) -> tuple[Approval, Actor, dict[str, Any]]:
    past_deputyship(world, begins_at=timezone.now() + DAY)
    return open_approval(world), world.cast.people["dora"], {"on_behalf_of": world.cast.people["omar"]}


def after_it_was_ended(world: World) -> tuple[Approval, Actor, dict[str, Any]]:
    row = world.deputy("dora")
    deputies.end_deputyship(actor=world.cast.omar, deputyship=row)
    return open_approval(world), world.cast.people["dora"], {"on_behalf_of": world.cast.people["omar"]}


def in_another_team(world: World) -> tuple[Approval, Actor, dict[str, Any]]:
    elsewhere = access.create_team(actor=world.cast.root, slug="elsewhere")
    access.grant_membership(actor=world.cast.root, person=world.cast.people["omar"], role=Role.APPROVER, team=elsewhere)
    past_deputyship(world, team_id=elsewhere.pk)
    return open_approval(world), world.cast.people["dora"], {"on_behalf_of": world.cast.people["omar"]}


def under_another_role(world: World) -> tuple[Approval, Actor, dict[str, Any]]:
    """Kim could decide as an approver, and lent the other role alone."""
    kim = world.person("kim", Role.APPROVER, Role.COMPLIANCE_OFFICER)
    world.deputy("dora", "kim", Role.COMPLIANCE_OFFICER)
    return open_approval(world), world.cast.people["dora"], {"on_behalf_of": kim}


def of_one_who_lost_the_role(world: World) -> tuple[Approval, Actor, dict[str, Any]]:
    world.deputy("dora")
    omar = world.cast.people["omar"]
    access.end_membership(actor=world.cast.root, membership=omar.memberships.get())
    return open_approval(world), world.cast.people["dora"], {"on_behalf_of": omar}


def of_one_who_left(world: World) -> tuple[Approval, Actor, dict[str, Any]]:
    world.deputy("dora")
    access.end_actor(actor=world.cast.root, person=world.cast.people["omar"])
    return open_approval(world), world.cast.people["dora"], {"on_behalf_of": world.cast.people["omar"]}


def who_left(world: World) -> tuple[Approval, Actor, dict[str, Any]]:
    world.deputy("dora")
    access.end_actor(actor=world.cast.root, person=world.cast.people["dora"])
    return open_approval(world), world.cast.people["dora"], {"on_behalf_of": world.cast.people["omar"]}


def of_a_deputy(world: World) -> tuple[Approval, Actor, dict[str, Any]]:
    world.deputy("dora")
    return open_approval(world), world.person("eli", Role.VIEWER), {"on_behalf_of": world.cast.people["dora"]}


DEPUTIES = [
    of_a_requester, the_requester_as_deputy, of_the_uploader, without_a_deputyship, after_its_days,
    after_its_days_dated_back, before_its_days, after_it_was_ended, in_another_team, under_another_role,
    of_one_who_lost_the_role, of_one_who_left, who_left, of_a_deputy,
]  # fmt: skip


def test_no_deputy_decides_that_may_not(world: World) -> None:
    """One world, in which each setting is tried and taken back."""
    world.governed_model()
    for setting in DEPUTIES:
        point, people = transaction.savepoint(), dict(world.cast.people)
        try:
            no_deputy_decides(*setting(world))
        except BaseException as error:
            error.add_note(f"the setting: {setting.__name__}")
            raise
        finally:
            transaction.savepoint_rollback(point)
            world.cast.people.clear()
            world.cast.people.update(people)


def no_deputy_decides(approval: Approval, person: Actor, changes: dict[str, Any]) -> None:
    for act in (services.grant_approval, services.reject_approval, services.return_approval):
        with pytest.raises(Forbidden):
            act(actor=caller(person), approval=approval, reason="Fine.")
    for kind in ("granted", "rejected", "returned"):
        refused_by_the_database(raw(approval, person, kind, **changes))
        refused_by_the_database(raw(approval, person, kind))
    assert not Decision.objects.filter(approval=approval).exists()


def test_a_deputy_in_force_decides_in_the_name_of_the_principal(world: World) -> None:
    world.deputy("dora")
    approval, dora = open_approval(world), world.cast.people["dora"]
    decision = services.grant_approval(actor=caller(dora), approval=approval, reason="Fine.")
    assert (decision.decided_by, decision.on_behalf_of, decision.role) == (dora, world.cast.people["omar"], "approver")
    assert word(approval) == "granted"


def test_over_http_a_deputy_is_appointed_decides_and_is_ended_and_the_ledger_names_both(world: World) -> None:
    approval, dora, omar = open_approval(world), world.person("dora", Role.VIEWER), world.cast.people["omar"]
    body = {
        "deputy": "dora", "role": "approver", "team": "search", "reason": "On leave.",
        "ends_at": (timezone.now() + DAY).isoformat(),
    }  # fmt: skip
    made = api("omar").post("/api/v1/deputyships", body, format="json")
    assert (made.status_code, made.json()["in_force"]) == (201, True), made.content
    assert api("ada").post("/api/v1/deputyships", body, format="json").status_code == 403
    granted = api("dora").post(f"/api/v1/approvals/{approval.pk}/grant", {"reason": "Fine."}, format="json")
    assert (granted.status_code, granted.json()["status"]) == (201, "granted"), granted.content
    assert granted.json()["decisions"][0]["on_behalf_of"] == str(omar.pk)
    newest = json.loads(bytes(Entry.objects.order_by("-position")[0].entry))["event"]
    assert newest["actor"] == {
        "id": str(dora.pk), "on_behalf_of": str(omar.pk), "role": "approver", "via": "api"
    }  # fmt: skip
    assert [row["principal"] for row in api("dora").get("/api/v1/deputyships").json()["items"]] == ["omar"]
    ended = api("omar").post(f"/api/v1/deputyships/{made.json()['id']}/end")
    assert (ended.status_code, ended.json()["in_force"]) == (200, False)
    refused = api("dora").post(f"/api/v1/approvals/{approval.pk}/revoke", {"reason": "No."}, format="json")
    assert refused.status_code == 403


@pytest.mark.parametrize("first", ["principal", "deputy"])
def test_a_deputy_and_the_principal_grant_once_together(world: World, first: str) -> None:
    world.needing(2)
    world.deputy("dora")
    approval, dora, omar = open_approval(world), world.cast.people["dora"], world.cast.people["omar"]
    one, other = (omar, dora) if first == "principal" else (dora, omar)
    services.grant_approval(actor=caller(one), approval=approval, reason="Fine.")
    with pytest.raises(Conflict, match="granted this already"):
        services.grant_approval(actor=caller(other), approval=approval, reason="Once more.")
    refused_by_the_database(raw(approval, other, on_behalf_of=omar if other == dora else None))
    assert word(approval) == "requested"


def test_one_person_for_two_principals_is_one_person(world: World) -> None:
    world.needing(2)
    olga = world.second_approver()
    world.deputy("dora")
    dora = world.cast.people["dora"]
    deputies.appoint_deputy(
        actor=olga, deputy=dora, role="approver", team=world.team, ends_at=timezone.now() + DAY, reason="On leave."
    )
    approval = open_approval(world)
    services.grant_approval(actor=caller(dora), approval=approval, reason="For omar.")
    with pytest.raises(Conflict, match="granted this already"):
        services.grant_approval(actor=caller(dora), approval=approval, reason="For olga.")
    refused_by_the_database(raw(approval, dora, on_behalf_of_id=olga.actor_id))


def test_nobody_is_deputy_of_themselves_and_a_lent_role_is_not_handed_on(world: World) -> None:
    row = world.deputy("dora")
    omar, dora, ends = world.cast.people["omar"], world.cast.people["dora"], timezone.now() + DAY
    given: dict[str, Any] = {"role": "approver", "team": world.team, "ends_at": ends, "reason": "r"}
    with pytest.raises(Invalid, match="own deputy"):
        deputies.appoint_deputy(actor=caller(omar), deputy=omar, **given)
    with pytest.raises(Forbidden):
        deputies.appoint_deputy(actor=caller(dora), deputy=world.person("eli", Role.VIEWER), **given)
    refused_by_the_database(copied(row, deputy_id=omar.pk))
    refused_by_the_database(copied(row, principal_id=dora.pk, deputy_id=omar.pk))
    refused_by_the_database(copied(row, team_id=None))
    refused_by_the_database(copied(row, role="administrator"))
    with pytest.raises(Forbidden):
        deputies.appoint_deputy(actor=caller(omar), deputy=dora, **{**given, "role": "compliance_officer"})


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
