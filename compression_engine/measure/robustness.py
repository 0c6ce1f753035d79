"""What is left of a model's answers when its inputs are damaged, beside its parent and the incumbent on the same damaged rows.

Rules:
- some rows, the same for every corruption and for all models, drawn by the seed; of a recurrent model the beginnings of
  sequences; how many, n says;
- the version is compared with its parent and with the incumbent, each in a document of its own; not with the first approved
  version, since every model more runs all damaged rows once more (an incumbent that is the parent's file costs nothing);
- what is taken of a row, and what becomes of an answer that is no number, stands in `row_scores`; how scores are to be read
  is decided by the undamaged rows;
- what cannot be damaged is said with the reason; rows that cannot be scored are left out, and counted in the facts;
- what was answered for a corruption and a severity is kept (`Context.stages`): a run that was killed does not ask for it again.
Source: Hendrycks and Dietterich 2019; the damages are in `corruptions`. Language models are damaged as text, before the tokenizer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import INCUMBENT, PARENT, VERSION, Array, Outputs
from compression_engine.canonical import JSON
from compression_engine.measure import scores
from compression_engine.measure.context import Context, Found
from compression_engine.measure.corruptions.damaging import KINDS, SEVERITIES, Damage, damage_for, modality_of
from compression_engine.measure.corruptions.loss import Cell, Scored, figures
from compression_engine.measure.corruptions.row_scores import RowScore, Table, row_scores, scored
from compression_engine.measure.kept import Columns, digest_of_rows, kept
from compression_engine.measure.running import answered
from compression_engine.measure.sampling import subset
from compression_engine.measure.size import weights_bytes
from compression_engine.plan import Plan
from compression_engine.result import Measurement
from compression_engine.runtime import Model

METHOD, METHOD_VERSION = "answers_on_corrupted_rows", "2"
KIND = STAGE = "robustness"
ROLES = (VERSION, PARENT, INCUMBENT)
"""The models that answer damaged rows."""
_RUNS = ((1_000_000, 20_000), (20_000_000, 6_000), (200_000_000, 2_000), (None, 600))
"""How many rows a model answers in all, by the bytes that the weights of the largest of the models have at most."""
_UNKNOWN = "what the rows are cannot be seen from them, and the plan's 'modality' does not say it"
_NUMBERLESS = "numberless"
_ROWS_MOST = 1000
_BYTES_MOST = 128 * 1024**2
_SEQUENCES_MOST = 50


@dataclass(frozen=True)
class _Answered:
    """What was taken of every row: on damaged rows by cell, on undamaged ones; `numberless` by role counts answers."""

    damaged: Mapping[Cell, Table]
    clean: Table
    unusable: NDArray[np.bool_]
    """Rows that some model answered with no number before the damage."""
    numberless: Mapping[str, int]


def measure(context: Context) -> list[Found]:
    """Answers on damaged rows by corruption and severity; needs the models, and rows that can be damaged.

    Evidence of the kind `robustness`, and `robustness-incumbent` where there is one. Units: share, cosine, output_unit, nat.
    """
    encoder = context.encoder
    if encoder is None or VERSION not in context.models or len(encoder.rows) != len(context.outputs):
        return []
    plan = read_alike(context.outputs, context.plan)
    modality = "text" if plan.task == "language-model" else modality_of(encoder, plan)
    if modality is None:
        return [_untold(row_scores(context.outputs, plan), _UNKNOWN, [])]
    chosen = _chosen(context, len(KINDS[modality]) * len(SEVERITIES))
    clean = subset(context.outputs, chosen)
    wanted = row_scores(clean, plan)
    if not wanted:
        return []
    damage = damage_for(encoder.only(chosen), plan, chosen, clean.sequences, context.seed, modality)
    facts = [("corrupted_rows", str(len(chosen))), ("modality", modality)]
    if damage.reason is not None:
        return [_untold(wanted, damage.reason, facts)]
    found = _answered(replace(context, plan=plan), damage, clean, wanted, chosen)
    counted = " ".join(f"{role} {count}" for role, count in found.numberless.items() if count)
    facts += [("answers_without_a_number", counted)] if counted else []
    others = [role for role in (PARENT, INCUMBENT) if role in context.models]
    documents = [_document(found, wanted, clean, PARENT if PARENT in others else None, facts, context.seed)]
    documents += [_document(found, wanted, clean, role, facts, context.seed) for role in others if role != PARENT]
    return documents


def read_alike(outputs: Outputs, plan: Plan) -> Plan:
    """The plan with what the undamaged rows show the scores to be: damaged ones might look like something else."""
    if plan.task != "classification" or plan.scores is not None or outputs.answer(VERSION).offsets is not None:
        return plan
    return replace(plan, scores="probabilities" if scores.are_probabilities(outputs, plan) else "logits")


def _untold(wanted: Sequence[RowScore], reason: str, facts: Sequence[tuple[str, str]]) -> Found:
    plain = f"How the model stands damage was not measured: {reason}."
    missing = [Measurement(score.metric, None, score.unit, 0, plain, reason=reason) for score in wanted[:1]]
    return Found(KIND, METHOD, missing, method_version=METHOD_VERSION, facts=facts)


def _chosen(context: Context, runs_a_row: int) -> Array:
    """The rows that are damaged, ascending."""
    total = len(context.outputs)
    sizes = [weights_bytes(context.paths[role]) for role in context.models if role in context.paths]
    size_bytes = max(sizes, default=0)
    runs = next(runs for most, runs in _RUNS if most is None or size_bytes <= most)
    wanted = max(1, min(total, _ROWS_MOST, runs // runs_a_row, _BYTES_MOST // _row_bytes(context)))
    if context.outputs.sequences is None:
        return np.sort(np.random.default_rng(context.seed).choice(total, size=wanted, replace=False))
    return beginnings(context.outputs.sequences, wanted)


def _row_bytes(context: Context) -> int:
    """Of the arrays of one row, as they are held while they are damaged."""
    arrays = {} if context.encoder is None else context.encoder.rows.arrays
    return max(1, sum(array.nbytes // max(1, len(array)) for array in arrays.values()))


def beginnings(sequences: Array, wanted: int) -> Array:
    """About so many rows: the beginnings of up to 50 sequences, evenly spread, all cut at one length.

    A row's answer depends on no later row, and an interval needs sequences rather than rows.
    """
    numbers, starts, lengths = np.unique(sequences, return_index=True, return_counts=True)
    chosen = np.unique(np.linspace(0, len(numbers) - 1, min(len(numbers), _SEQUENCES_MOST)).astype(np.intp))
    length = max(1, wanted // len(chosen))
    return np.concatenate([np.arange(starts[at], starts[at] + min(length, int(lengths[at]))) for at in chosen])


def _answered(context: Context, damage: Damage, clean: Outputs, wanted: Sequence[RowScore], rows: Array) -> _Answered:
    """Has every model answer every corruption of every severity, or takes what was kept of it."""
    models = {role: context.models[role] for role in ROLES if role in context.models}
    cells = [(name, severity) for name in damage.names for severity in SEVERITIES]
    damaged: dict[Cell, Table] = {}
    numberless = dict.fromkeys(models, 0)
    for done, cell in enumerate(cells):
        name, severity = cell
        context.progress(STAGE, done, len(cells), f"{name.replace('_', ' ')} of severity {severity}")
        columns = _cell(context, damage, cell, wanted, models, rows)
        damaged[cell] = {
            (score.metric, r): columns[_column(score.metric, r)] for score in wanted for r in score.roles(list(models))
        }
        numberless = {
            role: count + int(columns[_column(_NUMBERLESS, role)].sum()) for role, count in numberless.items()
        }
    context.progress(STAGE, len(cells), len(cells), "damaged rows answered")
    before = replace(clean, models={role: clean.models[role] for role in models})
    on_clean, broken = scored(before, wanted, list(models), context.plan)
    return _Answered(damaged, on_clean, np.any(list(broken.values()), axis=0), numberless)


def _cell(
    context: Context, damage: Damage, cell: Cell, wanted: Sequence[RowScore], models: Mapping[str, Model], rows: Array
) -> Columns:
    """What is taken of every row under one damage: a column for each score and role, and one of each role's numberless answers."""
    roles = list(models)

    def asked() -> Columns:
        table, broken = scored(answered(models, damage.damaged(*cell), context.plan), wanted, roles, context.plan)
        found = {_column(metric, role): values for (metric, role), values in table.items()}
        return found | {_column(_NUMBERLESS, role): broken[role].astype(np.float64) for role in roles}

    names = [_column(score.metric, role) for score in wanted for role in score.roles(roles)]
    names += [_column(_NUMBERLESS, role) for role in roles]
    inputs: dict[str, JSON] = {
        "corruption": cell[0],
        "method_version": METHOD_VERSION,
        "modality": damage.modality,
        "rows": digest_of_rows(rows),
        "severity": cell[1],
    }
    return kept(context.stages, STAGE, inputs, names, asked)


