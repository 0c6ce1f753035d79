"""What training makes small: how far answers are from labels, from a teacher's answers, or from both.

Rules:
- a loss is one number for a batch, the mean over rows (over tokens or frames for language models and sequences); padding and rows
  that only fill up a batch do not count; over many batches of a language model it is the mean over tokens, as perplexity is;
- of labels, by the plan's task: classification by cross-entropy, regression by squared error, embedding by contrast (Khosla et al.
  2020: rows of one label are to be nearer than the others of the batch), sequence by connectionist temporal classification
  (Graves et al. 2006), or frame by frame where the plan has no blank, language-model by the token that follows;
- of a teacher: scores of classes by their softened probabilities (Hinton, Vinyals and Dean 2015), times the temperature squared so
  that gradients keep their size; embeddings by cosine, and by the cosines between the rows of a batch (Park et al. 2019); a
  language model's by the likeliest tokens and all others as one; other numbers by squared error, as a share of the teacher's own
  mean square; several outputs count alike;
- of both: `alpha` of the teacher's, the rest of the labels'.

A loss says with `taps` which tensors beside the outputs it wants, and with `parameters` what is trained for it alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import onnx

from compression_engine.errors import EngineError
from compression_engine.formats.onnx_graph import FLOATS
from compression_engine.plan import Plan
from compression_engine.training.loss_formulas import (
    classes,
    contrast,
    embeddings,
    judged_places,
    likeliest,
    next_token,
    softened,
    symbols,
)
from compression_engine.training.score_forms import LEAST_PROBABILITY, LOG_PROBABILITIES, LOGITS, PROBABILITIES, form_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from compression_engine.training.material import Batch

LABELS, TEACHER, BOTH = "labels", "teacher", "both"
KINDS = (LABELS, TEACHER, BOTH)
SCORES, FRAMES, EMBEDDING, TOKENS, NUMBERS = "scores", "frames", "embedding", "tokens", "numbers"
"""What an answer is: scores of a row's classes (all of its axes together), scores along the last axis for each place, an embedding,
scores of the next token, other numbers."""
LIKELIEST, PLACES = "#likeliest", "#places"
"""Behind an output's name: what a teacher's scores of tokens are kept as, log probabilities and token ids, [rows, tokens, k]."""
RELATIONS_SHARE = 1.0
"""How much the cosines between rows count beside those to the teacher."""
_LEAST_SQUARE = 1e-12
_NO_CHANCE = 1e-2  # what shares may lie outside 0 to 1 by rounding, as in evaluations
_MATRIX = 2


class Loss(Protocol):
    """A loss over the outputs (and tapped tensors) of a network, by their names."""

    @property
    def taps(self) -> tuple[str, ...]:
        """Tensors beside the outputs that it looks at, by their ONNX names."""

    def parameters(self) -> Sequence[torch.nn.Parameter]:
        """What is trained for the loss alone, and thrown away with it."""

    def counts(self, batch: Batch) -> int:
        """Over how many rows, or tokens, of a batch it is the mean: by that a batch counts among others."""

    def __call__(self, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The loss of a batch, a single number."""


@dataclass(frozen=True)
class Answer:
    """An output that is learned: its name, what it is (SCORES, ...), and for scores whether they are logits or probabilities."""

    name: str
    kind: str
    form: str = LOGITS
    teacher_form: str = LOGITS


