"""Area under the ROC curve with its variance from the rows, without resampling.

Source: DeLong, DeLong and Clarke-Pearson 1988, with the midranks of Sun and Xu 2014. For more than two classes the area is the
mean over the classes of one against the rest; its variance is that of the same placements, taken within each class, which for
two classes is DeLong's. Rows of one sequence count as one observation (Obuchowski 1997). The interval is symmetric for the
logit of the area, so that it stays between 0 and 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compression_engine.measure.probabilities import Probabilities
from compression_engine.measure.statistics.bootstrap import Clusters
from compression_engine.measure.statistics.intervals import Floats

_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Area:
    """An area and what each row adds to it; `placements` [rows] sums up to twice the area."""

    value: float
    placements: Floats
    classes: int
    """How many classes have both a row of their own and a row of another."""


def area(probabilities: Probabilities, labels: NDArray[np.intp]) -> Area | None:
    """Of every row and class; of two classes the second is the positive one. None where all rows have one label."""
    judged = [1] if probabilities.shape[1] == 2 else list(range(probabilities.shape[1]))
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    counted = [index for index in judged if 0 < int(counts[index]) < len(labels)]
    if not counted:
        return None
    total, placements = 0.0, np.zeros(len(labels))
    for index, column in probabilities.columns(np.array(counted)):
        value, placed = _one_against_rest(column, labels == index)
        total += value / len(counted)
        placements += placed / len(counted)
    return Area(total, placements, len(counted))


def interval(found: Area, labels: NDArray[np.intp], clusters: Clusters = None) -> tuple[float, float] | None:
    """95 % confidence; None where the rows give no variance: a perfect area, or a class of one row."""
    error = _standard_error(found.placements, labels, clusters)
    if error is None or error == 0 or not 0 < found.value < 1:
        return None
    centre = math.log(found.value / (1 - found.value))
    half = _Z95 * error / (found.value * (1 - found.value))
    return 1 / (1 + math.exp(half - centre)), 1 / (1 + math.exp(-half - centre))


def difference_interval(
    ours: Area, theirs: Area, labels: NDArray[np.intp], clusters: Clusters = None
) -> tuple[float, float] | None:
    """95 % confidence for the difference of two areas over the same rows; None where a class has one row."""
    error = _standard_error(ours.placements - theirs.placements, labels, clusters)
    if error is None:
        return None
    difference = ours.value - theirs.value
    return difference - _Z95 * error, difference + _Z95 * error


def _one_against_rest(scores: Floats, positive: NDArray[np.bool_]) -> tuple[float, Floats]:
    """The share of pairs in order, a tie counting half, and what each row adds; by the positives' order alone, which are few."""
    own, others = scores[positive], scores[~positive]
    order = np.argsort(own, kind="stable")
    at_most = np.searchsorted(own[order], others, side="right")  # how many positives are not above each of the others
    less = np.searchsorted(own[order], others, side="left")
    below = [np.cumsum(np.bincount(places, minlength=len(own) + 1))[: len(own)] for places in (at_most, less)]
    above = np.empty(len(own))
    above[order] = (below[0] + below[1]) / 2 / len(others)
    placements = np.empty(len(scores))
    placements[positive] = above / len(own)
    placements[~positive] = (1 - (at_most + less) / 2 / len(own)) / len(others)
    return float(above.mean()), placements


def _standard_error(placements: Floats, labels: NDArray[np.intp], clusters: Clusters) -> float | None:
    codes = np.unique(labels, return_inverse=True)[1].reshape(-1)
    counts = np.bincount(codes)
    if int(counts.min()) < 2:
        return None
    deviations = placements - (np.bincount(codes, weights=placements) / counts)[codes]
    variance = float((np.bincount(codes, weights=np.square(deviations)) * counts / (counts - 1)).sum())
    if clusters is None:
        return math.sqrt(variance)
    sums = np.bincount(np.unique(clusters, return_inverse=True)[1], weights=deviations)
    return math.sqrt(float(np.square(sums).sum()) * len(sums) / (len(sums) - 1)) if len(sums) > 1 else None
