"""How long and how fast training goes, and how it went: numbers alone, without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from compression_engine.canonical import JSON, decimal_text
from compression_engine.recipe import Value, integer_of

_MILLION = 1_000_000
_DECIMALS = 6


@dataclass(frozen=True)
class Schedule:
    """`epochs` at most; the rate rises over the first `warmup` share of all updates and falls along half a cosine to zero.

    AdamW: Loshchilov and Hutter 2019; the cosine: the same, 2017, without restarts. `weight_decay` draws matrices and kernels
    towards zero, never biases, scales of normalisations and other vectors.
    """

    epochs: int
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup: float = 0.05
    patience: int = 0
    """Ends training after so many epochs in a row without a better validation; 0: never."""
    optimiser: str = "adamw"
    momentum: float = 0.9
    """Of sgd alone."""
    clip: float = 1.0
    """The longest gradient, over all weights together; 0: any."""

    def rate(self, update: int, updates: int) -> float:
        """The share of the learning rate at an update, counted from 0, of so many; 1 where the rise ends, 0 behind the last."""
        # shares such as 0.07 lie a little above what is written: of 100 updates 7.000000000000001 are 7, not 8
        rising = math.ceil(round(self.warmup * updates, _DECIMALS))
        if update < rising:
            return (update + 1) / rising
        # where sequences differ in length an epoch may have more updates than the first had
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (update - rising) / max(1, updates - rising))))


def schedule_of(parameters: Mapping[str, Value], epochs: str = "epochs") -> Schedule:
    """How long and how fast a step trains; what its method does not offer is as it is by default. `epochs`: whose number counts."""
    return Schedule(
        epochs=integer_of(parameters[epochs]),
        learning_rate=integer_of(parameters["learning_rate_per_million"]) / _MILLION,
        weight_decay=integer_of(parameters.get("weight_decay_per_million", 0)) / _MILLION,
        batch_size=integer_of(parameters["batch_size"]),
        patience=integer_of(parameters["patience"]),
        optimiser=str(parameters.get("optimiser", "adamw")),
    )


@dataclass(frozen=True)
class Point:
    """One epoch: the mean loss while learning (None before the first) and the validation after it; lower is better."""

    epoch: int
    learning: float | None
    validation: float

    def document(self) -> dict[str, JSON]:
        """As RESULT.json holds it; decimals are text."""
        learning = None if self.learning is None else decimal_text(self.learning)
        return {"epoch": self.epoch, "learning": learning, "validation": decimal_text(self.validation)}


@dataclass(frozen=True)
class Curve:
    """How training went. `best` is the epoch whose weights were kept; 0: those that it began with."""

    points: Sequence[Point]
    best: int
    learning_rows: int
    validation_rows: int
    updates: int
    phase: int = 0
    settings: dict[str, JSON] = field(default_factory=dict)

    @property
    def learned(self) -> bool:
        """Whether any epoch ended better than training began."""
        return self.best > 0

    @property
    def validation(self) -> float:
        """The best validation."""
        return self.points[self.best].validation

    def document(self) -> dict[str, JSON]:
        """As RESULT.json holds it."""
        return {
            "best_epoch": self.best,
            "learning_rows": self.learning_rows,
            "phase": self.phase,
            "points": [point.document() for point in self.points],
            "settings": self.settings,
            "updates": self.updates,
            "validation_rows": self.validation_rows,
        }
