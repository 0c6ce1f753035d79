"""What already stands where a result was to be written: the finished result of an earlier attempt, half of one, or something else.

Rules:
- nothing is overwritten or believed: the parent and the recipe have to be those of this call, and the weights to have the digest
  that their result names; only then it is called finished;
- where nobody can say what it is, the refusal stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from compression_engine.canonical import JSON, digest_of_stream
from compression_engine.errors import EngineError
from compression_engine.placing import is_file, result_path
from compression_engine.recipe import Recipe
from compression_engine.result import read_result


@contextmanager
def saying_what_stands(target: Path, parent_digest: str, recipe: Recipe) -> Iterator[None]:
    """Where an output exists already (output_exists), the error says what it is."""
    try:
        yield
    except EngineError as error:
        if error.code != "output_exists":
            raise
        said = _said(target, parent_digest, recipe)
        if said is None:
            raise
        raise EngineError(error.code, f"{error.message} {said[0]}", said[1]) from error


def _said(target: Path, parent_digest: str, recipe: Recipe) -> tuple[str, str] | None:
    """What stands there, and what to do; None where that is no result."""
    path = result_path(target)
    try:
        document = read_result(path)
        weights = target if is_file(target) else path.parent / Path(str(document["outputs"][0]["path"])).name
        asked, parent = _asked(document), str(document["parent"]["digest"])
        promised = str(document["outputs"][0]["digest"])
    except (EngineError, KeyError, IndexError, TypeError):
        return None
    if (asked, parent) != (recipe.digest(), parent_digest):
        other = "another recipe" if asked != recipe.digest() else "another parent"
        return f"It is the result of {other}.", "Give a new name."
    if not weights.is_file():
        hint = f"Delete {path.name}, and ask again."
        return "An attempt of the same recipe was stopped after its result was written and before its model was.", hint
    with weights.open("rb") as file:
        found = digest_of_stream(file)
    if found != promised:
        return f"It was the result of this recipe, and {weights.name} was changed since.", "Give a new name."
    hint = "Nothing is to be done again: look at it there, or give a new name to make it once more."
    return "It is the finished result of this recipe and this parent: an earlier attempt wrote it.", hint


def _asked(document: Mapping[str, JSON]) -> str:
    """The digest of the recipe as it was asked for."""
    budget = document.get("budget")
    return str(budget["asked_digest"] if isinstance(budget, dict) else document["recipe_digest"])
