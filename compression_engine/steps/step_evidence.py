"""What every step of a recipe leaves of the parent's answers: its model is written, opened, and asked the same rows as all others.

Rules:
- a step's model is the child of the steps up to it (`making`), so its digest is one that anybody can come to;
- what is kept is told as `yardstick` does: of the answers and of the quality, overall and in every slice, each with its interval;
- metrics have names of their own (`step_...`): nobody takes them for figures of the child;
- a model that does not open or run, or answers with what is no number, is an error that names the step.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compression_engine.data import Rows
from compression_engine.environment import environment
from compression_engine.errors import EngineError, OutputRefused
from compression_engine.evaluation import Beside, evidence_of, refuse_seen
from compression_engine.formats import onnx_io
from compression_engine.limits import limits, scratch
from compression_engine.measure.context import Found
from compression_engine.opening import Opened
from compression_engine.plan import Plan
from compression_engine.progress import Progress
from compression_engine.recipe import Recipe
from compression_engine.recipe_order import is_made_good
from compression_engine.result import Evidence, Measurement
from compression_engine.searching.bounds import Figure
from compression_engine.searching.budget import QUALITY
from compression_engine.steps.budget_kept import Ended, StepBudget
from compression_engine.steps.making import Made, Verdict
from compression_engine.steps.yardstick import THREADS, Yardstick, open_parent

KIND, METHOD = "step", "answers_beside_the_parent"
_WORDS = {
    "cosine_mean": "cosine to the original's answers",
    "top1_agreement": "first choices that are the original's",
    "variance_kept": "variance of the original's answers kept",
    "decoded_agreement": "strings that are the original's",
}


@dataclass(frozen=True)
class StepFound:
    """What a step left."""

    number: int
    recipe: Recipe
    """The steps up to this one."""
    digest: str
    size_bytes: int
    figures: Sequence[Figure]

    @property
    def method(self) -> str:
        """That of the step."""
        return self.recipe.steps[-1].method


@contextmanager
def judging(
    parent: Path,
    rows: Rows | None,
    plan: Plan | None,
    asked: Recipe,
    budget: StepBudget,
    beside: Beside,
    seed: int,
    progress: Progress,
) -> Iterator[StepJudge | None]:
    """Who judges the steps of a recipe; None where there are no rows, or one step and no budget.

    Rows that a step looks at are refused among the rows before anything is trained. Raises DataError (evaluation_seen, ...),
    EngineError (model_does_not_fit, budget_invalid).
    """
    judged = len(asked.steps) > 1 or budget.is_given
    if rows is None or not (judged or any(step.needs_training for step in asked.steps)):
        yield None
        return
    opened = open_parent(parent, rows, plan)
    _, seen = refuse_seen(opened, plan, beside, progress)
    if not judged:
        yield None
        return
    with scratch("pressmark-steps-") as folder:
        yield StepJudge(opened, plan, asked, budget, seed=seed, folder=folder, seen=seen, progress=progress)


class StepJudge:
    """The parent's answers, against which the model after each step is held; `asked` is the recipe as it was asked for."""

    def __init__(
        self,
        opened: Opened,
        given: Plan | None,
        asked: Recipe,
        budget: StepBudget,
        *,
        seed: int,
        folder: Path,
        seen: Mapping[str, str],
        progress: Progress,
    ) -> None:
        """`opened` holds the parent as its version; `seen`: what every document says of rows that were seen.

        Raises DataError, EngineError (budget_invalid).
        """
        self._given, self._yardstick = (
            given,
            Yardstick(opened, given, budget, seed=seed, folder=folder, progress=progress),
        )
        self._asked, self._budget, self._seed = asked, budget, seed
        self._folder, self._seen, self._progress = folder, seen, progress
        self.found: list[StepFound] = []
        """The steps that count."""
        self._pending: list[StepFound] = []
        self._is_changed = False
        """Whether the last model that held is another one than the parent."""
        self.ended: Ended | None = None

    def after(self, number: int, made: Made) -> Verdict:
        """Judges the model after a step. Raises EngineError (budget_broken, ...)."""
        method, total = made.recipe.steps[-1].method, len(self._asked.steps)
        self._progress("step", number - 1, total, f"judging the model after step {number} ({method})")
        try:
            found = self._judged(number, made)
        except EngineError as error:
            if error.code in ("disk_full", "cancelled", "out_of_memory"):
                raise
            message = f"After step {number} ({method}): {error.message}"
            raise OutputRefused(error.code, message, error.hint) from error
        self._progress("step", number, total, f"judged after step {number} ({method})")
        broken, steps = self._budget.broken(found.figures), self._asked.steps
        self._pending.append(found)
        if broken and number < total and is_made_good(steps[number - 1], steps[number]):
            return Verdict.LATER
        if not broken:
            self.found, self._pending = [*self.found, *self._pending], []
            self._is_changed = any(step["changed"] for step in made.steps)
            return Verdict.HOLDS
        undone = [one.method for one in self._pending[:-1]]
        self.ended = Ended(number, method, broken, undone, [step.method for step in steps[number:]])
        if not self._is_changed:  # steps that trained and found nothing better left the parent
            raise self.ended.error()
        return Verdict.BROKEN

    def evidence(self) -> list[Evidence]:
        """A document for each step that counts, in their order."""
        preprocessing = self._yardstick.encoder.preprocessing or "arrays as they are"
        named = {
            str(fact["name"]): str(fact["value"])
            for fact in environment(THREADS, preprocessing, self._yardstick.original.provider)
        }
        if self._given is not None:
            named["plan"] = self._given.digest()
        named |= self._seen
        return evidence_of([self._document(found) for found in self.found], named)

    def _judged(self, number: int, made: Made) -> StepFound:
        folder = self._folder / f"step-{number}"
        folder.mkdir()
        original = self._yardstick.file
        path = folder / original.path.name
        try:
            written = onnx_io.write(made.model, path, apart=bool(original.external))
            found = self._yardstick.held(path).figures
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            limits().forget_folder(folder)
        return StepFound(number, made.recipe, written[0].digest, sum(file.size_bytes for file in written), found)

    def _document(self, found: StepFound) -> Found:
        facts = (
            ("step", str(found.number)),
            ("step_method", found.method),
            ("step_model", found.digest),
            ("step_recipe", found.recipe.digest()),
        )
        measurements = [_measurement(figure, found) for figure in found.figures]
        return Found(KIND, METHOD, [*measurements, *self._sizes(found)], self._seed, facts=facts)

    def _sizes(self, found: StepFound) -> list[Measurement]:
        ratio = self._yardstick.file.size_bytes / found.size_bytes
        where = f"After step {found.number} ({found.method})"
        return [
            Measurement("step_size_bytes", found.size_bytes, "byte", 1, f"{where}: {found.size_bytes:,} bytes."),
            Measurement("step_size_ratio", ratio, "ratio", 1, f"{where}: {ratio:.2f} times smaller than the original."),
        ]


