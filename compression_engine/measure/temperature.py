"""The temperature that makes a classifier's probabilities fit its labels best: one number for the whole model.

Source: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017. Probabilities are the softmax of
scores / temperature; above 1 the model was too sure of itself, below 1 not sure enough. The best one has the greatest
likelihood; the likelihood is concave in 1 / temperature, so the zero of its slope is the one answer. Interval: sandwich
variance of an M-estimator (Huber 1967), on a log scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compression_engine.measure.statistics.intervals import Floats

LEAST, MOST = 0.05, 20.0
_ENTRIES_MAX = 4_000_000
_RULED_OUT = -1e6
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Temperature:
    """The best temperature with its 95 % interval, or the reason why there is none; `n` rows were used."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str | None = None


def spaced(rows: int, classes: int) -> NDArray[np.intp]:
    """The rows that a temperature is fitted to: all of them, or evenly spaced ones of more than 4 million scores."""
    wanted = max(1, _ENTRIES_MAX // classes)
    return np.arange(rows) if rows <= wanted else np.linspace(0, rows - 1, wanted).astype(np.intp)


def best_temperature(
    scores: Floats, labels: NDArray[np.intp], sequences: NDArray[np.int64] | None = None
) -> Temperature:
    """Fits the temperature to scores [rows, classes] and class indices [rows].

    Rows of one sequence count together in the interval. Beyond 4 million scores, evenly spaced rows stand for all. No value
    where the best lies outside 0.05 to 20.
    """
    from scipy.optimize import brentq

    kept = spaced(*scores.shape)
    if len(kept) < len(scores):
        scores, labels = scores[kept], labels[kept]
        sequences = None if sequences is None else sequences[kept]
    # a class that is ruled out (minus infinity) stays so at every temperature that is looked at
    scores = np.maximum(scores - scores.max(axis=1, keepdims=True), _RULED_OUT)
    n = len(scores)

    def slope(log_sharpness: float) -> float:
        return float(_slopes(scores, labels, math.exp(log_sharpness))[0].sum())

    dullest, sharpest = -math.log(MOST), -math.log(LEAST)
    if slope(dullest) >= 0:
        return Temperature(None, None, None, n, f"no temperature up to {MOST:g} makes the scores fit the labels")
    if slope(sharpest) <= 0:
        return Temperature(None, None, None, n, f"the scores fit better the sharper they are, down to {LEAST:g}")
    found = float(brentq(slope, dullest, sharpest, xtol=1e-10, rtol=1e-12))
    slopes, curvature = _slopes(scores, labels, math.exp(found))
    if sequences is not None:
        numbers = np.unique(sequences, return_inverse=True)[1].reshape(-1)
        slopes = np.bincount(numbers, weights=slopes).astype(np.float64)
    error = math.sqrt(float((slopes**2).sum())) / (math.exp(found) * float(curvature.sum()))
    value = math.exp(-found)
    if not math.isfinite(error):
        return Temperature(value, None, None, n, "the rows do not bound the temperature")
    return Temperature(value, value * math.exp(-_Z95 * error), value * math.exp(_Z95 * error), n)


def _slopes(scores: Floats, labels: NDArray[np.intp], sharpness: float) -> tuple[Floats, Floats]:
    """First and second derivative of each row's negative log-likelihood by 1 / temperature."""
    weights = np.exp(sharpness * scores)
    weights /= weights.sum(axis=1, keepdims=True)
    mean = (weights * scores).sum(axis=1)
    variance = (weights * scores**2).sum(axis=1) - mean**2
    slopes: Floats = mean - scores[np.arange(len(scores)), labels]
    curvature: Floats = variance
    return slopes, curvature
