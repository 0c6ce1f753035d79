"""What the engine said when it compressed a model outside of this registry, told along with the version: `--result RESULT.json`.

Rules:
- the result is about these bytes: its output is the file that is registered, its parent the version that `--base` names;
- its recipe is published in the team (or found there), and its operations stand on the edge: declared, until a replay shows it;
- rows that its steps looked at are named with `--data`, so that they stand in the lineage too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from compression_engine.errors import RecipeError
from compression_engine.recipe import Recipe
from registry.cli.remote import split_version
from registry.client import Client, digest_of
from registry.compression.rules import needs_calibration, operations
from registry.compression.shards import digest_of_shards, index_beside
from registry.errors import Invalid

_RESULT_BYTES_MAX = 64 * 1024 * 1024


class MadeElsewhere:
    """A RESULT.json of a compression, checked against the files and the parent before anything is uploaded."""

    def __init__(self, path: Path) -> None:
        self._path = path
        document = _read(path)
        try:
            if document["command"] != "compress":
                raise KeyError("a compression")
            self.recipe = Recipe.parse(document["recipe"])
            self.parent_digest = str(document["parent"]["digest"])
            self.output_digest = str(document["outputs"][0]["digest"])
            self.plan = document.get("plan")
            self.licence = document.get("licence")
            self.calibration = [str(row["digest"]) for row in document["data"] if row["role"] == "calibration"]
        except (KeyError, IndexError, TypeError) as error:
            raise Invalid(
                f"{path} does not say {error}.",
                hint="Give the RESULT.json that `python -m compression_engine compress` wrote.",
            ) from None
        except RecipeError as error:
            raise Invalid(f"{path}: {error.message}", hint=error.hint) from None

    def check(self, client: Client, files: list[Path], bases: list[str], data: list[str]) -> str:
        """The licence that is stated of the parent; Invalid where the result speaks of other bytes than those that are named."""
        if self.output_digest not in {digest_of(path) for path in files}:
            raise Invalid(
                f"{self._path} is about other bytes: none of the files is {self.output_digest}.",
                hint="Give the folder that the compression wrote, unchanged.",
            )
        if len(bases) != 1:
            raise Invalid("--result needs the one version that it was made from.", hint="Name it: --base TEAM/MODEL@N.")
        team, model, number = split_version(bases[0])
        parent = client.get(f"teams/{team}/models/{model}/versions/{number}")
        if self.parent_digest not in _digests(parent["files"]):
            raise Invalid(
                f"{self._path} is about another parent: no file of {bases[0]} is {self.parent_digest}.",
                hint="Register the parent that the engine was given, and name it with --base.",
            )
        if self.calibration and needs_calibration(self.recipe) and not data:
            raise Invalid(
                f"A step looked at rows ({self.calibration[0]}).",
                hint="Register them as a dataset version, and name it with --data: what shaped it stands in its lineage.",
            )
        return str(parent["licence"])

    def command(self, version: str, recipe: str, data: list[str]) -> str:
        """How to have it made again: with the rows that its steps looked at, and how they are read."""
        words = f"pressmark replay-version {version} --recipe {recipe}"
        if not needs_calibration(self.recipe):
            return words
        rows = data[0] if len(data) == 1 else "TEAM/DATASET@N"
        return f"{words} --calibration {rows}" + (" --plan PLAN.json" if self.plan is not None else "")

    def doubt(self, stated: str) -> str | None:
        """What a reader should know before it is replayed; None where nothing is amiss."""
        if self.licence in (None, stated):
            return None
        return (
            f"The file says that its parent is under {self.licence}; stated here is {stated}. "
            "A replay writes what is stated here, so that it will not be the same to the byte."
        )

    def publish(self, client: Client, team: str) -> str:
        """The recipe as it is published in the team; the one that is there when it has the same digest."""
        for row in client.get(f"teams/{team}/recipes")["items"]:
            if row["digest"] == self.recipe.digest():
                return str(row["recipe"])
        body = {"slug": self.recipe.name, "document": self.recipe.document()}
        return str(client.post(f"teams/{team}/recipes", body)["recipe"])

    def edge(self, base: str) -> dict[str, Any]:
        """The declared edge to the parent."""
        return {"role": "base", "parent": base, "operations": operations(self.recipe)}


def _digests(files: list[dict[str, Any]]) -> set[str]:
    """Of every file, and of the shards of safetensors with their index, where these lie there."""
    weights = [file["path"] for file in files if file["role"] == "weights"]
    index = index_beside(weights, [file["path"] for file in files if file["role"] != "weights"])
    shards = {file["path"]: file["digest"] for file in files if file["path"] in {*weights, index}}
    return {file["digest"] for file in files} | (set() if index is None else {digest_of_shards(shards)})


def _read(path: Path) -> dict[str, Any]:
    if path.exists() and (not path.is_file() or path.stat().st_size > _RESULT_BYTES_MAX):
        raise Invalid(
            f"{path} is no RESULT.json: no plain file, or a huge one.", hint="Give the file of a compression."
        )
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}.", hint="Check the path.") from None
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{path} is no JSON: {error}.", hint="Give the RESULT.json of a compression.") from None
    if not isinstance(document, dict):
        raise Invalid(f"{path} holds no JSON object.", hint="Give the RESULT.json of a compression.")
    return document
