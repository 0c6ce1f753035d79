"""Who asked, brought the version or requested its run cannot approve: by service, API, shell and raw SQL alike.

The doors of the admin site (its form and its bulk action) are tried in tests/admin/test_inbox.py.
"""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from registry.access import services as access
from registry.access.models import Actor, Role
from registry.compression.models import Run
from registry.errors import Forbidden
from registry.events import Caller
from registry.release import queries, services
from registry.release.models import Alias, AliasAssignment, Approval, Decision
from tests.world import World
from tests.worlds.http import api

guarantee = pytest.mark.db_guarantee


@pytest.fixture
def bea(world: World) -> Actor:
    """Somebody who is engineer and approver at once: the role alone does not stop her."""
    return world.person("bea", Role.ENGINEER, Role.APPROVER)


def caller(person: Actor) -> Caller:
    return Caller(actor_id=person.pk, via="cli")


@pytest.fixture(params=["requester", "uploader", "author of the run"])
def own(request: Any, world: World, bea: Actor) -> Approval:
    """An open approval that is bea's own work in one of three ways."""
    model = world.governed_model()
    if request.param == "requester":
        return world.approval(world.parent_version(model), actor=caller(bea))
    if request.param == "uploader":
        return world.approval(world.version(model, actor=caller(bea)))
    parent = world.parent_version(model)
    world.promoted(parent)
    child = world.child_version(parent)
    made_by(world, child, bea)
    return world.approval(child)


def made_by(world: World, child: Any, person: Actor) -> Run:
    """The run that made a version, as the worker leaves it."""
    return Run.objects.create(
        model=child.model, parent=child.parent_edges.get().parent, kind="evaluation", child=child, requested_by=person,
        evaluation=world.dataset_version(), state="succeeded", requested_at=timezone.now(), finished_at=timezone.now(),
    )  # fmt: skip


def raw_decision(approval: Approval, person: Actor, kind: str = "granted", **changes: Any) -> Decision:
    """What a shell would write."""
    given = {
        "model_id": approval.model_id, "approval": approval, "kind": kind, "role": "approver",
        "reason_id": approval.reason_id, "decided_by": person, "decided_at": timezone.now(),
    }  # fmt: skip
    return Decision(**{**given, **changes})


def test_the_service_refuses_and_says_why(own: Approval, bea: Actor) -> None:
    for act in (services.grant_approval, services.reject_approval, services.return_approval):
        with pytest.raises(Forbidden, match="somebody else has to decide"):
            act(actor=caller(bea), approval=own, reason="It is fine.")
    assert not Decision.objects.filter(approval=own).exists()
    assert "somebody else" in str(queries.may_decide(caller(bea), own))


def test_the_api_refuses(own: Approval, bea: Actor) -> None:
    answer = api("bea").post(f"/api/v1/approvals/{own.pk}/grant", {"reason": "It is fine."}, format="json")
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:pressmark:problem:own-work"
    assert not Decision.objects.filter(approval=own).exists()


@guarantee
@pytest.mark.parametrize("kind", ["granted", "rejected", "returned"])
def test_the_shell_is_refused_by_the_database(own: Approval, bea: Actor, kind: str) -> None:
    with pytest.raises(IntegrityError, match="cannot approve"), transaction.atomic():
        raw_decision(own, bea, kind).save()
    with pytest.raises(IntegrityError, match="cannot approve"), transaction.atomic():
        Decision.objects.bulk_create([raw_decision(own, bea, kind)])


@guarantee
def test_raw_sql_is_refused_by_the_database(own: Approval, bea: Actor, world: World) -> None:
    columns = "id, model_id, approval_id, kind, role, reason_id, decided_by_id, decided_at"
    row = raw_decision(own, bea)
    keys = [uuid.uuid4(), row.model_id, own.pk, "granted", "approver", row.reason_id, bea.pk, timezone.now()]
    values = [v.hex if isinstance(v, uuid.UUID) and connection.vendor == "sqlite" else v for v in keys]
    with pytest.raises(IntegrityError, match="cannot approve"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO release_decision ({columns}) VALUES ({', '.join(['%s'] * 8)})",
            [str(v) if connection.vendor == "sqlite" and not isinstance(v, str) else v for v in values],
        )
    services.grant_approval(actor=world.cast.omar, approval=own, reason="Looked at by somebody else.")
    assert queries.approval_status(Approval.objects.get(pk=own.pk)) == "granted"
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE release_decision SET decided_by_id = (SELECT id FROM access_actor WHERE username = 'bea')"
        )


