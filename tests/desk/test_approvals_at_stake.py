"""Whoever asks for a run of what is served is told before and with the request that its approval will not outlive the evidence."""

from __future__ import annotations

from collections.abc import Callable

from django.urls import reverse
from rest_framework.test import APIClient

from registry.catalog.models import ModelVersion
from tests.desk.conftest import Visitor
from tests.world import World

Visit = Callable[[str], Visitor]


def asked(world: World, version: ModelVersion) -> list[str]:
    api = APIClient()
    api.force_authenticate(user=world.cast.people["ada"])
    model = version.model
    made = api.post(
        f"/api/v1/teams/{model.team.slug}/models/{model.slug}/versions/{version.number}/evaluations",
        {"evaluation": world.reference(world.arrays_dataset())},
        format="json",
    )
    assert made.status_code == 201, made.content
    found: list[str] = made.json()["makes_stale"]
    return found


def test_the_answer_to_a_request_names_the_aliases_whose_approval_becomes_stale(world: World) -> None:
    parent, child = world.released_pair()
    assert asked(world, parent) == []
    world.promoted(child, "staging")
    assert asked(world, child) == [
        f"{alias} serves {child}: new evidence makes its approval stale, and it has to be approved again."
        for alias in ("production", "staging")
    ]


def test_the_form_says_it_before_anything_is_asked(visit: Visit, world: World) -> None:
    parent, child = world.released_pair()
    page = visit("ada").reads(reverse("desk:request-run", args=["search", child.model.slug, child.number]))
    assert f"production serves {child}: new evidence makes its approval stale" in page
    other = visit("ada").reads(reverse("desk:request-run", args=["search", parent.model.slug, parent.number]))
    assert "makes its approval stale" not in other


def test_compressing_again_is_told_of_the_served_child_that_it_would_measure_anew(visit: Visit, world: World) -> None:
    parent, child = world.released_pair()
    run = world.run(parent)
    type(run).objects.filter(pk=run.pk).update(child=child)
    page = visit("ada").reads(reverse("desk:request-run", args=["search", parent.model.slug, parent.number]))
    assert f"production serves {child}: new evidence (if it comes out the same again) makes its approval stale" in page


def test_of_several_recipes_each_that_made_what_is_served_is_told(world: World) -> None:
    parent, child = world.released_pair()
    known, other = world.recipe(), world.recipe("other", {"seed": 1, "steps": [{"method": "convert_fp16"}]})
    run = world.run(parent, recipe=known)
    type(run).objects.filter(pk=run.pk).update(child=child)
    api = APIClient()
    api.force_authenticate(user=world.cast.people["ada"])
    rows = world.reference(world.arrays_dataset())
    body = {"parent": str(parent), "recipes": [f"search/{other}", f"search/{known}"], "evaluation": rows}
    made = api.post(f"/api/v1/teams/search/models/{parent.model.slug}/comparisons", body, format="json")
    assert made.status_code == 201, made.content
    assert made.json()["makes_stale"] == [
        f"production serves {child}: new evidence (if it comes out the same) makes its approval stale, and it has to be "
        "approved again."
    ]


def test_an_emergency_has_no_approval_that_could_become_stale(world: World) -> None:
    from registry.release.services import break_glass

    parent, _ = world.released_pair()
    hotfix = world.child_version(parent, seed=55)
    break_glass(actor=world.cast.otto, version=hotfix, alias="production", reason="Customers are down.")
    assert asked(world, hotfix) == []
