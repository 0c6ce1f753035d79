"""Whether a classifier is as often right as it says: confidence against accuracy, and the temperature that would mend it.

Rules:
- confidence is the probability of a row's first choice; bins are of equal mass, 15 of them, fewer where a bin would hold less than
  20 rows; rows of equal confidence stay in one bin;
- the expected calibration error (Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017) is never below zero, so that chance
  alone lifts it: what a perfectly calibrated model would show on as many rows (Broecker and Smith 2007), and the error less
  the bias that the bootstrap shows (Efron and Tibshirani 1993, chapter 10), stand beside it, and its interval allows for both;
- models are compared on the same resamples of the same rows, or of whole sequences, of which fewer than six bound nothing;
- reliability is told in ten bins of equal width, the same for all models;
- the Brier score is the squared distance to the right answer, summed over classes, halved where there are two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from compression_engine.answers.outputs import PARENT, VERSION, Outputs
from compression_engine.measure import confidence
from compression_engine.measure.confidence import Confidences, confidences
from compression_engine.measure.context import Context, Found
from compression_engine.measure.statistics.intervals import Floats, share_interval
from compression_engine.measure.statistics.row_weights import (
    SEQUENCES_LEAST,
    centred_interval,
    interval,
    resampled_means,
)
from compression_engine.plan import Plan
from compression_engine.result import Measurement

METHOD = "calibration_equal_mass"
KIND = "calibration"
_ROWS_LEAST = 2
_WIDTH_BINS = 10
_UNIT = "probability"
NAMES = {
    VERSION: "The model",
    PARENT: "The original",
    "incumbent": "The incumbent",
    "first": "The first approved version",
}


@dataclass(frozen=True)
class _Figures:
    """Calibration error, excess of confidence and Brier score of one model, and the same when resampled."""

    values: dict[str, float]
    resampled: dict[str, Floats]


def measure(context: Context) -> list[Found]:
    """Calibration of the version beside its parent, and of it against each other model; needs labels of classes.

    Evidence of the kind `calibration`, and `calibration-<role>` for what else was run. Units: probability, share, ratio.
    """
    outputs, plan = context.outputs, context.plan
    if plan.task != "classification" or outputs.labels is None:
        return []
    models = _usable(outputs, plan)
    if len(models[VERSION]) < _ROWS_LEAST:
        return []
    figures = dict(zip(models, _figures(list(models.values()), context.seed), strict=True))
    own = _own(models[VERSION], figures[VERSION], context.seed)
    kinds = {KIND: own}
    for role in outputs.others:
        kind = KIND if role == PARENT else f"{KIND}-{role}"
        kinds.setdefault(kind, []).extend(_own(models[role], figures[role], context.seed))
        kinds[kind] += _differences(models[VERSION], figures[VERSION], role, figures[role])
    kinds[KIND] += [entry for role in models if role in (VERSION, PARENT) for entry in _reliability(models[role])]
    bounded = _bounded(models[VERSION])
    return [
        Found(kind, METHOD, found if bounded else [_unbounded(entry) for entry in found], seed=context.seed)
        for kind, found in kinds.items()
    ]


def _usable(outputs: Outputs, plan: Plan) -> dict[str, Confidences]:
    """Every model on the rows that all of them answered with numbers."""
    found = {role: confidences(outputs, role, plan) for role in (VERSION, *outputs.others)}
    good = np.all([np.isfinite(model.brier) & np.isfinite(model.confidence) for model in found.values()], axis=0)
    return {role: model.only(good) for role, model in found.items()}


def _figures(models: Sequence[Confidences], seed: int) -> list[_Figures]:
    """The figures of all models from one set of resamples; the bins stay those of the rows."""
    from scipy import sparse

    rows = np.arange(len(models[0]))
    parts: list[Any] = []
    for model in models:
        gaps = model.confidence - model.right
        parts.append(sparse.csr_array((gaps, (rows, model.bins)), shape=(len(model), int(model.bins.max()) + 1)))
        parts.append(sparse.csr_array(model.brier[:, None]))
    widths = np.cumsum([0, *(part.shape[1] for part in parts)])
    means = resampled_means(sparse.hstack(parts, format="csr"), seed, models[0].sequences)
    found = []
    for index, model in enumerate(models):
        gaps = means[:, widths[2 * index] : widths[2 * index + 1]]
        found.append(
            _Figures(
                {
                    "expected_calibration_error": confidence.calibration_error(model),
                    "overconfidence": float((model.confidence - model.right).mean()),
                    "brier_score": float(model.brier.mean()),
                },
                {
                    "expected_calibration_error": np.abs(gaps).sum(axis=1),
                    "overconfidence": gaps.sum(axis=1),
                    "brier_score": means[:, widths[2 * index + 1]],
                },
            )
        )
    return found


def _bounded(model: Confidences) -> bool:
    """Whether there is enough to resample for an interval."""
    return model.sequences is None or len(np.unique(model.sequences)) >= SEQUENCES_LEAST


def _unbounded(entry: Measurement) -> Measurement:
    return replace(entry, low=None, high=None, reason=entry.reason or "there are fewer than six sequences")


def _own(model: Confidences, figures: _Figures, seed: int) -> list[Measurement]:
    """A model's own figures; those that qualify the calibration error for the version alone."""
    prefix = "" if model.role == VERSION else f"{model.role}_"
    who, n = NAMES[model.role], len(model)
    found = _errors(model, prefix, figures, seed)
    if model.role != VERSION:
        found = found[:1]
    excess = figures.values["overconfidence"]
    low, high = interval(figures.resampled["overconfidence"])
    found.append(
        Measurement(f"{prefix}overconfidence", excess, _UNIT, n, _sureness(who, excess, low, high), low=low, high=high)
    )
    brier = figures.values["brier_score"]
    low, high = interval(figures.resampled["brier_score"])
    plain = f"{who} has a Brier score of {brier:.4f} (0 is perfect)."
    found.append(Measurement(f"{prefix}brier_score", brier, _UNIT, n, plain, low=low, high=high))
    return [*found, _temperature(model, prefix, who)]


