"""Which method may follow which: every pair stands here, and what is refused says why and what would be right."""

from __future__ import annotations

import itertools
import json

import pytest

from compression_engine.canonical import canonical
from compression_engine.errors import RecipeError
from compression_engine.methods import METHODS
from compression_engine.recipe import Recipe, Step, shipped_recipes
from compression_engine.recipe_order import KINDS

ROUNDED = ("quantize_weights", "quantize_dynamic", "quantize_static", "quantize_aware_training")
ON_FLOATS = ("prune_structured", "low_rank", "prune_unstructured", "fine_tune", "distill", "quantize_aware_training")
SEALED = {
    *itertools.product(ROUNDED, ON_FLOATS),
    *itertools.product(["calibrate_temperature"], ON_FLOATS),
    ("prune_unstructured", "prune_structured"),
    ("prune_unstructured", "low_rank"),
    ("quantize_weights", "quantize_weights"),
    ("quantize_weights", "quantize_dynamic"),
    ("quantize_dynamic", "quantize_dynamic"),
}
"""The pairs that are refused with every parameter at its default; all others may stand."""


def refused(*steps: Step) -> RecipeError:
    with pytest.raises(RecipeError) as error:
        Recipe("r", steps)
    assert error.value.code == "recipe_order"
    return error.value


def test_every_method_has_its_place() -> None:
    assert set(METHODS) <= set(KINDS)


@pytest.mark.parametrize("pair", sorted(itertools.product(METHODS, repeat=2)))
def test_a_pair_of_methods_is_refused_exactly_where_the_table_says(pair: tuple[str, str]) -> None:
    steps = tuple(Step(method) for method in pair)
    if pair in SEALED:
        message = refused(*steps).message
        assert message.startswith(f"Step 2: {pair[1]} stands behind step 1, {pair[0]}, ")
    else:
        assert Recipe("r", steps).steps == steps


def test_the_hint_of_a_refusal_is_an_order_that_stands() -> None:
    error = refused(Step("quantize_weights"), Step("fine_tune"), Step("prune_unstructured"))
    order = error.hint.removeprefix("A right order: ").removesuffix(".").split(", ")
    assert order == ["prune_unstructured", "fine_tune", "quantize_weights"]
    Recipe("r", tuple(Step(method) for method in order))


def test_steps_between_do_not_make_an_order_right() -> None:
    error = refused(Step("quantize_dynamic"), Step("convert_fp16"), Step("prune_unstructured"))
    assert error.message.startswith("Step 3: prune_unstructured stands behind step 1, quantize_dynamic, whose integers")


@pytest.mark.parametrize(
    "first",
    [
        Step("quantize_weights", {"exclude": ("head",)}),
        Step("quantize_weights", {"min_elements": 100_000}),
        Step("quantize_weights", {"bits": 4, "granularity": "block"}),
    ],
)
def test_what_a_step_left_alone_may_be_rounded_by_another(first: Step) -> None:
    assert len(Recipe("r", (first, Step("quantize_weights"), Step("quantize_static"))).steps) == 3


def test_the_same_weights_are_not_rounded_twice() -> None:
    error = refused(Step("quantize_weights", {"min_elements": 500}), Step("quantize_static", {"min_elements": 600}))
    assert "exclude" in error.hint


def test_a_student_of_fewer_channels_comes_before_zeros_are_made() -> None:
    narrower, zeros = Step("distill", {"width_per_mille": 500}), Step("prune_unstructured")
    error = refused(zeros, narrower)
    assert "whose zeros go with the channels" in error.message
    assert error.hint == "A right order: distill, prune_unstructured."
    assert len(Recipe("r", (narrower, zeros)).steps) == len(Recipe("r", (zeros, Step("distill"))).steps) == 2


def test_a_student_that_is_handed_in_comes_first() -> None:
    declared = Step("distill", {"student": "declared"})
    assert "thrown away" in refused(Step("fine_tune"), declared).message
    assert Recipe("r", (declared, Step("fine_tune"))).steps[0] == declared


def test_a_document_in_a_wrong_order_is_refused_when_it_is_read() -> None:
    document = {
        "type": "pressmark/recipe/1", "name": "wrong",
        "steps": [{"method": "quantize_weights"}, {"method": "prune_unstructured"}],
    }  # fmt: skip
    for source in (document, json.dumps(document), canonical(document)):
        with pytest.raises(RecipeError) as error:
            Recipe.parse(source)
        assert error.value.code == "recipe_order"


def test_every_recipe_that_ships_is_in_order() -> None:
    assert shipped_recipes()
