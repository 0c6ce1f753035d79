"""The promise judged on rows that nothing was chosen on, and the refusal where no recipe keeps it.

Rules:
- the order of looks is fixed before the first one, by the rows of the choice alone: from the gentlest recipe to the most wanted,
  each one the most wanted of those that move answers so little;
- each look has a risk of 2.5 % of wrongly saying that the promise is kept. They end at the first that says it is not, and the last
  before it is chosen: so all looks together err in 2.5 of 100 searches at most, however many there are;
- at most eight looks: the gentlest and the seven most wanted;
- a search that finds nothing says what came nearest, why it fell, and which weights cost most.
Source: testing in a fixed sequence (Maurer, Hothorn and Lehmacher 1995; Angelopoulos et al., "Learn then test", 2021).
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

LOOKS_MOST = 8
_NAMED_MOST = 3
_SHORT_HEX = 19


class PromiseNotKept(EngineError):
    """No recipe keeps the promise. `record` is what SEARCH.json would have held."""

    def __init__(self, message: str, hint: str, record: dict[str, JSON]) -> None:
        super().__init__("promise_not_kept", message, hint)
        self.record = record


@dataclass(frozen=True)
class Look:
    """One judgement on the held-back rows."""

    number: int
    trial: Trial
    figures: Sequence[Figure]

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
            "confidence": decimal_text(1 - RISK),
            "figures": [figure.document() for figure in self.figures],
            "holds": self.holds,
            "look": self.number,
            "recipe_digest": self.trial.digest,
        }


def sequence_of(wanted: Sequence[Trial]) -> list[Trial]:
    """In which order recipes that passed are looked at, given them with the most wanted first."""
    kept: list[Trial] = []
    for trial in wanted:
        if not kept or trial.distortion < kept[-1].distortion:
            kept.append(trial)
    if len(kept) > LOOKS_MOST:
        kept = [*kept[: LOOKS_MOST - 1], kept[-1]]
    return kept[::-1]


def verified(shop: Workshop, sequence: Sequence[Trial]) -> tuple[Trial | None, list[Look]]:
    """The last recipe of a sequence that keeps the promise on the held-back rows as all before it do, and all looks at these."""
    looks: list[Look] = []
    chosen: Trial | None = None
    for number, trial in enumerate(sequence, start=1):
        shop.progress("verify", number - 1, len(sequence), f"look {number} at the held-back rows")
        looks.append(Look(number, trial, shop.judged(trial, HELD_BACK)))
        if not looks[-1].holds:
            break
        chosen = trial
    shop.progress("verify", len(sequence), len(sequence), f"{len(looks)} looks at the held-back rows")
    return chosen, looks


def refusal(shop: Workshop, looks: Sequence[Look], order: Sequence[Cost], record: dict[str, JSON]) -> PromiseNotKept:
    """Why nothing was made."""
    told = f"at least {shop.budget.at_least} kept"
    measured = [trial for trial in shop.tried.values() if trial.worst is not None]
    said = [f"None of {len(shop.tried)} recipes keeps the promise ({told})."]
    if looks:
        said.append(f"{len(shop.passing())} keep it on the rows of the choice, the gentlest not on held-back rows: ")
        said[-1] += f"{looks[-1].worst.plain}."
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
