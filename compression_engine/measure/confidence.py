"""How sure a classifier is of each row, and how right: confidence, bins of equal mass, the calibration error.

Sources: the expected calibration error of Naeini, Cooper and Hauskrecht 2015, in bins of equal mass (Nixon et al. 2019); what a
calibrated model shows by chance after Broecker and Smith 2007; the score of Brier 1950.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import Array, Outputs
from compression_engine.measure import scores
from compression_engine.measure.probabilities import Logits
from compression_engine.measure.statistics.intervals import Floats
from compression_engine.measure.statistics.resampling import RESAMPLES
from compression_engine.measure.temperature import Temperature, best_temperature, spaced
from compression_engine.plan import Plan

BINS, BIN_ROWS_LEAST = 15, 20


@dataclass(frozen=True)
class Confidences:
    """What one model says of rows: confidence, whether it is right, its Brier score; scores for the temperature."""

    role: str
    confidence: Floats
    right: Floats
    brier: Floats
    logits: Logits
    labels: NDArray[np.intp]
    sequences: Array | None = None
    places: NDArray[np.intp] | None = None
    """Which rows of the logits these are; None: all of them."""

    def __len__(self) -> int:
        return len(self.confidence)

    def only(self, kept: NDArray[np.bool_]) -> Confidences:
        """The same of some rows."""
        parts = (self.confidence, self.right, self.brier)
        confidence, right, brier = (part[kept] for part in parts)
        sequences = None if self.sequences is None else self.sequences[kept]
        places = np.flatnonzero(kept) if self.places is None else self.places[kept]
        return Confidences(self.role, confidence, right, brier, self.logits, self.labels[kept], sequences, places)

    @cached_property
    def bins(self) -> NDArray[np.intp]:
        """The bin of equal mass of each row."""
        return equal_mass_bins(self.confidence)

    @cached_property
    def temperature(self) -> Temperature:
        """The best temperature."""
        kept = spaced(len(self), self.logits.shape[1])
        places = kept if self.places is None else self.places[kept]
        sequences = None if self.sequences is None else self.sequences[kept]
        return best_temperature(self.logits.rows(places), self.labels[kept], sequences)


def confidences(outputs: Outputs, role: str, plan: Plan) -> Confidences:
    """What one model says of every row, and how right it is."""
    probabilities = scores.probabilities(outputs, role, plan)
    labels = scores.labels(outputs, plan)
    predicted = scores.predicted(outputs, role, plan)
    confidence, squares = np.empty(len(labels)), np.empty(len(labels))
    for part, block in probabilities.blocks():
        rows = np.arange(len(block))
        confidence[part] = block[rows, predicted[part]]
        squares[part] = np.square(block).sum(axis=1) - 2 * block[rows, labels[part]] + 1
    return Confidences(
        role,
        confidence,
        (predicted == labels).astype(np.float64),
        squares / 2 if probabilities.shape[1] == 2 else squares,
        scores.logits(outputs, role, plan),
        labels,
        outputs.sequences,
    )


def equal_mass_bins(confidence: Floats) -> NDArray[np.intp]:
    """The bin of each row: up to 15, of at least 20 rows each, edges at quantiles; equal confidences share a bin."""
    count = max(1, min(BINS, len(confidence) // BIN_ROWS_LEAST))
    edges = np.unique(np.quantile(confidence, np.arange(1, count) / count))
    return np.searchsorted(edges, confidence, side="right")


def calibration_error(model: Confidences) -> float:
    """The expected calibration error: distance of mean confidence and accuracy in each bin, weighted by its rows."""
    sums = np.bincount(model.bins, weights=model.confidence - model.right)
    return float(np.abs(sums).sum() / len(model))


def errors_by_chance(model: Confidences, seed: int) -> Floats:
    """Errors [2,000] that a perfectly calibrated model with these confidences would show, sums of bins being normal."""
    deviations = np.sqrt(np.bincount(model.bins, weights=model.confidence * (1 - model.confidence)))
    drawn = np.random.default_rng(seed).normal(size=(RESAMPLES, len(deviations)))
    errors: Floats = (np.abs(drawn) * deviations).sum(axis=1) / len(model)
    return errors
