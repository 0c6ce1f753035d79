"""The cheapest recipe that keeps a promise: "at least 0.99 of the answers kept, overall and per slice, then the smallest file".

How: methods on the whole model first; then recipes that spare the weights that suffer most (`searching.mixing`); every recipe is
measured in full on the rows of the choice. What passes there is judged on rows that nothing was chosen on
(`searching.verifying`), by a lower confidence bound. What is found is written as `compress` would write it, with SEARCH.json.

Rules:
- a promise that is not kept on the held-back rows makes no output: PromiseNotKept says why, and what came nearest;
- the same parent, rows, budget and seed give the same bytes, but for timing; the fastest is decided by timing, and says so;
- a promise that so few rows could not show, were every answer kept, is refused before anything is tried (rows_too_few).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compression_engine.canonical import JSON, canonical, digest_of_stream
from compression_engine.carrying.entered import as_given, through_the_door
from compression_engine.errors import DataError, EngineError
from compression_engine.evaluation import Settings
from compression_engine.formats import onnx_io
from compression_engine.limits import scratch
from compression_engine.measure.rounds import QUICK_ROUNDS, ROUNDS
from compression_engine.opening import TOKENIZER_NAME, model_file
from compression_engine.pipeline import compress
from compression_engine.placing import whole_folder
from compression_engine.plan import Plan
from compression_engine.progress import Progress, silent
from compression_engine.recipe import Step
from compression_engine.result import Result
from compression_engine.runtime import Model
from compression_engine.searching.bounds import Figure, figures, rows_needed
from compression_engine.searching.budget import FASTEST, QUALITY, Budget
from compression_engine.searching.candidates import families, whole_model
from compression_engine.searching.kept import beside, kept, measures_for
from compression_engine.searching.mixing import Allowance, Cost, Ladder, costs, mix
from compression_engine.searching.pace import paces
from compression_engine.searching.record import RECIPE_NAME, SEARCH_NAME, Found
from compression_engine.searching.rows import CHOICE, HELD_BACK, Files, parts_of
from compression_engine.searching.trials import THREADS, Trial, Workshop
from compression_engine.searching.verifying import PromiseNotKept as PromiseNotKept
from compression_engine.searching.verifying import refusal, sequence_of, verified
from compression_engine.steps.calibration import Calibration

NAME = "searched"
TRIALS = 60
_TIMED_MOST = 12
_TIMING_ROUNDS = 25


@dataclass(frozen=True)
class Extent:
    """How much is tried, and how long it is measured. With `minutes` the clock may decide how far it gets; the record says so."""

    trials: int = TRIALS
    minutes: float | None = None
    quick: bool = False

    @property
    def rounds(self) -> int:
        """Rounds of each child's latency."""
        return QUICK_ROUNDS if self.quick else _TIMING_ROUNDS


@dataclass(frozen=True)
class Searched:
    """What was found: the result of its compression, and the content of SEARCH.json."""

    result: Result
    record: dict[str, JSON]
    plain: Sequence[str]


@through_the_door
def search_recipe(
    parent: Path,
    budget: Budget,
    files: Files,
    *,
    output_folder: Path,
    plan: Plan | None = None,
    slices: Sequence[str] = (),
    name: str = NAME,
    seed: int = 0,
    licence: str | None = None,
    extent: Extent | None = None,
    progress: Progress = silent,
) -> Searched:
    """Finds the recipe and writes child, RESULT.json, RECIPE.json and SEARCH.json into `output_folder`.

    `parent` is an ONNX file, a folder with model.onnx or a model of torch (`carrying`); `slices` are columns beside those of the
    plan; `name` is the recipe's.
    Raises PromiseNotKept (promise_not_kept), DataError (rows_too_few, evaluation_seen, ...), EngineError; then there is no folder.
    """
    extent, given = extent or Extent(), _with_slices(plan, slices)
    with whole_folder(output_folder) as folder, scratch("pressmark-search-") as work:
        found = _prepared(parent, budget, files, given, seed, licence, work, progress)
        _check_rows(found)
        _try_recipes(found, name, Allowance(extent.trials, None if extent.minutes is None else 60 * extent.minutes))
        wanted = _wanted(found, extent)
        found.chosen, found.looks = verified(found.shop, sequence_of(wanted))
        if found.chosen is None:
            order = found.orders[0][1] if found.orders else ()
            raise refusal(found.shop, found.looks, order, found.document())
        if budget.then != FASTEST:
            found.paces = paces(found.shop, _worth_timing(found), extent.rounds)
        result = _written(parent, found, files, folder, extent, progress)
        record = found.document()
        (folder / SEARCH_NAME).write_bytes(canonical(record))
        return Searched(replace(result, folder=output_folder), record, found.words())


