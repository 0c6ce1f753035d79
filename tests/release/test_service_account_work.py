"""What a service account did is the work of whoever stands behind it: they decide on none of it, through no door.

Behind it stand who answers for it, who ever did, and who issued a token of it. The pages' form and the bulk action of the admin
site are tried here too: both hand on to the service, and the database refuses what the shell writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.test import Client
from django.utils import timezone

from registry.access import services as access
from registry.access.models import Actor, Role
from registry.access.services_responsibility import give_responsibility
from registry.errors import Forbidden
from registry.events import Caller
from registry.ids import uuid7
from registry.oversight.models import Review
from registry.oversight.services_proofs import sign_review
from registry.oversight.subjects import of_version
from registry.release import queries, services
from registry.release.models import Approval, Decision
from tests.release.test_separation_of_duties import made_by
from tests.world import PASSWORD, World
from tests.worlds.http import api

pytestmark = pytest.mark.db_guarantee


def caller(person: Actor) -> Caller:
    return Caller(actor_id=person.pk, via="api")


@pytest.fixture
def robot(world: World) -> Actor:
    """A pipeline in the team; root named bea, who may also decide, and then ada."""
    world.person("bea", Role.APPROVER, Role.COMPLIANCE_OFFICER)
    return world.cast.service_account("robot", Role.SERVICE_ACCOUNT, answers="bea")


def requested(world: World, robot: Actor) -> Approval:
    return world.approval(world.parent_version(), actor=caller(robot))


def uploaded(world: World, robot: Actor) -> Approval:
    return world.approval(world.version(world.governed_model(), actor=caller(robot)))


def run(world: World, robot: Actor) -> Approval:
    parent = world.parent_version()
    world.promoted(parent)
    child = world.child_version(parent)
    made_by(world, child, robot)
    return world.approval(child)


def answered(world: World, robot: Actor) -> Approval:
    approval = world.approval(world.parent_version())
    services.return_approval(actor=world.cast.omar, approval=approval, reason="On which rows?")
    services.answer_approval(actor=caller(robot), approval=approval, reason="On the held-out ones.")
    return approval


WAYS: list[Callable[[World, Actor], Approval]] = [requested, uploaded, run, answered]


def behind_by_name(world: World, robot: Actor) -> Actor:
    return world.cast.people["bea"]


def behind_before(world: World, robot: Actor) -> Actor:
    give_responsibility(actor=world.cast.root, account=robot, person=world.cast.people["ada"])
    return world.cast.people["bea"]


def behind_by_token(world: World, robot: Actor) -> Actor:
    access.create_token(actor=world.cast.root, person=robot)
    access.grant_membership(
        actor=caller(_second_administrator(world)),
        person=world.cast.people["root"],
        role=Role.APPROVER,
        team=world.team,
    )
    return world.cast.people["root"]


def _second_administrator(world: World) -> Actor:
    rhea = world.person("rhea")
    access.grant_membership(actor=world.cast.root, person=rhea, role=Role.ADMINISTRATOR, team=None)
    return rhea


def raw(approval: Approval, person: Actor, **changes: Any) -> Decision:
    given = {
        "model_id": approval.model_id, "approval": approval, "kind": "granted", "role": "approver",
        "reason_id": approval.reason_id, "decided_by": person, "decided_at": timezone.now(),
    }  # fmt: skip
    return Decision(**{**given, **changes})


def refused_by_the_database(row: models.Model, words: str) -> None:
    for write in (lambda: row.save(force_insert=True), lambda: type(row)._default_manager.bulk_create([row])):
        with pytest.raises(IntegrityError, match=words), transaction.atomic():
            write()


@pytest.mark.parametrize(
    ("way", "who"),
    [*((way, behind_by_name) for way in WAYS), (requested, behind_before), (uploaded, behind_by_token)],
    ids=lambda f: f.__name__,
)
def test_nobody_behind_a_service_account_decides_on_its_work(
    world: World, robot: Actor, way: Callable[[World, Actor], Approval], who: Callable[[World, Actor], Actor]
) -> None:
    approval = way(world, robot)
    person = who(world, robot)
    for act in (services.grant_approval, services.reject_approval, services.return_approval):
        with pytest.raises(Forbidden, match="responsibility for the service account robot") as refused:
            act(actor=caller(person), approval=approval, reason="It is fine.")
        assert refused.value.code == "own-work"
    for kind in ("granted", "rejected", "returned"):
        refused_by_the_database(raw(approval, person, kind=kind), "cannot approve")
    assert "robot" in str(queries.may_decide(caller(person), approval))
    services.grant_approval(actor=world.cast.omar, approval=approval, reason="Looked at by somebody else.")


def test_the_page_the_api_the_bulk_action_and_raw_sql_refuse_it_too(world: World, robot: Actor) -> None:
    approval, other = requested(world, robot), world.approval(world.parent_version())
    bea = world.cast.people["bea"]
    answer = api("bea").post(f"/api/v1/approvals/{approval.pk}/grant", {"reason": "Fine."}, format="json")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:pressmark:problem:own-work")
    browser = Client()
    browser.login(username="bea", password=PASSWORD)
    page = browser.post(f"/approvals/{approval.pk}/grant/", {"reason": "Fine."}, follow=True)
    assert "responsibility for the service account robot" in page.content.decode()
    forged = {
        "action": "grant_selected", "reason": "All of them.", "_selected_action": [str(approval.pk), str(other.pk), str(uuid7())],
    }  # fmt: skip
    said = browser.post("/admin/registry/approval/?status=all", forged, follow=True).content.decode()
    assert said.count("Refused") == 1
    assert [d.approval_id for d in Decision.objects.all()] == [other.pk]
    row = raw(approval, bea)
    values = [row.pk, row.model_id, approval.pk, "granted", "approver", row.reason_id, bea.pk, timezone.now()]
    columns = "id, model_id, approval_id, kind, role, reason_id, decided_by_id, decided_at"
    plain = [v.hex if hasattr(v, "hex") and connection.vendor == "sqlite" else v for v in values]
    with pytest.raises(IntegrityError, match="cannot approve"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO release_decision ({columns}) VALUES ({', '.join(['%s'] * 8)})", plain)


def test_the_deputy_of_one_behind_it_decides_no_more_than_that_one(world: World, robot: Actor) -> None:
    approval = requested(world, robot)
    world.deputy("dora", "bea")
    dora, bea = world.cast.people["dora"], world.cast.people["bea"]
    with pytest.raises(Forbidden, match="own work"):
        services.grant_approval(actor=caller(dora), approval=approval, reason="Fine.")
    refused_by_the_database(raw(approval, dora, on_behalf_of=bea), "cannot approve")


def test_who_excused_or_judged_does_not_have_a_machine_ask_or_answer(world: World, robot: Actor) -> None:
    """The other way round: the waiver of a rule, or the question, and then the request or the answer by one's own machine."""
    version = world.parent_version(world.governed_model())
    rule = next(r.id for r in queries.policy_rules(world.policy()).rules if r.waivable)
    waiver = world.waiver(version, rule, actor=caller(world.cast.people["bea"]))
    with pytest.raises(Forbidden, match="signed a waiver"):
        services.request_approval(actor=caller(robot), version=version, alias="production", reason="r")
    services.end_waiver(actor=world.cast.omar, waiver=waiver, reason="Not needed.")
    approval = services.request_approval(actor=world.cast.ada, version=version, alias="production", reason="r")
    services.return_approval(actor=caller(world.cast.people["bea"]), approval=approval, reason="On which rows?")
    with pytest.raises(Forbidden, match="stands behind you"):
        services.answer_approval(actor=caller(robot), approval=approval, reason="These.")
    row = raw(approval, robot, kind="answered", role="service_account")
    refused_by_the_database(row, "does not answer")


