"""Makes a child by each recipe of a comparison, in a folder of its own, as `compress` makes it alone.

    WORK/<digest of the recipe>/steps/        finished steps and resume points (see `steps.step_states`)
    WORK/<digest of the recipe>/child/        the finished child with its RESULT.json
    WORK/<digest of the recipe>/CHILD.json    what it belongs to and the digests of its files; written last

Rules:
- a recipe that is refused or fails stops none of the others: its error is kept. Only what would stop every one of them ends the
  work: a stop that was asked for, a full disk, a work folder of somebody else;
- a recipe that begins as an earlier one does, with the same seed, goes on from the steps that they have in common;
- a child that an earlier attempt finished is not made and not measured again where it was made of the same things in the same
  surroundings, and its files are as they were written.
"""

from __future__ import annotations

import shutil
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from compression_engine.canonical import JSON, CanonicalError, digest_of, digest_of_stream
from compression_engine.carrying.door import WEIGHTS, torch_file
from compression_engine.comparing.requested import Requested, begins_alike
from compression_engine.environment import environment
from compression_engine.errors import EngineError
from compression_engine.evaluation import Beside
from compression_engine.opening import TOKENIZER_NAME, model_file
from compression_engine.pipeline import compress
from compression_engine.progress import Progress
from compression_engine.recipe import Recipe
from compression_engine.result import RESULT_NAME, read_result
from compression_engine.steps.self_told import bytes_of, document_of
from compression_engine.steps.step_states import Begun
from compression_engine.steps.work_files import opened, read, refuse_link

_CHILD, _CHILD_TYPE = "CHILD.json", "pressmark/compared_child/1"
_ENDS_ALL = ("batch_does_not_end", "cancelled", "disk_full", "missing_package", "resume_differs", "work_differs")
_NAME_CHARACTERS = 32


@dataclass(frozen=True)
class Child:
    """What came of a recipe: a folder with a model and its result, or the error that says why there is none."""

    name: str
    recipe: Recipe
    folder: Path | None = None
    result: Mapping[str, Any] | None = None
    error: EngineError | None = None

    @property
    def weights(self) -> Path:
        """The model's file."""
        assert self.folder is not None
        assert self.result is not None
        return self.folder / str(self.result["outputs"][0]["path"])

    @property
    def size_bytes(self) -> int:
        """Of all files of the model."""
        assert self.result is not None
        return sum(int(entry["size_bytes"]) for entry in self.result["outputs"])


def make_children(asked: Requested, work: Path, *, keeps: bool, progress: Progress) -> list[Child]:
    """A child, or its error, for each recipe in their order. `keeps`: finished steps are wanted after a kill.

    Raises EngineError (cancelled, disk_full, resume_differs, work_differs ...) where no recipe could go on.
    """
    names, found = asked.names(), list[Child]()
    about = _belongs_to(asked)
    for number, (name, recipe) in enumerate(zip(names, asked.recipes, strict=True)):
        progress("recipe", number, len(names), f"{name}: recipe {number + 1} of {len(names)}")
        others = [other for other in asked.recipes if other is not recipe]
        shared = keeps or any(begins_alike(recipe, other) for other in others)
        begun, place = _begun(asked.recipes[:number], recipe, work), _Place(work, recipe, about)
        found.append(_child(asked, name, place, recipe, begun, shared, progress))
        said = found[-1].error
        progress("recipe", number + 1, len(names), f"{name}: {'made' if said is None else said.message}")
    return found


class _Place:
    """Where a recipe's child is made, and what it belongs to."""

    def __init__(self, work: Path, recipe: Recipe, about: Mapping[str, JSON]) -> None:
        self.folder = folder_of(work, recipe)
        self.about = dict(about) | {"recipe": recipe.digest()}
        refuse_link(self.folder)
        self.folder.mkdir(exist_ok=True)

    @property
    def child(self) -> Path:
        return self.folder / "child"

    def finished(self) -> Mapping[str, Any] | None:
        """The result of a child that an earlier attempt finished; None where it is to be made."""
        refuse_link(self.child)
        if not (self.folder / _CHILD).exists():
            return None
        try:
            told = document_of(read(self.folder / _CHILD), _CHILD_TYPE)
            if told["belongs_to"] != self.about:
                return None
            if any(_digest(self.child / str(file["path"])) != file["digest"] for file in told["files"]):
                return None
            return read_result(self.child / RESULT_NAME)
        except (CanonicalError, KeyError, TypeError, ValueError, OSError):
            return None

    def finish(self) -> None:
        files: list[JSON] = [
            {"digest": _digest(path), "path": path.name} for path in sorted(self.child.iterdir()) if path.is_file()
        ]
        document: dict[str, JSON] = {"belongs_to": dict(self.about), "files": files, "type": _CHILD_TYPE}
        with opened(self.folder / _CHILD, "wb") as file:
            file.write(bytes_of(document))


