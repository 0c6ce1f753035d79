"""Some of the rows that are learned from, as methods look at calibration rows: what is held out is not among them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from compression_engine.steps.calibration import Calibration
from compression_engine.training.material import Parts


def calibration_of(parts: Parts, most: int) -> Calibration:
    """At most so many learning rows, evenly spaced; those of sequences as they follow each other, from the first on."""
    training, learning = parts.training, parts.learning
    count, along = min(most, len(learning)), parts.sequences is not None and bool(training.plan.states)
    chosen = learning[:count] if along else learning[np.arange(count) * len(learning) // count]
    # columns were put together for the model already, and have the names of its inputs now
    bare = replace(training.plan, inputs=(), label=None, slices=(), protected=())
    numbers = parts.sequences[chosen] if along and parts.sequences is not None else None
    return Calibration(parts.encoder.rows.take(chosen), bare, training.tokenizer, numbers)
