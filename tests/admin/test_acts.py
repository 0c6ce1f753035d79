"""Ending and erasing in the admin site: where a person looks for it, said before it is done, and with its receipt."""

from __future__ import annotations

import pytest

from audit.verification import replay
from registry.access import services as access
from registry.access.models import Actor, Membership, Role, Text, Token
from registry.monitoring.models import Monitor
from registry.oversight import services as oversight
from registry.oversight.models import Attestation
from tests.access.events import kinds_of_last_unit
from tests.admin.test_inbox import client_of
from tests.desk.test_receipts import LINK
from tests.oversight.test_end_attestation import signed
from tests.world import World

BASE = "/admin/registry"


def confirmed(who: str, address: str, **fields: str) -> str:
    """Ask what would happen, then do it; the page afterwards."""
    client = client_of(who)
    asked = client.get(address)
    assert asked.status_code == 200
    assert "cannot be taken back" in asked.content.decode()
    return client.post(address, fields, follow=True).content.decode()


def test_an_account_is_ended_from_its_page_and_the_receipt_is_offered(world: World) -> None:
    ada = world.cast.people["ada"]
    page = f"{BASE}/actor/{ada.pk}"
    assert f"{page}/end/" in client_of("root").get(f"{page}/change/").content.decode()
    assert f"{page}/erase/" not in client_of("root").get(f"{page}/change/").content.decode()
    shown = confirmed("root", f"{page}/end/")
    assert "The account ada has ended" in shown
    assert LINK.search(shown)
    assert Actor.objects.get(pk=ada.pk).ended_at is not None
    assert f"{page}/end/" not in client_of("root").get(f"{page}/change/").content.decode()
    assert f"{page}/erase/" in client_of("root").get(f"{page}/change/").content.decode()


def test_looking_at_what_would_happen_does_nothing(world: World) -> None:
    ada = world.cast.people["ada"]
    assert client_of("root").get(f"{BASE}/actor/{ada.pk}/end/").status_code == 200
    assert Actor.objects.get(pk=ada.pk).ended_at is None


def test_the_last_administrator_is_refused_in_words_on_the_page(world: World) -> None:
    root = world.cast.people["root"]
    shown = confirmed("root", f"{BASE}/actor/{root.pk}/end/")
    assert "Refused: root is the last administrator" in shown
    assert Actor.objects.get(pk=root.pk).ended_at is None


def test_who_may_not_is_offered_nothing_and_finds_no_such_address(world: World) -> None:
    ada = world.cast.people["ada"]
    page = f"{BASE}/actor/{ada.pk}"
    for name in ("omar", "carla"):
        client = client_of(name)
        assert f"{page}/end/" not in client.get(f"{page}/change/").content.decode()
        for act in ("end", "erase", "erase-texts"):
            assert client.get(f"{page}/{act}/").status_code == 404
            assert client.post(f"{page}/{act}/", {"reason": "x"}).status_code == 404
    assert Actor.objects.get(pk=ada.pk).ended_at is None


def test_a_role_is_ended_by_the_administrator_of_its_team_and_by_no_other(world: World) -> None:
    eve = world.cast.people["eve"]
    access.grant_membership(actor=world.cast.root, person=eve, role=Role.ADMINISTRATOR, team=world.team)
    role = Membership.objects.get(actor=world.cast.people["otto"])
    page = f"{BASE}/membership/{role.pk}"
    assert client_of("omar").get(f"{page}/end/").status_code == 404
    shown = confirmed("eve", f"{page}/end/")
    assert "Otto is no longer operator in search" in shown
    assert Membership.objects.get(pk=role.pk).ended_at is not None


def test_a_token_is_ended_by_an_administrator(world: World) -> None:
    access.create_token(actor=world.cast.ada, person=world.cast.people["ada"])
    token = Token.objects.get(actor=world.cast.people["ada"])
    assert "opens nothing any more" in confirmed("root", f"{BASE}/token/{token.pk}/end/")
    token.refresh_from_db()
    assert token.ended_at is not None


def test_a_monitor_and_a_statement_are_ended_where_they_stand(world: World) -> None:
    _, child = world.released_pair()
    monitor = world.monitor(child)
    eve = world.cast.people["eve"]
    for role in (Role.ENGINEER, Role.AUDITOR):
        access.grant_membership(
            actor=world.cast.root, person=eve, role=role, team=None, expires_at=child.created_at.replace(year=2999)
        )
    assert f"The monitor {monitor.slug} has ended" in confirmed("eve", f"{BASE}/monitor/{monitor.pk}/end/")
    assert Monitor.objects.get().ended_at is not None
    row = signed(world)
    assert client_of("eve").get(f"{BASE}/attestation/{row.pk}/end/").status_code == 404
    world.officer()
    assert "has ended" in confirmed("carla", f"{BASE}/attestation/{row.pk}/end/")
    assert Attestation.objects.get(pk=row.pk).ended_at is not None


