"""Whether a recurrent model drifts away from another one along a sequence, its own state carried from row to row.

Figures: the mean absolute difference, and for classifiers the share of equal decisions, by the place of a row in its sequence
(`sequence_position`); and the drift: how much larger the difference is in the last quarter of a sequence than in the first, over
sequences. Rows judged one by one from a fresh state cannot show it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import VERSION, Outputs
from compression_engine.measure import scores
from compression_engine.measure.agreement import difference_rows
from compression_engine.measure.figures import OTHERS, UNIT, doubling_spans, mean, share
from compression_engine.measure.statistics.intervals import Floats
from compression_engine.plan import Plan
from compression_engine.result import Measurement

_QUARTER = 4


def figures(outputs: Outputs, role: str, plan: Plan, seed: int, *, overall: bool = True) -> list[Measurement]:
    """The difference over all rows if asked for, figures by position, the drift; nothing where rows belong to no sequences."""
    numbers = outputs.sequences
    if numbers is None or not len(outputs):
        return []
    differences = difference_rows(outputs.answer(VERSION), outputs.answer(role))
    places = positions(numbers)
    found = []
    if overall:
        words = f"The answers differ from the {OTHERS[role]}'s by {{:.4g}} on average over {{}} rows."
        found.append(mean("mean_abs_difference", differences, UNIT, numbers, seed, words))
    for low, high in doubling_spans(int(places.max())):
        rows = (places >= low) & (places <= high)
        span = f"{low}-{high}"
        words = f"At places {span} of a sequence they differ by {{:.4g}} on average ({{}} rows)."
        entries = [mean("mean_abs_difference", differences[rows], UNIT, numbers[rows], seed, words)]
        if plan.task == "classification":
            pair = (scores.predicted(outputs, name, plan)[rows] for name in (VERSION, role))
            same = np.equal(*pair)
            what = f"at places {span} of a sequence keep the same first choice"
            entries.append(share("top1_agreement", same, numbers[rows], seed, what))
        found += [replace(entry, slice=(("sequence_position", span),)) for entry in entries]
    return found + _drift(differences, numbers, role, seed)


def positions(numbers: NDArray[np.int64]) -> NDArray[np.intp]:
    """The place of each row in its sequence, from 1; [rows]."""
    starts = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
    lengths = np.diff(np.concatenate([starts, [len(numbers)]]))
    return np.arange(len(numbers)) - np.repeat(starts, lengths) + 1


def _drift(differences: Floats, numbers: NDArray[np.int64], role: str, seed: int) -> list[Measurement]:
    grown = []
    for own in np.split(differences, np.flatnonzero(numbers[1:] != numbers[:-1]) + 1):
        quarter = len(own) // _QUARTER
        if quarter:
            grown.append(float(own[-quarter:].mean() - own[:quarter].mean()))
    if not grown:
        return []
    words = (
        f"From the first to the last quarter of a sequence the difference from the {OTHERS[role]} grows by {{:.3g}}, "
        "mean of {} sequences."
    )
    return [mean("drift_along_sequence", np.array(grown), UNIT, None, seed, words)]
