"""Publishing a recipe: an immutable, numbered document, bound by its digest."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction

from compression_engine.recipe import shipped_recipes
from registry import storage
from registry.access.models import Team
from registry.compression import queries, services
from registry.compression.models import Recipe
from registry.errors import Conflict, Forbidden, Invalid, NotFound
from tests.compression.situations import events
from tests.world import World

STEPS = [{"method": "quantize_weights", "parameters": [{"name": "min_elements", "value": 2048}]}]


def test_a_recipe_is_numbered_and_bound_by_the_digest_of_its_whole_document(world: World) -> None:
    recipe = services.publish_recipe(
        actor=world.cast.ada, team=world.team, slug="smaller", document={"steps": [{"method": "quantize_weights"}]}
    )
    assert (recipe.number, str(recipe)) == (1, "smaller@1")
    document = queries.recipe_document(recipe)
    assert document == {
        "name": "smaller", "seed": 0, "type": "pressmark/recipe/1",
        "steps": [{"method": "quantize_weights", "parameters": [{"name": "min_elements", "value": 1024}]}],
    }  # fmt: skip
    told = events()[-1]
    assert told["kind"] == "recipe.published"
    assert told["refs"] == [{"digest": recipe.digest, "name": "recipe", "size_bytes": recipe.size_bytes}]
    assert storage.path_of(recipe.digest).stat().st_size == recipe.size_bytes


def test_a_changed_recipe_is_the_next_number(world: World) -> None:
    world.recipe("smaller", {"steps": [{"method": "quantize_weights"}]})
    assert world.recipe("smaller", {"steps": STEPS}).number == 2
    assert world.recipe("other", {"steps": STEPS}).number == 1


def test_the_same_recipe_twice_is_refused_and_named(world: World) -> None:
    world.recipe("smaller", {"steps": STEPS})
    with pytest.raises(Conflict, match="search/smaller@1") as refused:
        world.recipe("smaller", {"steps": STEPS, "seed": 0})
    assert refused.value.members["existing"] == "search/smaller@1"
    assert Recipe.objects.count() == 1


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_every_shipped_recipe_can_be_published(world: World, name: str) -> None:
    assert world.recipe(name).digest == shipped_recipes()[name].recipe.digest()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"steps": [{"method": "shrink_by_magic"}]}, "shrink_by_magic"),
        ({"steps": []}, "steps"),
        ({}, "steps"),
        ({"steps": [{"method": "quantize_weights", "parameters": [{"name": "bits", "value": 3}]}]}, "bits"),
        ({"steps": STEPS, "shell": "rm"}, "shell"),
        ({"steps": STEPS, "name": "another"}, "another"),
        ({"steps": STEPS, "type": "pressmark/policy/1"}, "pressmark/policy/1"),
        ({"steps": STEPS, "seed": 1.5}, "1.5"),
    ],
)
def test_what_is_no_recipe_is_refused_by_name_and_nothing_is_kept(
    world: World, document: dict[str, object], said: str
) -> None:
    with pytest.raises(Invalid) as refused:
        services.publish_recipe(actor=world.cast.ada, team=world.team, slug="smaller", document=document)
    assert said in refused.value.detail
    assert refused.value.hint
    assert not Recipe.objects.exists()


def test_a_name_that_cannot_be_sealed_is_refused(world: World) -> None:
    with pytest.raises(Invalid, match="no name for a recipe"):
        services.publish_recipe(actor=world.cast.ada, team=world.team, slug="Smaller!", document={"steps": STEPS})


@pytest.mark.parametrize("who", ["omar", "carla", "otto", "eve"])
def test_only_engineers_publish(world: World, who: str) -> None:
    with pytest.raises(Forbidden):
        services.publish_recipe(
            actor=getattr(world.cast, who), team=world.team, slug="smaller", document={"steps": STEPS}
        )


def test_an_engineer_of_one_team_does_not_publish_in_another(world: World, outsider_team: Team) -> None:
    with pytest.raises(Forbidden):
        services.publish_recipe(actor=world.cast.ada, team=outsider_team, slug="smaller", document={"steps": STEPS})


@pytest.mark.db_guarantee
def test_a_published_recipe_never_changes(world: World) -> None:
    recipe = world.recipe()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Recipe.objects.filter(pk=recipe.pk).update(digest="sha256:" + "0" * 64)


def test_a_recipe_is_found_by_its_reference_and_only_by_who_may_read_it(world: World) -> None:
    recipe = world.recipe()
    assert queries.get_recipe(world.cast.omar, f"search/{recipe}") == recipe
    for caller, ref in ((world.cast.eve, f"search/{recipe}"), (world.cast.omar, f"search/{recipe.slug}@9")):
        with pytest.raises(NotFound):
            queries.get_recipe(caller, ref)
    with pytest.raises(Invalid, match="names no recipe"):
        queries.get_recipe(world.cast.omar, "smaller")


def test_names_of_weights_are_published_sorted_and_read_back(world: World) -> None:
    steps = [{"method": "quantize_weights", "parameters": [{"name": "exclude", "value": ["head", "body"]}]}]
    recipe = services.publish_recipe(
        actor=world.cast.ada, team=world.team, slug="mixed", document={"steps": steps}
    )  # fmt: skip
    parameters = queries.recipe_document(recipe)["steps"][0]["parameters"]
    assert {"name": "exclude", "value": ["body", "head"]} in parameters
    with pytest.raises(Invalid, match="'body' twice"):
        steps[0]["parameters"][0]["value"] = ["body", "body"]  # type: ignore[index]
        services.publish_recipe(actor=world.cast.ada, team=world.team, slug="mixed", document={"steps": steps})


def test_steps_in_a_wrong_order_are_refused_with_the_reason_and_a_right_one(world: World) -> None:
    steps = [{"method": "quantize_weights"}, {"method": "prune_unstructured"}]
    with pytest.raises(Invalid, match="whose integers are not pruned") as refused:
        services.publish_recipe(actor=world.cast.ada, team=world.team, slug="wrong", document={"steps": steps})
    assert refused.value.code == "recipe-order"
    assert "prune_unstructured, quantize_weights" in str(refused.value.hint)
    assert not Recipe.objects.filter(slug="wrong").exists()
