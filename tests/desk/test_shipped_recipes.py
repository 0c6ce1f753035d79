"""Recipes that ship can be chosen on the page, before anybody published them by a shell."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.urls import reverse

from registry.compression import services_shipped
from registry.compression.models import Recipe, Run
from registry.errors import NotFound
from tests.desk.conftest import Visitor, words
from tests.world import World

Visit = Callable[[str], Visitor]
NAME = "smaller-same-speed"


def test_a_recipe_that_ships_is_offered_and_published_at_its_first_use(visit: Visit, world: World) -> None:
    version, rows = world.version(), world.arrays_dataset()
    page = reverse("desk:request-run", args=[version.model.team.slug, version.model.slug, version.number])
    ada = visit("ada")
    assert f"Compress by {NAME}, which ships" in ada.reads(page)
    body = {"recipe": f"shipped:{NAME}", "evaluation": str(rows.pk), "seed": "0"}
    for _ in range(2):
        assert "The run is requested." in words(ada.client.post(page, body, follow=True))
        body["recipe"] = str(Recipe.objects.get().pk)
    assert [str(run.recipe) for run in Run.objects.all()] == [f"{NAME}@1"] * 2
    again = ada.reads(page)
    assert f"Compress by {version.model.team}/{NAME}@1" in again
    assert f"Compress by {NAME}, which ships" not in again


def test_a_name_that_does_not_ship_is_no_choice(visit: Visit, world: World) -> None:
    version, rows = world.version(), world.arrays_dataset()
    page = reverse("desk:request-run", args=[version.model.team.slug, version.model.slug, version.number])
    body = {"recipe": "shipped:anything", "evaluation": str(rows.pk), "seed": "0"}
    assert "not one of the available choices" in words(visit("ada").client.post(page, body, follow=True))
    assert not Run.objects.exists()
    with pytest.raises(NotFound, match="No recipe 'anything' ships"):
        services_shipped.publish_shipped(actor=world.cast.ada, team=world.team, name="anything")
    assert not Recipe.objects.exists()


def test_one_that_is_published_already_is_used_as_it_is(world: World) -> None:
    first = services_shipped.publish_shipped(actor=world.cast.ada, team=world.team, name=NAME)
    assert services_shipped.publish_shipped(actor=world.cast.ada, team=world.team, name=NAME) == first
    assert NAME not in services_shipped.shipped_beside({first.digest})
