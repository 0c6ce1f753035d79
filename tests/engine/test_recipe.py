"""Recipes: what is accepted, what is refused and why, and what a digest stands for."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import jsonschema
import pytest

from compression_engine.canonical import canonical
from compression_engine.errors import RecipeError
from compression_engine.recipe import Recipe, Step, recipe_schema, shipped_recipes


def draft(**changes: Any) -> dict[str, Any]:
    return {"type": "pressmark/recipe/1", "name": "small", "steps": [{"method": "quantize_weights"}]} | changes


def test_a_draft_is_completed_with_every_default() -> None:
    recipe = Recipe.parse(draft())
    assert recipe.document() == {
        "name": "small",
        "seed": 0,
        "steps": [{"method": "quantize_weights", "parameters": [{"name": "min_elements", "value": 1024}]}],
        "type": "pressmark/recipe/1",
    }


def test_the_digest_does_not_depend_on_how_the_draft_was_spelled() -> None:
    full = draft(
        seed=0, steps=[{"method": "quantize_weights", "parameters": [{"name": "min_elements", "value": 1024}]}]
    )
    assert Recipe.parse(json.dumps(full, indent=3)).digest() == Recipe.parse(draft()).digest()
    assert Recipe.parse(Recipe.parse(draft()).canonical()).digest() == Recipe.parse(draft()).digest()


def test_every_member_changes_the_digest() -> None:
    other_steps = [{"method": "quantize_weights", "parameters": [{"name": "min_elements", "value": 1025}]}]
    drafts = [draft(), draft(name="other"), draft(seed=1), draft(steps=other_steps)]
    drafts.append(draft(steps=[{"method": "quantize_dynamic"}]))
    assert len({Recipe.parse(entry).digest() for entry in drafts}) == len(drafts)


def test_the_document_obeys_its_schema() -> None:
    for shipped in shipped_recipes().values():
        jsonschema.validate(shipped.recipe.document(), recipe_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(draft(), recipe_schema())


def test_the_shipped_recipes_have_a_sentence_each() -> None:
    shipped = shipped_recipes()
    stored = {"smaller-same-speed", "faster-int8", "fastest-int8", "half-size", "smallest-4-bit"}
    assert set(shipped) == stored | {"pruned-int8", "sparse-4-bit", "distilled-int8", "trained-4-bit"}
    assert all(entry.description.endswith(".") for entry in shipped.values())
    assert [step.method for step in shipped["faster-int8"].recipe.steps] == ["quantize_dynamic"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "pressmark/recipe/2"}, "type"),
        ({"name": "Not A Slug"}, "slug"),
        ({"name": "a..b"}, "slug"),
        ({"seed": -1}, "seed"),
        ({"seed": True}, "seed"),
        ({"steps": []}, "0 steps"),
        ({"steps": "quantize_weights"}, "list"),
        ({"steps": [{"method": "prune"}]}, "Step 1: There is no method 'prune'"),
        ({"steps": [{"parameters": []}]}, "Step 1 lacks method"),
        ({"steps": [{"method": "quantize_weights", "bits": 4}]}, "unknown member 'bits'"),
        ({"unknown": 1}, "unknown member 'unknown'"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_place_and_what_is_allowed(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as refused:
        Recipe.parse(draft(**change))
    assert refused.value.code == "recipe_invalid"
    assert refused.value.hint


@pytest.mark.parametrize("value", [0, -5, "many", True, 2**41, None])
def test_a_parameter_outside_its_range_names_step_parameter_and_range(value: object) -> None:
    steps = [{"method": "quantize_dynamic", "parameters": [{"name": "min_elements", "value": value}]}]
    with pytest.raises(RecipeError, match=r"Step 1: The parameter 'min_elements' of quantize_dynamic") as refused:
        Recipe.parse(draft(steps=steps))
    assert "from 1 to" in refused.value.hint


def test_an_unknown_parameter_names_the_step_and_what_the_method_takes() -> None:
    steps = [
        {"method": "quantize_weights"},
        {"method": "quantize_dynamic", "parameters": [{"name": "bits", "value": 4}]},
    ]
    with pytest.raises(RecipeError, match=r"Step 2: quantize_dynamic has no parameter 'bits'") as refused:
        Recipe.parse(draft(steps=steps))
    assert refused.value.hint == "It takes: exclude, min_elements."


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("bits", 5, "8, 4"),
        ("bits", "4", "8, 4"),
        ("block_size", True, "32, 64, 128"),
        ("granularity", "tensor", "channel, block"),
        ("symmetric", 1, "true or false"),
        ("rounding", "awq", "nearest, mse, gptq"),
    ],
)
def test_a_value_that_is_no_choice_is_refused_with_the_choices(name: str, value: object, allowed: str) -> None:
    with pytest.raises(RecipeError, match=f"'{name}' of quantize_weights") as refused:
        Step("quantize_weights", {name: value})  # type: ignore[dict-item]
    assert allowed in refused.value.hint


def test_a_parameter_that_would_do_nothing_is_refused_with_what_it_needs() -> None:
    with pytest.raises(RecipeError, match="'block_size' of quantize_weights does nothing") as refused:
        Step("quantize_weights", {"block_size": 64})
    assert "granularity to 'block'" in refused.value.hint
    assert Step("quantize_weights", {"block_size": 64, "granularity": "block"}).parameters["block_size"] == 64


def test_what_was_sealed_keeps_its_digest_when_parameters_are_added() -> None:
    shipped = {name: entry.recipe.digest() for name, entry in shipped_recipes().items()}
    assert shipped["smaller-same-speed"] == "sha256:5a96cd3697f6cd761a3c425db7a28a612a06d8bf937361f01e9ce12583d29363"
    assert shipped["faster-int8"] == "sha256:7c96e21fb5641ed53d6516f086c132e1e383b2517e69a4806ba56cb3ad6fad98"
    spelt_out: dict[str, Any] = {
        "bits": 8,
        "granularity": "channel",
        "symmetric": True,
        "rounding": "nearest",
        "block_size": 32,
    }
    plain, spelt = (Recipe("a", (Step("quantize_weights", given),)) for given in ({}, spelt_out))
    assert plain.digest() == spelt.digest()
    assert [entry["name"] for entry in plain.document()["steps"][0]["parameters"]] == ["min_elements"]
    assert (
        Recipe.parse(Recipe("a", (Step("quantize_weights", {"bits": 4}),)).canonical()).steps[0].parameters["bits"] == 4
    )


def test_a_doubled_parameter_and_a_doubled_key_are_refused() -> None:
    twice = [{"name": "min_elements", "value": 1}, {"name": "min_elements", "value": 2}]
    with pytest.raises(RecipeError, match="twice"):
        Recipe.parse(draft(steps=[{"method": "quantize_weights", "parameters": twice}]))
    with pytest.raises(RecipeError, match="twice"):
        Recipe.parse(b'{"type":"pressmark/recipe/1","type":"pressmark/recipe/1"}')


def test_a_float_in_a_recipe_is_refused() -> None:
    with pytest.raises(RecipeError, match="not an integer"):
        Recipe.parse('{"type":"pressmark/recipe/1","name":"a","seed":1.5,"steps":[]}')


def test_a_step_cannot_be_changed_after_it_was_made() -> None:
    step = Step("quantize_weights")
    with pytest.raises(TypeError):
        step.parameters["min_elements"] = 1  # type: ignore[index]
    assert canonical(step.document())


def test_recipes_and_inspection_import_the_standard_library_only() -> None:
    code = (
        "import sys; import compression_engine, compression_engine.recipe, compression_engine.inspect; "
        "compression_engine.recipe.shipped_recipes(); "
        "print([m for m in ('numpy','onnx','onnxruntime','torch','tokenizers','django') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