def test_nor_is_a_rule_waived_or_a_review_signed_by_one_behind_it(world: World, robot: Actor) -> None:
    approval, bea = uploaded(world, robot), world.cast.people["bea"]
    rule = next(r.id for r in queries.policy_rules(world.policy()).rules if r.waivable)
    with pytest.raises(Forbidden):
        world.waiver(approval.version, rule, actor=caller(bea))
    subject = of_version(approval.version)
    with pytest.raises(Forbidden):
        sign_review(actor=caller(bea), subject=subject, kind="quality", accepted=True, statement="Fine.")
    good = sign_review(actor=world.cast.omar, subject=subject, kind="quality", accepted=True, statement="Fine.")
    fields = {f.attname: getattr(good, f.attname) for f in good._meta.concrete_fields if not f.primary_key}
    refused_by_the_database(Review(**{**fields, "reviewed_by_id": bea.pk}), "cannot review")


def test_two_accounts_of_one_person_are_that_person(world: World, robot: Actor) -> None:
    """One machine uploads, another asks: the person behind either decides on neither."""
    second = world.cast.service_account("robot-2", Role.SERVICE_ACCOUNT, answers="omar")
    version = world.version(world.governed_model(), actor=caller(robot))
    approval = world.approval(version, actor=caller(second))
    for name in ("omar", "bea"):
        with pytest.raises(Forbidden):
            services.grant_approval(actor=caller(world.cast.people[name]), approval=approval, reason="Fine.")
        refused_by_the_database(raw(approval, world.cast.people[name]), "cannot approve")
    services.grant_approval(actor=world.second_approver(), approval=approval, reason="Fine.")


def test_a_machine_decides_nothing_itself_whatever_role_it_was_given(world: World, robot: Actor) -> None:
    access.grant_membership(actor=world.cast.root, person=robot, role=Role.APPROVER, team=world.team)
    approval = world.approval(world.parent_version())
    with pytest.raises(Forbidden, match="made by a person"):
        services.grant_approval(actor=caller(robot), approval=approval, reason="Fine.")
    refused_by_the_database(raw(approval, robot), "only a person with the role")
