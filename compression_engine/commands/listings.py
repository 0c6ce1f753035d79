"""`python -m compression_engine methods` and `recipes`: what recipes are made of, and those that ship."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from compression_engine.canonical import JSON
from compression_engine.methods import METHODS, MethodSpec, Parameter
from compression_engine.methods.spec import Above, OneOf, Wanted
from compression_engine.recipe import Step, shipped_recipes

if TYPE_CHECKING:
    from compression_engine.commands.speaker import Speaker


def methods(options: argparse.Namespace, speaker: Speaker) -> tuple[dict[str, JSON], str]:
    """Every method with its parameters: for the result line, and in words."""
    found: list[JSON] = []
    for spec in METHODS.values():
        entry = asdict(spec)
        del entry["module"]
        names = {parameter.name for parameter in spec.parameters}
        entry["taught_by"] = [pair for pair in entry["taught_by"] if pair[0] in names]
        found.append(entry)
    return {"methods": found}, "\n".join(line for spec in METHODS.values() for line in _told(spec))


def recipes(options: argparse.Namespace, speaker: Speaker) -> tuple[dict[str, JSON], str]:
    """Every recipe that ships: for the result line, and in words."""
    shipped = shipped_recipes()
    found: list[JSON] = [
        {
            "name": name,
            "description": entry.description,
            "digest": entry.recipe.digest(),
            "needs": _needs(entry.recipe.steps),
            "recipe": entry.recipe.document(),
        }
        for name, entry in shipped.items()
    ]
    lines = [f"{name}: {entry.description}{_told_needs(entry.recipe.steps)}" for name, entry in shipped.items()]
    return {"recipes": found}, "\n".join(lines)


def _needs(steps: Sequence[Step]) -> list[JSON]:
    """The options with which a recipe of these steps is handed what it cannot do without."""
    asked = {
        "--calibration": any(step.needs_calibration for step in steps),
        "--training": any(step.needs_training for step in steps),
        "--student": any(step.takes_student for step in steps),
    }
    return [name for name, wanted in asked.items() if wanted]


def _told_needs(steps: Sequence[Step]) -> str:
    found = _needs(steps)
    return f" Needs {' and '.join(map(str, found))}." if found else ""


def _told(spec: MethodSpec) -> Iterator[str]:
    """A method and its parameters, a line each."""
    yield f"{spec.name}: {spec.summary}{_rows_told(spec)}"
    for one in spec.parameters:
        only = "" if one.only_with is None else f"; only with {one.only_with[0]} {_worded(one.only_with[1])}"
        default = "[]" if one.kind == "names" else json.dumps(one.default)
        yield f"  {one.name} = {default} ({_allowed(one)}{only}): {one.summary}"


def _rows_told(spec: MethodSpec) -> str:
    """Which rows a method looks at, and with which parameters, where not always."""
    found = []
    for option, always, by in (
        ("--calibration", spec.needs_calibration, spec.calibrated_by),
        ("--training", spec.needs_training, spec.trained_by),
        ("--student", False, spec.student_by),
    ):
        if always:
            found.append(option)
        elif by:
            found.append(f"{option} where {' or '.join(f'{name} is {_worded(value)}' for name, value in by)}")
    return f" Needs {', '.join(found)}." if found else ""


def _worded(value: Wanted) -> str:
    if isinstance(value, OneOf):
        return " or ".join(value.values)
    return f"above {value.limit}" if isinstance(value, Above) else str(value)


def _allowed(parameter: Parameter) -> str:
    if parameter.minimum is not None:
        return f"{parameter.minimum} to {parameter.maximum}"
    if parameter.kind == "names":
        return "names of weights"
    return ", ".join(map(str, parameter.choices)) or "true, false"
