"""The rows that a step trains on: read as the plan says, some of them held out, handed out in batches.

Rules:
- rows are encoded by the same `Encoder` as those of an evaluation;
- labels are needed only where the loss asks for them: a file without the plan's label column still teaches by a teacher's answers;
- about a tenth is held out by the recipe's seed alone, of all rows whether they have labels or not, so that every step of a recipe
  holds out the same rows, and no step is judged on what an earlier one learned; see `holding_out`;
- batches are drawn from `default_rng([seed, step, phase, epoch])` and nothing else; texts of like length run together;
- memory is bounded by the batch: arrays are taken from their file batch by batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray

from compression_engine.answers.outputs import Field
from compression_engine.data import Array, Encoder, Rows, read_rows
from compression_engine.data.labels import Labels, labels_of, sequence_numbers
from compression_engine.data.rows import Indices
from compression_engine.errors import DataError
from compression_engine.plan import Plan
from compression_engine.progress import Progress, silent
from compression_engine.training.graph_inputs import class_count, inputs_of
from compression_engine.training.holding_out import held_out
from compression_engine.training.resume import ResumePoint

if TYPE_CHECKING:
    import torch

LABEL = "label"
LEARNING_ROWS_LEAST = 20
_BATCHES_SORTED_TOGETHER = 50
Taught = Callable[[Indices], "Mapping[str, torch.Tensor]"]
"""What a teacher answered to rows, by their indices in `Parts.encoder.rows`: tensors with one entry a row."""


@dataclass(frozen=True)
class Batch:
    """Rows that are learned from together."""

    feed: Mapping[str, torch.Tensor]
    """Inputs by name, [rows, ...]; filled up with the last row where the model wants a fixed number."""
    rows: Indices
    """Which rows these are: indices into `Parts.encoder.rows`, as many as outputs are looked at."""
    labels: torch.Tensor | None = None
    """int64 [rows] for classification and embedding (equal numbers belong together), float32 [rows, ...] for regression, int64
    [symbols] one row behind the other for sequences; None where the plan has none."""
    label_lengths: torch.Tensor | None = None
    """int64 [rows], for sequences: how many symbols each row has."""
    taught: Mapping[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """Training rows with how they are read, and what else a step that trains is given."""

    rows: Rows
    plan: Plan
    tokenizer: Path | None
    seed: int
    """The recipe's; draws are default_rng([seed, step, ...])."""
    step: int
    """Number of the step in the recipe, from 1."""
    parent: Path
    """ONNX file of the model that the recipe began with."""
    teacher: Path | None = None
    """ONNX file that was named as the teacher; None: the parent teaches."""
    student: Path | None = None
    device: str = "cpu"
    resume: ResumePoint | None = None
    """Where this step keeps its resume points; None: nowhere."""
    unlabelled: str | None = None
    """Why the rows have no labels although the plan names them; None where they have, or it names none."""

    @classmethod
    def of(cls, path: Path, plan: Plan | None, tokenizer: Path | None, *, seed: int, parent: Path) -> Training:
        """Reads a file of training rows. Without a plan their class stands in the column `label`, if there is one.

        Raises DataError (data_missing, no_usable_row, data_does_not_fit).
        """
        # slices are for judging, and training rows need not have them; a sequence need be known only where states go along it
        asked = Plan(task="classification", label=LABEL) if plan is None else replace(plan, slices=(), protected=())
        rows, used, why = _read(path, asked)
        if plan is None and why is not None:
            used, why = Plan(), None
        return cls(rows, used, tokenizer, seed, 1, parent, unlabelled=why)

    def parts(self, model: onnx.ModelProto, *, labelled: bool, progress: Progress = silent) -> Parts:
        """The rows as this model takes them, some held out; `labelled`: the loss asks for labels.

        Raises DataError (label_missing, no_usable_row, data_does_not_fit, training_rows_too_few, tokenizer_missing).
        """
        if labelled and self.plan.task == "none":
            hint = "Give a plan with task and label (in a shell --plan FILE), or let the teacher's answers be learned."
            raise DataError("label_missing", "The loss is of labels, and no plan says what is right.", hint)
        if labelled and self.plan.label is None and self.plan.task != "language-model":
            hint = "Give training rows with labels, or let the teacher's answers be learned."
            why = self.unlabelled or "The plan names no label."
            raise DataError("label_missing", f"The loss is of labels, and the training rows have none. {why}", hint)
        encoder = Encoder(self.rows, inputs_of(model), self.tokenizer, self.plan)
        classes = None if self.plan.label is None else class_count(model, self.plan)
        labels = labels_of(encoder.rows, self.plan, classes)
        chosen = self._held_out(encoder, labels, progress)
        count = len(encoder.rows)
        encoder, given, kept = _with_labels(encoder, self.plan, labels, classes, needed=labelled)
        if labelled and self.plan.task == "classification":
            _refuse_one_class(given)
        if len(encoder.rows) < count:
            _tell_left_out(encoder.rows, count, progress)
        return self._parted(encoder, given, np.flatnonzero(chosen[kept]).astype(np.int64))

    def _held_out(self, encoder: Encoder, labels: Labels, progress: Progress) -> NDArray[np.bool_]:
        """Which rows are held out, [rows], of all that the model takes: a step that needs no labels learns from those without.

        Of rows with a label a tenth as well, however few they are.
        """
        strata = np.zeros(len(encoder.rows), dtype=np.int64)
        if labels.given is not None and self.plan.task == "classification":
            strata[:] = labels.given.values
        strata[list(labels.broken)] = -1
        found = np.zeros(len(encoder.rows), dtype=bool)
        found[held_out(encoder, self.seed, strata, sequence_numbers(encoder.rows, self.plan), progress)] = True
        return found

    def _parted(self, encoder: Encoder, labels: Field | None, validation: Indices) -> Parts:
        sequences = sequence_numbers(encoder.rows, self.plan)
        learning = np.setdiff1d(np.arange(len(encoder.rows), dtype=np.int64), validation)
        if len(learning) < LEARNING_ROWS_LEAST:
            hint = (
                f"Give at least {LEARNING_ROWS_LEAST} rows beside about a tenth that is held out; thousands are usual."
            )
            raise DataError("training_rows_too_few", f"There are {len(learning)} rows to learn from.", hint)
        if not len(validation):
            hint = "Give more rows with labels: some are held out to see how training goes."
            raise DataError("training_rows_too_few", "Of the rows that are held out none has a usable label.", hint)
        return Parts(self, encoder, learning, validation, labels, sequences)