def _prepared(
    parent: Path, budget: Budget, files: Files, plan: Plan | None, seed: int, licence: str | None, work: Path,
    progress: Progress,
) -> Found:  # fmt: skip
    """The original opened, its answers, and the rows by what they are for."""
    progress("read", 0, 1, "reading original and rows")
    loaded = as_given(onnx_io.load(onnx_io.weights_file(parent)))
    file, asked = model_file(parent), plan or Plan()
    model = Model(file.path, THREADS, what="The original")
    beside_it = file.path.parent / TOKENIZER_NAME
    tokenizer = beside_it if beside_it.is_file() else None
    parts = parts_of(files, file, model, tokenizer, asked, seed, progress)
    material = None if files.calibration is None else Calibration.of_inputs(files.calibration, plan, beside_it)
    rows = {CHOICE: parts.choice, HELD_BACK: parts.held_back}
    shop = Workshop(loaded, rows, asked, budget, work, seed, material=material, licence=licence, progress=progress)
    shop.open(model)
    shop.measures = [*(budget.measures or measures_for(shop.answers[CHOICE], shop.plan))]
    if budget.loses_at_most is not None:
        shop.measures = [*shop.measures, QUALITY]
    progress("read", 1, 1, f"{len(parts.choice.rows)} rows to choose on, {len(parts.held_back.rows)} held back")
    return Found(shop, parts, plan, chosen_by_user=bool(budget.measures))


def _check_rows(found: Found) -> None:
    """Whether the rows could show the promise at all, for a child that answers as the original does."""
    shop = found.shop
    for use, outputs in shop.answers.items():
        both = beside(outputs, outputs)
        measured = [kept(measure, both, shop.plan) for measure in shop.measures]
        for figure in figures(measured, both.slices, shop.budget, shop.seed):
            if not figure.holds:
                raise _too_few(figure, use, "rows" if shop.plan.sequence is None else "sequences")


def _too_few(figure: Figure, use: str, of: str) -> DataError:
    where = "held back" if use == HELD_BACK else "for the choice"
    what = f"{of} that differ" if figure.units < figure.rows else of
    needed = (
        ""
        if figure.measure == QUALITY
        else f"; {rows_needed(figure.least, counted=figure.counted):,} would be enough if every answer is kept"
    )
    message = f"{figure.units:,} {what} {where} cannot show that {figure.least:g} is kept ({figure.measure}){needed}."
    hint = "Give more rows, or promise less. Without --held-back half of the evaluation rows are held back."
    return DataError("rows_too_few", message, hint)


def _try_recipes(found: Found, name: str, allowance: Allowance) -> None:
    """Methods on the whole model; then, from gentle to aggressive, what fails is mended by what was found before it."""
    shop, then = found.shop, found.shop.budget.then
    steps = whole_model(then, calibrated=shop.material is not None)
    pairs: list[tuple[Step, Trial]] = []
    for done, step in enumerate(steps):
        if not allowance.left(shop):
            break
        shop.progress("try", done, len(steps), f"{step.method} on the whole model")
        pairs.append((step, shop.attempt(shop.recipe(name, [step]))))
    ladder = Ladder()
    for family in families(then):
        own = [pair for pair in pairs if family.holds(pair[0]) and pair[1].figures]
        found_here = _family(found, name, ladder, own, allowance, mixed=family.is_wanted)
        ladder = found_here if found_here is not None and family.is_rung else ladder
    found.stopped_by = allowance.stopped_by


