"""What a recipe's steps may cost in all: a budget that ends the work at the first step that breaks it, and keeps what was before.

Rules:
- it is held after every step, overall and in every slice of the plan that has 30 rows: a share of the parent's answers that is kept
  (`at_least`), and by the labels a share of rows that the parent may be right on more (`loses_at_most`; 0.01 is one point);
- the figure itself decides, and its interval is told beside it (decision 27): rows that cannot tell do not end a run;
- slices of fewer rows are named with their number, and nothing is held against them;
- a step that prunes, with one that trains right behind it, is held to it together with that one: what is between them nobody would
  serve; each leaves its evidence all the same;
- the child is the model after the last step that kept the budget; where none did, there is none (budget_broken).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from compression_engine.canonical import JSON, decimal_text
from compression_engine.errors import EngineError
from compression_engine.recipe import Recipe
from compression_engine.searching.bounds import Figure
from compression_engine.searching.budget import QUALITY

_NAMED_MOST = 3


@dataclass(frozen=True)
class StepBudget:
    """What must be left after every step; None: nothing is asked. Raises EngineError (budget_invalid)."""

    at_least: Decimal | None = None
    loses_at_most: Decimal | None = None

    def __post_init__(self) -> None:
        for name, share, such_as in (
            ("at-least", self.at_least, "0.99"),
            ("loses-at-most", self.loses_at_most, "0.01"),
        ):
            if share is not None and not (share.is_finite() and 0 < share < 1):
                hint = f"Give a share between 0 and 1, such as {such_as}."
                raise EngineError("budget_invalid", f"--{name} is {share}.", hint)

    @property
    def is_given(self) -> bool:
        """Whether anything is asked."""
        return self.at_least is not None or self.loses_at_most is not None

    def named(self) -> dict[str, object]:
        """What is given, by the names of the options."""
        return {"--at-least": self.at_least, "--loses-at-most": self.loses_at_most}

    def least(self, measure: str) -> float:
        """What a figure of this measure must not fall below; minus infinity where nothing is asked of it."""
        if measure == QUALITY:
            return float("-inf") if self.loses_at_most is None else -float(self.loses_at_most)
        return float("-inf") if self.at_least is None else float(self.at_least)

    def broken(self, figures: Sequence[Figure]) -> list[Figure]:
        """The figures that are below what is asked, the worst first."""
        held = [replace(figure, by_bound=False) for figure in figures]
        return sorted((figure for figure in held if not figure.holds), key=lambda figure: figure.margin)

    def document(self, asked: Recipe, ended: Ended | None) -> dict[str, JSON]:
        """How a result says it: the budget, the recipe as it was asked for, and where the work ended."""
        return {
            "asked": asked.document(),
            "asked_digest": asked.digest(),
            "at_least": None if self.at_least is None else decimal_text(self.at_least),
            "ended": None if ended is None else ended.document(),
            "loses_at_most": None if self.loses_at_most is None else decimal_text(self.loses_at_most),
        }


@dataclass(frozen=True)
class Ended:
    """The step that broke the budget, by how much, and what was not done for it."""

    step: int
    method: str
    figures: Sequence[Figure]
    """Those that are below what is asked, the worst first."""
    undone: Sequence[str]
    """The methods of the steps right before it that broke the budget by themselves, and were to be made good by it."""
    not_done: Sequence[str]
    """The methods of the steps behind it."""

    @property
    def plain(self) -> str:
        """What happened, in words."""
        more = f"; and {len(self.figures) - _NAMED_MOST} more" if len(self.figures) > _NAMED_MOST else ""
        told = "; ".join(told_of(figure) for figure in self.figures[:_NAMED_MOST])
        after = f" Undone with it: {', '.join(self.undone)}." if self.undone else ""
        after += f" Not done any more: {', '.join(self.not_done)}." if self.not_done else ""
        return f"Step {self.step} ({self.method}) broke the budget: {told}{more}.{after}"

    def document(self) -> dict[str, JSON]:
        """As a result holds it."""
        return {
            "figures": [figure.document() for figure in self.figures],
            "method": self.method,
            "not_done": list(self.not_done),
            "plain": self.plain,
            "step": self.step,
            "undone": list(self.undone),
        }

    def error(self) -> EngineError:
        """Where there is no step before it whose model could be the child (budget_broken)."""
        hint = "Ask for less, take gentler parameters, or train with more rows; nothing was kept of this run."
        return EngineError("budget_broken", self.plain, hint)


def told_of(figure: Figure) -> str:
    """A figure beside what is asked of it, with the interval that it has on these rows."""
    where = "" if figure.where is None else f" where {figure.where[0]} is {figure.where[1]}"
    if figure.measure == QUALITY:
        ends = _ends(_turned(figure.high), _turned(figure.low), 100)
        asked = f"at most {-100 * figure.least:g} points are asked"
        return f"quality lost{where} {-100 * figure.value:.2f} points on {figure.rows:,} rows{ends}; {asked}"
    ends = _ends(figure.low, figure.high, 1)
    asked = f"at least {figure.least:g} is asked"
    return f"{figure.measure}{where} {figure.value:.4f} on {figure.rows:,} rows{ends}; {asked}"


def _ends(low: float | None, high: float | None, times: int) -> str:
    if low is None or high is None:
        return ""
    digits = 2 if times > 1 else 4
    return f" ({times * low:.{digits}f} to {times * high:.{digits}f})"


def _turned(end: float | None) -> float | None:
    return None if end is None else -end
