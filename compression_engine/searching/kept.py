"""Of every row, how much of the original's answer a child keeps; and by which measure a model is to be judged.

Rules:
- classes: the same first choice; along whole sequences where rows belong to such (their numbers stand beside the rows);
- embeddings and anything that points somewhere: the cosine; strings of symbols: exactly the same string; language models: the same
  next token, over all tokens; numbers: the squared difference in variances of the original's answers;
- without a plan rows of unit length are embeddings, one number is a number, shares that add up to 1 are classes; whatever else has
  to keep both the cosine and the first choice;
- rows that the original answers with NaN or infinity are no yardstick; a child that does so on any other row is refused.
The measures are those of `measure`, which say the same of the chosen child in its result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import PARENT, VERSION, Field, Outputs
from compression_engine.errors import EngineError, OutputRefused
from compression_engine.measure import agreement, decoding, language, retrieval, scores
from compression_engine.measure.probabilities import look_like_probabilities
from compression_engine.measure.statistics.intervals import Floats
from compression_engine.plan import Plan
from compression_engine.searching.budget import QUALITY

_EMBEDDING_WIDTH = 32
_UNIT_LENGTH_TOLERANCE = 1e-2
_NEIGHBOUR_ROWS_MAX = 5000
_BY_TASK = {
    "classification": ("top1_agreement",),
    "embedding": ("cosine_mean",),
    "language-model": ("top1_agreement",),
    "regression": ("variance_kept",),
    "sequence": ("decoded_agreement",),
}
OF_LABELS = ("accuracy", "recall_at_1", "exact_match", "token_accuracy")
"""What says of a row whether it is answered rightly, by the labels."""


@dataclass(frozen=True)
class Kept:
    """sum(values) / sum(weights) over rows is the figure; a row with the weight 0 does not count. [rows] all.

    `counted`: values are numbers of things that were kept or not (0 or 1, or tokens), of which equal rows are no certainty.
    """

    measure: str
    values: Floats
    weights: Floats
    counted: bool
    sequences: NDArray[np.int64] | None


def measures_for(parent: Outputs, plan: Plan) -> tuple[str, ...]:
    """By which measures a model is judged; `parent` are its own answers (as `version`). Raises EngineError (budget_invalid)."""
    if plan.task in _BY_TASK:
        return _BY_TASK[plan.task]
    flat = parent.answer(VERSION).matrix()
    if flat is None or parent.answer(VERSION).values.ndim > 2:
        return ("cosine_mean",)
    if flat.shape[1] == 1:
        return ("variance_kept",)
    lengths = np.linalg.norm(flat.astype(np.float64), axis=1)
    if flat.shape[1] >= _EMBEDDING_WIDTH and bool(np.all(np.abs(lengths - 1) < _UNIT_LENGTH_TOLERANCE)):
        return ("cosine_mean",)
    return ("top1_agreement",) if look_like_probabilities(flat) else ("cosine_mean", "top1_agreement")


def beside(child: Outputs, parent: Outputs) -> Outputs:
    """The answers of both to the same rows, under their roles."""
    models = {VERSION: child.models[VERSION], PARENT: parent.models[VERSION]}
    return Outputs(models, parent.labels, parent.slices, parent.sequences)


def kept(measure: str, both: Outputs, plan: Plan) -> Kept:
    """What is kept of each row. Raises OutputRefused (output_not_finite), EngineError (budget_invalid), DataError."""
    if plan.task == "language-model" and measure != QUALITY:
        return _tokens(measure, both)
    if not agreement.same_form(both, PARENT):
        raise OutputRefused("output_does_not_run", "Its answers have another form than the original's.", "Use another.")
    usable = _finite(both)
    values, counted = _values(measure, both, plan)
    return Kept(measure, np.where(usable, values, 0.0), usable.astype(np.float64), counted, both.sequences)


def usable_rows(parent: Outputs, plan: Plan) -> NDArray[np.bool_]:
    """Which of the original's answers (as `version`) are a yardstick, so that their rows count: finite ones, texts with tokens."""
    if plan.task == "language-model":
        offsets = parent.models[VERSION][scores.TOKEN_NLL].offsets
        return np.ones(len(parent), dtype=bool) if offsets is None else np.asarray(np.diff(offsets) > 0)
    return _rows_finite(parent.answer(VERSION))


