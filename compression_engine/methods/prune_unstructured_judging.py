"""What a round of pruning loses on the rows that are held out, in thousandths, against the model as the step found it.

Rules:
- of a classifier with labels: by how much the share of rows that are answered rightly fell (below zero where it rose);
- of a classifier without: the share of rows whose first class is another one now;
- of other answers: squared differences from those before, as a share of these answers' own variation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.training.along_sequences import AlongSequences
from compression_engine.training.feeding import Feeding, RowByRow
from compression_engine.training.lesson import Lesson
from compression_engine.training.losses import SCORES
from compression_engine.training.score_forms import LOG_PROBABILITIES, PROBABILITIES

RIGHT, SAME, APART = "rightly answered", "first class kept", "squared differences"
_PER_MILLE = 1000
Answers = NDArray[Any]


class Judge:
    """Made before anything is pruned: it remembers what the model answers to the held-out rows then."""

    def __init__(self, given: Lesson, batch_size: int) -> None:
        self._lesson = given
        kind = AlongSequences if given.parts.training.plan.states else RowByRow
        self._feeding: Feeding = kind(given.network, given.parts, batch_size, None, ())
        answer = next(answer for answer in given.answers if answer.name == given.judged)
        self._middle = {PROBABILITIES: 0.5, LOG_PROBABILITIES: float(np.log(0.5))}.get(answer.form, 0.0)
        self._is_classifier = answer.kind == SCORES
        labels = given.parts.labels
        labelled = self._is_classifier and given.parts.training.plan.task == "classification" and labels is not None
        self.measure = RIGHT if labelled else SAME if self._is_classifier else APART
        self._before, _ = self._answers()
        self.rows = len(given.parts.validation)

    def lost_per_mille(self) -> float:
        """What the network has lost by now."""
        now, labels = self._answers()
        if self.measure == APART:
            return _PER_MILLE * _apart(now, self._before)
        if self.measure == SAME:
            return _PER_MILLE * float((now != self._before).mean())
        return _PER_MILLE * float((self._before == labels).mean() - (now == labels).mean())

    def _answers(self) -> tuple[Answers, Answers]:
        """Classes [rows] (or one a place) or answers [rows, ...] of the held-out rows in their fixed order, and their labels."""
        import torch

        found: list[Answers] = []
        labels: list[Answers] = []
        with torch.no_grad():
            for portion in self._feeding.held_out():
                for outputs, batch in self._feeding.answers(portion):
                    values = outputs[self._lesson.judged][: len(batch.rows)].cpu().numpy()
                    found += list(self._classes(values) if self._is_classifier else values)
                    if self.measure == RIGHT and batch.labels is not None:
                        labels += list(batch.labels[: len(batch.rows)].cpu().numpy())
        return _together(found), np.asarray(labels)

    def _classes(self, scores: Answers) -> Answers:
        if scores.ndim > 1 and scores.shape[-1] > 1:
            return np.asarray(scores.argmax(axis=-1))
        return np.asarray(scores.reshape(len(scores)) > self._middle).astype(np.int64)


def _apart(now: Answers, before: Answers) -> float:
    variation = float(np.square(before - before.mean(axis=0)).mean())
    return float(np.square(now - before).mean()) / (variation or 1.0)


def _together(rows: list[Answers]) -> Answers:
    """Rows in one array; those of different lengths one behind the other."""
    if all(np.shape(row) == np.shape(rows[0]) for row in rows):
        return np.stack(rows).astype(np.float64) if np.asarray(rows[0]).dtype.kind == "f" else np.stack(rows)
    return np.concatenate([np.asarray(row).reshape(-1) for row in rows]).astype(np.float64)