def _errors(model: Confidences, prefix: str, figures: _Figures, seed: int) -> list[Measurement]:
    """The calibration error, the same less its bias, and what chance alone would show.

    The lower end of both intervals allows for the bias of the error and of its resamples, and is 0 where chance shows as much.
    """
    n, metric = len(model), f"{prefix}expected_calibration_error"
    error, drawn = figures.values["expected_calibration_error"], figures.resampled["expected_calibration_error"]
    bias = float(drawn.mean()) - error
    low, high = interval(drawn - 2 * bias)
    corrected, who = max(0.0, error - bias), NAMES[model.role]
    said = f"{who} is off by {100 * error:.1f} points on average between how sure it is and how often it is right"
    by_chance, shown = [], low > 0
    if model.sequences is None:
        chance = confidence.errors_by_chance(model, seed)
        usual, shown = float(chance.mean()), error > float(np.quantile(chance, 0.975))
        said += f", {'more' if shown else 'no more'} than chance shows on {n} rows"
        plain = f"A perfectly calibrated model would show {100 * usual:.1f} points on {n} rows by chance."
        why = "it is computed from the confidences, not observed"
        by_chance = [Measurement(f"{metric}_by_chance", usual, _UNIT, n, plain, reason=why)]
    low, high = max(0.0, low) if shown else 0.0, max(0.0, high)
    left = f"Less what resampling lifts the calibration error by, {100 * corrected:.1f} points remain."
    return [
        Measurement(metric, error, _UNIT, n, f"{said}.", low=low, high=max(error, centred_interval(drawn, error)[1])),
        Measurement(f"{metric}_debiased", corrected, _UNIT, n, left, low=low, high=high),
        *by_chance,
    ]


def _sureness(who: str, excess: float, low: float, high: float) -> str:
    if low <= 0 <= high:
        return f"{who} is on the whole neither too sure nor too unsure ({100 * excess:+.1f} points)."
    word = "surer than right" if excess > 0 else "less sure than right"
    kind = "overconfident" if excess > 0 else "underconfident"
    return f"{who} is {kind}: {100 * abs(excess):.1f} points {word}."


def _temperature(model: Confidences, prefix: str, who: str) -> Measurement:
    best = model.temperature
    metric = f"{prefix}best_temperature"
    if best.value is None:
        return Measurement(metric, None, "ratio", best.n, f"{who} has no best temperature.", reason=best.reason)
    word = "too sure" if best.value > 1 else "not sure enough"
    judged = best.low is not None and best.high is not None and not best.low <= 1 <= best.high
    said = f"it is {word}" if judged else "it may stay as it is"
    plain = f"Divided by {best.value:.3f}, the scores of {_inside(who)} fit the labels best: {said}."
    return Measurement(metric, best.value, "ratio", best.n, plain, low=best.low, high=best.high, reason=best.reason)


def _differences(version: Confidences, ours: _Figures, role: str, theirs: _Figures) -> list[Measurement]:
    found = []
    other = _inside(NAMES[role])
    words = {
        "expected_calibration_error": "The calibration error",
        "overconfidence": "The excess of confidence",
        "brier_score": "The Brier score",
    }
    for metric, what in words.items():
        value = ours.values[metric] - theirs.values[metric]
        low, high = centred_interval(ours.resampled[metric] - theirs.resampled[metric], value)
        changed = (
            "is not shown to differ from" if low <= 0 <= high else "is higher than" if value > 0 else "is lower than"
        )
        told = f"{value:+.4f}" if metric == "brier_score" else f"{100 * value:+.1f} points"
        plain = f"{what} {changed} that of {other} ({told})."
        found.append(Measurement(f"{metric}_difference", value, _UNIT, len(version), plain, low=low, high=high))
    return found


def _inside(name: str) -> str:
    """A name as it stands inside a sentence."""
    return name[0].lower() + name[1:]


def _reliability(model: Confidences) -> list[Measurement]:
    """Mean confidence and accuracy in ten bins of equal width; bins without a row are left out."""
    prefix = "" if model.role == VERSION else f"{model.role}_"
    places = np.minimum((model.confidence * _WIDTH_BINS).astype(np.intp), _WIDTH_BINS - 1)
    found = []
    for place in np.unique(places):
        inside = places == place
        n, right = int(inside.sum()), int(model.right[inside].sum())
        where = (("confidence_bin", f"{place / _WIDTH_BINS:.1f}-{(place + 1) / _WIDTH_BINS:.1f}"),)
        sure = float(model.confidence[inside].mean())
        low, high = share_interval(right, n) if model.sequences is None else (None, None)
        why = None if model.sequences is None else "rows of one sequence depend on each other"
        where_said = f"Where {_inside(NAMES[model.role])} is {where[0][1]} sure ({n} rows), it"
        said = f"{where_said} says {100 * sure:.1f} % on average."
        plain = f"{where_said} is right on {right}, which is {100 * right / n:.1f} %."
        reason = "a mean of the rows as they are"
        found += [
            Measurement(f"{prefix}bin_confidence", sure, _UNIT, n, said, reason=reason, slice=where),
            Measurement(
                f"{prefix}bin_accuracy", right / n, "share", n, plain, low=low, high=high, reason=why, slice=where
            ),
        ]
    return found
