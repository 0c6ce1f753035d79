"""Readers of a team see its service accounts, who answers for each since when, and when its tokens end; nobody else's."""

from __future__ import annotations

import datetime

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from registry.access import services as access
from registry.access.models import Actor, Responsibility, Role, Team
from registry.access.queries_accounts import account_of, service_accounts
from registry.access.queries_responsibility import responsible_for
from registry.access.services_responsibility import give_responsibility
from tests.world import PASSWORD, Cast
from tests.worlds.http import api

ADDRESS = "/api/v1/service-accounts"


@pytest.fixture
def robot(cast: Cast) -> Actor:
    made = cast.service_account("robot", Role.SERVICE_ACCOUNT, answers="ada")
    access.create_token(actor=cast.root, person=made, days=30)
    return made


def desk(name: str) -> Client:
    client = Client()
    assert client.login(username=name, password=PASSWORD)
    return client


def test_a_reader_is_told_who_answers_since_when_and_when_its_tokens_end(cast: Cast, robot: Actor) -> None:
    given = give_responsibility(actor=cast.root, account=robot, person=cast.people["omar"])
    ended, _ = access.create_token(actor=cast.root, person=robot, days=2)
    access.end_token(actor=cast.root, token=ended)
    (found,) = api("carla").get(ADDRESS, {"team": "search"}).json()["items"]
    assert (found["username"], found["responsible"]) == ("robot", "omar")
    assert datetime.datetime.fromisoformat(found["responsible_since"]) == given.created_at
    assert found["roles"] == [{"role": "service_account", "team": "search"}]
    (token,) = found["tokens"]
    assert (token["issued_by"], set(token)) == ("root", {"ends_at", "issued_by", "made_at"}), (
        "nothing that opens a door"
    )


def test_accounts_and_roles_of_teams_that_one_does_not_read_are_not_told(
    cast: Cast, robot: Actor, outsider_team: Team
) -> None:
    access.grant_membership(actor=cast.root, person=robot, role=Role.ENGINEER, team=outsider_team)
    cast.service_account("stranger", Role.SERVICE_ACCOUNT, team=outsider_team)
    everywhere = cast.service_account("everywhere")
    access.grant_membership(actor=cast.root, person=everywhere, role=Role.VIEWER, team=None)
    gone = cast.service_account("gone", Role.SERVICE_ACCOUNT)
    access.end_actor(actor=cast.root, person=gone)
    items = {row["username"]: row for row in api("carla").get(ADDRESS).json()["items"]}
    assert set(items) == {"robot", "everywhere"}
    assert [role["team"] for role in items["robot"]["roles"]] == ["search"]
    assert {row["username"] for row in api("root").get(ADDRESS).json()["items"]} == {"robot", "everywhere", "stranger"}
    assert not service_accounts(cast.eve).exists()
    assert api("carla").get(ADDRESS, {"team": "elsewhere"}).status_code == 404
    assert desk("carla").get("/teams/elsewhere/service-accounts/").status_code == 404


def test_a_list_takes_as_many_questions_for_many_accounts_as_for_one(cast: Cast, robot: Actor) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as taken:
            assert [account_of(row).answers for row in service_accounts(cast.carla, cast.team)]
        return len(taken)

    one = asked()
    for number in range(3):
        access.create_token(actor=cast.root, person=cast.service_account(f"robot-{number}", Role.SERVICE_ACCOUNT))
    assert asked() == one


def test_the_page_gives_responsibility_on_for_administrators_alone(cast: Cast, robot: Actor) -> None:
    address = f"/teams/search/service-accounts/{robot.pk}/responsibility/"
    seen = desk("carla").get("/teams/search/service-accounts/").content.decode()
    assert "robot" in seen
    assert "Ada" in seen
    assert address not in seen
    assert desk("carla").post(address, {"person": "omar"}).status_code == 403
    browser = desk("root")
    assert address in browser.get("/teams/search/service-accounts/").content.decode()
    missing = browser.post(address, {"person": "nobody"}, follow=True)
    assert missing.status_code == 422
    assert responsible_for([robot.pk])[robot.pk] == cast.people["ada"]
    done = browser.post(address, {"person": "omar"}, follow=True).content.decode()
    assert "Omar answers for robot from now on" in done
    assert Responsibility.objects.filter(account=robot).count() == 2
    assert responsible_for([robot.pk])[robot.pk] == cast.people["omar"]
