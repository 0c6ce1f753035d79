"""What is taken of each row's answer, so that answers before and after damage can be compared row by row.

Rules:
- with labels it is the task's own score; without, whether a model keeps to what it answered before the damage;
- a language model's text is its own label: nats a token, as the mean of a text, and the share of first choices that are those of
  the model that it is compared with. Damaged text is harder to foretell for everybody: what counts is the loss beyond the other's;
- an answer that is no number is a wrong one: it counts as 0 among shares and cosines; an error without bounds cannot be told
  then, and is NaN; so is every score of a row that was answered with no number before the damage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import VERSION, Field, Outputs
from compression_engine.measure import language, scores
from compression_engine.measure.finite import broken_rows
from compression_engine.measure.statistics.intervals import Floats
from compression_engine.plan import Plan

_BY_LABEL = {
    "classification": "accuracy",
    "regression": "absolute_error",
    "embedding": "recall_at_1",
    "sequence": "exact_match",
}
_BOUNDED = ("share", "cosine")
Table = Mapping[tuple[str, str], Floats]
"""Values [rows] by metric and role."""
Broken = Mapping[str, NDArray[np.bool_]]
"""By role, the rows that were answered with what is no number; [rows]."""


@dataclass(frozen=True)
class RowScore:
    """One score: its metric and unit, how the rows' values are had from answers, and what it is a score of.

    `of(outputs, role)` gives one value a row. `on_clean`: it has a meaning on undamaged rows too. `with_other`: it is a score of
    the version together with that role, which must not be the version.
    """

    metric: str
    unit: str
    of: Callable[[Outputs, str], Floats]
    on_clean: bool = False
    with_other: bool = False

    @property
    def higher_is_better(self) -> bool:
        """Which way round it is good."""
        return scores.higher_is_better.get(self.metric, self.unit != "output_unit")

    def roles(self, given: Sequence[str]) -> list[str]:
        """Those of the roles that it has values for."""
        return [role for role in given if not (self.with_other and role == VERSION)]


def row_scores(clean: Outputs, plan: Plan) -> list[RowScore]:
    """The scores that the task and these answers to undamaged rows allow, the leading one first; none where nothing can be had."""
    if plan.task == "language-model":
        return _of_tokens(clean)
    if clean.labels is not None and plan.task in _BY_LABEL:
        metric = _BY_LABEL[plan.task]
        unit = "output_unit" if plan.task == "regression" else "share"
        return [RowScore(metric, unit, lambda outputs, role: scores.per_sample(outputs, role, plan)[metric], True)]
    if clean.answer(VERSION).offsets is not None:
        return []
    kept = without_broken(clean, plan)[0]
    if plan.task == "classification":
        before = {role: scores.predicted(kept, role, plan) for role in clean.models}
        return [RowScore("agreement", "share", lambda outputs, role: _same(outputs, role, plan, before[role]))]
    if scores.matrix(clean.answer(VERSION), "answers").shape[1] == 1:
        return [RowScore("answer_shift", "output_unit", lambda outputs, role: _shift(outputs, kept, role))]
    return [RowScore("cosine", "cosine", lambda outputs, role: _cosine(outputs, kept, role))]


def scored(outputs: Outputs, wanted: Sequence[RowScore], roles: Sequence[str], plan: Plan) -> tuple[Table, Broken]:
    """Every score of every role, and the rows that each role answered with no number."""
    mended, broken = without_broken(outputs, plan)
    table: dict[tuple[str, str], Floats] = {}
    for score in wanted:
        for role in score.roles(roles):
            wrong = broken[role] | broken[VERSION] if score.with_other else broken[role]
            values = score.of(mended, role)
            table[score.metric, role] = np.where(wrong, 0.0 if score.unit in _BOUNDED else np.nan, values)
    return table, broken


def without_broken(outputs: Outputs, plan: Plan) -> tuple[Outputs, Broken]:
    """The answers with zeros where a row was answered with no number, and which rows those were."""
    broken = {role: broken_rows(outputs, role, plan) for role in outputs.models}
    models = {
        role: fields if not broken[role].any() else {name: _zeroed(held, broken[role]) for name, held in fields.items()}
        for role, fields in outputs.models.items()
    }
    return replace(outputs, models=models), broken


def _zeroed(held: Field, rows: NDArray[np.bool_]) -> Field:
    values = np.array(held.values)
    values[rows if held.offsets is None else np.repeat(rows, np.diff(held.offsets))] = 0
    return Field(values, held.offsets)


def _of_tokens(clean: Outputs) -> list[RowScore]:
    found = [RowScore(scores.TOKEN_NLL, "nat", _nats_a_token, on_clean=True)]
    if any(language.kl_to(role) in clean.models[VERSION] for role in clean.others):
        found.append(RowScore("next_token_agreement", "share", _same_tokens, on_clean=True, with_other=True))
    return found


def _nats_a_token(outputs: Outputs, role: str) -> Floats:
    return _means(outputs.models[role][scores.TOKEN_NLL])


def _same_tokens(outputs: Outputs, role: str) -> Floats:
    ours, theirs = (outputs.models[name][language.TOP1] for name in (VERSION, role))
    return _means(Field((ours.values == theirs.values).astype(np.float64), ours.offsets))


def _means(field: Field) -> Floats:
    """The mean of each row's tokens; NaN for a text without a token to foretell."""
    sums, counts = language.tokens_of(field).sums(None)
    means: Floats = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    return means


def _same(outputs: Outputs, role: str, plan: Plan, before: NDArray[np.intp]) -> Floats:
    same: Floats = (scores.predicted(outputs, role, plan) == before).astype(np.float64)
    return same


def _shift(outputs: Outputs, clean: Outputs, role: str) -> Floats:
    after, before = (scores.matrix(held.answer(role), "answers")[:, 0].astype(np.float64) for held in (outputs, clean))
    return np.abs(after - before)


def _cosine(outputs: Outputs, clean: Outputs, role: str) -> Floats:
    """Cosine of each answer to that before the damage; an answer of zeros has none with anything, and counts as 0."""
    after, before = (held.answer(role).matrix() for held in (outputs, clean))
    if after is None or before is None or after.shape != before.shape:
        # the damaged text gave an answer of another length: no row can be held against what it was
        return np.full(len(outputs), np.nan)
    after, before = after.astype(np.float64), before.astype(np.float64)
    lengths = np.linalg.norm(after, axis=1) * np.linalg.norm(before, axis=1)
    products = (after * before).sum(axis=1)
    cosines: Floats = np.divide(products, lengths, out=np.zeros_like(products), where=lengths != 0)
    return cosines