@dataclass(frozen=True)
class Parts:
    """The rows as a model takes them: which are learned from, and which are held out to see how it goes."""

    training: Training
    encoder: Encoder
    learning: Indices
    validation: Indices
    labels: Field | None
    """One entry for each of the encoder's rows; see `data.labels.labels_of`."""
    sequences: Indices | None
    """The number of the sequence that each of the encoder's rows belongs to, where the plan names sequences."""

    def order(self, batch_size: int, phase: int, epoch: int) -> list[Indices]:
        """The learning rows in the batches of an epoch, each row once."""
        training = self.training
        draw = np.random.default_rng([training.seed, training.step, phase, epoch])
        shuffled = draw.permutation(self.learning)
        counts = self._token_counts
        if counts is None:
            return _cut(shuffled, batch_size)
        found: list[Indices] = []
        for block in _cut(shuffled, batch_size * _BATCHES_SORTED_TOGETHER):
            found += _cut(block[np.argsort(counts[block], kind="stable")], batch_size)
        return [found[place] for place in draw.permutation(len(found))]

    def held_out(self, batch_size: int) -> list[Indices]:
        """The validation rows in batches, the same at every call."""
        counts = self._token_counts
        rows = (
            self.validation if counts is None else self.validation[np.argsort(counts[self.validation], kind="stable")]
        )
        return _cut(rows, batch_size)

    def batch(self, rows: Indices, device: str = "cpu", taught: Taught | None = None) -> Batch:
        """These rows as tensors on a device, in one piece; at most the model's fixed first dimension where it has one."""
        import torch

        fixed = self.encoder.fixed_rows
        fed = rows.tolist()
        if fixed is not None:
            fed += fed[-1:] * (fixed - len(fed))
        feed = {name: torch.tensor(plain(array)).to(device) for name, array in self.encoder.batch(fed).items()}
        return replace(self.unfed(rows, device, taught), feed=feed)

    def unfed(self, rows: Indices, device: str, taught: Taught | None) -> Batch:
        """What is right for these rows, and what a teacher said of them, without the inputs."""
        import torch

        labels, lengths = self._labels(rows)
        return Batch(
            {},
            rows,
            None if labels is None else torch.tensor(labels).to(device),
            None if lengths is None else torch.tensor(lengths).to(device),
            {} if taught is None else {name: value.to(device) for name, value in taught(rows).items()},
        )

    def pieces(self, rows: Indices, device: str = "cpu", taught: Taught | None = None) -> Iterator[Batch]:
        """These rows as tensors, in as many pieces as the model's fixed first dimension makes of them; one where it has none."""
        for piece in _cut(rows, self.encoder.fixed_rows or len(rows)):
            yield self.batch(piece, device, taught)

    def _labels(self, rows: Indices) -> tuple[Array | None, Array | None]:
        if self.labels is None:
            return None, None
        offsets = self.labels.offsets
        if offsets is None:
            taken = np.asarray(self.labels.values[rows])
            return (taken.astype(np.float32) if taken.dtype.kind == "f" else taken.astype(np.int64)), None
        symbols = [self.labels.values[offsets[row] : offsets[row + 1]] for row in rows]
        return np.concatenate(symbols).astype(np.int64), np.array([len(part) for part in symbols], dtype=np.int64)

    @cached_property
    def _token_counts(self) -> Indices | None:
        """Tokens of each row, counted once; None for arrays."""
        return self.encoder.token_counts()


