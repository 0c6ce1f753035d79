"""How far one distribution over classes is from another: Kullback-Leibler and Jensen-Shannon, in nats.

Both take natural logarithms of probabilities, so that small ones do not vanish. Sources: Kullback and Leibler 1951; Lin 1991.
A probability of zero counts as the smallest positive float64, so no divergence is infinite.
"""

from __future__ import annotations

import numpy as np

from compression_engine.measure.statistics.intervals import Floats

_SMALLEST = float(np.finfo(np.float64).tiny)


def log_softmax(scores: Floats) -> Floats:
    """Logarithms of the softmax along the last axis, in float64, without overflow."""
    shifted = scores - scores.max(axis=-1, keepdims=True, initial=-np.inf)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def logarithms(probabilities: Floats) -> Floats:
    """Natural logarithms, zero cut at the smallest positive number."""
    return np.log(np.maximum(probabilities, _SMALLEST))


def kullback_leibler(reference: Floats, other: Floats) -> Floats:
    """KL(reference || other) along the last axis; 0 where both are the same, never below it."""
    return np.asarray(np.maximum(0.0, (np.exp(reference) * (reference - other)).sum(axis=-1)))


def jensen_shannon(one: Floats, other: Floats) -> Floats:
    """Half the divergences of both from their middle, along the last axis; 0 to ln 2."""
    middle = np.logaddexp(one, other) - np.log(2)
    found = 0.5 * kullback_leibler(one, middle) + 0.5 * kullback_leibler(other, middle)
    return np.minimum(found, np.log(2))
