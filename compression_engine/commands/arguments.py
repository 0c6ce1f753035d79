"""What verbs of the shell share: numbers, recipes and files that are named as arguments, and files that appear whole or not at all.

Standard library only: arguments are parsed before any library of the engine is needed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from compression_engine.errors import EngineError
from compression_engine.recipe import Recipe, shipped_recipes


def integer_from(low: int, high: int) -> Callable[[str], int]:
    """A type for argparse: decimal digits alone, from `low` to `high`, both inclusive."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not an integer from {low} to {high}")
        return int(text)

    return parse


def content_of(path: Path) -> bytes:
    """A small file that somebody named; raises EngineError (not_found)."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise EngineError("not_found", f"There is no file {path}.", "Check the path.") from error


def recipe_of(source: str) -> Recipe:
    """A recipe in a file, or one that ships, by its name; raises EngineError (not_found), RecipeError."""
    path = Path(source)
    if not path.is_file():
        shipped = shipped_recipes()
        if source in shipped:
            return shipped[source].recipe
        hint = f"Give a file, or one of: {', '.join(shipped)}."
        raise EngineError("not_found", f"There is no recipe {source}.", hint)
    return Recipe.parse(path.read_bytes())


def write_whole(path: Path, data: bytes) -> None:
    """The file appears with all its bytes by one rename; when anything goes wrong, nothing of it stays. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f".{path.name}.partial-{os.getpid()}"
    try:
        partial.write_bytes(data)
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
