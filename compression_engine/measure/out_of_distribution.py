"""Whether a classifier's confidence tells rows of its own kind from rows of another, beside its parent and the incumbent.

Rules:
- two scores of a row, higher for its own kind: the largest probability (Hendrycks and Gimpel 2017), and from logits the
  negative energy, the logarithm of the sum of their exponentials (Liu, Wang, Owens and Li 2020);
- the area under the curve is the share of pairs of an own and a foreign row that the score puts in order, ties half; its
  interval is DeLong's (1988) on the scale of log-odds, clustered by sequences (Obuchowski 1997) where rows belong to some;
- the rate of false alarms is turned round, as the field tells it: the share of foreign rows still taken for own ones when 95 %
  of the own ones are; its interval is the bootstrap's, drawn exactly as order statistics and counts;
- foreign rows beyond 5,000 are represented by evenly spaced ones (of sequences by the first 5,000), and the facts say of how many;
- rows without a finite score for both models are left out; where they stood is said by n;
- the version is compared with its parent and with the incumbent, each in a document of its own; not with the first approved
  version, since every model more answers all foreign rows;
- what was answered to foreign rows is kept (`Context.stages`): a run that was killed does not ask for it again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from compression_engine.answers.outputs import INCUMBENT, PARENT, VERSION, Array, Outputs
from compression_engine.canonical import JSON
from compression_engine.data import Encoder
from compression_engine.data.labels import sequence_numbers
from compression_engine.measure import scores
from compression_engine.measure.context import Context, Found
from compression_engine.measure.figures import OTHERS
from compression_engine.measure.kept import Columns, kept
from compression_engine.measure.probabilities import Logits
from compression_engine.measure.running import answered
from compression_engine.measure.statistics.intervals import Z95, Floats
from compression_engine.measure.statistics.resampling import RESAMPLES
from compression_engine.plan import Plan
from compression_engine.result import Measurement

METHOD, METHOD_VERSION = "own_and_foreign_rows_told_apart", "2"
ROLES = (VERSION, PARENT, INCUMBENT)
"""The models that answer foreign rows."""
KIND = STAGE = "out-of-distribution"
MAX_PROBABILITY, ENERGY = "max_probability", "energy"
_KEPT = 0.95
_ROWS_MOST = 5000
_OUTSIDE = 0.025
_WORDS = {MAX_PROBABILITY: "largest probability", ENERGY: "energy"}


@dataclass(frozen=True)
class Area:
    """The area under the curve, and for each own and foreign row the share of the other kind that it is in order with."""

    value: float
    own: Floats
    foreign: Floats


@dataclass(frozen=True)
class _Scores:
    """Scores of rows of one kind, by score and role, with the sequences that the rows belong to."""

    columns: Columns
    sequences: Array | None


@dataclass(frozen=True)
class Sides:
    """Scores of own and of foreign rows, with the sequences that they belong to."""

    own: Floats
    foreign: Floats
    own_sequences: Array | None
    foreign_sequences: Array | None


def measure(context: Context) -> list[Found]:
    """AUROC and false-alarm rate of both scores for every model; needs models, foreign rows and classes.

    Evidence of the kind `out-of-distribution`, and `out-of-distribution-incumbent` where there is one.

    Units: probability for areas (of putting a pair in order), share for rates; n counts own and foreign rows together.
    """
    foreign_rows, plan = context.out_of_distribution, context.plan
    if foreign_rows is None or VERSION not in context.models or plan.task != "classification":
        return []
    # how scores are to be read is decided by the rows of the model's own kind
    given = scores.are_probabilities(context.outputs, plan)
    read = replace(plan, label=None, scores="probabilities" if given else "logits")
    wanted = [MAX_PROBABILITY] if given else [MAX_PROBABILITY, ENERGY]
    bounded = _bounded(foreign_rows, plan)
    theirs = _Scores(_of_foreign(context, bounded, read, wanted), sequence_numbers(bounded.rows, read))
    own = _Scores(
        {
            _column(score, role): _scored(context.outputs, role, score, read)
            for score in wanted
            for role in _roles(context)
        },
        context.outputs.sequences,
    )
    facts = [
        ("foreign_data", foreign_rows.rows.digest),
        ("foreign_rows", str(len(bounded.rows))),
        ("foreign_rows_given", str(len(foreign_rows.rows))),
    ]
    others = [role for role in _roles(context) if role != VERSION]
    documents = [_document(wanted, own, theirs, PARENT if PARENT in others else None, facts, context.seed)]
    return documents + [_document(wanted, own, theirs, role, facts, context.seed) for role in others if role != PARENT]


def _roles(context: Context) -> list[str]:
    return [role for role in ROLES if role in context.models]


def _column(score: str, role: str) -> str:
    return f"{score} {role}"


def _of_foreign(context: Context, rows: Encoder, read: Plan, wanted: Sequence[str]) -> Columns:
    """The scores of every model on foreign rows, by score and role; asked for, or what an earlier run kept."""
    roles = _roles(context)

    def asked() -> Columns:
        outputs = answered({role: context.models[role] for role in roles}, rows, read)
        return {_column(score, role): _scored(outputs, role, score, read) for score in wanted for role in roles}

    context.progress(STAGE, 0, 1, "answering rows of another kind")
    names = [_column(score, role) for score in wanted for role in roles]
    inputs: dict[str, JSON] = {
        "foreign": rows.rows.digest,
        "method_version": METHOD_VERSION,
        "rows": len(rows.rows),
        "scores": read.scores,
    }
    found = kept(context.stages, STAGE, inputs, names, asked)
    context.progress(STAGE, 1, 1, "rows of another kind answered")
    return found


def _document(
    wanted: Sequence[str], own: _Scores, theirs: _Scores, other: str | None, facts: Sequence[tuple[str, str]], seed: int
) -> Found:
    """The version's own figures with those against its parent, or those against another model alone."""
    roles = [VERSION] if other is None else [VERSION, other]
    told = roles if other in (None, PARENT) else [other]
    found: list[Measurement] = []
    left_out = 0
    for score in wanted:
        sides, count = _sides(own, theirs, score, roles)
        left_out = max(left_out, count)
        if sides is None:
            reason = "no row of one kind has a finite score for every model"
            plain = f"By its {_WORDS[score]} nothing can be told: {reason}."
            found.append(Measurement(f"auroc_{score}", None, "probability", 0, plain, reason=reason))
            continue
        found += _figures(score, sides, told, other, seed)
    more = [("rows_without_a_score", str(left_out))] if left_out else []
    kind = KIND if other in (None, PARENT) else f"{KIND}-{other}"
    return Found(kind, METHOD, found, seed=seed, method_version=METHOD_VERSION, facts=[*facts, *more])


