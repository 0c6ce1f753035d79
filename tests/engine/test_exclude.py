"""Weights that a recipe leaves as they are: what is spared, what is refused, and that two steps make a mixed recipe."""

from __future__ import annotations

import hashlib
from typing import Any

import jsonschema
import numpy as np
import pytest
from onnx import numpy_helper

from compression_engine.errors import RecipeError
from compression_engine.recipe import Recipe, Step, recipe_schema
from tests.engine import nets

METHODS = ("quantize_weights", "quantize_dynamic", "convert_fp16")


@pytest.mark.parametrize("method", METHODS)
def test_a_weight_that_is_left_out_stays_as_it_is_and_the_report_says_so(method: str) -> None:
    net = nets.mlp()
    changed, report = nets.applied(net, method, exclude=("second",))
    before, after = (
        {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer} for model in (net, changed)
    )
    assert np.array_equal(before["second"], after["second"])
    assert "first" not in after
    assert [entry["name"] for entry in report.changed] == ["first"]
    assert {"name": "second", "reason": "the recipe leaves it out"} in report.left


@pytest.mark.parametrize("method", METHODS)
def test_a_name_that_no_weight_has_is_refused_by_that_name(method: str) -> None:
    with pytest.raises(RecipeError, match="no weight 'secnod', which") as refused:
        nets.applied(nets.mlp(), method, exclude=("second", "secnod"))
    assert refused.value.code == "recipe_does_not_fit"


def test_weights_in_constants_and_branches_can_be_left_out() -> None:
    _, report = nets.applied(nets.with_constant_and_branch(), "quantize_weights")
    names = [str(entry["name"]) for entry in report.changed]
    assert len(names) > 1
    _, spared = nets.applied(nets.with_constant_and_branch(), "quantize_weights", exclude=tuple(sorted(names[1:])))
    assert [entry["name"] for entry in spared.changed] == names[:1]


def test_the_weights_left_by_one_step_are_stored_by_the_next() -> None:
    half_way, _ = nets.applied(nets.mlp(), "quantize_weights", bits=4, exclude=("second",))
    done, report = nets.applied(half_way, "quantize_weights")
    assert [entry["name"] for entry in report.changed] == ["second"]
    kinds = {tensor.name: tensor.data_type for tensor in done.graph.initializer}
    assert "second" not in kinds
    rows = {"x": np.random.default_rng(1).normal(size=(4, 64)).astype(np.float32)}
    whole, mixed = nets.answer(nets.mlp(), rows)[0], nets.answer(done, rows)[0]
    assert 0 < np.abs(whole - mixed).max() < 0.2 * np.abs(whole).max()


def test_nothing_left_out_is_the_recipe_and_the_bytes_from_before() -> None:
    plain, empty = Step("quantize_weights"), Step("quantize_weights", {"exclude": ()})
    assert plain.document() == empty.document()
    assert [entry["name"] for entry in plain.document()["parameters"]] == ["min_elements"]
    one, other = (nets.applied(nets.mlp(), "quantize_weights", **given)[0] for given in ({}, {"exclude": ()}))
    assert hashlib.sha256(one.SerializeToString()).digest() == hashlib.sha256(other.SerializeToString()).digest()


def test_a_document_holds_the_names_as_a_sorted_list_and_the_order_of_a_draft_does_not_count() -> None:
    recipes = [Recipe("a", (Step("quantize_weights", {"exclude": names}),)) for names in (("b", "a"), ("a", "b"))]
    assert recipes[0].digest() == recipes[1].digest()
    document = recipes[0].document()
    assert {"name": "exclude", "value": ["a", "b"]} in document["steps"][0]["parameters"]
    jsonschema.validate(document, recipe_schema())
    read = Recipe.parse(recipes[0].canonical())
    assert read == recipes[0]
    assert hash(read.steps[0]) == hash(recipes[0].steps[0])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("second", "list of names"),
        (7, "list of names"),
        ({"second": 1}, "list of names"),
        ([1], "entry 1"),
        ([""], "entry ''"),
        (["a\0b"], "entry 'a"),
        (["\ud800"], "entry "),
        (["a", "b", "a"], "'a' twice"),
        (["x" * 1001], "1,000 characters"),
        ([str(number) for number in range(10_001)], "10,001 names"),
    ],
)
def test_what_is_no_list_of_names_is_refused_with_what_is_wrong(value: Any, said: str) -> None:
    with pytest.raises(RecipeError) as refused:
        Recipe.parse(
            {
                "name": "a",
                "type": "pressmark/recipe/1",
                "steps": [{"method": "quantize_weights", "parameters": [{"name": "exclude", "value": value}]}],
            }
        )
    assert refused.value.code == "recipe_invalid"
    assert said in f"{refused.value.message} {refused.value.hint}"