def distortion(child: Outputs, parent: Outputs, plan: Plan) -> float:
    """How far answers moved, as a share of their size: fine enough to order weights by on few rows. Infinite where one is NaN."""
    name = scores.TOKEN_NLL if plan.task == "language-model" else None
    ours, theirs = ((side.models[VERSION][name] if name else side.answer(VERSION)) for side in (child, parent))
    size = float(np.abs(theirs.values.astype(np.float64)).mean())
    moved = float(np.mean(agreement.difference_rows(ours, theirs)))
    return moved / size if size and np.isfinite(moved) else (0.0 if moved == 0 else float("inf"))


def _values(measure: str, both: Outputs, plan: Plan) -> tuple[Floats, bool]:
    if measure == QUALITY:
        return _quality(both, plan), False
    ours, theirs = both.answer(VERSION), both.answer(PARENT)
    if measure == "cosine_mean":
        pairs = (([field.row(index) for index in range(len(field))]) for field in (ours, theirs))
        return agreement.cosine_rows(*pairs), False
    if measure == "top1_agreement":
        if plan.task == "classification":
            found = (scores.predicted(both, role, plan) for role in (VERSION, PARENT))
        else:
            found = (scores.matrix(field, "scores").argmax(axis=1) for field in (ours, theirs))
        return np.equal(*found).astype(np.float64), True
    if measure == "nearest_neighbour_kept":
        return _neighbours(ours, theirs), True
    if measure == "decoded_agreement":
        read = [[decoding.collapsed(row, plan.blank) for row in decoding.best_symbols(f, plan)] for f in (ours, theirs)]
        return np.array([float(a == b) for a, b in zip(*read, strict=True)]), True
    return _of_numbers(*(scores.matrix(field, "numbers").astype(np.float64) for field in (ours, theirs))), False


def _of_numbers(ours: Floats, theirs: Floats) -> Floats:
    """1 less the squared difference in variances; of what is always the same number, in squares of that number."""
    known = theirs[np.isfinite(theirs).all(axis=1)]
    spread, size = known.var(axis=0), np.square(known).mean(axis=0)
    unit = np.where(spread > 0, spread, np.where(size > 0, size, 1.0))
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(1 - (np.square(ours - theirs) / unit).mean(axis=1))


def _neighbours(ours: Field, theirs: Field) -> Floats:
    if not 3 <= len(ours) <= _NEIGHBOUR_ROWS_MAX:
        message = f"Neighbours are looked for among {len(ours)} rows."
        raise EngineError("budget_invalid", message, f"Give 3 to {_NEIGHBOUR_ROWS_MAX:,} rows, or use cosine_mean.")
    a, b = (retrieval.nearest(scores.matrix(field, "embeddings"), 1) for field in (ours, theirs))
    return np.asarray(a[:, 0] == b[:, 0], dtype=np.float64)


def _quality(both: Outputs, plan: Plan) -> Floats:
    """How much better than the original a row is answered by its label: -1, 0 or 1, or shares of tokens."""
    found = [scores.per_sample(both, role, plan) for role in (VERSION, PARENT)]
    name = next((name for name in OF_LABELS if name in found[0]), None)
    if name is None:
        hint = "Give a plan with a task of classes, embeddings, sequences or language, and its labels."
        raise EngineError("budget_invalid", "There is nothing by which an answer is right or wrong.", hint)
    return found[0][name] - found[1][name]


def _tokens(measure: str, both: Outputs) -> Kept:
    if measure != "top1_agreement":
        hint = "Use top1_agreement: the same next token."
        raise EngineError("budget_invalid", f"{measure} is not known of a language model.", hint)
    ours, theirs = (both.models[role][language.TOP1] for role in (VERSION, PARENT))
    same = Field((ours.values == theirs.values).astype(np.float64), ours.offsets)
    sums, counts = language.tokens_of(same).sums(None)
    broken = ~np.isfinite(both.models[VERSION][scores.TOKEN_NLL].values.astype(np.float64))
    if bool(broken.any()):
        raise _not_finite(int(broken.sum()), "tokens")
    return Kept(measure, sums, counts.astype(np.float64), True, both.sequences)


def _finite(both: Outputs) -> NDArray[np.bool_]:
    theirs, ours = (_rows_finite(both.answer(role)) for role in (PARENT, VERSION))
    if bool((theirs & ~ours).any()):
        raise _not_finite(int((theirs & ~ours).sum()), "rows")
    return theirs


def _rows_finite(field: Field) -> NDArray[np.bool_]:
    flat = field.matrix()
    if flat is not None:
        return np.asarray(np.isfinite(flat).all(axis=1))
    return np.array([bool(np.isfinite(field.row(index)).all()) for index in range(len(field))], dtype=bool)


def _not_finite(count: int, what: str) -> OutputRefused:
    return OutputRefused("output_not_finite", f"It answers {count} {what} with NaN or infinity.", "Use another recipe.")
