"""What models leave of their parent's answers, all of them held against the same answers to the same rows.

Rules:
- the parent answers once, however many models are held against it;
- what is kept of the answers is what a search promises by (`searching.kept`); where the rows have labels, also the quality lost;
  overall and in every slice of the plan that has 30 rows, each with its interval;
- a model takes and gives what the parent does, runs on every row and answers with numbers, or it is refused;
- answers are given by one thread, so that what is decided by them does not depend on how many there are.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compression_engine.answers.answering import answer, usable
from compression_engine.answers.outputs import PARENT, VERSION, Outputs
from compression_engine.checking.structure_check import check_room
from compression_engine.data import Encoder, Rows
from compression_engine.errors import EngineError
from compression_engine.limits import limits
from compression_engine.measure import scores
from compression_engine.opening import ModelFile, Opened, check_signatures, model_files, open_models
from compression_engine.plan import Plan
from compression_engine.progress import Progress
from compression_engine.runtime import Model, batch_at, judged_output
from compression_engine.searching.bounds import Figure, figures
from compression_engine.searching.budget import QUALITY
from compression_engine.searching.kept import OF_LABELS, beside, kept, measures_for, usable_rows
from compression_engine.searching.rows import together
from compression_engine.steps.budget_kept import StepBudget

THREADS = 1
_RIGHT_OR_WRONG = ("classification", "embedding", "language-model", "sequence")


def open_parent(parent: Path, rows: Rows, plan: Plan | None) -> Opened:
    """The parent, opened as what is judged, with the rows in the form that it takes. Raises EngineError, DataError."""
    if plan is not None:
        plan.check()
    files = model_files({VERSION: parent})
    check_room(files[VERSION])
    return open_models(files, rows, plan, THREADS)


@dataclass(frozen=True)
class Right:
    """How many rows are answered rightly, by the labels: a share of the rows that count, of the model and of its parent."""

    metric: str
    share: float
    parent_share: float


@dataclass(frozen=True)
class Held:
    """What a model left of the answers; `right` is None where nothing says what is right. The model is still open."""

    model: Model
    figures: Sequence[Figure]
    right: Right | None


class Yardstick:
    """The parent's answers to the rows. What it keeps of them lies in `folder`."""

    def __init__(
        self, opened: Opened, given: Plan | None, budget: StepBudget, *, seed: int, folder: Path, progress: Progress
    ) -> None:
        """`opened` holds the parent as its version. Raises DataError, EngineError (budget_invalid)."""
        plan = given or Plan()
        self.original: Model = opened.models[VERSION]
        self.file: ModelFile = opened.files[VERSION]
        self.encoder: Encoder = usable(opened.models, opened.encoder, plan)
        name = self.original.output_names[judged_output(self.original, batch_at(self.encoder, [0]), plan.output)]
        self.plan = replace(plan, output=name)
        self._budget, self._seed, self._folder, self._progress = budget, seed, folder, progress
        before = answer({VERSION: self.original}, self.encoder, self.plan, folder=folder / "parent", progress=progress)
        self._answers = replace(before, sequences=together(self.encoder, self.plan, progress))
        self.measures = self._measured()

    def held(self, path: Path) -> Held:
        """Opens a model and has it answer; of its answers nothing stays.

        Raises OutputRefused (output_does_not_run, output_not_finite), EngineError.
        """
        folder = self._folder / "held"
        child = Model(path, THREADS, what="The compressed model")
        check_signatures({VERSION: child, PARENT: self.original})
        try:
            answers = answer({VERSION: child}, self.encoder, self.plan, folder=folder, progress=self._progress)
            both = beside(answers, self._answers)
            found = [kept(measure, both, self.plan) for measure in self.measures]
            return Held(child, figures(found, both.slices, self._budget, self._seed), self._right(both))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            limits().forget_folder(folder)

    def _right(self, both: Outputs) -> Right | None:
        if QUALITY not in self.measures:
            return None
        counted = usable_rows(self._answers, self.plan)
        ours, theirs = (scores.per_sample(both, role, self.plan) for role in (VERSION, PARENT))
        name = next(name for name in OF_LABELS if name in ours)
        return Right(name, float(ours[name][counted].mean()), float(theirs[name][counted].mean()))

    def _measured(self) -> list[str]:
        """By what a model is judged; with labels also how much more often the parent is right."""
        names = [*measures_for(self._answers, self.plan)]
        labelled = self._answers.labels is not None or self.plan.task == "language-model"
        if self._budget.loses_at_most is not None and not (labelled and self.plan.task in _RIGHT_OR_WRONG):
            hint = "Give a plan with task and label (--plan), and rows that have it; or ask for --at-least alone."
            raise EngineError(
                "budget_invalid", "--loses-at-most is by labels, and the rows have none to be right by.", hint
            )
        return [*names, QUALITY] if labelled and self.plan.task in _RIGHT_OR_WRONG else names
