"""An account ends: with its roles, tokens and sessions, at once, and never the last that could give a role."""

from __future__ import annotations

import datetime
import threading

import pytest
from django.contrib.auth import authenticate
from django.db import connection
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken
from rest_framework.test import APIClient

from audit.verification import replay
from registry.access import services as access
from registry.access.models import Actor, Membership, Role, Token
from registry.access.queries import system_actor
from registry.errors import Conflict, Forbidden
from registry.events import Caller
from tests.access.events import kinds_of_last_unit, last_events
from tests.world import PASSWORD, Cast
from tests.worlds.http import api

pytestmark = pytest.mark.db_guarantee


def end_over_http(who: str, person: Actor) -> object:
    return api(who).post(f"/api/v1/actors/{person.pk}/end")


def test_an_administrator_ends_an_account_and_the_account_its_roles_and_tokens_are_sealed_as_ended(cast: Cast) -> None:
    api("ada")
    answer = end_over_http("root", cast.people["ada"])
    assert answer.status_code == 200
    assert answer.json()["ended_at"]
    assert kinds_of_last_unit() == ["actor.ended", "membership.ended", "token.ended"]
    ended, membership, token = last_events(3)
    assert ended["actor"]["id"] == str(cast.root.actor_id)
    assert ended["actor"]["role"] == "administrator"
    assert ended["records"][0]["id"] == str(cast.ada.actor_id)
    assert (membership["team"], token["team"]) == (str(cast.team.pk), None)
    assert not Membership.objects.filter(actor=cast.people["ada"], ended_at=None).exists()
    assert not Token.objects.filter(actor=cast.people["ada"], ended_at=None).exists()
    assert not AuthToken.objects.filter(user=cast.people["ada"]).exists()
    assert replay.compare() == []


def test_tokens_sessions_and_password_of_an_ended_account_open_nothing_at_once(cast: Cast) -> None:
    by_token, by_session = api("ada"), Client()
    assert by_session.login(username="ada", password=PASSWORD)
    assert by_session.get("/models/").status_code == 200
    assert by_token.get("/api/v1/who-am-i").status_code == 200
    access.end_actor(actor=cast.root, person=cast.people["ada"])
    assert by_token.get("/api/v1/who-am-i").status_code == 401
    assert by_session.get("/models/").status_code == 302
    assert authenticate(username="ada", password=PASSWORD) is None
    assert (
        APIClient().post("/api/v1/log-in", {"username": "ada", "password": PASSWORD}, format="json").status_code == 403
    )


@pytest.mark.parametrize("name", ["ada", "omar", "carla", "otto"])
def test_nobody_but_an_administrator_of_the_instance_ends_an_account(cast: Cast, name: str) -> None:
    assert end_over_http(name, cast.people["eve"]).status_code == 403
    assert Actor.objects.get(username="eve").ended_at is None


def test_an_administrator_of_one_team_ends_no_account(cast: Cast) -> None:
    access.grant_membership(actor=cast.root, person=cast.people["eve"], role=Role.ADMINISTRATOR, team=cast.team)
    with pytest.raises(Forbidden):
        access.end_actor(actor=cast.eve, person=cast.people["ada"])


def test_the_last_administrator_cannot_be_ended_by_anybody_himself_included(cast: Cast) -> None:
    answer = end_over_http("root", cast.people["root"])
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:pressmark:problem:last-administrator"
    assert Actor.objects.get(username="root").ended_at is None
    access.grant_membership(actor=cast.root, person=cast.people["eve"], role=Role.ADMINISTRATOR, team=None)
    access.end_actor(actor=cast.eve, person=cast.people["root"])
    with pytest.raises(Conflict, match="last administrator"):
        access.end_actor(actor=cast.eve, person=cast.people["eve"])


@pytest.mark.parametrize("other", ["expires", "service", "no-password", "ended", "of-a-team"])
def test_who_could_not_give_roles_for_good_does_not_count_as_another_administrator(cast: Cast, other: str) -> None:
    person = cast.people["eve"]
    if other == "service":
        person = cast.service_account()
    if other == "no-password":
        person = access.create_actor(actor=cast.root, username="nina")
    until = timezone.now() + datetime.timedelta(days=9) if other == "expires" else None
    team = cast.team if other == "of-a-team" else None
    access.grant_membership(actor=cast.root, person=person, role=Role.ADMINISTRATOR, team=team, expires_at=until)
    if other == "ended":
        access.end_actor(actor=cast.root, person=person)
    with pytest.raises(Conflict, match="root is the last administrator"):
        access.end_actor(actor=cast.root, person=cast.people["root"])


def test_two_administrators_who_end_each_other_at_the_same_moment_leave_one(committed_db: None) -> None:
    cast = Cast.assemble()
    access.grant_membership(actor=cast.root, person=cast.people["eve"], role=Role.ADMINISTRATOR, team=None)
    ready, refused = threading.Barrier(2), []

    def end(who: Caller, whom: str) -> None:
        ready.wait()
        try:
            access.end_actor(actor=who, person=cast.people[whom])
        except (Conflict, Forbidden) as error:
            refused.append(error)
        finally:
            connection.close()

    pairs = [(cast.root, "eve"), (cast.eve, "root")]
    threads = [threading.Thread(target=end, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert Actor.objects.filter(username__in=("root", "eve"), ended_at=None).count() == 1


def test_an_account_ends_once_and_the_system_actor_never(cast: Cast) -> None:
    access.end_actor(actor=cast.root, person=cast.people["ada"])
    with pytest.raises(Conflict, match="ended already"):
        access.end_actor(actor=cast.root, person=cast.people["ada"])
    with pytest.raises(Forbidden, match="system actor"):
        access.end_actor(actor=cast.root, person=system_actor())


def test_more_tokens_than_one_event_holds_all_end(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "TOKENS_PER_EVENT", 2)
    for _ in range(5):
        access.create_token(actor=cast.ada, person=cast.people["ada"])
    access.end_actor(actor=cast.root, person=cast.people["ada"])
    assert kinds_of_last_unit().count("token.ended") == 3
    assert not Token.objects.filter(ended_at=None).exists()
    assert replay.compare() == []


def test_a_list_of_accounts_is_for_administrators(cast: Cast) -> None:
    listed = api("root").get("/api/v1/actors").json()["items"]
    assert {"ada", "eve", "system"} <= {row["username"] for row in listed}
    one = api("root").get("/api/v1/actors?username=ada").json()["items"]
    assert [row["id"] for row in one] == [str(cast.ada.actor_id)]
    assert "password" not in str(listed)
    assert api("carla").get("/api/v1/actors").status_code == 403
