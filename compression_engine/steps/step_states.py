"""Keeps the model after each finished step in a folder, so that the next attempt of a run that was killed does not do them again.

    RUN.json                    what everything in the folder belongs to
    step-1/model.onnx           the model after the first step; model.onnx.data beside it where its tensors lie apart
    step-1/STEP.json            what the step told of itself, and the digests of the files; written last
    training/                   resume points of the step that trains (see `training.resume`); gone once it is finished

Rules:
- a folder belongs to parent, recipe, rows, plan, teacher and student: another run's is refused (resume_differs), and stays;
- steps that another engine, other libraries or another processor finished are told and done anew: their sums may differ, and a
  child must be one that somebody can make again;
- a step counts once its STEP.json is there as it was written (it tells its own digest), names files of these digests, and so do all
  steps before it; else it is done anew;
- no link in the folder is followed (work_differs).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, cast

import onnx

from compression_engine.canonical import JSON, CanonicalError, canonical, digest_of, digest_of_stream, parse_canonical
from compression_engine.environment import environment
from compression_engine.errors import EngineError, FileRefused
from compression_engine.formats import onnx_io
from compression_engine.limits import limits
from compression_engine.methods.report import Parts, Stored
from compression_engine.progress import Progress
from compression_engine.steps.self_told import bytes_of, document_of
from compression_engine.steps.work_files import opened, read, refuse_link

_RUN, _STEP, _MODEL = "RUN.json", "STEP.json", "model.onnx"
_RUN_TYPE, _STEP_TYPE = "pressmark/run_state/1", "pressmark/step_state/2"
_TRAINING = "training"


@dataclass(frozen=True)
class State:
    """A model after a step, before anything is written into it that says so, and what the step told of itself."""

    model: onnx.ModelProto
    record: dict[str, JSON]
    marks: list[Stored]


@dataclass(frozen=True)
class Begun:
    """The folder of another run whose recipe begins with the same steps, drawing from the same seed, and how many these are."""

    folder: Path
    steps: int


class StepStates:
    """The finished steps of one run in a folder."""

    def __init__(self, folder: Path, belongs_to: Mapping[str, JSON], device: str, begun: Begun | None = None) -> None:
        """Takes a new folder, an empty one, or that of an earlier attempt; steps that `begun` has finished are not done again.

        Raises EngineError (resume_differs, work_differs, not_found).
        """
        self._folder = folder
        refuse_link(folder)
        run = canonical({"belongs_to": dict(belongs_to), "surroundings": _surroundings(device), "type": _RUN_TYPE})
        before = self._before()
        if before is not None and before["belongs_to"] != dict(belongs_to):
            hint = "Give another folder, or delete what is in this one if nobody goes on from it."
            names = sorted(name for name, value in belongs_to.items() if before["belongs_to"].get(name) != value)
            raise EngineError("resume_differs", f"{folder} is of another run: not the same {', '.join(names)}.", hint)
        self._anew = before is not None and before["surroundings"] != _surroundings(device)
        self._usable = not self._anew
        if before is None or self._anew:
            self._drop_from(1)
            _write(folder / _RUN, run)
        if begun is not None and self._serves(begun, belongs_to, device):
            self._take_over(begun)

    @property
    def folder(self) -> Path:
        """Where everything is kept."""
        return self._folder

    @property
    def training(self) -> Path:
        """Where steps that train keep their resume points."""
        return self._folder / _TRAINING

    def read(self, number: int, progress: Progress) -> State | None:
        """The model after a step that an earlier attempt finished; None where it is to be done."""
        if self._anew:
            progress("resume", 0, 1, "finished steps are of other libraries or another processor: all are done anew")
            self._anew = False
        folder = self._folder / f"step-{number}"
        if not self._usable or not (folder / _STEP).exists():
            self._usable = False
            return None
        try:
            found = _state(folder)
        except (CanonicalError, KeyError, TypeError, ValueError, OSError, FileRefused) as error:
            progress("resume", 0, 1, f"step {number} is damaged ({type(error).__name__}): it is done anew")
            self._usable = False
            return None
        progress("resume", 1, 1, f"step {number} was finished by an earlier attempt")
        self._drop_points(number)  # it may have been killed before it did
        return found

    def keep(self, number: int, state: State) -> None:
        """Keeps a finished step; what stood there of it and of later ones goes. Raises EngineError (disk_full)."""
        self._drop_from(number)
        folder = self._folder / f"step-{number}"
        folder.mkdir()
        files = onnx_io.write(state.model, folder / _MODEL)
        document = {
            "files": [{"digest": file.digest, "name": file.name} for file in files],
            "marks": [asdict(mark) for mark in state.marks],
            "record": state.record,
            "type": _STEP_TYPE,
        }
        for file in files:
            with (folder / file.name).open("rb") as written:
                os.fsync(written.fileno())
        _write(folder / _STEP, bytes_of(document))
        self._drop_points(number)

    def _serves(self, begun: Begun, belongs_to: Mapping[str, JSON], device: str) -> bool:
        """Whether another run made of the same steps what this one would: of the same parent and rows, in like surroundings.

        What one of the two has and the other has not, such as calibration rows, none of the steps in common looks at.
        """
        try:
            other = parse_canonical(read(begun.folder / _RUN))
            theirs = dict(other["belongs_to"]) | {"recipe": None}
            if other["type"] != _RUN_TYPE or other["surroundings"] != _surroundings(device):
                return False
        except (OSError, CanonicalError, KeyError, TypeError, ValueError):
            return False
        return all(theirs.get(name) in (None, value) or value is None for name, value in belongs_to.items())

    def _take_over(self, begun: Begun) -> None:
        """Copies finished steps that are not there; each is looked at once more before it counts."""
        for number in range(1, begun.steps + 1):
            ours, theirs = (folder / f"step-{number}" for folder in (self._folder, begun.folder))
            refuse_link(theirs)
            if not (theirs / _STEP).exists():
                return
            if not ours.exists():
                for path in theirs.iterdir():
                    limits().count(ours / path.name, path.lstat().st_size)
                shutil.copytree(theirs, ours, symlinks=True)

    def _drop_points(self, number: int) -> None:
        """Nobody goes on inside of a step that is finished."""
        refuse_link(self.training)
        for path in self.training.glob(f"step-{number}-*"):
            path.unlink(missing_ok=True)
            limits().forget(path)

    def _before(self) -> dict[str, JSON] | None:
        """What an earlier attempt wrote of its run; None in a folder that is new."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            held = sorted(path.name for path in self._folder.iterdir() if not path.name.endswith(".partial"))
        except OSError as error:
            message = f"{self._folder} cannot be a folder to go on from: {error.strerror}."
            raise EngineError("not_found", message, "Name a folder that can be written.") from error
        if not held:
            return None
        hint = "Give a new folder, or the one that an earlier attempt of this run was given."
        try:
            found = parse_canonical(read(self._folder / _RUN))
            if found["type"] == _RUN_TYPE and isinstance(found["belongs_to"], dict):
                return dict(found)
        except (OSError, CanonicalError, KeyError, TypeError) as error:
            raise EngineError("resume_differs", f"{self._folder} holds something else ({held[0]}).", hint) from error
        raise EngineError("resume_differs", f"{self._folder} holds something else ({held[0]}).", hint)

    def _drop_from(self, number: int) -> None:
        for folder in self._folder.glob("step-*"):
            refuse_link(folder)
            text = folder.name.removeprefix("step-")
            if text.isascii() and text.isdigit() and int(text) >= number:
                shutil.rmtree(folder)
                limits().forget_folder(folder)


def _state(folder: Path) -> State:
    """A finished step, every file of the digest that was written down."""
    refuse_link(folder)
    document = document_of(read(folder / _STEP), _STEP_TYPE)
    for entry in document["files"]:
        name = str(entry["name"])
        if name not in (_MODEL, f"{_MODEL}.data"):
            raise ValueError(name)
        with opened(folder / name, "rb") as file:
            if digest_of_stream(cast(BinaryIO, file)) != entry["digest"]:
                raise ValueError(f"{name} was changed")
    marks = [Stored(**(mark | {"parts": Parts(**mark["parts"])})) for mark in document["marks"]]
    return State(onnx_io.load(folder / _MODEL).model, dict(document["record"]), marks)


def _surroundings(device: str) -> str:
    """Libraries, processor and device, on which sums of floats depend."""
    return digest_of(canonical({"device": device, "environment": environment(1, device=device)}))


def _write(path: Path, data: bytes) -> None:
    """The file appears with all its bytes or not at all, also where the power goes."""
    partial = path.with_name(f".{path.name}.partial")
    with opened(partial, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
