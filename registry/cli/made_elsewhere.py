"""What the engine said when it compressed a model outside of this registry, told along with the version: `--result RESULT.json`.

Rules:
- the result is about these bytes: its output is the file that is registered, its parent the version that `--base` names;
- its recipe is published in the team (or found there), and its operations stand on the edge: declared, until a replay shows it;
- a step that changed nothing is no operation of the child;
- figures, curves and the machine of a result are the word of whoever hands it in: none of them is taken over;
- rows that its steps looked at are named with `--data`, so that they stand in the lineage too;
- a parent of torch was carried to ONNX first: `converted` is the first operation, and the architecture is the one that the parent
  declares;
- a teacher, and a model that it began as, are named with `--teacher` and `--student` and are the files that the result speaks of:
  their terms bind what learned from them;
- what began as a student has no base, as what a run makes: the version that `--base` names is its teacher, or not in its lineage
  where another one taught.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compression_engine.errors import RecipeError
from compression_engine.recipe import Recipe
from registry.cli.remote import split_version
from registry.client import Client, digest_of
from registry.compression.rules import needs_calibration, operations
from registry.compression.shards import digest_of_shards, index_beside
from registry.errors import Invalid

TEACHER, STUDENT = "teacher", "student-start"
LEARNED = {TEACHER: "--teacher", STUDENT: "--student"}
"""Roles of models beside the parent, with the option that names each."""
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
            parent = document["parent"]
            self.parent_digest = str(parent["digest"])
            self.declared = [str(parent["architecture"]["digest"])] if "architecture" in parent else []
            self.output_digest = str(document["outputs"][0]["digest"])
            self.plan = document.get("plan")
            self.licence = document.get("licence")
            looked_at = {"calibration": needs_calibration(self.recipe), "training": self.trains}
            self.rows = [str(row["digest"]) for row in document["data"] if looked_at.get(row["role"])]
            origins = document.get("origins") or []
            self._origins = {str(row["role"]): str(row["digest"]) for row in origins if row["role"] in LEARNED}
            begun = next((row for row in origins if row["role"] == STUDENT), parent)
            did = operations(self.recipe, document.get("steps") or ())
            self._operations = ["converted", *did] if "carried" in begun else did
            # the parent is named already, also where it taught
            self.learned = {
                role: digest
                for role, digest in self._origins.items()
                if role == STUDENT or digest != self.parent_digest
            }
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise Invalid(
                f"{path} does not say {error}.",
                hint="Give the RESULT.json that `python -m compression_engine compress` wrote.",
            ) from None
        except RecipeError as error:
            raise Invalid(f"{path}: {error.message}", hint=error.hint) from None

    @property
    def trains(self) -> bool:
        """Whether some step of it learned from rows."""
        return any(step.needs_training for step in self.recipe.steps)

    def check(
        self, client: Client, files: list[Path], bases: list[str], data: list[str], learned: Mapping[str, str]
    ) -> str:
        """The licence that is stated of the parent; Invalid where the result speaks of other bytes than those that are named.

        `learned`: versions by the roles of `LEARNED`.
        """
        if self.output_digest not in {digest_of(path) for path in files}:
            raise Invalid(
                f"{self._path} is about other bytes: none of the files is {self.output_digest}.",
                hint="Give the folder that the compression wrote, unchanged.",
            )
        if len(bases) != 1:
            raise Invalid("--result needs the one version that it was made from.", hint="Name it: --base TEAM/MODEL@N.")
        team, model, number = split_version(bases[0])
        parent = client.get(f"teams/{team}/models/{model}/versions/{number}")
        missing = next(
            (one for one in (self.parent_digest, *self.declared) if one not in _digests(parent["files"])), None
        )
        if missing is not None:
            raise Invalid(
                f"{self._path} is about another parent: no file of {bases[0]} is {missing}.",
                hint="Register the parent that the engine was given, and name it with --base.",
            )
        if self.rows and not data:
            raise Invalid(
                f"A step looked at rows ({self.rows[0]}).",
                hint="Register them as a dataset version, and name it with --data: what shaped it stands in its lineage.",
            )
        for role, option in LEARNED.items():
            self._check_learned(client, role, option, learned.get(role))
        return str(parent["licence"])

    def _check_learned(self, client: Client, role: str, option: str, named: str | None) -> None:
        """The version that is named in a role is the model of which the result says so, and none is named or left out besides."""
        digest = self.learned.get(role)
        if named is None and digest is not None:
            raise Invalid(
                f"It was made with another model ({role}, {digest}).",
                hint=f"Register that model, and name it with {option}: its terms bind what was made with it.",
            )
        if named is None:
            return
        team, model, number = split_version(named)
        files = client.get(f"teams/{team}/models/{model}/versions/{number}")["files"]
        if digest not in _digests(files):
            said = "none but its parent" if digest is None else digest
            raise Invalid(
                f"{option} {named} is not what {self._path} speaks of: {said}.",
                hint=f"Name the version with the file that the engine was given, or leave {option} out if there was none.",
            )

    def command(self, version: str, recipe: str, data: list[str]) -> str:
        """How to have it made again: with the rows that its steps looked at, and how they are read."""
        if self.trains:
            return "python -m compression_engine replay"  # a registry makes again what its own runs trained
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

    def edges(self, base: str, learned: Mapping[str, str]) -> list[dict[str, Any]]:
        """The declared edges to whose weights it began as, and to the teacher: as a run's child has them (decision 28)."""
        begun = learned.get(STUDENT)
        found = [
            {"role": "base" if begun is None else STUDENT, "parent": begun or base, "operations": self._operations}
        ]
        taught = self._origins.get(TEACHER)
        if taught not in (None, self._origins.get(STUDENT, self.parent_digest)):
            found.append({"role": TEACHER, "parent": learned.get(TEACHER, base), "operations": ["distilled"]})
        return found


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