@dataclass(frozen=True)
class FromLabels:
    """The loss of the labels of the output that is judged."""

    plan: Plan
    answer: Answer
    smoothing: float = 0.0
    taps: tuple[str, ...] = ()

    def parameters(self) -> Sequence[torch.nn.Parameter]:
        """None."""
        return ()

    def counts(self, batch: Batch) -> int:
        """How many tokens are judged in a batch, for a language model; else rows."""
        return int(judged_places(batch).sum()) if self.plan.task == "language-model" else len(batch.rows)

    def __call__(self, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Raises EngineError (label_missing, loss_does_not_fit)."""
        found, task = _real_rows(outputs[self.answer.name], batch), self.plan.task
        if task == "language-model":
            _refuse_other_forms(found, batch)
            return next_token(as_logits(found, self.answer.form), batch)
        if batch.labels is None:
            hint = "Give training rows with the plan's label, or learn from a teacher."
            raise EngineError("label_missing", "The loss asks for labels, and the training rows have none.", hint)
        if task == "classification":
            return classes(as_logits(found.reshape(len(found), -1), self.answer.form), batch.labels, self.smoothing)
        if task == "regression":
            found, labels = found.reshape(len(found), -1), batch.labels.reshape(len(found), -1)
            if found.shape != labels.shape:  # one would be held against all of the other
                hint = "Give one label for each number of the output that is judged, or a plan of the model's own task."
                message = f"The model answers a row with {found.shape[1]} numbers, and its label has {labels.shape[1]}."
                raise EngineError("loss_does_not_fit", message, hint)
            return (found - labels).square().mean()
        if task == "embedding":
            return contrast(found.reshape(len(found), -1), batch.labels)
        return symbols(as_logits(found, self.answer.form), batch, self.plan)


@dataclass(frozen=True)
class FromTeacher:
    """The loss of a teacher's answers, which a batch holds as `taught` under the names of the outputs."""

    answers: tuple[Answer, ...]
    temperature: float = 1.0
    relations: float = RELATIONS_SHARE
    taps: tuple[str, ...] = ()

    def parameters(self) -> Sequence[torch.nn.Parameter]:
        """None."""
        return ()

    def counts(self, batch: Batch) -> int:
        """How many tokens of a batch are no padding, where answers to tokens are learned; else rows."""
        mask = batch.feed.get("attention_mask")
        taught = next(
            (batch.taught.get(answer.name + PLACES) for answer in self.answers if answer.kind == TOKENS), None
        )
        if taught is None:
            return len(batch.rows)
        return int(taught.shape[0] * taught.shape[1] if mask is None else (mask[: len(batch.rows)] != 0).sum())

    def __call__(self, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Raises EngineError (teacher_does_not_fit) where a batch lacks what the teacher said."""
        import torch

        losses = [self._of(answer, _real_rows(outputs[answer.name], batch), batch) for answer in self.answers]
        return torch.stack(losses).mean()

    def _of(self, answer: Answer, found: Tensor, batch: Batch) -> Tensor:
        if answer.kind == TOKENS:
            taught = taught_of(batch, answer.name + LIKELIEST), taught_of(batch, answer.name + PLACES)
            logits = as_logits(found, answer.form)
            return likeliest(logits, *taught, self.temperature, positions_of(batch, logits))
        taught_answer = taught_of(batch, answer.name, found.shape)
        if answer.kind == SCORES:
            found, taught_answer = found.reshape(len(found), -1), taught_answer.reshape(len(found), -1)
        if answer.kind in (SCORES, FRAMES):
            ours, theirs = as_logits(found, answer.form), as_logits(taught_answer, answer.teacher_form)
            return softened(ours, theirs, self.temperature, positions_of(batch, ours))
        if answer.kind == EMBEDDING:
            return embeddings(found.reshape(len(found), -1), taught_answer.reshape(len(found), -1), self.relations)
        return relative_square(found, taught_answer, positions_of(batch, found))


@dataclass(frozen=True)
class Mixed:
    """Several losses, each with its share."""

    parts: tuple[tuple[float, Loss], ...]
    taps: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        """Collects what the parts look at."""
        object.__setattr__(self, "taps", tuple(dict.fromkeys(name for _, loss in self.parts for name in loss.taps)))

    def counts(self, batch: Batch) -> int:
        """As the first part says."""
        return self.parts[0][1].counts(batch)

    def parameters(self) -> Sequence[torch.nn.Parameter]:
        """Those of all parts."""
        return [parameter for _, loss in self.parts for parameter in loss.parameters()]

    def __call__(self, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The sum of the shares."""
        import torch

        return torch.stack([share * loss(outputs, batch) for share, loss in self.parts]).sum()


def answers_of(model: onnx.ModelProto, plan: Plan, judged: str, teacher: onnx.ModelProto | None = None) -> list[Answer]:
    """What the outputs of floats are, the judged one as the plan's task says; scores by the plan or the operator that makes them.

    Beside the judged one those count whose first axis has its name or size: rows.
    `teacher` (None: the same model) has the same outputs and may end otherwise, in a Softmax or without.
    """
    states = {state.output for state in plan.states}
    rows = _first_size(model, judged)
    found = []
    for value in model.graph.output:
        if value.type.tensor_type.elem_type not in FLOATS:
            continue
        if value.name != judged and (value.name in states or rows is None or _first_size(model, value.name) != rows):
            continue
        form = form_of(model, value.name)
        theirs = form if teacher is None else form_of(teacher, value.name)
        if value.name == judged and plan.scores is not None:
            declared = PROBABILITIES if plan.scores == "probabilities" else LOGITS
            form, theirs = form or declared, theirs or declared
        kind = _kind(plan, value.name == judged, form or theirs)
        found.append(Answer(value.name, kind, form or LOGITS, theirs or LOGITS))
    return found


def loss_of(
    kind: str,
    plan: Plan,
    answers: Sequence[Answer],
    judged: str,
    *,
    temperature: float = 1.0,
    alpha: float = 0.5,
    smoothing: float = 0.0,
) -> Loss:
    """The loss of a kind (labels, teacher, both); `alpha` is the teacher's share of both. ValueError for another kind."""
    labels = FromLabels(plan, next(answer for answer in answers if answer.name == judged), smoothing)
    teacher = FromTeacher(tuple(answers), temperature)
    if kind == LABELS:
        return labels
    if kind == TEACHER:
        return teacher
    if kind != BOTH:
        raise ValueError(f"there is no loss {kind!r}")
    return Mixed(((1.0 - alpha, labels), (alpha, teacher)))


def as_logits(scores: Tensor, form: str) -> Tensor:
    """Scores whose softmax (or sigmoid, for a single one) the probabilities are; [..., classes].

    Raises EngineError (loss_does_not_fit) where what is said to be probabilities cannot be such.
    """
    if form == LOGITS:
        return scores
    if form == LOG_PROBABILITIES:
        if scores.shape[-1] > 1:
            return scores
        return scores - (-scores.exp().clamp(max=1 - LEAST_PROBABILITY)).log1p()
    if bool(((scores < -_NO_CHANCE) | (scores > 1 + _NO_CHANCE)).any()):
        hint = 'If they are scores whose softmax the probabilities are, the plan says "scores": "logits".'
        message = "The plan says that the model answers with probabilities, and some lie outside 0 to 1."
        raise EngineError("loss_does_not_fit", message, hint)
    inside = scores.clamp(LEAST_PROBABILITY, 1.0)
    if scores.ndim > 1 and scores.shape[-1] > 1:
        return inside.log()
    return inside.log() - (1.0 - scores).clamp(LEAST_PROBABILITY, 1.0).log()


def relative_square(found: Tensor, taught: Tensor, positions: Tensor | None = None) -> Tensor:
    """The mean squared difference as a share of the teacher's mean square, at the positions that count."""
    found, taught = (found, taught) if positions is None else (found[positions], taught[positions])
    taught = taught.to(found.dtype).reshape(found.shape)
    return (found - taught).square().mean() / taught.square().mean().clamp(min=_LEAST_SQUARE)


def _kind(plan: Plan, judged: bool, form: str | None) -> str:
    if judged and plan.task not in ("none", "regression"):
        of_tasks = {"embedding": EMBEDDING, "language-model": TOKENS, "sequence": FRAMES}
        return of_tasks.get(plan.task, SCORES)
    are_scores = form in (PROBABILITIES, LOG_PROBABILITIES) and not (judged and plan.task == "regression")
    return FRAMES if are_scores else NUMBERS


def _first_size(model: onnx.ModelProto, name: str) -> int | str | None:
    """The size of the first axis of an output, a name where it is free; None where the graph does not say."""
    shape = next(value.type.tensor_type.shape for value in model.graph.output if value.name == name)
    if not shape.dim:
        return None
    return int(shape.dim[0].dim_value) if shape.dim[0].HasField("dim_value") else (shape.dim[0].dim_param or None)


def _real_rows(output: Tensor, batch: Batch) -> Tensor:
    """Without the rows that fill up a fixed batch. Raises EngineError (output_does_not_run) where rows lack an answer."""
    found = len(output) if output.ndim else 0
    if found < len(batch.rows):
        hint = "An output must have one entry for each row, whatever other rows run beside it; export the model again."
        message = f"In training the model gives {found} answers to {len(batch.rows)} rows."
        raise EngineError("output_does_not_run", message, hint)
    return output[: len(batch.rows)].float()


def _refuse_other_forms(scores: Tensor, batch: Batch) -> None:
    """A language model has scores of tokens behind each of its input_ids; raises EngineError (loss_does_not_fit)."""
    ids = batch.feed.get("input_ids")
    if ids is None or scores.ndim != 3 or scores.shape[1] != ids.shape[1]:
        hint = "Give the plan of the model's own task, or a model that takes input_ids and gives [rows, tokens, vocabulary]."
        raise EngineError("loss_does_not_fit", "The model gives no scores of a next token for its input_ids.", hint)


def taught_of(batch: Batch, name: str, shape: Sequence[int] | None = None) -> Tensor:
    """What the teacher said under a name, of this shape; raises EngineError (teacher_does_not_fit)."""
    if name not in batch.taught:
        known = ", ".join(sorted(batch.taught)) or "none"
        hint = "Give a teacher whose outputs have the names of the student's."
        message = f"The teacher said nothing of {name!r}; its answers are: {known}."
        raise EngineError("teacher_does_not_fit", message, hint)
    found = batch.taught[name]
    if shape is not None and tuple(found.shape) != tuple(shape):
        hint = "Give a teacher whose outputs have the sizes of the student's."
        message = f"The teacher's {name!r} is {list(found.shape)} where the student's is {list(shape)}."
        raise EngineError("teacher_does_not_fit", message, hint)
    return found


def positions_of(batch: Batch, output: Tensor) -> Tensor | None:
    """Which positions of an output are no padding, [rows, tokens]; None where it has no axis of tokens."""
    mask = batch.feed.get("attention_mask")
    if mask is None or output.ndim <= _MATRIX or output.shape[1] != mask.shape[1]:
        return None
    return mask[: len(output)] != 0
