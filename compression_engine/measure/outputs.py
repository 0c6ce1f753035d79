"""What a model's answers look like when there is no parent to compare them with."""

from __future__ import annotations

import numpy as np

from compression_engine.data import Encoder
from compression_engine.measure.fidelity import UNIT, batch_difference
from compression_engine.measure.intervals import bootstrap_mean, deviation
from compression_engine.progress import Progress
from compression_engine.result import Measurement
from compression_engine.runtime import Model, answers, batches, primary_output

METHOD = "answers_described"


def measure_outputs(model: Model, encoder: Encoder, seed: int, progress: Progress) -> list[Measurement]:
    """Mean, spread and length of the answers, and whether a row is answered the same alone and in a batch."""
    output = primary_output(model, next(batches(encoder, 1)))
    found = [answer.astype(np.float64) for answer in answers(model, encoder, output, progress, "fidelity")]
    n = len(found)
    columns = {
        "output_mean": (np.array([row.mean() for row in found]), "The mean entry of an answer is {:.4g}"),
        "output_spread": (np.array([row.std() for row in found]), "The entries of an answer spread by {:.4g}"),
        "output_norm_mean": (np.array([np.linalg.norm(row) for row in found]), "An answer has the length {:.4g}"),
    }
    measured = []
    for metric, (values, words) in columns.items():
        interval = bootstrap_mean(values, seed) or (None, None)
        mean = float(values.mean())
        plain = f"{words.format(mean)} on average over {n} rows."
        measured.append(Measurement(metric, mean, UNIT, n, plain, interval[0], interval[1], deviation(values)))
    measured.append(batch_difference(model, encoder, output, "batch_difference_max", "The model"))
    progress("fidelity", n, n, "answers described")
    return measured
