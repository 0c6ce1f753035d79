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


def add_budget(parser: argparse.ArgumentParser) -> None:
    """What every step of a recipe must keep."""
    parser.add_argument("--at-least", metavar="SHARE", help="of the answers, to be kept after every step, such as 0.99")
    parser.add_argument(
        "--loses-at-most", metavar="SHARE", help="of quality by labels, after every step: 0.01 is one point"
    )


def add_measuring(parser: argparse.ArgumentParser) -> None:
    """How models are timed, which rows were seen before, and what a call may take."""
    parser.add_argument("--threads", type=integer_from(1, 256), default=1, help="of the runtime while measuring (1)")
    parser.add_argument("--rounds", type=integer_from(3, 10_000), default=60, help="rounds of latency (60)")
    parser.add_argument(
        "--seen", type=Path, nargs="+", action="extend", default=[], metavar="FILE", help="rows of training"
    )
    parser.add_argument("--allow-seen", action="store_true", help="judge on such rows all the same, and say so")
    parser.add_argument("--quick", action="store_true", help="few rounds; what is written says how many")
    add_disk_limit(parser)
    parser.add_argument(
        "--seconds-per-batch", type=integer_from(1, 604_800), metavar="S", help="the longest batch (1800)"
    )


def add_disk_limit(parser: argparse.ArgumentParser) -> None:
    """How much a call may write."""
    parser.add_argument(
        "--disk-limit", type=integer_from(1, 2**60), metavar="BYTES", help="the most that may be written"
    )


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
