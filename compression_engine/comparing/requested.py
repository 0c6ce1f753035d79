"""What a comparison is asked for: recipes under names of their own, and what each of them is handed.

Rules:
- a recipe stands in it once, by its digest (recipe_twice); of two with one name the later is called NAME-2;
- each recipe is handed only what its steps ask for, so that one that trains can stand beside one that does not; what none of them
  asks for is refused (option_unused).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from compression_engine.errors import EngineError
from compression_engine.evaluation import Settings
from compression_engine.plan import Plan
from compression_engine.recipe import Recipe, Step
from compression_engine.steps.budget_kept import StepBudget
from compression_engine.steps.training_files import TrainingFiles

RECIPES_MOST = 32
COMPARISON_NAME = "comparison.json"
"""The table, beside the folders of the children: a recipe may be called so, its folder may not."""


@dataclass(frozen=True)
class Requested:
    """A parent, rows, recipes, and how the children are to be made and measured."""

    parent: Path
    recipes: Sequence[Recipe]
    evaluation: Path
    calibration: Path | None = None
    training: TrainingFiles = field(default_factory=TrainingFiles)
    plan: Plan | None = None
    budget: StepBudget = field(default_factory=StepBudget)
    settings: Settings = field(default_factory=Settings)
    licence: str | None = None
    seen: Sequence[Path] = ()
    allow_seen: bool = False

    def check(self) -> None:
        """Raises EngineError (recipe_missing, recipe_twice, option_unused)."""
        if not 1 <= len(self.recipes) <= RECIPES_MOST:
            message = f"{len(self.recipes)} recipes are to be compared."
            raise EngineError("recipe_missing", message, f"Give 1 to {RECIPES_MOST} recipes.")
        known: dict[str, Recipe] = {}
        for recipe in self.recipes:
            if recipe.digest() in known:
                message = f"The recipe {recipe.name} stands here twice (as {known[recipe.digest()].name})."
                raise EngineError("recipe_twice", message, "Give each recipe once; their children would be the same.")
            known[recipe.digest()] = recipe
        for name, value, asks, what in (
            ("--calibration", self.calibration, _looks, "looks at calibration rows"),
            ("--training", self.training.rows, _trains, "trains"),
            ("--device", self.training.device, _trains, "trains"),
            ("--teacher", self.training.teacher, _taught, "asks a teacher"),
            ("--student", self.training.student, _begins, "begins as a student that is handed in"),
        ):
            if value is not None and not any(asks(step) for recipe in self.recipes for step in recipe.steps):
                message = f"{name} is given, and no step of any of these recipes {what}."
                raise EngineError("option_unused", message, f"Leave {name} out, or add a recipe with such a step.")

    def names(self) -> list[str]:
        """What each recipe is called here, in their order: also the folder of its child."""
        found: list[str] = []
        for recipe in self.recipes:
            name, number = recipe.name, 1
            while name in (*found, COMPARISON_NAME):
                number += 1
                name = f"{recipe.name}-{number}"
            found.append(name)
        return found

    def calibration_for(self, recipe: Recipe) -> Path | None:
        """The rows that its steps look at; None where none does."""
        return self.calibration if _any(recipe, _looks) else None

    def training_for(self, recipe: Recipe) -> TrainingFiles:
        """What its steps that train are handed, without a folder to go on from."""
        return replace(
            self.training,
            rows=self.training.rows if _any(recipe, _trains) else None,
            device=self.training.device if _any(recipe, _trains) else None,
            teacher=self.training.teacher if _any(recipe, _taught) else None,
            student=self.training.student if _any(recipe, _begins) else None,
            resume=None,
        )


def begins_alike(one: Recipe, other: Recipe) -> int:
    """How many steps two recipes have in common before they part; 0 where they draw from different seeds."""
    if one.seed != other.seed:
        return 0
    pairs = zip(one.steps, other.steps, strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), min(len(one.steps), len(other.steps)))


def _any(recipe: Recipe, asks: Callable[[Step], bool]) -> bool:
    return any(asks(step) for step in recipe.steps)


def _looks(step: Step) -> bool:
    return step.needs_calibration


def _trains(step: Step) -> bool:
    return step.needs_training


def _taught(step: Step) -> bool:
    return step.takes_teacher


def _begins(step: Step) -> bool:
    return step.takes_student
