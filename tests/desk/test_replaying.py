"""Replays on the pages: asked for where the version stands, and what came of them beside the run that made it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.urls import reverse

from registry.catalog.edges import EdgeSpec
from registry.compression.models import Run
from tests.compression.test_request_replay import made, recorded
from tests.desk.conftest import Visitor
from tests.world import World

Visit = Callable[[str], Visitor]


@pytest.mark.usefixtures("committed_db")
def test_a_version_is_made_again_from_its_page_and_the_outcome_stands_there(
    visit: Visit, world: World, tmp_path: Path
) -> None:
    parent = world.version()
    child = recorded(world, parent, made(world, parent, tmp_path), world.recipe())
    page = reverse("desk:version", args=[child.model.team.slug, child.model.slug, str(child.number)])
    assert "Make it again" in visit("ada").reads(page)
    assert "Make it again" not in visit("otto").reads(page)
    visit("ada").post(f"{page}request-replay/")
    run = Run.objects.get(rederives=child)
    assert "queued" in visit("otto").reads(page)
    world.executed(run)
    said = visit("otto").reads(page)
    assert "Made again: bit-exact Made again, the model is the same to the byte" in said
    assert "re-derived" in said
    assert "How it is stored: 2 tensors in int8 Tensor Type Scheme" in said
    assert "w1 int8 symmetric channel nearest sha256" in said


def test_of_what_was_made_elsewhere_the_page_asks_by_which_recipe(visit: Visit, world: World) -> None:
    parent = world.version()
    child = world.version(seed=2, edges=[EdgeSpec("base", ["quantized"], parent=parent)])
    page = reverse("desk:version", args=[child.model.team.slug, child.model.slug, str(child.number)])
    assert "Recipe that made it" in visit("ada").reads(page)
    assert "Recipe that made it" not in visit("otto").reads(page)
    refused = visit("ada").post(f"{page}request-replay/", recipe="no recipe").content.decode()
    assert "names no recipe" in refused
    visit("ada").post(f"{page}request-replay/", recipe=f"{world.team.slug}/{world.recipe()}")
    assert Run.objects.get(rederives=child).recipe == world.recipe()


def test_what_was_uploaded_is_not_offered_to_be_made_again_and_refused(visit: Visit, world: World) -> None:
    version = world.version()
    page = reverse("desk:version", args=[version.model.team.slug, version.model.slug, str(version.number)])
    assert "Make it again" not in visit("ada").reads(page)
    assert "was not made by a run of this registry" in visit("ada").post(f"{page}request-replay/").content.decode()
