"""What a round of pruning loses on the rows that are held out, in thousandths, against the model as the step found it.

Rules:
- of a classifier with labels: by how much the share of rows that are answered rightly fell (below zero where it rose);
- of a classifier without, and of a language model: the share of rows or places whose first class is another one now;
- of other answers: squared differences from those before, as a share of these answers' own variation;
- padding does not count; memory holds one class for each row or place, or the answers to at most 4,096 rows;
- one thread and deterministic algorithms, as in training: whether a round keeps its limit must not depend on the threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.canonical import JSON, decimal_text
from compression_engine.training.along_sequences import feeding_of
from compression_engine.training.device import settled
from compression_engine.training.lesson import Lesson
from compression_engine.training.losses import FRAMES, SCORES, TOKENS
from compression_engine.training.material import Batch
from compression_engine.training.score_forms import LOG_PROBABILITIES, PROBABILITIES

RIGHT, SAME, APART = "rightly answered", "first class kept", "squared differences"
_PER_MILLE = 1000
_ANSWERS_MOST = 4096
_HAS_PLACES = 3
Answers = NDArray[Any]


@dataclass(frozen=True)
class Lost:
    """What a network has lost, by which measure, on how many rows."""

    measure: str
    per_mille: float
    rows: int

    def document(self) -> dict[str, JSON]:
        """As RESULT.json holds it."""
        return {"measure": self.measure, "per_mille": decimal_text(self.per_mille), "rows": self.rows}


class Judge:
    """Made before anything is pruned: it remembers what the model answers to the held-out rows then."""

    def __init__(self, given: Lesson, batch_size: int) -> None:
        self._batch_size = batch_size
        answer = next(answer for answer in given.answers if answer.name == given.judged)
        self._by_row = answer.kind == SCORES
        self._middle = {PROBABILITIES: 0.5, LOG_PROBABILITIES: float(np.log(0.5))}.get(answer.form, 0.0)
        self._is_classifier = answer.kind in (SCORES, FRAMES, TOKENS)
        labels = given.parts.labels
        labelled = answer.kind == SCORES and given.parts.training.plan.task == "classification" and labels is not None
        self._measure = RIGHT if labelled else SAME if self._is_classifier else APART
        rows = len(given.parts.validation)
        self._count = rows if self._is_classifier else min(rows, _ANSWERS_MOST)
        self._before, _ = self._answers(given)

    def lost(self, given: Lesson) -> Lost:
        """What the network has lost by now; `given` has the rows that the judge was made with, the network may be another one."""
        now, labels = self._answers(given)
        if self._measure == APART:
            found = _apart(now, self._before)
        elif self._measure == SAME:
            found = float((now != self._before).mean())
        else:
            found = float((self._before == labels).mean() - (now == labels).mean())
        return Lost(self._measure, _PER_MILLE * found, self._count)

    def _answers(self, given: Lesson) -> tuple[Answers, Answers]:
        """Classes [rows] (or one a place) or answers [rows, ...] of the held-out rows in their fixed order, and their labels."""
        import torch

        found: list[Answers] = []
        labels: list[Answers] = []
        feeding = feeding_of(given.network, given.parts, self._batch_size)
        with settled(given.parts.training.device), torch.no_grad():
            for portion in feeding.held_out():
                if not self._is_classifier and len(found) >= self._count:
                    break
                for outputs, batch in feeding.answers(portion):
                    found += self._rows(outputs[given.judged], batch)
                    if self._measure == RIGHT and batch.labels is not None:
                        labels += list(batch.labels[: len(batch.rows)].cpu().numpy())
        return _together(found if self._is_classifier else found[: self._count]), np.asarray(labels)

    def _rows(self, output: Any, batch: Batch) -> list[Answers]:
        """The answer of each row, without padding."""
        values = output[: len(batch.rows)].float().cpu().numpy()
        kept = self._classes(values) if self._is_classifier else values
        mask = batch.feed.get("attention_mask")
        if mask is None or values.ndim < _HAS_PLACES or values.shape[1] != mask.shape[1]:
            return list(kept)
        real = mask.cpu().numpy() != 0
        return [kept[row][real[row]] for row in range(len(kept))]

    def _classes(self, scores: Answers) -> Answers:
        if self._by_row or scores.ndim == 1:
            scores = scores.reshape(len(scores), -1)  # all the other axes together are classes, as for the loss
        if scores.shape[-1] > 1:
            return np.asarray(scores.argmax(axis=-1)).astype(np.int32)
        return np.asarray(scores[..., 0] > self._middle).astype(np.int32)


def _apart(now: Answers, before: Answers) -> float:
    now, before = now.astype(np.float64), before.astype(np.float64)
    variation = float(np.square(before - before.mean(axis=0)).mean())
    return float(np.square(now - before).mean()) / (variation or 1.0)


def _together(rows: list[Answers]) -> Answers:
    """Rows in one array; those of different lengths one behind the other."""
    if all(np.shape(row) == np.shape(rows[0]) for row in rows):
        return np.stack(rows)
    return np.concatenate([np.asarray(row).reshape(-1) for row in rows])