def folder_of(work: Path, recipe: Recipe) -> Path:
    """Where a recipe's work lies."""
    return work / recipe.digest().partition(":")[2][:_NAME_CHARACTERS]


def _child(
    asked: Requested, name: str, place: _Place, recipe: Recipe, begun: Begun | None, keeps: bool, progress: Progress
) -> Child:
    before = place.finished()
    if before is not None:
        progress("resume", 1, 1, f"{name} was made by an earlier attempt")
        return Child(name, recipe, place.child, before)
    _clear(place)
    training = replace(asked.training_for(recipe), begun=begun, resume=place.folder / "steps" if keeps else None)
    try:
        result = compress(
            asked.parent,
            recipe,
            output_folder=place.child,
            evaluation=asked.evaluation,
            calibration=asked.calibration_for(recipe),
            plan=asked.plan,
            beside=Beside(seen=asked.seen, allow_seen=asked.allow_seen),
            settings=asked.settings,
            licence=asked.licence,
            training=training,
            budget=asked.budget,
            progress=progress,
        )
    except EngineError as error:
        if error.code in _ENDS_ALL:
            raise
        return Child(name, recipe, error=error)
    except MemoryError:
        hint = "Give the call more memory, or leave this recipe out."
        return Child(name, recipe, error=EngineError("out_of_memory", "There is not enough memory for it.", hint))
    except (OSError, ImportError):
        raise  # a disk, or a library that is not there: the next recipe would meet it too
    except Exception as caught:
        traceback.print_exc(file=sys.stderr)
        hint = "This is a fault of the engine: report it with the log of this call."
        return Child(name, recipe, error=EngineError("internal", f"{type(caught).__name__}: {caught}", hint))
    place.finish()
    return Child(name, recipe, place.child, result.document())


def _clear(place: _Place) -> None:
    """What an earlier attempt left of a child that does not count."""
    (place.folder / _CHILD).unlink(missing_ok=True)
    shutil.rmtree(place.child, ignore_errors=True)


def _begun(earlier: Sequence[Recipe], recipe: Recipe, work: Path) -> Begun | None:
    """The earlier recipe with which it has the most first steps in common."""
    pairs = [(begins_alike(one, recipe), folder_of(work, one) / "steps") for one in earlier]
    steps, folder = max(pairs, key=lambda pair: pair[0], default=(0, work))
    return Begun(folder, steps) if steps else None


def _belongs_to(asked: Requested) -> dict[str, JSON]:
    """What children are made of and measured by, beside their recipes."""
    training, settings = asked.training, asked.settings
    files = {"calibration": asked.calibration, "evaluation": asked.evaluation, "training": training.rows}
    models = {"parent": asked.parent, "student": training.student, "teacher": training.teacher}
    return {
        **{name: None if path is None else _digest_of_rows(path) for name, path in files.items()},
        **{name: None if path is None else _digest_of_model(path) for name, path in models.items()},
        "allow_seen": asked.allow_seen,
        "budget": [None if share is None else str(share) for share in asked.budget.named().values()],
        "environment": environment(settings.threads, provider=settings.provider, device=training.device),
        "licence": asked.licence,
        "plan": None if asked.plan is None else asked.plan.digest(),
        "seen": [_digest_of_rows(path) for path in asked.seen],
        "settings": [settings.seed, settings.rounds, settings.memory_repeats],
    }


def _digest_of_model(path: Path) -> str:
    """Of a model with its external data and the tokenizer beside it; of one of torch that of its files."""
    other = torch_file(path)
    if other is None:
        file = model_file(path)
        beside, content = file.path.parent / TOKENIZER_NAME, file.content
    else:
        beside, tensors = other.parent / TOKENIZER_NAME, other.with_name(WEIGHTS)
        known = [other, tensors] if tensors.is_file() else [other]
        content = " ".join(_digest_of_rows(one) for one in known)
    parts = [content, *([_digest_of_rows(beside)] if beside.is_file() else [])]
    return digest_of(" ".join(parts).encode())


def _digest_of_rows(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return digest_of_stream(file)
    except OSError as error:
        raise EngineError("not_found", f"There is no file {path}.", "Check the path.") from error


def _digest(path: Path) -> str:
    with opened(path, "rb") as file:
        return digest_of_stream(cast(BinaryIO, file))
