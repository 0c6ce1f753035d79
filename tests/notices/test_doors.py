"""The doors of notices and webhooks: pages, API and command line call the same services, and who may not finds nothing."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from audit.models import Entry
from registry.access import services as access
from registry.access.models import Role
from registry.errors import Conflict, Forbidden, Invalid
from registry.notices import queries, services
from registry.notices.models import Outgoing, Webhook
from tests.world import Cast, World

URL = "https://hooks.example.org/in/word-in-the-path"
Api = Callable[[str], APIClient]


@pytest.fixture
def api(cast: Cast) -> Api:
    """A client of the API as one of the cast."""

    def of(name: str) -> APIClient:
        client = APIClient()
        client.force_authenticate(cast.people[name])
        return client

    return of


@pytest.fixture
def page(cast: Cast) -> Callable[[str], Client]:
    """A browser that is logged in as one of the cast."""

    def of(name: str) -> Client:
        client = Client()
        client.force_login(cast.people[name])
        return client

    return of


# --- services ---


def test_the_ledger_holds_a_digest_of_the_address_and_nothing_of_the_secret(world: World) -> None:
    row, secret = services.register_webhook(actor=world.cast.root, url=URL, kinds=["alias.promoted", "alias.promoted"])
    sealed = bytes(Entry.objects.order_by("-position")[0].entry)
    assert row.kinds == ["alias.promoted"]
    assert row.url_digest.encode() in sealed
    assert b"word-in-the-path" not in sealed
    assert secret.encode() not in sealed
    assert len(secret) == 64


@pytest.mark.parametrize("name", ["ada", "omar", "carla", "otto", "eve"])
def test_only_an_administrator_registers_rotates_and_ends(world: World, name: str) -> None:
    somebody = getattr(world.cast, name)
    row, _ = services.register_webhook(actor=world.cast.root, url=URL, kinds=["*"])
    with pytest.raises(Forbidden):
        services.register_webhook(actor=somebody, url=URL + "2", kinds=["*"], team=world.team)
    for act in (services.rotate_webhook, services.end_webhook):
        with pytest.raises(Forbidden):
            act(actor=somebody, webhook=row)


def test_an_administrator_of_a_team_runs_the_webhooks_of_that_team_alone(world: World, outsider_team: Any) -> None:
    world.person("tess", Role.ADMINISTRATOR)
    tess = world.cast.omar.__class__(actor_id=world.cast.people["tess"].pk, via="cli")
    mine, _ = services.register_webhook(actor=tess, url=URL, kinds=["*"], team=world.team)
    services.register_webhook(actor=world.cast.root, url=URL, kinds=["*"], team=outsider_team)
    assert list(queries.webhooks(tess)) == [mine]
    for team in (None, outsider_team):
        with pytest.raises(Forbidden):
            services.register_webhook(actor=tess, url=URL + "/2", kinds=["*"], team=team)


def test_a_webhook_that_asks_for_nothing_for_what_is_not_or_twice_is_refused(world: World) -> None:
    for kinds in ([], ["alias.flown"]):
        with pytest.raises(Invalid):
            services.register_webhook(actor=world.cast.root, url=URL, kinds=kinds)
    services.register_webhook(actor=world.cast.root, url=URL, kinds=["*"])
    with pytest.raises(Conflict):
        services.register_webhook(actor=world.cast.root, url=URL, kinds=["*"])


# --- API ---


def test_webhooks_over_the_api_show_the_secret_once(world: World, api: Api) -> None:
    root = api("root")
    made = root.post("/api/v1/webhooks", {"url": URL, "kinds": ["alias.promoted"], "team": "search"}, format="json")
    assert made.status_code == 201, made.content
    assert made["Pressmark-Receipt"]
    secret, key = made.json()["secret"], made.json()["id"]
    listed = root.get("/api/v1/webhooks?team=search")
    assert [row["url"] for row in listed.json()["items"]] == [URL]
    assert secret not in listed.content.decode()
    rotated = root.post(f"/api/v1/webhooks/{key}/rotate", {}, format="json").json()["secret"]
    assert rotated != secret
    assert Webhook.objects.get(pk=key).secret == rotated
    assert root.post(f"/api/v1/webhooks/{key}/end", {}, format="json").json()["ended_at"]
    assert root.post(f"/api/v1/webhooks/{key}/end", {}, format="json").status_code == 409


def test_who_may_not_finds_no_webhook(world: World, api: Api) -> None:
    row, _ = services.register_webhook(actor=world.cast.root, url=URL, kinds=["*"])
    for name in ("ada", "eve"):
        assert api(name).get("/api/v1/webhooks").status_code == 403
        for act in ("rotate", "end"):
            assert api(name).post(f"/api/v1/webhooks/{row.pk}/{act}", {}, format="json").status_code == 404
    assert api("root").post(f"/api/v1/webhooks/{uuid.uuid4()}/end", {}, format="json").status_code == 404
    assert APIClient().get("/api/v1/notices").status_code == 401


def test_notices_over_the_api_are_ones_own_newest_first_in_pages(world: World, api: Api) -> None:
    version = world.parent_version()
    Outgoing.objects.all().delete()
    for alias in ("one", "two", "three"):
        world.approval(version, alias)
    first = api("omar").get("/api/v1/notices?limit=2").json()
    rest = api("omar").get(f"/api/v1/notices?limit=2&before={first['next']}").json()
    said = [row["says"].rpartition(" ")[2] for row in first["items"] + rest["items"]]
    assert said == ["three", "two", "one"]
    assert rest["next"] is None
    assert api("ada").get("/api/v1/notices").json()["items"] == []
    assert api("omar").get("/api/v1/notices?limit=0").status_code == 422
    assert api("ada").get(f"/api/v1/notices?before={first['next']}").status_code == 422


def test_mail_is_switched_off_and_on_over_the_api(world: World, api: Api) -> None:
    for wanted in (False, True):
        assert api("omar").post("/api/v1/notices/mail", {"wanted": wanted}, format="json").json() == {"mail": wanted}
        assert api("omar").get("/api/v1/notices").json()["mail"] is wanted
    assert queries.wants_mail(world.cast.carla)


# --- pages ---


def words(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def test_the_page_says_what_i_was_told_and_leads_there(world: World, page: Callable[[str], Client]) -> None:
    approval = world.approval(world.parent_version())
    shown = page("omar").get("/notices/")
    assert f"A decision is asked for: {approval.version} for production" in words(shown)
    assert f'href="/approvals/{approval.pk}/"' in shown.content.decode()
    assert "because you are approver there" in words(shown)
    assert "Nobody did anything that concerns you yet" in words(page("eve").get("/notices/"))
    assert 'href="/notices/"' in page("eve").get("/").content.decode()


def test_what_belongs_to_a_team_that_i_left_is_not_shown_any_more(world: World, page: Callable[[str], Client]) -> None:
    world.approval(world.parent_version())
    ended = world.cast.people["omar"].memberships.get()
    access.end_membership(actor=world.cast.root, membership=ended)
    shown = words(page("omar").get("/notices/"))
    assert "A decision is asked for" not in shown
    assert "A role of yours, or one that you gave, has ended" in shown


def test_mail_is_switched_on_the_page(world: World, page: Callable[[str], Client]) -> None:
    omar = page("omar")
    said = words(omar.post("/notices/mail/", {}, follow=True))
    assert "No notice comes by mail any more" in said
    assert not queries.wants_mail(world.cast.omar)
    assert "come by mail from now on" in words(omar.post("/notices/mail/", {"wanted": "on"}, follow=True))


def test_a_webhook_is_made_rotated_and_ended_on_its_page(world: World, page: Callable[[str], Client]) -> None:
    root = page("root")
    made = root.post("/webhooks/register/", {"url": URL, "kinds": ["alias.promoted"], "team": ""})
    row = Webhook.objects.get()
    assert made["Cache-Control"] == "no-store"
    assert row.secret in made.content.decode()
    assert row.secret not in root.get("/webhooks/").content.decode()
    rotated = root.post(f"/webhooks/{row.pk}/rotate/")
    assert Webhook.objects.get().secret in rotated.content.decode()
    assert Webhook.objects.get().secret != row.secret
    assert "told of nothing any more" in words(root.post(f"/webhooks/{row.pk}/end/", follow=True))
    refused = root.post(f"/webhooks/{row.pk}/rotate/")
    assert refused.status_code == 409
    assert "This webhook has ended" in words(refused)


def test_a_refused_webhook_says_why_and_keeps_what_was_typed(world: World, page: Callable[[str], Client]) -> None:
    refused = page("root").post("/webhooks/register/", {"url": "https://10.0.0.1/x", "kinds": ["*"], "team": ""})
    assert refused.status_code == 422
    assert "10.0.0.1 is not a public address" in words(refused)
    assert "https://10.0.0.1/x" in refused.content.decode()
    empty = page("root").post("/webhooks/register/", {"url": URL, "team": ""})
    assert "This field is required" in words(empty)
    assert not Webhook.objects.exists()


def test_who_watches_over_a_webhook_sees_it_without_its_path_and_cannot_touch_it(
    world: World, api: Api, page: Callable[[str], Client]
) -> None:
    row, _ = services.register_webhook(actor=world.cast.root, url=URL, kinds=["*"], team=world.team)
    services.register_webhook(actor=world.cast.root, url=URL, kinds=["*"])
    (listed,) = api("carla").get("/api/v1/webhooks").json()["items"]
    assert (listed["id"], listed["url"]) == (str(row.pk), "https://hooks.example.org/...")
    shown = page("carla").get("/webhooks/")
    assert "https://hooks.example.org/..." in words(shown)
    assert "word-in-the-path" not in shown.content.decode()
    assert "Register another one" not in words(shown)
    assert "New secret" not in words(shown)
    assert page("carla").post(f"/webhooks/{row.pk}/resend/").status_code == 404


def test_whoever_only_looks_at_everything_still_runs_the_webhooks_of_his_team(world: World) -> None:
    world.person("tess", Role.ADMINISTRATOR)
    access.grant_membership(actor=world.cast.root, person=world.cast.people["tess"], role=Role.VIEWER, team=None)
    mine, _ = services.register_webhook(actor=world.cast.root, url=URL, kinds=["*"], team=world.team)
    services.register_webhook(actor=world.cast.root, url=URL, kinds=["*"])
    tess = world.cast.omar.__class__(actor_id=world.cast.people["tess"].pk, via="cli")
    assert list(queries.webhooks(tess)) == [mine]


def test_pages_of_webhooks_are_for_those_who_watch_over_them(world: World, page: Callable[[str], Client]) -> None:
    row, _ = services.register_webhook(actor=world.cast.root, url=URL, kinds=["*"])
    assert page("ada").get("/webhooks/").status_code == 403
    assert page("ada").post(f"/webhooks/{row.pk}/end/").status_code == 404
    assert page("ada").post(
        "/webhooks/register/", {"url": URL + "/2", "kinds": ["*"], "team": str(world.team.pk)}
    ).status_code in (403, 422)
    assert Webhook.objects.filter(ended_at=None).count() == 1
    assert "Webhooks" not in words(page("ada").get("/notices/"))