def area(own: Floats, foreign: Floats) -> Area:
    """The share of pairs in order, and its placements (DeLong, DeLong and Clarke-Pearson 1988)."""

    def below(values: Floats, others: Floats) -> Floats:
        ordered = np.sort(others)
        strictly = np.searchsorted(ordered, values, side="left")
        shares: Floats = (strictly + np.searchsorted(ordered, values, side="right")) / (2 * len(others))
        return shares

    of_own = below(own, foreign)
    return Area(float(of_own.mean()), of_own, 1 - below(foreign, own))


def area_interval(found: Area, sides: Sides) -> tuple[float, float] | None:
    """DeLong's interval on the scale of log-odds; None where every pair is in order, or none, or the spread is unknown."""
    variance = _variance(found.own, sides.own_sequences) + _variance(found.foreign, sides.foreign_sequences)
    if not 0 < found.value < 1 or not variance > 0:
        return None
    middle = math.log(found.value / (1 - found.value))
    half = Z95 * math.sqrt(variance) / (found.value * (1 - found.value))
    return 1 / (1 + math.exp(half - middle)), 1 / (1 + math.exp(-half - middle))


def false_alarms(own: Floats, foreign: Floats) -> float:
    """The share of foreign rows whose score is at least that which 95 % of the own rows reach."""
    return float((foreign >= np.sort(own)[_rank(len(own)) - 1]).mean())


def false_alarms_interval(own: Floats, foreign: Floats, seed: int) -> tuple[float, float]:
    """The percentile bootstrap of both samples.

    The k-th least of n rows drawn again is the row at ceil(n U), U the k-th least of n uniform numbers: a beta variable. How
    many of m foreign rows drawn again reach it is a binomial one.
    """
    generator = np.random.default_rng(seed)
    n, rank = len(own), _rank(len(own))
    places = np.ceil(n * generator.beta(rank, n - rank + 1, size=RESAMPLES)).astype(np.intp).clip(1, n)
    reached = np.sort(foreign)
    shares = 1 - np.searchsorted(reached, np.sort(own)[places - 1], side="left") / len(foreign)
    drawn = generator.binomial(len(foreign), shares) / len(foreign)
    low, high = np.quantile(drawn, [_OUTSIDE, 1 - _OUTSIDE])
    return float(low), float(high)


def _rank(rows: int) -> int:
    """The rank, from the least, of the score that 95 % of the rows reach."""
    return math.floor((1 - _KEPT) * rows + 1e-9) + 1


