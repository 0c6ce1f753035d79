"""The promise judged on rows that nothing was chosen on, and the refusal where no recipe keeps it.

Rules:
- recipes are judged in the order in which they are wanted; the first that keeps the promise is chosen;
- every look at the held-back rows may err: the first has a risk of 2.5 %, each further one half of the one before, so that all of
  them together err in 5 of 100 searches at most; at most five looks;
- after a recipe failed, the next must have kept more on the rows of the choice, or as much in a file that is larger by a tenth:
  one that is hardly different is not looked at again;
- a search that finds nothing says what came nearest, why it fell, and which weights cost most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compression_engine.canonical import JSON, decimal_text
from compression_engine.errors import EngineError
from compression_engine.searching.bounds import RISK, Figure
from compression_engine.searching.mixing import Cost
from compression_engine.searching.rows import HELD_BACK
from compression_engine.searching.trials import Trial, Workshop

LOOKS_MOST = 5
_NAMED_MOST = 3
_LARGER = 1.1
_SHORT_HEX = 19


class PromiseNotKept(EngineError):
    """No recipe keeps the promise. `record` is what SEARCH.json would have held."""

    def __init__(self, message: str, hint: str, record: dict[str, JSON]) -> None:
        super().__init__("promise_not_kept", message, hint)
        self.record = record


def risk_of(look: int) -> float:
    """With which probability a look, counted from 1, may wrongly say that the promise is kept."""
    return RISK * 0.5 ** (look - 1)


@dataclass(frozen=True)
class Look:
    """One judgement on the held-back rows."""

    number: int
    trial: Trial
    figures: Sequence[Figure]

    @property
    def risk(self) -> float:
        """With which probability it may wrongly say that the promise is kept."""
        return risk_of(self.number)

    @property
    def holds(self) -> bool:
        """Whether the promise is kept."""
        return bool(self.figures) and all(figure.holds for figure in self.figures)

    @property
    def worst(self) -> Figure:
        """The figure that breaks the promise most, or is nearest to it."""
        return min(self.figures, key=lambda figure: figure.margin)

    def document(self) -> dict[str, JSON]:
        """As a record holds it."""
        return {
            "confidence": decimal_text(1 - self.risk),
            "figures": [figure.document() for figure in self.figures],
            "holds": self.holds,
            "look": self.number,
            "recipe_digest": self.trial.digest,
        }


def verified(shop: Workshop, wanted: Sequence[Trial]) -> tuple[Trial | None, list[Look]]:
    """The first recipe of those `wanted`, in this order, that keeps the promise on the held-back rows, and all looks at these."""
    looks: list[Look] = []
    for trial in wanted:
        if looks and not _gentler(trial, looks[-1].trial):
            continue
        if len(looks) == LOOKS_MOST:
            break
        number = len(looks) + 1
        shop.progress("verify", number - 1, LOOKS_MOST, f"look {number} at the held-back rows")
        look = Look(number, trial, shop.judged(trial, HELD_BACK, risk_of(number)))
        looks.append(look)
        if look.holds:
            shop.progress("verify", LOOKS_MOST, LOOKS_MOST, f"the promise is kept at look {number}")
            return trial, looks
    return None, looks


def _gentler(trial: Trial, failed: Trial) -> bool:
    """Whether a recipe is another one than what failed, and not one that changes more."""
    larger = (trial.size_bytes or 0) >= _LARGER * (failed.size_bytes or 0)
    return trial.margin > failed.margin or (trial.margin == failed.margin and larger)


def refusal(shop: Workshop, looks: Sequence[Look], order: Sequence[Cost], record: dict[str, JSON]) -> PromiseNotKept:
    """Why nothing was made."""
    told = f"at least {shop.budget.at_least} kept"
    measured = [trial for trial in shop.tried.values() if trial.worst is not None]
    said = [f"None of {len(shop.tried)} recipes keeps the promise ({told})."]
    if looks:
        said.append(f"{len(looks)} kept it where they were chosen, and not on held-back rows: {looks[-1].worst.plain}.")
    elif measured:
        nearest = max(measured, key=lambda trial: trial.margin)
        assert nearest.worst is not None
        said.append(f"Nearest came {_words(nearest, shop.loaded.size_bytes)}: {nearest.worst.plain}.")
    else:
        reasons = list(dict.fromkeys(trial.reason for trial in shop.tried.values() if trial.reason))
        said.append(f"None could be made: {'; '.join(reasons[:_NAMED_MOST])}")
    costly = [entry.name for entry in order[:_NAMED_MOST]]
    if costly:
        said.append(f"The weights that cost most: {', '.join(costly)}.")
    hint = "Promise less, give more rows (bounds become narrower), or calibration rows (more methods are tried)."
    return PromiseNotKept(" ".join(said), hint, record)


def _words(trial: Trial, original_bytes: int) -> str:
    methods = " then ".join(step.method for step in trial.recipe.steps)
    times = original_bytes / (trial.size_bytes or original_bytes)
    return f"{methods} ({trial.digest[:_SHORT_HEX]}, {times:.2f} times smaller)"
