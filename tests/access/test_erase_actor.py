"""Who somebody was is erased: the account stays under its id, and no page, list or stored answer names the person any more."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.test import Client

from audit.verification import replay, verify_ledger
from registry.access import services as access
from registry.access.models import Actor, IdempotencyKey, Text
from registry.access.queries import system_actor
from registry.access.services_erasing import erase_actor
from registry.errors import Conflict, Forbidden, Invalid
from tests.access.events import kinds_of_last_unit, last_events
from tests.world import PASSWORD, Cast, World
from tests.worlds.audit import restore_keys_note
from tests.worlds.http import api

pytestmark = pytest.mark.db_guarantee
WHY = "Asked for by the person, ticket 72."


@pytest.fixture
def grete(cast: Cast) -> Actor:
    """Somebody who did something and left."""
    restore_keys_note()
    person = access.create_actor(
        actor=cast.root,
        username="grete.meier",
        display_name="Grete Meier",
        email="grete@example.org",
        password=PASSWORD,
    )
    access.end_actor(actor=cast.root, person=person)
    return Actor.objects.get(pk=person.pk)


def test_the_profile_is_replaced_by_a_neutral_name_that_still_tells_people_apart(cast: Cast, grete: Actor) -> None:
    erased = erase_actor(actor=cast.root, person=grete, reason=WHY)
    erased.refresh_from_db()
    assert erased.username == f"erased-{grete.pk}"
    assert str(erased) == f"Erased person {str(grete.pk)[-8:]}"
    assert (erased.email, erased.last_login, erased.has_usable_password()) == ("", None, False)
    for model in apps.get_models():
        for row in model._default_manager.values():
            assert "grete" not in str(row).lower(), model


def test_it_is_sealed_with_its_reason_and_the_ledger_agrees(cast: Cast, grete: Actor) -> None:
    erase_actor(actor=cast.root, person=grete, reason=WHY)
    assert kinds_of_last_unit() == ["actor.erased"]
    event = last_events(1)[0]
    assert [record["type"] for record in event["records"]] == ["access.actor/1", "access.text/1"]
    assert event["records"][0]["id"] == str(grete.pk)
    assert Text.objects.get(stream="instance", purpose="reason").value == WHY
    assert replay.compare() == []
    assert verify_ledger.verify().ok


def test_pages_name_the_person_no_more(world: World) -> None:
    approval = world.granted(world.parent_version())
    page = f"/approvals/{approval.pk}/"
    client = Client()
    assert client.login(username="carla", password=PASSWORD)
    assert "Omar" in client.get(page).content.decode()
    omar = world.cast.people["omar"]
    access.end_actor(actor=world.cast.root, person=omar)
    erase_actor(actor=world.cast.root, person=omar, reason=WHY)
    shown = client.get(page).content.decode()
    assert "Omar" not in shown
    assert f"Erased person {str(omar.pk)[-8:]}" in shown


def test_only_an_account_that_has_ended_is_erased_once_with_a_reason_and_never_the_system_actor(
    cast: Cast, grete: Actor
) -> None:
    with pytest.raises(Conflict, match="in use"):
        erase_actor(actor=cast.root, person=cast.people["ada"], reason=WHY)
    with pytest.raises(Invalid, match="reason"):
        erase_actor(actor=cast.root, person=grete, reason=" ")
    with pytest.raises(Forbidden, match="system actor"):
        erase_actor(actor=cast.root, person=system_actor(), reason=WHY)
    erase_actor(actor=cast.root, person=grete, reason=WHY)
    with pytest.raises(Conflict, match="erased already"):
        erase_actor(actor=cast.root, person=grete, reason=WHY)


@pytest.mark.parametrize("name", ["ada", "omar", "carla", "otto"])
def test_who_holds_no_office_of_the_whole_instance_erases_nobody(cast: Cast, grete: Actor, name: str) -> None:
    answer = api(name).post(f"/api/v1/actors/{grete.pk}/erase", {"reason": WHY}, format="json")
    assert answer.status_code == 403
    assert Actor.objects.get(pk=grete.pk).username == "grete.meier"


def test_over_http_it_is_erased_and_stored_answers_forget_the_name_too(cast: Cast) -> None:
    root = api("root")
    made = root.post("/api/v1/actors", {"username": "hanna.b"}, format="json", HTTP_IDEMPOTENCY_KEY="h").json()
    assert root.post(f"/api/v1/actors/{made['id']}/end").status_code == 200
    answer = root.post(f"/api/v1/actors/{made['id']}/erase", {"reason": WHY}, format="json")
    assert answer.status_code == 200
    assert answer.json() == {"id": made["id"], "username": f"erased-{made['id']}"}
    assert answer["Pressmark-Receipt"]
    assert "hanna" not in str(list(IdempotencyKey.objects.values("body")))
    assert root.get("/api/v1/texts?by=hanna.b").status_code == 404
    assert root.get(f"/api/v1/texts?by={made['id']}").json()["count"] == 0