def _variance(placements: Floats, sequences: Array | None) -> float:
    """The variance of the mean of placements, over rows or over whole sequences."""
    residuals = placements - placements.mean()
    if sequences is not None:
        numbers = np.unique(sequences, return_inverse=True)[1].reshape(-1)
        residuals = np.bincount(numbers, weights=residuals)
    units = len(residuals)
    if units < 2:
        return math.nan
    return float((residuals**2).sum()) / len(placements) ** 2 * units / (units - 1)


def _bounded(encoder: Encoder, plan: Plan) -> Encoder:
    rows = len(encoder.rows)
    if rows <= _ROWS_MOST:
        return encoder
    if plan.sequence is not None:
        return encoder.only(np.arange(_ROWS_MOST))
    return encoder.only(np.unique(np.linspace(0, rows - 1, _ROWS_MOST).astype(np.int64)))


def _sides(own: _Scores, theirs: _Scores, score: str, roles: Sequence[str]) -> tuple[dict[str, Sides] | None, int]:
    """The scores of the models on the rows that have a finite one from all, and how many have not; None without any of one kind."""
    good = [np.isfinite([side.columns[_column(score, role)] for role in roles]).all(axis=0) for side in (own, theirs)]
    left_out = sum(int((~rows).sum()) for rows in good)
    if not all(rows.any() for rows in good):
        return None, left_out
    kept_own, kept_theirs = good
    return {
        role: Sides(
            own.columns[_column(score, role)][kept_own],
            theirs.columns[_column(score, role)][kept_theirs],
            None if own.sequences is None else own.sequences[kept_own],
            None if theirs.sequences is None else theirs.sequences[kept_theirs],
        )
        for role in roles
    }, left_out


def _scored(outputs: Outputs, role: str, score: str, plan: Plan) -> Floats:
    if score == MAX_PROBABILITY:
        return scores.probabilities(outputs, role, plan).largest()
    return Logits(scores.matrix(outputs.answer(role), "scores"), given=False).log_sums()


def _figures(
    score: str, sides: Mapping[str, Sides], told: Sequence[str], other: str | None, seed: int
) -> list[Measurement]:
    areas = {role: area(found.own, found.foreign) for role, found in sides.items()}
    found = [entry for role in told for entry in _of_model(score, role, sides[role], areas[role], seed)]
    return found if other is None else [*found, _difference(score, sides[VERSION], areas, other)]


def _of_model(score: str, role: str, side: Sides, found: Area, seed: int) -> list[Measurement]:
    prefix = "" if role == VERSION else f"{role}_"
    who = "the model" if role == VERSION else f"the {OTHERS[role]}"
    n = len(side.own) + len(side.foreign)
    limits = area_interval(found, side)
    reason = None if limits else "all pairs are in one order, or too few rows to tell the spread"
    low, high = limits or (None, None)
    plain = (
        f"By its {_WORDS[score]} {who} puts {100 * found.value:.1f} % of pairs of an own and a foreign row in order "
        f"({len(side.own)} own, {len(side.foreign)} foreign; 50 % is chance)."
    )
    measured = [
        Measurement(f"{prefix}auroc_{score}", found.value, "probability", n, plain, low=low, high=high, reason=reason)
    ]
    rate = false_alarms(side.own, side.foreign)
    low, high = false_alarms_interval(side.own, side.foreign, seed)
    reason = None
    if side.own_sequences is not None:
        low, high, reason = None, None, "rows of one sequence depend on each other"
    plain = f"When {who} takes 95 % of its own rows for such by {_WORDS[score]}, it takes {100 * rate:.1f} % of foreign ones too."
    measured.append(Measurement(f"{prefix}fpr95_{score}", rate, "share", n, plain, low=low, high=high, reason=reason))
    return measured


def _difference(score: str, side: Sides, areas: Mapping[str, Area], other: str) -> Measurement:
    """Version minus the other on the same rows; the interval pairs the placements."""
    ours, theirs = areas[VERSION], areas[other]
    value = ours.value - theirs.value
    variance = _variance(ours.own - theirs.own, side.own_sequences)
    variance += _variance(ours.foreign - theirs.foreign, side.foreign_sequences)
    n, low, high, reason = len(side.own) + len(side.foreign), None, None, None
    if variance > 0:
        low, high = value - Z95 * math.sqrt(variance), value + Z95 * math.sqrt(variance)
    else:
        reason = "no row is placed otherwise by the two models" if variance == 0 else "one sequence gives no spread"
    clear = low is not None and high is not None and not low <= 0 <= high
    told = ("tells" if clear else "is not shown to tell") + " foreign rows "
    told += "better or worse" if not clear else "better" if value > 0 else "worse"
    plain = f"By its {_WORDS[score]} the model {told} than the {OTHERS[other]} ({100 * value:+.1f} points)."
    return Measurement(f"auroc_{score}_difference", value, "probability", n, plain, low=low, high=high, reason=reason)