def _measurement(figure: Figure, found: StepFound) -> Measurement:
    """A figure of the evidence; the quality lost in points, of which less is better."""
    slices = () if figure.where is None else (figure.where,)
    where = "" if figure.where is None else f" where {figure.where[0]} is {figure.where[1]}"
    begin = f"After step {found.number} ({found.method})"
    if figure.measure == QUALITY:
        # of nothing lost the sign is none
        value, low, high = (None if end is None else 0.0 - 100 * end for end in (figure.value, figure.high, figure.low))
        said = f"{begin}: {_lost(0.0 - 100 * figure.value)}{where}{_lost_ends(low, high)}, {figure.rows:,} rows."
        return Measurement("step_quality_lost", value, "point", figure.rows, said, low, high, slice=slices)
    unit = "cosine" if figure.measure == "cosine_mean" else "share"
    words = _WORDS.get(figure.measure, figure.measure)
    said = f"{begin}: {words}{where}: {figure.value:.4f}{_ends(figure.low, figure.high)}, {figure.rows:,} rows."
    metric = f"step_{figure.measure}"
    return Measurement(metric, figure.value, unit, figure.rows, said, figure.low, figure.high, slice=slices)


def _lost(points: float) -> str:
    return f"{points:.2f} points of quality lost" if points >= 0 else f"{-points:.2f} points of quality won"


def _lost_ends(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" (95 %: a loss of {low:.2f} to {high:.2f})"


def _ends(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" (95 %: {low:.4f} to {high:.4f})"
