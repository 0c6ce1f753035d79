"""How fast children are beside the original: measured in turns with it, one child at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compression_engine.canonical import JSON, decimal_text
from compression_engine.measure.timing import measure_latency
from compression_engine.runtime import Model
from compression_engine.searching.rows import CHOICE
from compression_engine.searching.trials import THREADS, Trial, Workshop

_METRIC = "latency_ratio"
_DIGITS = 6


@dataclass(frozen=True)
class Pace:
    """The latency of one row in the original's, with its interval."""

    recipe_digest: str
    ratio: float
    low: float | None
    high: float | None
    rounds: int

    def document(self) -> dict[str, JSON]:
        """As a record holds it."""
        low, high = (None if end is None else decimal_text(round(end, _DIGITS)) for end in (self.low, self.high))
        return {
            "high": high,
            "latency_ratio": decimal_text(round(self.ratio, _DIGITS)),
            "low": low,
            "recipe_digest": self.recipe_digest,
            "rounds": self.rounds,
        }


def paces(shop: Workshop, trials: Sequence[Trial], rounds: int) -> dict[str, Pace]:
    """By the recipe's digest. Raises EngineError where a child that ran does not any more."""
    found: dict[str, Pace] = {}
    original = Model(shop.loaded.path, THREADS, what="The original")
    for done, trial in enumerate(trials):
        shop.progress("timing", done, len(trials), "children measured in turns with the original")
        child = Model(shop.file_of(trial.recipe), THREADS, what="The compressed model")
        figures = measure_latency(child, original, shop.rows[CHOICE], rounds, THREADS, shop.progress)
        entry = next(figure for figure in figures if figure.metric == _METRIC)
        if entry.value is not None:
            found[trial.digest] = Pace(trial.digest, entry.value, entry.low, entry.high, entry.n)
    return found
