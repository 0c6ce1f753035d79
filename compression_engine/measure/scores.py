"""How good each single answer is, so that two models can be compared row by row.

Rules:
- every array has one entry a row, in the order of the rows, and holds no NaN: rows of two models pair up by index;
- labels are class indices or names of `plan.classes`, numbers, token ids, or texts over the plan's alphabet; what does not fit
  is refused by number of rows, not guessed;
- whether scores are logits or probabilities is decided once for all models, by the parent where there is one; a plan that
  says what its answers surely are not is refused; one that is likely wrong (one column of logits that all lie in 0..1) is told;
- what has no reading as better or worse (a length) is not in `higher_is_better`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import PARENT, VERSION, Array, Field, Outputs
from compression_engine.errors import DataError
from compression_engine.measure import decoding
from compression_engine.measure.probabilities import Logits, Probabilities, look_like_probabilities
from compression_engine.measure.retrieval import hits_at
from compression_engine.measure.statistics.intervals import Floats
from compression_engine.plan import Plan

TOKEN_NLL, TOKEN_CORRECT, TOKEN_COUNT = "token_nll", "token_correct", "token_count"
_SUM_TOLERANCE = 1e-2

higher_is_better: Mapping[str, bool] = {
    "absolute_error": False,
    "accuracy": True,
    "edit_distance": False,
    "exact_match": True,
    "recall_at_1": True,
    "squared_error": False,
    "token_accuracy": True,
    TOKEN_NLL: False,
}


def per_sample(outputs: Outputs, role: str, plan: Plan) -> dict[str, Floats]:
    """For each sample-wise metric of the task [rows]; empty where the task has none or the rows have no labels.

    classification: accuracy (0 or 1). regression: absolute_error, squared_error (mean over a row's entries). embedding:
    recall_at_1. sequence: exact_match, edit_distance, label_length. language-model: token_nll (mean, nats), token_accuracy,
    token_count (0 where a text has nothing to predict; its means are 0 then), the text itself being the label. Raises DataError
    (data_does_not_fit) where labels do not fit the answers.
    """
    if plan.task == "language-model":
        return _of_tokens(outputs, role)
    if outputs.labels is None:
        return {}
    if plan.task == "classification":
        return {"accuracy": (predicted(outputs, role, plan) == labels(outputs, plan)).astype(np.float64)}
    if plan.task == "regression":
        errors = residuals(outputs, role)
        return {"absolute_error": np.abs(errors).mean(axis=1), "squared_error": np.square(errors).mean(axis=1)}
    if plan.task == "embedding":
        return {"recall_at_1": hits_at(matrix(outputs.answer(role), "embeddings"), groups(outputs), (1,))[1]}
    if plan.task == "sequence":
        found, right = decoding.decoded(outputs.answer(role), plan), decoding.label_sequences(outputs.labels, plan)
        distances = decoding.edit_distances(found, right)
        return {
            "edit_distance": distances,
            "exact_match": (distances == 0).astype(np.float64),
            "label_length": np.array([len(row) for row in right], dtype=np.float64),
        }
    return {}


def predicted(outputs: Outputs, role: str, plan: Plan) -> NDArray[np.intp]:
    """Classification: the index of the class with the largest score, the first of equal ones; [rows].

    One column is the score of class 1 of two, which is chosen from a probability of one half on.
    """
    scores = matrix(outputs.answer(role), "scores")
    if scores.shape[1] > 1:
        return np.asarray(scores.argmax(axis=1), dtype=np.intp)
    threshold = 0.5 if are_probabilities(outputs, plan) else 0.0
    return (scores[:, 0] >= threshold).astype(np.intp)


def labels(outputs: Outputs, plan: Plan) -> NDArray[np.intp]:
    """Classification: the index of the right class of each row; [rows]."""
    if outputs.labels is None:
        raise _unfit("The rows have no labels.", "Name the column of the labels in the plan.")
    values = _one_a_row(outputs.labels)
    count = class_count(outputs)
    found = _by_name(values, plan.classes) if values.dtype.kind in "USO" else _whole(values)
    outside = int(((found < 0) | (found >= count)).sum())
    if outside:
        hint = f"Give a class index from 0 to {count - 1}, or a name that the plan lists under classes."
        raise _unfit(f"The labels of {outside} of {len(found)} rows are none of the {count} classes.", hint)
    return found


def probabilities(outputs: Outputs, role: str, plan: Plan) -> Probabilities:
    """Classification, of every row and class: the answer itself, the softmax of logits, or a pair made of one column."""
    scores = matrix(outputs.answer(role), "scores")
    if role == _reference(outputs):
        _as_declared(scores, plan)
    return Probabilities(scores, given=are_probabilities(outputs, plan))


def logits(outputs: Outputs, role: str, plan: Plan) -> Logits:
    """Classification: the logits themselves, or scores whose softmax the probabilities are; one column as a pair."""
    scores = matrix(outputs.answer(role), "scores")
    given = are_probabilities(outputs, plan)
    if given and role == _reference(outputs):
        _as_declared(scores, plan)
    return Logits(scores, given=given)


def are_probabilities(outputs: Outputs, plan: Plan) -> bool:
    """Whether the answers are probabilities: what the plan says, else whether the parent's rows look like it."""
    if plan.scores is not None:
        return plan.scores == "probabilities"
    return look_like_probabilities(matrix(outputs.answer(_reference(outputs)), "scores"))


def _reference(outputs: Outputs) -> str:
    """The role whose answers show what kind of scores these are: a child may be broken, what it came from is not."""
    return PARENT if PARENT in outputs.models else VERSION


def _as_declared(scores: Array, plan: Plan) -> None:
    """DataError where the scores are surely not what the plan calls them: confidence and log loss would be of nothing."""
    if plan.scores == "probabilities":
        low, high = float(scores.min(initial=0.0)), float(scores.max(initial=0.0))
        if low < -_SUM_TOLERANCE or high > 1 + _SUM_TOLERANCE:
            message = f"The plan says that the scores are probabilities, and they reach from {low:.3g} to {high:.3g}."
            raise _unfit(
                message, 'Write "scores": "logits", or leave \'scores\' out: it is then taken from the answers.'
            )
    elif plan.scores == "logits" and scores.shape[1] > 1 and look_like_probabilities(scores):
        message = "The plan says that the scores are logits, and those of every row are shares that add up to 1."
        hint = 'Write "scores": "probabilities", or leave \'scores\' out: it is then taken from the answers.'
        raise _unfit(message, hint)


def doubted(outputs: Outputs, plan: Plan) -> str | None:
    """Why the plan is likely wrong about the scores; None where it says nothing of them, or nothing speaks against it.

    A single column of logits that all lie in 0..1 makes every row class 1: they may be so, but are more likely probabilities.
    """
    if plan.task != "classification" or plan.scores != "logits":
        return None
    column = outputs.answer(_reference(outputs)).matrix()
    if column is None or column.shape[1] != 1 or not look_like_probabilities(column):
        return None
    return "logits that all lie in 0..1"


def class_count(outputs: Outputs) -> int:
    """How many classes the version answers; one column stands for two."""
    return max(2, int(matrix(outputs.answer(VERSION), "scores").shape[1]))


def residuals(outputs: Outputs, role: str) -> Floats:
    """Regression: answer minus label, [rows, entries] in float64."""
    answers = matrix(outputs.answer(role), "numbers").astype(np.float64)
    right = targets(outputs)
    if answers.shape != right.shape:
        message = f"The model answers {answers.shape[1]} numbers a row, the labels hold {right.shape[1]}."
        raise _unfit(message, "Give one label for each number that the model answers.")
    return answers - right


def targets(outputs: Outputs) -> Floats:
    """Regression: the labels, [rows, entries] in float64."""
    if outputs.labels is None or outputs.labels.values.dtype.kind not in "biuf":
        raise _unfit("The labels are no numbers.", "Name a column of numbers as the label.")
    found = matrix(outputs.labels, "labels").astype(np.float64)
    missing = int((~np.isfinite(found).all(axis=1)).sum())
    if missing:
        raise _unfit(f"The labels of {missing} of {len(found)} rows are no finite numbers.", "Leave these rows out.")
    return found


def groups(outputs: Outputs) -> NDArray[np.intp]:
    """Embedding: a number for each distinct label, [rows]; equal labels make rows relevant to each other."""
    if outputs.labels is None:
        raise _unfit("The rows have no labels.", "Name the column of the labels in the plan.")
    return np.unique(_one_a_row(outputs.labels), return_inverse=True)[1].astype(np.intp).reshape(-1)


def matrix(field: Field, what: str) -> Array:
    """[rows, entries]; raises DataError where rows differ in length."""
    found = field.matrix()
    if found is None:
        message = f"The {what} of the rows differ in length."
        raise _unfit(message, "Choose an output with the same number of entries for every row, or another task.")
    return found


def _of_tokens(outputs: Outputs, role: str) -> dict[str, Floats]:
    fields = outputs.models[role]
    return {
        TOKEN_NLL: _row_means(fields[TOKEN_NLL]),
        "token_accuracy": _row_means(fields[TOKEN_CORRECT]),
        TOKEN_COUNT: _row_sizes(fields[TOKEN_NLL]),
    }


def _row_means(field: Field) -> Floats:
    rows = (field.row(index).astype(np.float64) for index in range(len(field)))
    return np.array([row.mean() if row.size else 0.0 for row in rows])


def _row_sizes(field: Field) -> Floats:
    return np.array([float(field.row(index).size) for index in range(len(field))])


def _one_a_row(field: Field) -> Array:
    values = matrix(field, "labels")
    if values.shape[1] != 1:
        raise _unfit(f"The labels hold {values.shape[1]} entries a row.", "Give one label a row.")
    return values[:, 0]


def _by_name(values: Array, classes: Sequence[str]) -> NDArray[np.intp]:
    numbers = {name: index for index, name in enumerate(classes)}
    return np.array([numbers.get(str(value), -1) for value in values.tolist()], dtype=np.intp)


def _whole(values: Array) -> NDArray[np.intp]:
    if values.dtype.kind not in "biuf":
        raise _unfit(f"The labels are {values.dtype}.", "Give class indices or names of classes.")
    if values.dtype.kind == "f":
        # a label that is missing or not whole becomes one that no class has
        values = np.where(np.isfinite(values) & (values == np.floor(values)), values, -1)
    return values.astype(np.intp)


def _unfit(message: str, hint: str) -> DataError:
    return DataError("data_does_not_fit", message, hint)
