"""Whoever decides in the place of another: no deputy decides that may not, by service, shell or raw row, and none counts twice."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from audit.models import Entry
from registry.access import services as access
from registry.access import services_deputies as deputies
from registry.access.models import Actor, Deputyship, Role
from registry.errors import Conflict, Forbidden, Invalid
from registry.ids import uuid7
from registry.release import services
from registry.release.models import Approval, Decision
from tests.release.attacks import caller, copied, open_approval, raw, refused_by_the_database, word
from tests.world import World
from tests.worlds.http import api

pytestmark = pytest.mark.db_guarantee

DAY = datetime.timedelta(days=1)

Setting = Callable[[World], tuple[Approval, Actor, dict[str, Any]]]


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