def _read(path: Path, asked: Plan) -> tuple[Rows, Plan, str | None]:
    """The rows, the plan that they were read by, and why they have no labels where the plan names them.

    What training can do without may be missing: labels, and sequences where no state goes along them.
    """
    bare = asked if asked.states else replace(asked, sequence=None)
    try:
        return read_rows(path, asked), asked, None
    except DataError as error:
        if error.code != "data_does_not_fit":
            raise
        refused = error
    ways = dict.fromkeys((bare, replace(asked, label=None), replace(bare, label=None)))
    for plan in ways:
        try:
            rows = read_rows(path, plan)
        except DataError:
            continue
        return rows, plan, refused.message if plan.label != asked.label else None
    raise refused


def _with_labels(
    encoder: Encoder, plan: Plan, labels: Labels, classes: int | None, *, needed: bool
) -> tuple[Encoder, Field | None, Indices]:
    """The rows with their labels, and which these are; those without a usable one are left out where the loss asks for labels.

    Where it does not, rows without labels teach as well, and none has one if some lack it.
    """
    every = np.arange(len(encoder.rows), dtype=np.int64)
    if not labels.broken:
        return encoder, labels.given, every
    if not needed:
        return encoder, None, every
    if len(labels.broken) == len(encoder.rows):
        first = min(labels.broken)
        message = f"No training row has a usable label: {encoder.rows.name(first)}: {labels.broken[first]}."
        raise DataError("no_usable_row", message, "Check the plan's label and classes.")
    kept = encoder.with_rows(encoder.rows.without(labels.broken))
    return kept, labels_of(kept.rows, plan, classes).given, np.setdiff1d(every, list(labels.broken))


def _refuse_one_class(labels: Field | None) -> None:
    """Whoever learns from one class learns to name it always, and held-out rows of that class praise it."""
    if labels is not None and len(labels.values) and (labels.values == labels.values[0]).all():
        hint = "Give rows of every class, check the plan's label and classes, or let the teacher's answers be learned."
        message = (
            f"All {len(labels.values):,} training rows with a usable label are of one class, index {labels.values[0]}."
        )
        raise DataError("training_rows_too_few", message, hint)


def _tell_left_out(rows: Rows, count: int, progress: Progress) -> None:
    left_out = count - len(rows)
    message = f"{left_out:,} of {count:,} training rows have no usable label and are left out; {rows.broken[-left_out]}"
    progress("labels", len(rows), count, message)


def _cut(rows: Indices, size: int) -> list[Indices]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def plain(array: Array) -> Array:
    """An array that torch takes without a word: its own bytes, floats of 16 bits as the floats that they are trained in."""
    return np.array(array, dtype=np.float32 if array.dtype == np.float16 else array.dtype)
