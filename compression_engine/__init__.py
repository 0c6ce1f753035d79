"""The compression engine's public names, loaded when they are used: a web process that only checks a recipe or looks at
a file's structure imports the standard library and nothing else."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compression_engine.errors import EngineError as EngineError
    from compression_engine.evaluation import evaluate as evaluate
    from compression_engine.inspect import Inspection as Inspection
    from compression_engine.inspect import inspect_file as inspect_file
    from compression_engine.pipeline import compress as compress
    from compression_engine.plan import Plan as Plan
    from compression_engine.recipe import Recipe as Recipe
    from compression_engine.recipe import Step as Step
    from compression_engine.result import Measurement as Measurement
    from compression_engine.result import Result as Result
    from compression_engine.search import search_recipe as search_recipe
    from compression_engine.searching.budget import Budget as Budget

_HOMES = {
    "Budget": "searching.budget",
    "EngineError": "errors",
    "Inspection": "inspect",
    "METHODS": "methods",
    "Measurement": "result",
    "Plan": "plan",
    "Recipe": "recipe",
    "Result": "result",
    "Step": "recipe",
    "compress": "pipeline",
    "evaluate": "evaluation",
    "inspect_file": "inspect",
    "search_recipe": "search",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'compression_engine' has no attribute {name!r}")
    return getattr(import_module(f"compression_engine.{home}"), name)
