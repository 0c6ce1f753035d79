"""What is left of a model's answers when its inputs are damaged, beside its parent on the same damaged rows.

Rules:
- some rows, the same for every corruption and for both models, drawn by the seed; of a recurrent model the
  beginnings of sequences; how many, n says;
- with labels the task's own score is taken; without, whether a model keeps to what it answered before the damage;
- what cannot be damaged is said with the reason; rows that a model answers with NaN are left out, and counted in the facts.
Source: Hendrycks and Dietterich 2019; the damages are in `corruptions`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from compression_engine.measure import scores
from compression_engine.measure.context import Context, Found
from compression_engine.measure.corruptions.damaging import KINDS, SEVERITIES, Damage, damage_for, modality_of
from compression_engine.measure.corruptions.loss import Cell, Scored, figures
from compression_engine.measure.running import answered
from compression_engine.measure.statistics.intervals import Floats
from compression_engine.outputs import PARENT, VERSION, Array, Field, Outputs
from compression_engine.plan import Plan
from compression_engine.result import Measurement

METHOD = "answers_on_corrupted_rows"
KIND = STAGE = "robustness"
_RUNS = ((1_000_000, 20_000), (20_000_000, 6_000), (None, 2_000))
"""How many rows a model answers in all, by the bytes that the largest of the models has at most."""
_ROWS_MOST = 1000
_SEQUENCES_MOST = 50
_BY_LABEL = {
    "classification": "accuracy",
    "regression": "absolute_error",
    "embedding": "recall_at_1",
    "sequence": "exact_match",
}


@dataclass(frozen=True)
class _Score:
    """What is taken of each row: name, unit, and how it is had from the answers of a role to damaged rows."""

    metric: str
    unit: str
    of: Callable[[Outputs, str], Floats]
    by_label: bool = False

    @property
    def higher_is_better(self) -> bool:
        return scores.higher_is_better.get(self.metric, self.unit != "output_unit")


def measure(context: Context) -> list[Found]:
    """Answers on damaged rows by corruption and severity; needs the models, and rows that can be damaged.

    Units: share, cosine or output_unit. Language models are left out: damaged text is its own label.
    """
    encoder, plan = context.encoder, context.plan
    if encoder is None or VERSION not in context.models or plan.task == "language-model":
        return []
    modality = modality_of(encoder, plan)
    if modality is None or len(encoder.rows) != len(context.outputs):
        return []
    chosen = _chosen(context, len(KINDS[modality]) * len(SEVERITIES))
    clean = subset(context.outputs, chosen)
    score = _score(clean, plan)
    if score is None:
        return []
    damage = damage_for(encoder.only(chosen), plan, chosen, clean.sequences, context.seed, modality)
    facts = [("corrupted_rows", str(len(chosen))), ("modality", modality)]
    if damage.reason is not None:
        plain = f"How the model stands damage was not measured: {damage.reason}."
        missing = Measurement(score.metric, None, score.unit, 0, plain, reason=damage.reason)
        return [Found(KIND, METHOD, [missing], facts=facts)]
    scored, lost = _finite(_scored(context, damage, clean, score))
    if lost:
        facts.append(("rows_answered_with_nan", str(lost)))
    return [Found(KIND, METHOD, figures(scored, context.seed), seed=context.seed, facts=facts)]


def subset(outputs: Outputs, rows: Array) -> Outputs:
    """The answers to some rows, with their labels and sequences."""
    models = {
        role: {name: _taken(held, rows) for name, held in fields.items()} for role, fields in outputs.models.items()
    }
    labels = None if outputs.labels is None else _taken(outputs.labels, rows)
    return Outputs(models, labels, sequences=None if outputs.sequences is None else outputs.sequences[rows])


def _chosen(context: Context, runs_a_row: int) -> Array:
    """The rows that are damaged, ascending."""
    total = len(context.outputs)
    size_bytes = max(
        (context.paths[role].stat().st_size for role in context.models if role in context.paths), default=0
    )
    runs = next(runs for most, runs in _RUNS if most is None or size_bytes <= most)
    wanted = max(1, min(total, _ROWS_MOST, runs // runs_a_row))
    if context.outputs.sequences is None:
        return np.sort(np.random.default_rng(context.seed).choice(total, size=wanted, replace=False))
    return beginnings(context.outputs.sequences, wanted)


def beginnings(sequences: Array, wanted: int) -> Array:
    """About so many rows: the beginnings of up to 50 sequences, evenly spread, all cut at one length.

    A row's answer depends on no later row, and an interval needs sequences rather than rows.
    """
    numbers, starts, lengths = np.unique(sequences, return_index=True, return_counts=True)
    chosen = np.unique(np.linspace(0, len(numbers) - 1, min(len(numbers), _SEQUENCES_MOST)).astype(np.intp))
    length = max(1, wanted // len(chosen))
    return np.concatenate([np.arange(starts[at], starts[at] + min(length, int(lengths[at]))) for at in chosen])


def _scored(context: Context, damage: Damage, clean: Outputs, score: _Score) -> Scored:
    models = {role: context.models[role] for role in (VERSION, PARENT) if role in context.models}
    cells = [(name, severity) for name in damage.names for severity in SEVERITIES]
    damaged: dict[Cell, dict[str, Floats]] = {}
    for done, (name, severity) in enumerate(cells):
        context.progress(STAGE, done, len(cells), f"{name.replace('_', ' ')} of severity {severity}")
        outputs = answered(models, damage.damaged(name, severity), context.plan)
        damaged[name, severity] = {role: score.of(outputs, role) for role in models}
    context.progress(STAGE, len(cells), len(cells), "damaged rows answered")
    before = {role: score.of(clean, role) for role in models} if score.by_label else None
    return Scored(score.metric, score.unit, score.higher_is_better, damaged, before, clean.sequences)


def _finite(scored: Scored) -> tuple[Scored, int]:
    """Without rows that some model answered with NaN, and how many these were."""
    columns = [values for cell in scored.damaged.values() for values in cell.values()] + list(
        (scored.clean or {}).values()
    )
    good = np.isfinite(columns).all(axis=0)
    if good.all() or not good.any():
        return scored, 0
    damaged = {cell: {role: values[good] for role, values in found.items()} for cell, found in scored.damaged.items()}
    clean = None if scored.clean is None else {role: values[good] for role, values in scored.clean.items()}
    sequences = None if scored.sequences is None else scored.sequences[good]
    return replace(scored, damaged=damaged, clean=clean, sequences=sequences), int((~good).sum())


def _score(clean: Outputs, plan: Plan) -> _Score | None:
    """The task's own score where there are labels, else how much stays of the answer; None where neither can be had."""
    if clean.labels is not None and plan.task in _BY_LABEL:
        metric = _BY_LABEL[plan.task]
        unit = "output_unit" if plan.task == "regression" else "share"
        return _Score(metric, unit, lambda outputs, role: scores.per_sample(outputs, role, plan)[metric], by_label=True)
    if clean.answer(VERSION).offsets is not None:
        return None
    if plan.task == "classification":
        before = {role: scores.predicted(clean, role, plan) for role in clean.models}
        return _Score(
            "agreement",
            "share",
            lambda outputs, role: (scores.predicted(outputs, role, plan) == before[role]).astype(np.float64),
        )
    if scores.matrix(clean.answer(VERSION), "answers").shape[1] == 1:
        return _Score("answer_shift", "output_unit", lambda outputs, role: _shift(outputs, clean, role))
    return _Score("cosine", "cosine", lambda outputs, role: _cosine(outputs, clean, role))


def _shift(outputs: Outputs, clean: Outputs, role: str) -> Floats:
    after, before = (scores.matrix(held.answer(role), "answers")[:, 0].astype(np.float64) for held in (outputs, clean))
    return np.abs(after - before)


def _cosine(outputs: Outputs, clean: Outputs, role: str) -> Floats:
    """Cosine of each answer to that before the damage; an answer of zeros has none with anything, and counts as 0."""
    after, before = (scores.matrix(held.answer(role), "answers").astype(np.float64) for held in (outputs, clean))
    lengths = np.linalg.norm(after, axis=1) * np.linalg.norm(before, axis=1)
    products = (after * before).sum(axis=1)
    cosines: Floats = np.divide(products, lengths, out=np.zeros_like(products), where=lengths != 0)
    return cosines


def _taken(held: Field, rows: Array) -> Field:
    if held.offsets is None:
        return Field(np.asarray(held.values[rows]))
    lengths = np.diff(held.offsets)[rows]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Field(np.concatenate([held.row(int(row)) for row in rows]), offsets)
