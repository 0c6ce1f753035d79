"""`python -m compression_engine methods` and `recipes`: what recipes are made of, and those that ship."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from compression_engine.canonical import JSON
from compression_engine.methods import METHODS, MethodSpec, Parameter
from compression_engine.recipe import shipped_recipes

if TYPE_CHECKING:
    from compression_engine.speaker import Speaker


def methods(options: argparse.Namespace, speaker: Speaker) -> tuple[dict[str, JSON], str]:
    """Every method with its parameters: for the result line, and in words."""
    found: list[JSON] = []
    for spec in METHODS.values():
        entry = asdict(spec)
        del entry["module"]
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
            "recipe": entry.recipe.document(),
        }
        for name, entry in shipped.items()
    ]
    return {"recipes": found}, "\n".join(f"{name}: {entry.description}" for name, entry in shipped.items())


def _told(spec: MethodSpec) -> Iterator[str]:
    """A method and its parameters, a line each."""
    yield f"{spec.name}: {spec.summary}"
    for one in spec.parameters:
        only = "" if one.only_with is None else f"; only with {one.only_with[0]} {one.only_with[1]}"
        default = "[]" if one.kind == "names" else json.dumps(one.default)
        yield f"  {one.name} = {default} ({_allowed(one)}{only}): {one.summary}"


def _allowed(parameter: Parameter) -> str:
    if parameter.minimum is not None:
        return f"{parameter.minimum} to {parameter.maximum}"
    if parameter.kind == "names":
        return "names of weights"
    return ", ".join(map(str, parameter.choices)) or "true, false"
