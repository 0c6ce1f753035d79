"""What a teacher says of rows, in the form in which it is kept and learned.

Rules:
- a row's answer has no padding; tensors of several rows have an entry for each of the student's tokens, zeros at padding;
- of a language model the likeliest tokens of each place are kept, as log probabilities at the temperature that is asked for;
- tensors inside the teacher (`taps`) are kept as 16-bit floats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from compression_engine.data import Array, Encoder
from compression_engine.data.rows import Indices
from compression_engine.errors import EngineError
from compression_engine.runtime import BATCH_ROWS, Batch, Model, batch_at
from compression_engine.training.losses import LIKELIEST, PLACES
from compression_engine.training.score_forms import LEAST_PROBABILITY, PROBABILITIES

if TYPE_CHECKING:
    import torch

_LIKELIEST_TOKENS = 64
_HAS_TOKENS = 3
_MASK = "attention_mask"


@dataclass(frozen=True)
class Asked:
    """A teacher with what is wanted of it."""

    model: Model
    encoder: Encoder
    taps: frozenset[str]
    likeliest: Mapping[str, str]
    """Outputs of scores of tokens, each with whether these are logits or probabilities."""
    temperature: float
    own_tokens: bool
    tails: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """The sizes behind the axis of tokens, where a row has one: rows differ in their tokens."""

    def answers(self, rows: Indices) -> dict[str, list[Array]]:
        """One array for each row, without padding, by name."""
        size = self.encoder.fixed_rows or len(rows)
        found: dict[str, list[Array]] = {}
        for start in range(0, len(rows), size):
            batch = batch_at(self.encoder, rows[start : start + size].tolist())
            for name, output in zip(self.model.output_names, self.model.run(batch.feed), strict=True):
                batch.check(output)
                for held, array in self._reduced(name, output):
                    some = self._rows(held, array, batch)
                    refuse_no_numbers(
                        name, some, [self.encoder.rows.name(int(row)) for row in rows[start : start + size]]
                    )
                    found.setdefault(held, []).extend(some)
        return found

    def tensors(self, found: Mapping[str, Sequence[Array]], rows: Indices) -> dict[str, torch.Tensor]:
        """Answers to rows as the student's stand: with an entry for each of its tokens, zeros at padding."""
        given = self.encoder.rows.arrays.get(_MASK)
        real = None if given is None else np.asarray(given[rows]) != 0
        return {name: _together(held, real if name in self.tails else None) for name, held in found.items()}

    def bytes_of(self, rows: Indices) -> int:
        """About how much the answers to rows take: of some of them, spread evenly."""
        some = rows[np.linspace(0, len(rows) - 1, min(len(rows), BATCH_ROWS)).astype(np.int64)]
        size = sum(array.nbytes for arrays in self.answers(some).values() for array in arrays)
        return size * len(rows) // len(some)

    def _reduced(self, name: str, output: Array) -> list[tuple[str, Array]]:
        if name in self.taps:
            limit = np.finfo(np.float16).max
            return [(name, np.clip(output, -limit, limit).astype(np.float16))]
        output = output.astype(np.float32, copy=False)
        if name not in self.likeliest:
            return [(name, output)]
        logits = output.astype(np.float64)
        if self.likeliest[name] == PROBABILITIES:
            logits = np.log(np.maximum(logits, LEAST_PROBABILITY))
        scaled = logits / self.temperature
        scaled -= scaled.max(axis=-1, keepdims=True)
        scaled -= np.log(np.exp(scaled).sum(axis=-1, keepdims=True))
        count = min(_LIKELIEST_TOKENS, output.shape[-1])
        places = np.argsort(-scaled, axis=-1, kind="stable")[..., :count]
        logs = np.take_along_axis(scaled, places, axis=-1)
        return [(name + LIKELIEST, logs.astype(np.float32)), (name + PLACES, places.astype(np.int32))]

    def _rows(self, name: str, array: Array, batch: Batch) -> list[Array]:
        mask = batch.feed.get(_MASK)
        if mask is None or array.ndim < _HAS_TOKENS or array.shape[1] != mask.shape[1]:
            return list(array[: batch.count])
        if self.own_tokens:
            hint = "Take a teacher with the student's tokenizer, or one that gives one answer for each text."
            message = f"The teacher's tokenizer is another one, and its output {name!r} has an entry for each token."
            raise EngineError("teacher_does_not_fit", message, hint)
        self.tails[name] = array.shape[2:]
        return [array[row][mask[row] != 0] for row in range(batch.count)]


def _together(rows: Sequence[Array], real: Array | None) -> torch.Tensor:
    """Rows in one tensor. `real` says which places of each are no padding, [rows, tokens]; without it padding stands behind."""
    import torch

    if real is None and all(row.shape == rows[0].shape for row in rows):
        return torch.from_numpy(np.stack(rows))
    width = max(len(row) for row in rows) if real is None else real.shape[1]
    filled = np.zeros((len(rows), width, *rows[0].shape[1:]), dtype=rows[0].dtype)
    for place, (target, row) in enumerate(zip(filled, rows, strict=True)):
        target[slice(len(row)) if real is None else real[place]] = row
    return torch.from_numpy(filled)


def refuse_no_numbers(output: str, answers: Sequence[Array], names: Sequence[str]) -> None:
    """Nothing can be learned from NaN or infinity: EngineError (teacher_does_not_fit) that names the row; not of padding."""
    for answer, name in zip(answers, names, strict=True):
        if not np.isfinite(answer).all():
            hint = "Leave the row out, or take a teacher that answers all rows with numbers."
            message = f"The teacher answers {name} with NaN or infinity in {output!r}."
            raise EngineError("teacher_does_not_fit", message, hint)
