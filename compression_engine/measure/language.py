"""What is kept of a causal language model's answers: a few numbers a token, since whole logits would not fit on a disk.

Rules:
- the token at place t + 1 is judged by the scores at place t; padding is neither judged nor judges;
- entry i of a row's arrays rests on i + 1 tokens of context;
- comparisons with another model are made while both models' scores are at hand and stand with the version, by its role.
Divergences are in nats; KL is that of the version from the other model (other || version).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import ANSWER, VERSION, Array, Field
from compression_engine.errors import DataError
from compression_engine.measure.figures import doubling_spans
from compression_engine.measure.scores import TOKEN_CORRECT, TOKEN_NLL
from compression_engine.measure.statistics.divergence import jensen_shannon, kullback_leibler, log_softmax, logarithms
from compression_engine.measure.statistics.intervals import Floats
from compression_engine.plan import Plan

TOP1 = "top1"
_IDS, _MASK = "input_ids", "attention_mask"
_NO_TOKENS = (_MASK, "position_ids", "token_type_ids")


def kl_to(role: str) -> str:
    """The version's field of KL divergences from another model's next-token distribution, one a token."""
    return f"kl_to_{role}"


def js_to(role: str) -> str:
    """The version's field of Jensen-Shannon divergences, one a token."""
    return f"js_to_{role}"


def cosine_to(role: str) -> str:
    """The version's field of cosines of all scores of a row, one a row."""
    return f"cosine_to_{role}"


def difference_to(role: str) -> str:
    """The version's field of largest differences of any score of a row, one a row."""
    return f"difference_to_{role}"


def reduce_batch(
    logits: Mapping[str, Array], feed: Mapping[str, Array], plan: Plan
) -> dict[str, dict[str, list[Array]]]:
    """By role and field one array for each row of the batch, rows that only fill it up included.

    `logits`: [batch, tokens, vocabulary] for each role over the same `feed` (token ids as `input_ids`, or the only two-dimensional
    integers; `attention_mask` where rows are padded). Fields: `answer` [1] (mean log probability of the text), and one entry for
    each predicted token: `token_nll`, `token_correct`, `top1`; the version's also hold `kl_to_<role>`, `js_to_<role>` (tokens) and
    `cosine_to_<role>`, `difference_to_<role>` ([1]) for each other role with the same vocabulary. Raises DataError.
    """
    found: dict[str, dict[str, list[Array]]] = {role: {} for role in logits}
    ids = _token_ids(logits[VERSION], feed)
    mask = feed.get(_MASK)
    for row in range(len(ids)):
        real = np.flatnonzero(mask[row, -ids.shape[1] :]) if mask is not None else np.arange(ids.shape[1])
        scores = {role: _log_probabilities(array[row, real], plan) for role, array in logits.items()}
        for role, logs in scores.items():
            _add(found[role], _alone(logs, ids[row, real]))
        for role, logs in scores.items():
            if role != VERSION and logs.shape == scores[VERSION].shape:
                raw = logits[VERSION][row, real], logits[role][row, real]
                _add(found[VERSION], _compared(role, scores[VERSION], logs, *raw))
    return found


@dataclass(frozen=True)
class Tokens:
    """One number for each predicted token of each row, flat."""

    values: Floats
    rows: NDArray[np.intp]
    context: NDArray[np.intp]
    """How many tokens the model had seen before, from 1."""
    count: int

    def chosen(self, span: tuple[int, int] | None) -> NDArray[np.bool_]:
        """Which tokens have a context within the span, ends included."""
        if span is None:
            return np.ones(len(self.values), dtype=bool)
        return (self.context >= span[0]) & (self.context <= span[1])

    def sums(self, span: tuple[int, int] | None) -> tuple[Floats, NDArray[np.intp]]:
        """Sum and number of the tokens of each row; [rows] both."""
        kept = self.chosen(span)
        totals = np.bincount(self.rows[kept], weights=self.values[kept], minlength=self.count).astype(np.float64)
        return totals, np.bincount(self.rows[kept], minlength=self.count)


