"""Asking for several children of one parent at once, to be compared: one run for each recipe, all of them or none.

Rules:
- each run is one like another: its own row, lease, attempts and events; one that fails stops none of the others;
- all are requested in one unit: the ledger holds their requests side by side, under one unit, and that they belong together is
  proved by this; `comparison` of the row is how they are found again;
- each recipe is handed only what its steps ask for; what none of them asks for is refused, and so is a recipe that stands twice;
- what could not succeed for one of them is refused for all, and the refusal names the recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from compression_engine.recipe import Recipe as RecipeDocument
from compression_engine.recipe import Step
from registry.access.queries import get_readable
from registry.compression import queries
from registry.compression.models import Recipe, Run
from registry.compression.rules import needs_calibration, parsed_recipe
from registry.compression.services import RunAsked, checked_run, queue
from registry.errors import Invalid
from registry.events import Caller, unit
from registry.ids import uuid7

RECIPES_MOST = 16


def request_comparison(*, actor: Caller, recipes: Sequence[Recipe], asked: RunAsked) -> list[Run]:
    """Ask for a child by each recipe; the runs in the order of the recipes, all with the same `comparison`."""
    _check_recipes(recipes)
    documents = [_document(actor, recipe) for recipe in recipes]
    _refuse_unused(documents, asked)
    checked = [_checked(actor, recipe, document, asked) for recipe, document in zip(recipes, documents, strict=True)]
    together = uuid7()
    with unit(actor, role=checked[0][0]):
        for _, run in checked:
            run.comparison = together
        return [queue(actor, role, run) for role, run in checked]


def _check_recipes(recipes: Sequence[Recipe]) -> None:
    if not 2 <= len(recipes) <= RECIPES_MOST:
        raise Invalid(
            f"{len(recipes)} recipes are to be compared.",
            hint=f"Give 2 to {RECIPES_MOST} recipes; one alone is a run.",
            code="recipes",
        )
    known: dict[str, Recipe] = {}
    for recipe in recipes:
        if recipe.digest in known:
            raise Invalid(
                f"The recipes {known[recipe.digest]} and {recipe} are the same document.",
                hint="Give each once; their children would be the same.",
                code="recipe-twice",
            )
        known[recipe.digest] = recipe


def _document(actor: Caller, recipe: Recipe) -> RecipeDocument:
    get_readable(Recipe.objects.all(), actor, pk=recipe.pk)
    return parsed_recipe(queries.recipe_bytes(recipe))


def _refuse_unused(documents: Sequence[RecipeDocument], asked: RunAsked) -> None:
    steps = [step for document in documents for step in document.steps]
    given: tuple[tuple[str, object, Callable[[Step], bool], str], ...] = (
        ("calibration", asked.calibration, lambda step: step.needs_calibration, "looks at calibration data"),
        ("training", asked.training.training, lambda step: step.needs_training, "trains"),
        ("teacher", asked.training.teacher, lambda step: step.takes_teacher, "asks a teacher"),
        ("student", asked.training.student, lambda step: step.takes_student, "begins as another model"),
    )
    for name, value, asks, what in given:
        if value is not None and not any(asks(step) for step in steps):
            raise Invalid(
                f"{name!r} is given, and no step of any of these recipes {what}.",
                hint=f"Leave {name!r} out, or add a recipe with such a step.",
                code="option-unused",
            )


def _checked(actor: Caller, recipe: Recipe, document: RecipeDocument, asked: RunAsked) -> tuple[str, Run]:
    """A run by one of the recipes, handed what its steps ask for; a refusal names the recipe."""
    training = asked.training
    handed = replace(
        training,
        training=training.training if any(step.needs_training for step in document.steps) else None,
        teacher=training.teacher if any(step.takes_teacher for step in document.steps) else None,
        student=training.student if any(step.takes_student for step in document.steps) else None,
    )
    calibration = asked.calibration if needs_calibration(document) else None
    try:
        return checked_run(actor, recipe, replace(asked, calibration=calibration, training=handed))
    except Invalid as refused:
        detail = f"{recipe.slug}@{recipe.number}: {refused.detail}"
        raise Invalid(detail, hint=refused.hint, code=refused.code, **refused.members) from None
