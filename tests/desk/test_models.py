"""The list of models and the page of one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from registry.desk import queries
from tests.desk.conftest import Visitor
from tests.desk.scene import Scene
from tests.world import World

Visit = Callable[[str], Visitor]


def test_the_list_says_owner_tier_and_what_is_live(visit: Visit, released: Scene) -> None:
    page = visit("carla").reads("/models/")
    assert "search/minilm" in page
    assert "production → version 2" in page
    assert "limited" in page


def test_models_of_other_teams_are_not_listed(visit: Visit, released: Scene) -> None:
    assert "minilm" not in visit("eve").reads("/models/")


def test_the_list_costs_the_same_for_many_models(visit: Visit, world: World) -> None:
    ada = visit("ada")
    world.promoted(world.parent_version())
    with CaptureQueriesContext(connection) as few:
        ada.get("/models/")
    for _ in range(5):
        world.model()
    world.promoted(world.parent_version(seed=9))
    with CaptureQueriesContext(connection) as many:
        ada.get("/models/")
    assert len(many) == len(few)


def test_a_long_list_goes_on_page_by_page(visit: Visit, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "PAGE_ROWS", 2)
    for name in ("alpha", "beta", "gamma"):
        world.model(name)
    ada = visit("ada")
    first = ada.get("/models/").content.decode()
    assert "search/alpha" in first
    assert "search/gamma" not in first
    assert 'href="?after=search/beta"' in first
    assert "search/gamma" in ada.reads("/models/?after=search/beta")
    assert 'href="?team=search&amp;after=search/beta"' in ada.get("/models/?team=search").content.decode()


def test_a_model_shows_purpose_versions_and_every_move_of_its_aliases(visit: Visit, released: Scene) -> None:
    page = visit("carla").reads(reverse("desk:model", args=["search", "minilm"]))
    assert "Find the answer that fits a customer's question." in page
    assert "Decisions about people" in page
    assert "move 2 by Otto" in page
    assert "move 1 by Otto" in page


def test_only_those_who_may_move_the_alias_are_offered_to(visit: Visit, released: Scene) -> None:
    path = reverse("desk:model", args=["search", "minilm"])
    assert "Roll back" in visit("omar").reads(path)
    assert "Roll back" not in visit("ada").reads(path)


def test_a_model_without_use_case_says_that_it_is_missing(visit: Visit, world: World) -> None:
    model = world.model()
    assert "Use case missing" in visit("ada").reads(reverse("desk:model", args=["search", model.slug]))