def _column(metric: str, role: str) -> str:
    return f"{metric} {role}"


def _document(
    found: _Answered,
    wanted: Sequence[RowScore],
    clean: Outputs,
    other: str | None,
    facts: Sequence[tuple[str, str]],
    seed: int,
) -> Found:
    """The version's own figures with those against its parent, or those against another model alone."""
    own = other in (None, PARENT)
    measurements: list[Measurement] = []
    lost = 0
    for score in wanted:
        if score.with_other and (other is None or (score.metric, other) not in found.clean):
            continue
        usable, dropped = _usable(_scored(found, score, other, clean.sequences, own), ~found.unusable)
        lost = max(lost, dropped)
        measurements += _nothing_left(score) if usable is None else figures(usable, seed)
    told = [*facts, ("rows_left_out", str(lost))] if lost else list(facts)
    kind = KIND if own else f"{KIND}-{other}"
    return Found(kind, METHOD, measurements, seed=seed, method_version=METHOD_VERSION, facts=told)


def _scored(found: _Answered, score: RowScore, other: str | None, sequences: Array | None, own: bool) -> Scored:
    """One score of the version and another model; a score of both together stands with the version."""
    if score.with_other:
        assert other is not None
        keys = {VERSION: (score.metric, other)}
    else:
        keys = {role: (score.metric, role) for role in (VERSION, other) if role is not None}
    damaged = {cell: {role: table[key] for role, key in keys.items()} for cell, table in found.damaged.items()}
    clean = {role: found.clean[key] for role, key in keys.items()} if score.on_clean else None
    told = own or score.with_other
    return Scored(score.metric, score.unit, score.higher_is_better, damaged, clean, sequences, other, told)


def _usable(given: Scored, rows: NDArray[np.bool_]) -> tuple[Scored | None, int]:
    """Without rows that cannot be scored for both models, and how many these were; None where none is left."""
    columns = [values for cell in given.damaged.values() for values in cell.values()] + list(
        (given.clean or {}).values()
    )
    good = rows & np.isfinite(columns).all(axis=0)
    count = int((~good).sum())
    if not count or not good.any():
        return (None if count else given), count
    damaged = {cell: {role: values[good] for role, values in found.items()} for cell, found in given.damaged.items()}
    clean = None if given.clean is None else {role: values[good] for role, values in given.clean.items()}
    sequences = None if given.sequences is None else given.sequences[good]
    return replace(given, damaged=damaged, clean=clean, sequences=sequences), count


def _nothing_left(score: RowScore) -> list[Measurement]:
    reason = "no row can be scored for both models under every damage"
    plain = f"What damage does to the {score.metric.replace('_', ' ')} is not known: {reason}."
    return [Measurement(score.metric, None, score.unit, 0, plain, reason=reason)]