def test_what_an_account_typed_is_listed_and_erased_with_a_reason(world: World) -> None:
    world.officer()
    world.granted(world.parent_version())
    address = f"{BASE}/actor/{world.cast.omar.actor_id}/erase-texts/"
    asked = client_of("carla").get(address).content.decode()
    assert "What would go: 1 text" in asked
    assert "Evidence read; fine." in asked
    refused = client_of("carla").post(address, {"reason": " "}).content.decode()
    assert "Refused: The reason is empty." in refused
    assert Text.objects.filter(value="Evidence read; fine.").exists()
    done = client_of("carla").post(address, {"reason": "Asked for, ticket 71."}, follow=True).content.decode()
    assert "1 texts are erased" in done
    assert LINK.search(done)
    assert kinds_of_last_unit() == ["text.erased"]
    assert replay.compare() == []
    assert "Nothing that this account typed is left" in client_of("carla").get(address).content.decode()


def test_a_profile_is_erased_after_the_account_has_ended(world: World) -> None:
    ada = world.cast.people["ada"]
    address = f"{BASE}/actor/{ada.pk}/erase/"
    assert client_of("root").get(address).status_code == 404
    access.end_actor(actor=world.cast.root, person=ada)
    shown = confirmed("root", address, reason="Asked for, ticket 72.")
    assert f"The account is now erased-{ada.pk}" in shown
    assert client_of("root").get(address).status_code == 404


# --- texts that name somebody ---


@pytest.fixture
def naming(world: World) -> list[Text]:
    """Two texts about somebody, and one that is not."""
    world.officer()
    model = world.model()
    for subject, words in (("a", "Ask Grete Meier."), ("b", "grete meier knows."), ("c", "Nobody knows.")):
        oversight.open_finding(
            actor=world.cast.carla, stream=f"model:{model.pk}", team_id=world.team.pk, subject=subject, description=words,
            owner=world.cast.people["ada"], due_on=model.created_at.date().replace(year=2999),
        )  # fmt: skip
    return list(Text.objects.filter(value__icontains="grete").order_by("pk"))


def test_texts_are_found_by_words_and_those_that_are_ticked_are_erased(world: World, naming: list[Text]) -> None:
    carla = client_of("carla")
    assert "/admin/texts/" in carla.get("/admin/").content.decode()
    shown = carla.get("/admin/texts/", {"holding": "Grete"}).content.decode()
    assert "2 texts" in shown
    assert "Nobody knows." not in shown
    fields = {"holding": "Grete", "text": [str(naming[0].pk)], "reason": "Asked for."}
    done = carla.post("/admin/texts/", fields, follow=True).content.decode()
    assert "1 texts are erased" in done
    assert LINK.search(done)
    for row in naming:
        row.refresh_from_db()
    assert [row.value is None for row in naming] == [True, False]


def test_a_refused_erasure_loses_nothing_that_was_typed_or_ticked(world: World, naming: list[Text]) -> None:
    carla = client_of("carla")
    answer = carla.post("/admin/texts/", {"holding": "Grete", "text": [str(naming[1].pk)], "reason": " "})
    shown = answer.content.decode()
    assert answer.status_code == 422
    assert "The reason is empty." in shown
    assert shown.count(" checked") == 1
    unticked = carla.post("/admin/texts/", {"holding": "Grete", "reason": "Asked for."})
    assert "No text is ticked." in unticked.content.decode()
    assert "Asked for." in unticked.content.decode()
    assert "at least 3" in carla.get("/admin/texts/", {"holding": "G"}).content.decode()
    assert not Text.objects.filter(erased_at__isnull=False).exists()


def test_who_may_not_erase_sees_neither_page_nor_link(world: World, naming: list[Text]) -> None:
    omar = client_of("omar")
    assert "/admin/texts/" not in omar.get("/admin/").content.decode()
    assert omar.get("/admin/texts/", {"holding": "Grete"}).status_code == 403
    assert omar.post("/admin/texts/", {"text": [str(naming[0].pk)], "reason": "x"}).status_code == 403
