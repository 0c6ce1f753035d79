"""What steps that train are handed in beside the recipe: rows, a teacher, a student, a device, a folder to go on from.

Rules, all held before anything is read or made:
- a recipe that trains and is given no rows is refused (data_missing), and so is one that wants a student and is given none;
- what is given and no step of the recipe asks for is refused (option_unused): nothing is ignored in silence;
- a device that is not there is refused (device_missing).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from compression_engine.canonical import JSON, digest_of
from compression_engine.carrying.entered import named
from compression_engine.errors import DataError, EngineError
from compression_engine.formats import onnx_io
from compression_engine.formats.onnx_light import open_light
from compression_engine.opening import TOKENIZER_NAME, ModelFile, model_file
from compression_engine.plan import Plan
from compression_engine.recipe import Recipe, Step
from compression_engine.steps.step_states import Begun
from compression_engine.training.device import CPU, check_device
from compression_engine.training.left_out import LeftOut, left_out
from compression_engine.training.material import Training
from compression_engine.training.resume import ResumePoint

TEACHER, STUDENT = "teacher", "student-start"
"""Roles of edges in the lineage."""


@dataclass(frozen=True)
class TrainingFiles:
    """Files, as somebody named them; all None where nothing trains. `device` is cpu where nothing is said."""

    rows: Path | None = None
    teacher: Path | None = None
    student: Path | None = None
    device: str | None = None
    resume: Path | None = None
    begun: Begun | None = None
    """Steps that another run in a folder has finished; counts only beside `resume`."""

    def named(self) -> dict[str, object]:
        """What is given, by the names of the options."""
        return {
            "--training": self.rows,
            "--teacher": self.teacher,
            "--student": self.student,
            "--device": self.device,
            "--resume": self.resume,
        }

    def check(self, recipe: Recipe) -> None:
        """Raises DataError (data_missing), EngineError (option_unused, device_missing)."""
        for name, value, asks, what in (
            ("--training", self.rows, _trains, "trains"),
            ("--device", self.device, _trains, "trains"),
            ("--teacher", self.teacher, _taught, "asks a teacher"),
            ("--student", self.student, _from_student, "begins as a student that is handed in"),
        ):
            if value is not None and not any(asks(step) for step in recipe.steps):
                message = f"{name} is given, and no step of the recipe {what}."
                raise EngineError("option_unused", message, f"Leave {name} out, or use a recipe with such a step.")
        for number, step in enumerate(recipe.steps, start=1):
            if step.needs_training and self.rows is None:
                hint = (
                    "Give training rows (in a shell --training FILE): inputs of the model, "
                    "with what is right where labels are learned."
                )
                message = f"Step {number}: {step.method} needs training rows, there are none."
                raise DataError("data_missing", message, hint)
            if step.takes_student and self.student is None:
                hint = "Give the model that it begins as (in a shell --student MODEL.onnx), or have one derived."
                raise DataError("data_missing", f"Step {number}: {step.method} needs a student, there is none.", hint)
        self.check_device()

    def check_device(self) -> None:
        """Raises EngineError (device_missing)."""
        if self.device is not None:
            check_device(self.device)


@dataclass(frozen=True)
class TrainingMaterial:
    """The rows as they were read, and the models that were handed in, inspected. Each step gets its own `Training` of it."""

    rows: Training
    files: TrainingFiles
    teacher: ModelFile | None
    student: ModelFile | None
    left_out: LeftOut

    @classmethod
    def read(cls, recipe: Recipe, files: TrainingFiles, plan: Plan | None, parent: Path) -> TrainingMaterial | None:
        """None where no step trains. Raises DataError, EngineError, FileRefused (see `TrainingFiles.check`, `Training.of`)."""
        files.check(recipe)
        if files.rows is None:
            return None
        weights = onnx_io.weights_file(parent)
        rows = Training.of(files.rows, plan, weights.parent / TOKENIZER_NAME, seed=recipe.seed, parent=weights)
        teacher, student = (
            None if path is None else named(model_file(path)) for path in (files.teacher, files.student)
        )
        return cls(rows, files, teacher, student, left_out(rows, open_light(weights), recipe.steps))

    @property
    def device(self) -> str:
        """Where torch calculates."""
        return self.files.device or CPU

    def record(self) -> dict[str, JSON]:
        """How a result names the training rows: how many were learned from, which were left out, and why."""
        return self.left_out.record(self.rows.rows)

    def for_step(self, number: int, recipe: Recipe, loaded: onnx_io.Loaded, points: Path | None) -> Training:
        """What one step is given; `points` is the folder of its resume points."""
        resume = None if points is None else self._resume(number, recipe, loaded, points)
        return replace(
            self.rows,
            step=number,
            teacher=None if self.teacher is None else self.teacher.path,
            student=None if self.student is None else self.student.path,
            device=self.device,
            resume=resume,
        )

    def digests(self, done: Recipe) -> dict[str, str | None]:
        """What a child of these steps says of what it was trained with; nothing of what none of them looked at."""
        trained, taught, begun = (any(asks(step) for step in done.steps) for asks in (_trains, _taught, _from_student))
        return {
            "training_digest": self.rows.rows.digest if trained else None,
            "teacher_digest": self.teacher.given_digest if taught and self.teacher is not None else None,
            "student_digest": self.student.given_digest if begun and self.student is not None else None,
        }

    def origins(self, done: Recipe, parent: dict[str, JSON]) -> list[dict[str, JSON]]:
        """The models beside the parent that a child of these steps came from, by their roles in the lineage.

        Where a step learned from a teacher and none was named, the parent is the teacher.
        """
        found: list[dict[str, JSON]] = []
        if any(_taught(step) for step in done.steps):
            found.append((parent if self.teacher is None else self.teacher.record()) | {"role": TEACHER})
        if self.student is not None and any(_from_student(step) for step in done.steps):
            found.append(self.student.record() | {"role": STUDENT})
        return found

    def _resume(self, number: int, recipe: Recipe, loaded: onnx_io.Loaded, folder: Path) -> ResumePoint:
        tokenizer = self.rows.tokenizer
        return ResumePoint.of(
            folder,
            parent=digest_of(" ".join([loaded.digest, *(file.digest for file in loaded.external)]).encode()),
            recipe=recipe.digest(),
            step=number,
            rows=self.rows.rows.digest,
            plan=self.rows.plan.digest(),
            tokenizer=digest_of(tokenizer.read_bytes()) if tokenizer is not None and tokenizer.is_file() else None,
            teacher=None if self.teacher is None else digest_of(self.teacher.content.encode()),
            student=None if self.student is None else digest_of(self.student.content.encode()),
            device=self.device,
        )


def _trains(step: Step) -> bool:
    return step.needs_training


def _taught(step: Step) -> bool:
    return step.takes_teacher


def _from_student(step: Step) -> bool:
    return step.takes_student
