"""Recalls, emergencies, drills and what was served at a moment, on the pages: loud where it must be, and without foreign names."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from urllib.parse import quote

import pytest
from django.urls import reverse
from django.utils import timezone

from registry.access import services as access
from registry.access.models import Role
from registry.catalog.edges import EdgeSpec
from registry.desk.pages import aliases
from registry.oversight.services_proofs import sign_review
from registry.oversight.subjects import of_version
from registry.release import services
from registry.release.models import AliasAssignment
from registry.release.quarantines import quarantined, quarantines_of
from registry.release.serving_models import BrokenGlass
from registry.release.stopping_models import Recall
from tests.desk.conftest import Visitor, words
from tests.desk.scene import Scene
from tests.world import World
from tests.worlds.http import api

Visit = Callable[[str], Visitor]
ALIAS = ["search", "minilm", "production"]
MODEL = ALIAS[:2]


def test_what_was_production_at_a_moment_is_one_page_with_digest_approval_and_who(
    visit: Visit, released: Scene
) -> None:
    first, second = AliasAssignment.objects.order_by("number")
    path = reverse("desk:alias", args=ALIAS)
    page = visit("omar").get(f"{path}?at={quote(second.assigned_at.isoformat())}")
    told = words(page)
    assert f"On {second.assigned_at:%Y-%m-%d %H:%M:%S} UTC production was version 2" in told
    assert f"from {second.assigned_at:%Y-%m-%d %H:%M:%S} on" in told, "two moves may lie in one minute"
    assert str(second.version_digest) in page.content.decode()
    assert "until now; promoted by Otto. Allowed by the approval that Ada asked for and Omar granted." in told
    before = first.assigned_at - datetime.timedelta(seconds=1)
    assert "there was no production yet" in visit("omar").reads(f"{path}?at={quote(before.isoformat())}")
    between = first.assigned_at + (second.assigned_at - first.assigned_at) / 2
    page = visit("omar").get(f"{path}?at={quote(between.isoformat())}")
    assert "production was version 1" in words(page)
    ledger = reverse("audit:model-as-of", args=MODEL)
    assert f'href="{ledger}?at={quote(between.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))}"' in page.content.decode()
    assert "is no time" in visit("omar").reads(f"{path}?at=yesterday")
    assert "now" in visit("omar").reads(path)


def test_a_suspended_alias_served_nothing_then(visit: Visit, released: Scene) -> None:
    services.suspend(
        actor=released.world.cast.otto, model=released.model, alias="production", reason="Harm was reported."
    )
    told = visit("omar").reads(f"{reverse('desk:alias', args=ALIAS)}?at={quote(timezone.now().isoformat())}")
    assert "production served nothing : it was suspended by Otto" in told
    assert "Harm was reported." in told


def test_an_emergency_stands_above_model_and_version_until_the_alias_moves(visit: Visit, released: Scene) -> None:
    path = reverse("desk:break-glass", args=ALIAS)
    refused = visit("otto").post(path, version="1", reason="All answers are wrong.")
    assert "This field is required." in words(refused)
    answer = visit("otto").post(path, version="1", reason="All answers are wrong.", known="on")
    assert "production serves search/minilm@1 without an approval, until" in words(answer)
    for page in (reverse("desk:model", args=MODEL), reverse("desk:version", args=[*MODEL, 1])):
        told = visit("carla").reads(page)
        assert "production was moved to version 1 without an approval." in told
        assert "Nobody has reviewed it yet." in told
    assert "without an approval" not in visit("carla").reads(reverse("desk:version", args=[*MODEL, 2]))
    sign_review(
        actor=released.world.cast.omar, subject=of_version(released.parent), kind="other", accepted=False,
        statement="It was none.", next_on=None,
    )  # fmt: skip
    assert "Reviewed by Omar" in visit("carla").reads(reverse("desk:model", args=MODEL))
    assert BrokenGlass.objects.get().broken_by.username == "otto"
    services.suspend(actor=released.world.cast.otto, model=released.model, alias="production", reason="Over.")
    assert "without an approval." not in visit("carla").reads(reverse("desk:version", args=[*MODEL, 1]))


def test_who_made_it_cannot_break_the_glass_on_the_page(visit: Visit, released: Scene) -> None:
    answer = visit("ada").post(reverse("desk:break-glass", args=ALIAS), version="1", reason="I want to.", known="on")
    assert answer.status_code == 403
    assert not BrokenGlass.objects.exists()


def test_a_drill_is_gone_through_and_shown_with_its_age(visit: Visit, released: Scene) -> None:
    assert "No drill of a roll-back of production yet." in visit("otto").reads(reverse("desk:model", args=MODEL))
    answer = visit("otto").post(reverse("desk:drill-rollback", args=ALIAS))
    assert "A roll-back to search/minilm@1 would go" in words(answer)
    assert "drill passed" in words(answer)
    assert "today, by Otto" in visit("carla").reads(reverse("desk:model", args=MODEL))
    assert AliasAssignment.objects.count() == 2


def test_an_alias_that_moved_often_shows_its_newest_moves_and_finds_older_ones_by_their_moment(
    visit: Visit, released: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aliases, "_SHOWN", 1)
    page = reverse("desk:alias", args=ALIAS)
    assert "1 older move: ask for a moment above" in visit("otto").reads(page)
    newest, oldest = AliasAssignment.objects.order_by("-number")
    told = visit("otto").reads(f"{page}?at={quote(oldest.assigned_at.isoformat())}")
    assert "production was version 1" in told
    assert "lies in the future" in visit("otto").reads(f"{page}?at=2999-01-01T00:00")
    door = "/api/v1/teams/search/models/minilm/aliases/production/history"
    first = api("otto").get(f"{door}?limit=1").json()
    rest = api("otto").get(f"{door}?limit=1&after={first['next']}").json()
    assert [item["id"] for item in [*first["items"], *rest["items"]]] == [str(newest.pk), str(oldest.pk)]
    assert api("otto").get(f"{door}?at=2999-01-01T00:00:00Z").status_code == 422


def test_a_recall_is_shown_before_it_is_started_and_then_stands_on_every_page(visit: Visit, released: Scene) -> None:
    version = f"version:{released.parent}"
    path = f"{reverse('desk:start-recall')}?about={version}"
    page = visit("carla").reads(path)
    assert "2 in 1 model of 1 team" in page
    assert "search/minilm@2" in page
    assert not Recall.objects.exists()
    answer = visit("carla").post(path, reason="People asked for their data back.")
    assert "is recalled; 2 versions are stopped." in words(answer)
    told = visit("ada").reads(reverse("desk:version", args=[*MODEL, 2]))
    assert "This version is in quarantine" in told
    assert "It is still served as production : nothing was moved." in told
    assert "Version 2 is in quarantine" in visit("ada").reads(reverse("desk:model", args=MODEL))
    assert "recalled already" in visit("carla").reads(path)
    row = Recall.objects.get()
    ended = visit("carla").post(reverse("desk:end-recall", args=[row.pk]), reason="It was cleared.")
    assert "The recall has ended" in words(ended)
    assert not quarantined(released.child)


def test_every_reader_of_data_finds_what_was_made_from_it_and_officers_alone_the_recall(
    visit: Visit, world: World
) -> None:
    data = world.dataset_version(slug="letters")
    world.version(world.model("fitted"), edges=[EdgeSpec("data", dataset_version=data)])
    for page in (
        reverse("desk:dataset-version", args=["search", "letters", 1]),
        reverse("desk:dataset", args=["search", "letters"]),
    ):
        assert "What was made from" in visit("otto").reads(page)
        assert "What was made from" not in visit("carla").reads(page)
    path = f"{reverse('desk:start-recall')}?about=dataset_version:search/letters@1"
    seen = visit("otto").reads(path)
    assert "A compliance officer may recall it." in seen
    assert "search/fitted@1" in seen
    assert "Recall it" not in seen
    assert "Recall it" in visit("carla").reads(path)
    assert "What would a recall stop?" in visit("otto").reads(reverse("desk:recalls"))


def test_the_way_out_is_asked_for_and_decided_on_one_page(visit: Visit, released: Scene) -> None:
    services.start_recall(actor=released.world.cast.carla, subject=of_version(released.parent), reason="Taken back.")
    row = quarantines_of(released.child).get(ended_at=None)
    page = reverse("desk:quarantine", args=[row.pk])
    assert "Nobody has asked for a release." in visit("ada").reads(page)
    visit("ada").post(reverse("desk:request-quarantine-release", args=[row.pk]), reason="Those rows were not used.")
    assert "whose release is asked for" in visit("omar").reads(reverse("desk:home"))
    assert "whose release is asked for" not in visit("ada").reads(reverse("desk:home"))
    assert "Releases that wait for a decision" in visit("omar").reads(reverse("desk:recalls"))
    own = visit("ada").post(reverse("desk:grant-quarantine-release", args=[row.pk]), reason="Mine.")
    assert own.status_code == 403
    answer = visit("omar").post(reverse("desk:refuse-quarantine-release", args=[row.pk]), reason="Not shown.")
    assert "The version stays in quarantine." in words(answer)
    visit("ada").post(reverse("desk:request-quarantine-release", args=[row.pk]), reason="Here is the proof.")
    answer = visit("omar").post(reverse("desk:grant-quarantine-release", args=[row.pk]), reason="Seen.")
    assert "The version is out of this quarantine." in words(answer)
    assert not quarantined(released.child)


def test_owners_elsewhere_learn_that_it_stops_but_no_names(visit: Visit, world: World) -> None:
    from tests.release.test_start_recall import child_elsewhere

    parent = world.parent_version(world.model("secret-source", use_case=None))
    team = access.create_team(actor=world.cast.root, slug="elsewhere")
    foreign, _ = child_elsewhere(world, team, parent)
    access.grant_membership(actor=world.cast.root, person=world.cast.people["eve"], role=Role.ENGINEER, team=team)
    row = services.start_recall(actor=world.officer(), subject=of_version(parent), reason="A person named in it.")
    pages = [
        reverse("desk:version", args=["elsewhere", foreign.model.slug, foreign.number]),
        reverse("desk:recalls"), reverse("desk:recall", args=[row.pk]),
        reverse("desk:quarantine", args=[quarantines_of(foreign).get(ended_at=None).pk]),
    ]  # fmt: skip
    for page in pages:
        raw = visit("eve").get(page).content.decode()
        assert "a version of another team" in raw, page
        assert "secret-source" not in raw, page
        assert "A person named in it" not in raw, page


def test_pages_that_read_the_ledger_know_a_move_without_an_approval(visit: Visit, released: Scene) -> None:
    services.break_glass(
        actor=released.world.cast.otto, version=released.parent, alias="production", reason="All answers are wrong."
    )
    services.start_recall(actor=released.world.cast.carla, subject=of_version(released.child), reason="Taken back.")
    services.drill_rollback(actor=released.world.cast.otto, model=released.model, alias="production")
    visitor = visit("carla")
    assert "broken-glass" in visitor.reads(reverse("audit:model-as-of", args=MODEL)).replace(" ", "-")
    for page in (
        reverse("audit:assessment", args=MODEL), reverse("desk:version", args=[*MODEL, 2]), reverse("desk:home"),
        reverse("desk:search") + "?q=minilm", reverse("desk:monitors"), reverse("desk:roll-back", args=ALIAS),
        reverse("desk:approvals"),
    ):  # fmt: skip
        visitor.reads(page)
    answer = api("carla").get(f"/api/v1/teams/search/models/minilm/as-of?at={quote(timezone.now().isoformat())}")
    assert answer.status_code == 200
    assert answer.json()["aliases"][0]["moves"][0]["kind"] == "broken-glass"
