"""The tables of the admin site: read by whoever oversees, changed by nobody, and no wider than elsewhere."""

from __future__ import annotations

import pytest
from django.contrib.admin import ModelAdmin
from django.test import Client

from registry.access.models import Membership, Role, Team
from registry.access.services import end_membership, grant_membership
from registry.admin.governed import GovernedAdmin
from registry.admin.urls import site  # the menu mounts the tables
from registry.catalog.models import RegisteredModel
from registry.governed import governed_models
from tests.admin.test_inbox import client_of
from tests.world import World

TABLES = sorted(site._registry, key=lambda m: m.__name__)


@pytest.mark.parametrize("model", TABLES, ids=lambda m: m.__name__)
def test_every_table_and_record_can_be_read_and_none_changed(world: World, model: type) -> None:
    world.officer()
    world.drifted()
    world.waiver(world.parent_version(training_data="incomplete", seed=9))
    carla = client_of("carla")
    base = f"/admin/registry/{model._meta.model_name}/"
    assert carla.get(base).status_code == 200
    assert carla.get(f"{base}add/").status_code == 403
    assert carla.post(f"{base}add/", {}).status_code == 403
    for row in model.objects.all()[:1]:
        assert carla.get(f"{base}{row.pk}/change/", follow=True).status_code == 200
        assert carla.post(f"{base}{row.pk}/change/", {"slug": "x"}).status_code in (403, 405)
        assert carla.post(f"{base}{row.pk}/delete/", {"post": "yes"}).status_code == 403
        assert carla.get(f"{base}{row.pk}/history/").status_code == 404


def test_there_are_tables() -> None:
    assert len(TABLES) == 29


def test_no_table_is_editable_in_its_list_and_no_bulk_delete_is_offered() -> None:
    for table in site._registry.values():
        assert isinstance(table, GovernedAdmin)
        assert table.list_editable == ModelAdmin.list_editable == ()
        assert not table.actions or table.actions == ("grant_selected",)


def test_only_governed_records_are_shown() -> None:
    assert set(site._registry) <= set(governed_models())


def test_records_of_other_teams_are_not_listed(world: World, outsider_team: Team) -> None:
    world.model("ours")
    grant_membership(actor=world.cast.root, person=world.cast.people["eve"], role=Role.APPROVER, team=outsider_team)
    eve = client_of("eve")
    row = RegisteredModel.objects.get(slug="ours")
    assert "search/ours" not in eve.get("/admin/registry/registeredmodel/").content.decode()
    missing = eve.get(f"/admin/registry/registeredmodel/{row.pk}/change/", follow=True)
    assert "search/ours" not in missing.content.decode()
    assert "ours" in client_of("omar").get("/admin/registry/registeredmodel/").content.decode()


def test_the_filters_offer_no_team_that_the_reader_may_not_see(world: World, outsider_team: Team) -> None:
    world.model("ours")
    path = "/admin/registry/registeredmodel/"
    assert outsider_team.slug not in client_of("omar").get(path).content.decode()
    world.officer()  # carla reads every team
    seen = client_of("carla")
    assert f"?of_team={outsider_team.slug}" in seen.get(path).content.decode()
    assert "search/ours" in seen.get(path, {"of_team": "search"}).content.decode()
    assert "search/ours" not in seen.get(path, {"of_team": outsider_team.slug}).content.decode()


@pytest.mark.parametrize("path", ["registry/approval/x/change/", "registry/approval/x/", "autocomplete/"])
def test_an_address_that_leads_nowhere_is_not_found(world: World, path: str) -> None:
    carla = client_of(world.cast.people["carla"].username)
    assert carla.get(f"/admin/{path}", follow=True).status_code == 404


def test_secrets_stand_on_no_page(world: World) -> None:
    carla = world.cast.people["carla"]
    world.officer()
    shown = client_of("carla").get(f"/admin/registry/actor/{carla.pk}/change/").content.decode()
    assert carla.username in shown
    assert carla.password not in shown
    assert "md5$" not in shown


def test_the_first_page_leads_to_what_waits(world: World) -> None:
    world.approval(world.parent_version())
    shown = client_of("omar").get("/admin/").content.decode()
    assert "1 approval</strong> waits for a decision" in " ".join(shown.split())
    assert "What was allowed" in shown
    assert client_of("omar").get("/admin/registry/").status_code == 200


def test_a_role_that_ended_lets_nobody_in(world: World) -> None:
    omar = client_of("omar")
    assert omar.get("/admin/").status_code == 200
    end_membership(actor=world.cast.root, membership=Membership.objects.get(actor=world.cast.people["omar"]))
    assert omar.get("/admin/").status_code == 302


def test_pages_forbid_inline_scripts_and_styles(world: World) -> None:
    answer = client_of("omar").get("/admin/")
    policy = answer["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe-inline" not in policy
    for path in ("/admin/", "/admin/registry/approval/", "/admin/registry/modelversion/"):
        shown = client_of("omar").get(path).content.decode()
        assert " style=" not in shown
        assert "<style" not in shown
        assert " onclick=" not in shown


def test_a_stranger_is_sent_to_the_log_in_page(db: None) -> None:
    answer = Client().get("/admin/registry/actor/")
    assert (answer.status_code, answer["Location"].startswith("/admin/login/")) == (302, True)
