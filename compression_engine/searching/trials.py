"""One recipe tried: the child is made, opened, run over rows, and held against the original's answers to them.

Rules:
- the original answers each set of rows once, for all trials; what it answered lies in files;
- one child is in memory at a time; files of children that may be asked for again are kept while they take no more room than four
  originals, and made again where they are gone: the same recipe gives the same bytes;
- a trial that a rule of the engine refuses is no failure of the search: its reason is noted, and the next recipe is tried;
- answers are given by one thread, so that what is chosen does not depend on how many there are.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.answering import answer
from compression_engine.answers.outputs import VERSION, Outputs
from compression_engine.canonical import JSON, decimal_text
from compression_engine.data import Encoder
from compression_engine.errors import EngineError
from compression_engine.formats import onnx_io
from compression_engine.formats.spool import spooling
from compression_engine.limits import limits, scratch
from compression_engine.measure.sampling import subset
from compression_engine.opening import Signature
from compression_engine.pipeline import make
from compression_engine.plan import Plan
from compression_engine.progress import Progress, silent
from compression_engine.recipe import Recipe, Step
from compression_engine.runtime import Model, batch_at, judged_output
from compression_engine.searching.bounds import Figure, figures
from compression_engine.searching.budget import Budget
from compression_engine.searching.kept import beside, distortion, kept
from compression_engine.searching.rows import CHOICE, together
from compression_engine.steps.calibration import Calibration

THREADS = 1
_KEPT_ORIGINALS = 4
_DIGITS = 9
_NOT_A_REASON = {
    "cancelled",
    "disk_full",
    "out_of_memory",
    "batch_does_not_end",
    "internal",
    "missing_package",
    "budget_invalid",
}


@dataclass(frozen=True)
class Trial:
    """A recipe, what it made, and why it fell; `changed`: for each step the weights that it stored."""

    recipe: Recipe
    size_bytes: int | None
    figures: Sequence[Figure]
    changed: Sequence[Sequence[str]] = ()
    reason: str | None = None
    distortion: float = float("inf")
    """How far the answers to the rows of the choice moved, in their size: finer than what is kept of them."""

    @property
    def digest(self) -> str:
        """The recipe's."""
        return self.recipe.digest()

    @property
    def passes(self) -> bool:
        """Whether the promise is kept on the rows that it was tried on."""
        return self.reason is None and bool(self.figures) and all(figure.holds for figure in self.figures)

    @property
    def worst(self) -> Figure | None:
        """The figure that is nearest to breaking the promise, or breaks it most."""
        return min(self.figures, key=lambda figure: figure.margin) if self.figures else None

    @property
    def margin(self) -> float:
        """By how much the promise is kept where it is kept least."""
        return -2.0 if self.worst is None else self.worst.margin

    def document(self) -> dict[str, JSON]:
        """As a record holds it."""
        fell = self.reason
        if fell is None and not self.passes and self.worst is not None:
            fell = self.worst.plain
        return {
            "distortion": None if np.isinf(self.distortion) else decimal_text(round(self.distortion, _DIGITS)),
            "fell_because": fell,
            "figures": [figure.document() for figure in self.figures],
            "passes": self.passes,
            "recipe": self.recipe.document(),
            "recipe_digest": self.digest,
            "size_bytes": self.size_bytes,
        }


def size_of(path: Path) -> int:
    """Bytes of a child with its external data, which lies in a folder of its own."""
    return sum(entry.stat().st_size for entry in path.parent.iterdir())


