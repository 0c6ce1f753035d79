"""A person answers for every service account: named when it is made, changed by an administrator, and never without."""

from __future__ import annotations

import json

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.models import Entry
from registry.access import services as access
from registry.access.models import Actor, Membership, Responsibility, Role, Token
from registry.access.queries_responsibility import hands_of, responsible_for
from registry.access.services_responsibility import give_responsibility
from registry.errors import Conflict, Forbidden, Invalid
from registry.ids import uuid7
from tests.world import Cast
from tests.worlds.http import api

guarantee = pytest.mark.db_guarantee


@pytest.fixture
def robot(cast: Cast) -> Actor:
    return cast.service_account("robot", Role.SERVICE_ACCOUNT, answers="ada")


def test_a_service_account_is_not_made_without_a_person_who_answers_for_it(cast: Cast, robot: Actor) -> None:
    given = {"actor": cast.root, "username": "other", "kind": "service"}
    with pytest.raises(Invalid, match="needs a person"):
        access.create_actor(**given)  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="no person with an account"):
        access.create_actor(**given, responsible=robot)  # type: ignore[arg-type]
    access.end_actor(actor=cast.root, person=cast.people["eve"])
    with pytest.raises(Invalid, match="no person with an account"):
        access.create_actor(**given, responsible=Actor.objects.get(username="eve"))  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="no password"):
        access.create_actor(**given, responsible=cast.people["ada"], password="correct horse battery staple")  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="for themselves"):
        access.create_actor(actor=cast.root, username="other", responsible=cast.people["ada"])
    assert not Actor.objects.filter(username="other").exists()


def test_over_http_it_is_named_given_to_somebody_else_and_told(cast: Cast) -> None:
    root = api("root")
    body = {"username": "pipeline", "kind": "service"}
    refused = root.post("/api/v1/actors", body, format="json")
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:pressmark:problem:responsible-missing")
    assert root.post("/api/v1/actors", {**body, "responsible": "nobody"}, format="json").status_code == 404
    made = root.post("/api/v1/actors", {**body, "responsible": "ada"}, format="json")
    assert made.status_code == 201, made.content
    listed = root.get("/api/v1/actors?username=pipeline").json()["items"][0]
    assert listed["responsible"] == "ada"
    address = f"/api/v1/actors/{made.json()['id']}/responsibility"
    assert api("carla").post(address, {"person": "omar"}, format="json").status_code == 403
    given = root.post(address, {"person": "omar"}, format="json")
    assert (given.status_code, given.json()["responsible"]) == (201, "omar"), given.content
    newest = json.loads(bytes(Entry.objects.order_by("-position")[0].entry))["event"]
    assert (newest["kind"], newest["actor"]["role"]) == ("responsibility.given", "administrator")
    assert root.post(address, {"person": "omar"}, format="json").status_code == 409


def test_who_answered_before_keeps_a_part_and_so_does_who_issued_a_token(cast: Cast, robot: Actor) -> None:
    omar, ada, root = (cast.people[name] for name in ("omar", "ada", "root"))
    assert robot.pk not in hands_of(root.pk)
    access.create_token(actor=cast.root, person=robot)
    give_responsibility(actor=cast.root, account=robot, person=omar)
    assert responsible_for([robot.pk]) == {robot.pk: omar}
    for person in (ada, omar, root):
        assert hands_of(person.pk) == {person.pk, robot.pk}
    assert hands_of(cast.people["carla"].pk) == {cast.people["carla"].pk}


def test_only_a_person_answers_and_only_for_a_service_account_in_force(cast: Cast, robot: Actor) -> None:
    ada, omar = cast.people["ada"], cast.people["omar"]
    with pytest.raises(Invalid, match="no service account"):
        give_responsibility(actor=cast.root, account=omar, person=ada)
    with pytest.raises(Invalid, match="no person"):
        give_responsibility(actor=cast.root, account=robot, person=robot)
    with pytest.raises(Conflict, match="already"):
        give_responsibility(actor=cast.root, account=robot, person=ada)
    with pytest.raises(Forbidden):
        give_responsibility(actor=cast.ada, account=robot, person=omar)
    access.end_actor(actor=cast.root, person=robot)
    with pytest.raises(Conflict, match="has ended"):
        give_responsibility(actor=cast.root, account=robot, person=omar)


def test_nobody_leaves_who_answers_for_an_account_in_force(cast: Cast, robot: Actor) -> None:
    ada = cast.people["ada"]
    with pytest.raises(Conflict, match="answers for 1 service account: robot") as refused:
        access.end_actor(actor=cast.root, person=ada)
    assert refused.value.code == "answers-for-accounts"
    give_responsibility(actor=cast.root, account=robot, person=cast.people["root"])
    assert access.end_actor(actor=cast.root, person=ada).ended_at is not None
    assert robot.pk in hands_of(ada.pk)


@guarantee
def test_the_database_gives_neither_role_nor_token_to_an_account_for_which_nobody_answers(cast: Cast) -> None:
    lost = Actor.objects.create(kind="service", username="lost", password="!", created_at=timezone.now())
    root, now = cast.people["root"], timezone.now()
    rows = [
        Membership(actor=lost, team=cast.team, role="service_account", granted_by=root, created_at=now),
        Token(actor=lost, issued_by=root, token_key="k", created_at=now, expires_at=now),
        Token(actor=cast.people["ada"], issued_by=root, token_key="k", created_at=now, expires_at=now),
        Responsibility(account=lost, person=lost, given_by=root, created_at=now),
        Responsibility(account=cast.people["ada"], person=root, given_by=root, created_at=now),
    ]
    for row in rows:
        with pytest.raises(IntegrityError, match="pressmark"), transaction.atomic():
            row.save(force_insert=True)
        with pytest.raises(IntegrityError, match="pressmark"), transaction.atomic():
            type(row)._default_manager.bulk_create([row])


@guarantee
def test_the_database_lets_nobody_wash_their_hands(cast: Cast, robot: Actor) -> None:
    named = Responsibility.objects.get(account=robot)
    issued = access.create_token(actor=cast.root, person=robot)[0]
    for change in ({"person": cast.people["eve"]}, {"account": cast.people["eve"]}, {"id": uuid7()}):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            Responsibility.objects.filter(pk=named.pk).update(**change)
    with pytest.raises(IntegrityError, match="never deleted"), transaction.atomic():
        Responsibility.objects.filter(pk=named.pk)._raw_delete("default")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Token.objects.filter(pk=issued.pk).update(issued_by=cast.people["eve"])
