"""`pressmark recipes [NAME]`: the recipes that ship, which wish each serves, what its steps do, and what it asks for.

Needs no server and no engine libraries: recipes and the table of methods are data.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap

from compression_engine.recipe import ShippedRecipe, Step, shipped_recipes
from registry.compression.rules import parameter_text
from registry.errors import NotFound

_COLUMNS = 100
_HINT = (
    "`pressmark compress TEAM/MODEL@N --recipe NAME ...` requests a run with one; `pressmark recipes NAME` says more."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="one of them, with every parameter of its steps")
    parser.add_argument(
        "--json", action="store_true", help="the documents: a `recipe` member is what a recipe file holds"
    )


def run(options: argparse.Namespace) -> int:
    """Tells all recipes that ship, or one; exit status 0."""
    found = shipped_recipes()
    if options.name is not None and options.name not in found:
        raise NotFound(f"No recipe {options.name!r} ships.", hint=f"There are: {', '.join(found)}.")
    chosen = found if options.name is None else {options.name: found[options.name]}
    if options.json:
        print(json.dumps([_document(entry) for entry in chosen.values()], indent=2, ensure_ascii=False))
        return 0
    for name, entry in chosen.items():
        print("\n".join([name, *_told(entry, whole=options.name is not None), ""]))
    if options.name is None:
        print(_HINT, file=sys.stderr)
    return 0


def _document(entry: ShippedRecipe) -> dict[str, object]:
    return {
        "description": entry.description,
        "digest": entry.recipe.digest(),
        "needs_calibration": _needs_calibration(entry),
        "needs_training": _needs_training(entry),
        "recipe": entry.recipe.document(),
    }


def _told(entry: ShippedRecipe, *, whole: bool) -> list[str]:
    """The lines under a recipe's name."""
    steps = ", then ".join(step.method for step in entry.recipe.steps)
    needed = ["calibration rows: inputs like those to come, no labels"] if _needs_calibration(entry) else []
    needed += ["training rows, apart from those to judge on"] if _needs_training(entry) else []
    data = "; ".join(needed) or "nothing but the model"
    lines = [*_wrapped(entry.description, "  "), *_wrapped(f"Steps: {steps}. Needs: {data}.", "  ")]
    if whole:
        for step in entry.recipe.steps:
            lines += ["", f"  {step.method}", *_wrapped(step.spec.summary, "    "), *_parameters(step)]
        lines += ["", f"  Digest: {entry.recipe.digest()}"]
    return lines


def _parameters(step: Step) -> list[str]:
    lines = []
    for parameter in step.spec.parameters:
        value = step.parameters[parameter.name]
        said = parameter_text(list(value) if isinstance(value, tuple) else value)
        lines += _wrapped(f"{parameter.name} = {said}: {parameter.summary}", "      ", first="    ")
    return lines


def _needs_calibration(entry: ShippedRecipe) -> bool:
    return any(step.needs_calibration for step in entry.recipe.steps)


def _needs_training(entry: ShippedRecipe) -> bool:
    return any(step.needs_training for step in entry.recipe.steps)


def _wrapped(text: str, indent: str, *, first: str | None = None) -> list[str]:
    before = indent if first is None else first
    return textwrap.wrap(text, _COLUMNS, initial_indent=before, subsequent_indent=indent)