@dataclass
class Workshop:
    """The original, its answers, the rows, and a folder; makes children and judges them."""

    loaded: onnx_io.Loaded
    rows: Mapping[str, Encoder]
    plan: Plan
    budget: Budget
    folder: Path
    seed: int
    material: Calibration | None = None
    licence: str | None = None
    measures: Sequence[str] = ()
    progress: Progress = silent
    answers: dict[str, Outputs] = field(default_factory=dict)
    tried: dict[str, Trial] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    signature: Signature = field(default_factory=list)
    _made: int = 0

    def open(self, original: Model) -> None:
        """Has the original answer all rows, and fixes which of its outputs is judged; it need not stay open."""
        encoder = self.rows[CHOICE]
        name = original.output_names[judged_output(original, batch_at(encoder, [0]), self.plan.output)]
        self.plan, self.signature = replace(self.plan, output=name), original.signature
        for use, rows in self.rows.items():
            place = self.folder / f"original-{use}"
            found = answer({VERSION: original}, rows, self.plan, folder=place, progress=self.progress)
            self.answers[use] = replace(found, sequences=together(rows, self.plan, self.progress))

    def recipe(self, name: str, steps: Sequence[Step]) -> Recipe:
        """The recipe of these steps with the search's seed."""
        return Recipe(name, tuple(steps), self.seed)

    def attempt(self, recipe: Recipe) -> Trial:
        """Tries a recipe on the rows of the choice; one that was tried is not tried again."""
        digest = recipe.digest()
        if digest not in self.tried:
            self.tried[digest] = self._attempt(recipe)
        return self.tried[digest]

    def passing(self) -> list[Trial]:
        """The recipes that keep the promise on the rows of the choice, the smallest first."""
        found = [trial for trial in self.tried.values() if trial.passes]
        return sorted(found, key=lambda trial: (trial.size_bytes or 0, trial.distortion, trial.digest))

    def judged(self, trial: Trial, use: str) -> list[Figure]:
        """What a recipe that was tried keeps of other rows."""
        return self._judged(self.file_of(trial.recipe), use)[0]

    def file_of(self, recipe: Recipe) -> Path:
        """The child, made again where it is no longer kept."""
        digest = recipe.digest()
        if digest not in self.files:
            path, _ = self._make(recipe)
            self._keep(digest, path)
        return self.files[digest]

    def distortion(self, recipe: Recipe, indices: NDArray[np.intp], original: Outputs) -> float:
        """How far a recipe moves the answers to some rows of the choice; infinite where it cannot be made."""
        encoder = self.rows[CHOICE].only(indices.astype(np.int64))
        path: Path | None = None
        try:
            path, _ = self._make(recipe)
            with self._answers(path, encoder) as child:
                return distortion(child, original, self.plan)
        except EngineError as error:
            if error.code in _NOT_A_REASON:
                raise
            return float("inf")
        finally:
            self._forget(path)

    def original(self, indices: NDArray[np.intp]) -> Outputs:
        """The original's answers to some rows of the choice."""
        return subset(self.answers[CHOICE], indices)

    def _attempt(self, recipe: Recipe) -> Trial:
        path: Path | None = None
        size_bytes: int | None = None
        changed: list[list[str]] = []
        try:
            path, changed = self._make(recipe)
            size_bytes = size_of(path)
            if size_bytes >= self.loaded.size_bytes:
                self._forget(path)
                return Trial(recipe, size_bytes, (), changed, "the file is not smaller than the original's")
            found, moved = self._judged(path, CHOICE)
        except EngineError as error:
            if error.code in _NOT_A_REASON:
                raise
            self._forget(path)
            return Trial(recipe, size_bytes, (), changed, f"{error.code}: {error.message}")
        trial = Trial(recipe, size_bytes, found, changed, distortion=moved)
        if trial.passes:
            self._keep(recipe.digest(), path)
        else:
            self._forget(path)
        return trial

    def _make(self, recipe: Recipe) -> tuple[Path, list[list[str]]]:
        """Writes the child into a folder of its own."""
        needed = any(step.needs_calibration for step in recipe.steps)
        material = self.material if needed else None
        self._made += 1
        folder = self.folder / f"child-{self._made}"
        folder.mkdir()
        path = folder / self.loaded.path.name
        try:
            with spooling(folder):
                made = make(self.loaded, recipe, silent, material, licence=self.licence)
                onnx_io.write(made.model, path, apart=bool(self.loaded.inspection.external_files))
        except BaseException:
            self._forget(path)
            raise
        return path, [[str(entry["name"]) for entry in step["changed"]] for step in made.steps]

    def _judged(self, path: Path, use: str) -> tuple[list[Figure], float]:
        with self._answers(path, self.rows[use]) as child:
            both = beside(child, self.answers[use])
            found = [kept(measure, both, self.plan) for measure in self.measures]
            moved = distortion(child, self.answers[use], self.plan)
        return figures(found, both.slices, self.budget, self.seed), moved

    @contextmanager
    def _answers(self, path: Path, encoder: Encoder) -> Iterator[Outputs]:
        """What a child answers, in files that go with the block."""
        child = Model(path, THREADS, what="The compressed model")
        if child.signature != self.signature:
            raise EngineError("output_does_not_run", "Inputs or outputs differ from the original's.", "Try another.")
        with scratch("pressmark-answers-") as folder:
            yield answer({VERSION: child}, encoder, self.plan, folder=folder / "answers")

    def _keep(self, digest: str, path: Path) -> None:
        self.files[digest] = path
        room = _KEPT_ORIGINALS * self.loaded.size_bytes
        while len(self.files) > 1 and sum(map(size_of, self.files.values())) > room:
            oldest = next(iter(self.files))
            self._forget(self.files.pop(oldest))

    def _forget(self, path: Path | None) -> None:
        if path is None:
            return
        shutil.rmtree(path.parent, ignore_errors=True)
        limits().forget_folder(path.parent)
