"""A role is taken away: who may, what it opens no more, and what was done under it."""

from __future__ import annotations

import pytest

from registry.access import services as access
from registry.access.models import Membership, Role, Team
from registry.errors import Conflict, Forbidden
from registry.release import queries, services
from registry.release.models import Decision
from tests.access.events import last_events
from tests.world import Cast, World
from tests.worlds.http import api

pytestmark = pytest.mark.db_guarantee


def membership_of(name: str) -> Membership:
    return Membership.objects.get(actor__username=name, ended_at=None)


def end_over_http(who: str, row: Membership) -> object:
    return api(who).post(f"/api/v1/memberships/{row.pk}/end")


def test_an_administrator_ends_a_role_and_it_is_sealed_in_the_stream_of_its_team(cast: Cast) -> None:
    row = membership_of("ada")
    answer = end_over_http("root", row)
    assert (answer.status_code, answer.json()["role"]) == (200, "engineer")
    event = last_events(1)[0]
    assert (event["kind"], event["team"]) == ("membership.ended", str(cast.team.pk))
    assert event["records"][0]["row"]["ended_at"]
    assert end_over_http("root", row).status_code == 409


def test_a_role_that_ended_opens_nothing_at_once(cast: Cast) -> None:
    ada = api("ada")
    assert ada.get("/api/v1/who-am-i").json()["memberships"]
    access.end_membership(actor=cast.root, membership=membership_of("ada"))
    assert ada.get("/api/v1/who-am-i").json()["memberships"] == []
    assert ada.get("/api/v1/teams/search/recipes").json().get("items", []) == []


def test_who_is_no_administrator_ends_no_role_and_who_may_not_read_the_team_finds_none(
    cast: Cast, outsider_team: Team
) -> None:
    row = membership_of("omar")
    assert end_over_http("carla", row).status_code == 403
    access.grant_membership(actor=cast.root, person=cast.people["eve"], role=Role.ADMINISTRATOR, team=outsider_team)
    assert end_over_http("eve", row).status_code == 404
    assert end_over_http("eve", membership_of("root")).status_code == 404
    assert membership_of("omar").ended_at is None


def test_an_administrator_of_a_team_ends_roles_there_and_none_of_the_instance(cast: Cast) -> None:
    access.grant_membership(actor=cast.root, person=cast.people["eve"], role=Role.ADMINISTRATOR, team=cast.team)
    listed = api("eve").get("/api/v1/memberships?team=search").json()["items"]
    assert {"ada", "omar"} <= {row["username"] for row in listed}
    assert api("eve").get("/api/v1/memberships").status_code == 403
    assert end_over_http("eve", membership_of("otto")).status_code == 200
    with pytest.raises(Forbidden):
        access.end_membership(actor=cast.eve, membership=membership_of("root"))


def test_the_last_administration_of_the_instance_cannot_end(cast: Cast) -> None:
    answer = end_over_http("root", membership_of("root"))
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:pressmark:problem:last-administrator"
    access.grant_membership(actor=cast.root, person=cast.people["eve"], role=Role.ADMINISTRATOR, team=None)
    assert end_over_http("root", membership_of("root")).status_code == 200
    with pytest.raises(Conflict, match="last administrator"):
        access.end_membership(actor=cast.eve, membership=membership_of("eve"))


# --- in the middle of an approval ---


def two_needed(document: dict) -> None:
    document["approvals_required"] = 2


def test_a_grant_stays_given_when_the_role_under_which_it_was_given_ends(world: World) -> None:
    world.policy(change=two_needed)
    olga = world.second_approver()
    version = world.parent_version()
    approval = world.approval(version)
    services.grant_approval(actor=world.cast.omar, approval=approval, reason="Read.")
    access.end_membership(actor=world.cast.root, membership=membership_of("omar"))
    now = queries.status_of(queries.approvals_of(version).get())
    assert (now.word, now.grants, now.required) == ("requested", 1, 2)
    services.grant_approval(actor=olga, approval=approval, reason="Read as well.")
    assert queries.approval_status(queries.approvals_of(version).get()) == "granted"


def test_who_lost_the_role_decides_no_more_on_what_is_open(world: World) -> None:
    approval = world.approval(world.parent_version())
    access.end_membership(actor=world.cast.root, membership=membership_of("omar"))
    for act in (services.grant_approval, services.reject_approval, services.return_approval):
        with pytest.raises(Forbidden):
            act(actor=world.cast.omar, approval=approval, reason="Too late.")
    assert not Decision.objects.exists()


def test_the_request_of_somebody_who_left_stays_open_for_those_who_decide(world: World) -> None:
    version = world.parent_version()
    approval = world.approval(version)
    access.end_actor(actor=world.cast.root, person=world.cast.people["ada"])
    with pytest.raises(Forbidden):
        services.withdraw_approval(actor=world.cast.ada, approval=approval, reason="I left.")
    services.return_approval(actor=world.cast.omar, approval=approval, reason="Who asked has left.")
    assert queries.approval_status(queries.approvals_of(version).get()) == "returned"