@guarantee
def test_only_a_person_with_the_role_in_that_team_decides(world: World) -> None:
    approval = world.approval(world.parent_version())
    elsewhere = access.create_team(actor=world.cast.root, slug="elsewhere")
    stranger = access.create_actor(actor=world.cast.root, username="sven", password="correct horse battery staple")
    access.grant_membership(actor=world.cast.root, person=stranger, role=Role.APPROVER, team=elsewhere)
    robot = world.cast.service_account("robot", Role.APPROVER)
    for person in (world.cast.people["carla"], stranger, robot):
        with pytest.raises(IntegrityError, match="only a person with the role"), transaction.atomic():
            raw_decision(approval, person).save()
    with pytest.raises(Forbidden, match="made by a person"):
        services.grant_approval(actor=caller(robot), approval=approval, reason="r")


@guarantee
def test_the_role_counts_at_the_moment_of_the_decision(world: World) -> None:
    approval = world.approval(world.parent_version())
    omar = world.cast.people["omar"]
    access.end_membership(actor=world.cast.root, membership=omar.memberships.get())
    with pytest.raises(Forbidden):
        services.grant_approval(actor=world.cast.omar, approval=approval, reason="r")
    with pytest.raises(IntegrityError, match="only a person with the role"), transaction.atomic():
        raw_decision(approval, omar).save()


@guarantee
def test_nothing_follows_a_final_decision_and_only_what_was_granted_is_revoked(world: World) -> None:
    approval = world.approval(world.parent_version())
    omar, olga = world.cast.people["omar"], Actor.objects.get(pk=world.second_approver().actor_id)
    with pytest.raises(IntegrityError, match="final decision"), transaction.atomic():
        raw_decision(approval, omar, "revoked").save()
    services.reject_approval(actor=world.cast.omar, approval=approval, reason="No.")
    with pytest.raises(IntegrityError, match="final decision"), transaction.atomic():
        raw_decision(approval, olga).save()


@guarantee
def test_nobody_but_the_requester_withdraws_and_one_person_grants_once(world: World) -> None:
    approval = world.approval(world.parent_version())
    with pytest.raises(IntegrityError, match="only the requester withdraws"), transaction.atomic():
        raw_decision(approval, world.cast.people["omar"], "withdrawn").save()
    services.grant_approval(actor=world.cast.omar, approval=approval, reason="Fine.")
    with pytest.raises(IntegrityError), transaction.atomic():
        raw_decision(approval, world.cast.people["omar"]).save()


@guarantee
def test_an_alias_moves_in_the_database_only_to_what_was_approved_for_it(world: World) -> None:
    parent = world.parent_version()
    move = world.promoted(parent)
    other = world.parent_version(parent.model, seed=3)
    fields = {f.attname: getattr(move, f.attname) for f in AliasAssignment._meta.concrete_fields if not f.primary_key}
    fields |= {"number": 2, "assigned_at": timezone.now()}
    pending = world.approval(other)
    staging = world.granted(other, alias="staging")
    foreign = Alias.objects.create(
        model=world.model(), slug="foreign", created_by=parent.created_by, created_at=timezone.now()
    )
    revoked = world.granted(parent, alias="revoked")
    services.revoke_approval(actor=world.cast.omar, approval=revoked, reason="A fault.")
    tries = [
        {"version_id": other.pk, "version_digest": other.digest},
        {"version_id": other.pk, "version_digest": other.digest, "approval_id": pending.pk},
        {"version_id": other.pk, "version_digest": other.digest, "approval_id": staging.pk},
        {"version_digest": other.digest},
        {"alias_id": foreign.pk},
        {"approval_id": revoked.pk},
        {"assigned_at": timezone.now() + datetime.timedelta(days=400)},
    ]
    for change in tries:
        with pytest.raises(IntegrityError, match="granted approval of exactly these bytes"), transaction.atomic():
            AliasAssignment.objects.create(**{**fields, **change})
    AliasAssignment.objects.create(**fields)  # the same move again is allowed by the database: nothing is wrong with it