def _family(
    found: Found, name: str, gentle: Ladder, pairs: Sequence[tuple[Step, Trial]], allowance: Allowance, *, mixed: bool
) -> Ladder | None:
    """Mends what fails of a family and is smaller than what passes; returns the best rung for the next one, if there is any."""
    passing = [pair for pair in pairs if pair[1].passes]
    best = min(passing, key=lambda pair: pair[1].size_bytes or 0, default=None)
    failing = [pair for pair in pairs if not pair[1].passes and (best is None or _smaller(pair[1], best[1]))]
    nearest = max(failing, key=lambda pair: pair[1].margin, default=None)
    looked_at = best if best is not None and (mixed or nearest is not None) else nearest
    if looked_at is None or not allowance.left(found.shop):
        return None if best is None else Ladder(((best[0], frozenset()),))
    order = costs(found.shop, name, looked_at[1], allowance)
    found.orders.append((looked_at[1].digest, order))
    if best is not None and mixed and gentle.rungs:
        _between(found, name, gentle, best[0], order, allowance)
    mended = None if nearest is None else mix(found.shop, name, nearest[0], gentle, order, allowance)
    return mended if best is None else Ladder(((best[0], frozenset()),))


def _between(found: Found, name: str, gentle: Ladder, step: Step, order: Sequence[Cost], allowance: Allowance) -> None:
    """Mixtures of a step that passes with the gentler ones: what is chosen where the held-back rows say no to it alone."""
    for spared in sorted({1, len(order) // 4, len(order) // 2} - {0, len(order)}):
        if allowance.left(found.shop):
            names = frozenset(entry.name for entry in order[:spared])
            found.shop.attempt(found.shop.recipe(name, gentle.above(step, names).steps()))


def _smaller(one: Trial, other: Trial) -> bool:
    return (one.size_bytes or 0) < (other.size_bytes or 0)


def _wanted(found: Found, extent: Extent) -> list[Trial]:
    """What passes on the rows of the choice, in the order in which it is wanted."""
    passing = found.shop.passing()
    if found.shop.budget.then != FASTEST:
        return passing
    found.paces = paces(found.shop, passing[:_TIMED_MOST], extent.rounds)
    timed = [trial for trial in passing if trial.digest in found.paces]
    return sorted(timed, key=lambda trial: found.paces[trial.digest].ratio)


def _worth_timing(found: Found) -> list[Trial]:
    """The points of the front that keep the promise, and what was chosen."""
    assert found.chosen is not None
    front = [trial for trial in found.front() if trial.passes and trial.digest != found.chosen.digest]
    return [found.chosen, *front[: _TIMED_MOST - 1]]


def _written(parent: Path, found: Found, files: Files, folder: Path, extent: Extent, progress: Progress) -> Result:
    """The chosen child as `compress` makes it, measured on the held-back rows where these are a file of their own."""
    assert found.chosen is not None
    recipe, shop = found.chosen.recipe, found.shop
    rounds = QUICK_ROUNDS if extent.quick else ROUNDS
    settings = Settings(shop.seed, THREADS, rounds, 1) if extent.quick else Settings(shop.seed, THREADS, rounds)
    made = folder / "made"
    needed = any(step.needs_calibration for step in recipe.steps)
    result = compress(
        parent,
        recipe,
        evaluation=files.held_back or files.evaluation,
        calibration=files.calibration if needed else None,
        output_folder=made,
        plan=found.plan,
        settings=settings,
        licence=shop.licence,
        progress=progress,
    )
    tried = shop.file_of(recipe).parent
    if any(_digest(made / str(entry["path"])) != _digest(tried / str(entry["path"])) for entry in result.outputs):
        hint = "This is a fault of the engine: report it with the log of this run."
        raise EngineError("internal", "The recipe gave other bytes when it was carried out again.", hint)
    for entry in sorted(made.iterdir()):
        entry.rename(folder / entry.name)
    made.rmdir()
    (folder / RECIPE_NAME).write_bytes(recipe.canonical())
    return result


def _with_slices(plan: Plan | None, slices: Sequence[str]) -> Plan | None:
    if not slices:
        return plan
    known = plan or Plan()
    asked = replace(known, slices=tuple(dict.fromkeys([*known.slices, *slices])))
    asked.check()
    return asked


def _digest(path: Path) -> str:
    """Of one of the files of a child."""
    with path.open("rb") as file:
        return digest_of_stream(file)
