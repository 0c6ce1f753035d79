"""Holds every child of a comparison against the same answers of the parent, and measures them all in turns with it in one run.

Rules:
- the parent answers once (`steps.yardstick`), before anything is made: rows that do not fit are told at once;
- times are of one run, in which parent and children take turns: of each only the ratio to the parent says something elsewhere;
- a child that is refused here, as on a row that it answers with NaN, is told with its error like one that could not be made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from compression_engine.answers.outputs import PARENT
from compression_engine.comparing.children import Child
from compression_engine.comparing.front import Pace
from compression_engine.errors import EngineError
from compression_engine.evaluation import Settings
from compression_engine.measure.feeds import typical_batch
from compression_engine.measure.opening import Opener
from compression_engine.measure.rounds import Budget, Turns, run_in_turns
from compression_engine.measure.timing_figures import latency_ratio
from compression_engine.progress import Progress
from compression_engine.result import Measurement
from compression_engine.runtime import Model
from compression_engine.searching.bounds import Figure
from compression_engine.steps.yardstick import THREADS, Held, Yardstick

_SECONDS = 40.0


@dataclass(frozen=True)
class Judged:
    """A child with what it left of the answers; `held` is None where there is no child, or none that answers."""

    child: Child
    held: Held | None = None
    pace: Measurement | None = None
    """`latency_ratio`: time for one row in the parent's."""

    def overall(self) -> list[Figure]:
        """One figure for each measure, over all rows."""
        return [] if self.held is None else [figure for figure in self.held.figures if figure.where is None]

    def worst(self, measure: str) -> Figure | None:
        """The slice that kept least; None where there are none of 30 rows."""
        figures = () if self.held is None else self.held.figures
        slices = [figure for figure in figures if figure.measure == measure and figure.where is not None]
        return min(slices, key=lambda figure: figure.value, default=None)

    def of(self, measure: str) -> float | None:
        """The figure of a measure over all rows."""
        return next((figure.value for figure in self.overall() if figure.measure == measure), None)

    def known_pace(self) -> Pace | None:
        """Its time in the parent's."""
        if self.pace is None or self.pace.value is None:
            return None
        return Pace(self.pace.value, self.pace.low, self.pace.high)


def judge_children(
    yardstick: Yardstick, children: Sequence[Child], settings: Settings, progress: Progress
) -> list[Judged]:
    """Every child with its figures and its time, in their order. Raises EngineError (disk_full, cancelled)."""
    found = [_held(yardstick, child, number, len(children), progress) for number, child in enumerate(children)]
    times = _in_turns(yardstick, found, settings, progress)
    return [replace(one, pace=times.get(one.child.name)) for one in found]


def _held(yardstick: Yardstick, child: Child, number: int, total: int, progress: Progress) -> Judged:
    if child.error is not None:
        return Judged(child)
    progress("compare", number, total, f"{child.name} answers the same rows")
    try:
        return Judged(child, yardstick.held(child.weights))
    except EngineError as error:
        if error.code in ("cancelled", "disk_full"):
            raise
        return Judged(replace(child, error=error))


def _in_turns(
    yardstick: Yardstick, found: Sequence[Judged], settings: Settings, progress: Progress
) -> dict[str, Measurement]:
    """`latency_ratio` of each child by its name: one row at a time, all of them and the parent in turns."""
    models: dict[str, Model] = {PARENT: yardstick.original}
    models |= {f"child {one.child.name}": one.held.model for one in found if one.held is not None}
    if len(models) == 1:
        return {}
    batch = typical_batch(yardstick.encoder)
    paths = {role: model.path for role, model in models.items()}
    opener = Opener(models, paths, settings.threads, THREADS, lambda role, model: [lambda: model.run(batch.feed)])
    turns = dict(zip(models, run_in_turns(opener, Budget(settings.rounds, _SECONDS), progress), strict=True))
    words = f"{batch.words} on {settings.threads} thread{'s' if settings.threads > 1 else ''}"
    return {one.child.name: _ratio(one, turns, words) for one in found if one.held is not None}


def _ratio(one: Judged, turns: Mapping[str, Turns], words: str) -> Measurement:
    return latency_ratio("latency_ratio", turns[f"child {one.child.name}"], turns[PARENT], words, "the original")