def tokens_of(field: Field) -> Tokens:
    """A field of one number a token, with the row and the context of each."""
    if field.offsets is None:
        lengths = np.full(len(field), int(np.prod(field.values.shape[1:], dtype=np.int64)))
    else:
        lengths = np.diff(field.offsets)
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1])) if len(lengths) else np.zeros(0, dtype=np.int64)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    context = np.arange(int(lengths.sum())) - np.repeat(starts, lengths) + 1
    return Tokens(field.values.reshape(-1).astype(np.float64), rows, context, len(lengths))


def context_bins(tokens: Tokens) -> list[tuple[int, int]]:
    """1-32, 33-64, 65-128 and so on, doubling, as far as there are tokens."""
    return doubling_spans(int(tokens.context.max(initial=0)))


def _alone(logs: Floats, ids: Array) -> dict[str, Array]:
    following = ids[1:].astype(np.intp)
    if len(following) and not 0 <= int(following.min()) <= int(following.max()) < logs.shape[1]:
        message = f"A token has the number {int(following.max())}, the model scores {logs.shape[1]} tokens."
        raise DataError("data_does_not_fit", message, "Use the tokenizer that belongs to the model.")
    loss = -logs[np.arange(len(following)), following]
    top = logs[: len(following)].argmax(axis=1)
    return {
        ANSWER: np.array([-loss.mean() if len(loss) else 0.0], dtype=np.float32),
        TOKEN_NLL: loss.astype(np.float32),
        TOKEN_CORRECT: (top == following).astype(np.uint8),
        TOP1: top.astype(np.int32),
    }


def _compared(role: str, ours: Floats, theirs: Floats, our_scores: Array, their_scores: Array) -> dict[str, Array]:
    judged = max(0, len(ours) - 1)
    a, b = our_scores.astype(np.float64).reshape(-1), their_scores.astype(np.float64).reshape(-1)
    lengths = float(np.sqrt(np.square(a).sum()) * np.sqrt(np.square(b).sum()))
    cosine = float((a * b).sum()) / lengths if lengths else float(np.array_equal(a, b))
    return {
        kl_to(role): kullback_leibler(theirs[:judged], ours[:judged]).astype(np.float32),
        js_to(role): jensen_shannon(theirs[:judged], ours[:judged]).astype(np.float32),
        cosine_to(role): np.array([min(1.0, cosine)]),
        difference_to(role): np.array([np.abs(a - b).max(initial=0.0)], dtype=np.float32),
    }


def _log_probabilities(scores: Array, plan: Plan) -> Floats:
    wide = scores.astype(np.float64)
    if plan.scores == "probabilities":
        return logarithms(wide)
    return log_softmax(wide)


def _token_ids(logits: Array, feed: Mapping[str, Array]) -> Array:
    hint = "A language model gives [batch, tokens, vocabulary] for token ids [batch, tokens]; name that output in the plan."
    if logits.ndim != 3:
        message = f"The judged output has {logits.ndim} axes, so it does not score every token."
        raise DataError("data_does_not_fit", message, hint)
    fitting = [name for name, array in feed.items() if array.shape == logits.shape[:2] and array.dtype.kind in "iu"]
    names = [name for name in fitting if name == _IDS] or [name for name in fitting if name not in _NO_TOKENS]
    if not names:
        raise DataError("data_does_not_fit", "No input holds the token ids that the output scores.", hint)
    if len(names) > 1:
        message = f"The inputs {', '.join(names)} could all be the token ids that the output scores."
        raise DataError("data_does_not_fit", message, f"Call the input of the model that takes them {_IDS}.")
    return feed[names[0]]


def _add(fields: dict[str, list[Array]], row: Mapping[str, Array]) -> None:
    for name, array in row.items():
        fields.setdefault(name, []).append(array)
