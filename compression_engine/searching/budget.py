"""What is promised of a compressed model, and what is wanted beside: "at least F of the answers kept, then the smallest file".

Rules:
- the promise is a share between 0 and 1: no number of rows shows that everything is kept;
- it is kept overall and in every slice that has been declared;
- what is to be kept is named by a metric of the engine, or follows from what the model does (`kept`).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from compression_engine.canonical import JSON, decimal_text
from compression_engine.errors import EngineError

SMALLEST, FASTEST = "smallest", "fastest"
QUALITY = "quality_kept"
"""The metric of what labels say: how much more often the original is right."""
MEASURES = (
    "cosine_mean",
    "top1_agreement",
    "nearest_neighbour_kept",
    "decoded_agreement",
    "variance_kept",
)
"""What can be promised by name. `variance_kept`: 1 less the mean squared difference in variances of the original's answers."""


class Promise(Protocol):
    """What figures are held against."""

    def least(self, measure: str) -> float:
        """What a figure of this measure must not fall below."""


@dataclass(frozen=True)
class Budget:
    """`at_least` of the answers kept by each of `measures` (empty: chosen), then the smallest or the fastest.

    `loses_at_most`: by the labels, the original may be right on so large a share of rows more. Raises EngineError (budget_invalid).
    """

    at_least: Decimal
    then: str = SMALLEST
    measures: tuple[str, ...] = ()
    loses_at_most: Decimal | None = None

    def __post_init__(self) -> None:
        if not self.at_least.is_finite() or not 0 < self.at_least < 1:
            hint = "Give a share between 0 and 1, such as 0.99; no number of rows shows that all answers are kept."
            raise _invalid(f"The promise is to keep {self.at_least}.", hint)
        if self.then not in (SMALLEST, FASTEST):
            raise _invalid(f"'then' is {self.then!r}.", f"Use {SMALLEST} or {FASTEST}.")
        for name in self.measures:
            if name not in MEASURES:
                raise _invalid(f"There is no measure {name!r} to promise by.", f"Use some of: {', '.join(MEASURES)}.")
        if self.loses_at_most is not None and not (self.loses_at_most.is_finite() and 0 < self.loses_at_most < 1):
            raise _invalid(f"The allowed loss is {self.loses_at_most}.", "Give a share between 0 and 1, such as 0.01.")

    def least(self, measure: str) -> float:
        """What a figure of this measure must not fall below."""
        return -float(self.loses_at_most or 0) if measure == QUALITY else float(self.at_least)

    def document(self) -> dict[str, JSON]:
        """How a record says it."""
        loss = None if self.loses_at_most is None else decimal_text(self.loses_at_most)
        return {"at_least": decimal_text(self.at_least), "loses_at_most": loss, "then": self.then}


def share_of(text: str) -> Decimal:
    """A share as somebody wrote it; raises EngineError (budget_invalid)."""
    try:
        return Decimal(text)
    except ArithmeticError as error:
        raise _invalid(f"{text!r} is no number.", "Give a share such as 0.99.") from error


def _invalid(message: str, hint: str) -> EngineError:
    return EngineError("budget_invalid", message, hint)
