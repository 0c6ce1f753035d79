"""Whether a classifier is as often right as it says: confidence against accuracy, and the temperature that would mend it.

Rules:
- confidence is the largest probability of a row; bins are of equal mass, 15 of them, fewer where a bin would hold less than
  20 rows; rows of equal confidence stay in one bin;
- the expected calibration error (Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017) is never below zero, so that chance
  alone lifts it: what a perfectly calibrated model would show on as many rows (Broecker and Smith 2007), and the error less
  the bias that the bootstrap shows (Efron and Tibshirani 1993, chapter 10), stand beside it, and its interval allows for both;
- models are compared on the same resamples of the same rows; reliability is told in ten bins of equal width, the same for all;
- the Brier score is the squared distance to the right answer, summed over classes, halved where there are two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.measure import scores
from compression_engine.measure.context import Context, Found
from compression_engine.measure.intervals import Floats, share_interval
from compression_engine.measure.resampling import RESAMPLES
from compression_engine.measure.row_weights import centred_interval, interval, resampled_means
from compression_engine.measure.temperature import Temperature, best_temperature, log_scores
from compression_engine.outputs import PARENT, VERSION, Array, Outputs
from compression_engine.plan import Plan
from compression_engine.result import Measurement

METHOD = "calibration_equal_mass"
KIND = "calibration"
BINS, BIN_ROWS_LEAST = 15, 20
_ROWS_LEAST = 2
_WIDTH_BINS = 10
_UNIT = "probability"
NAMES = {
    VERSION: "The model",
    PARENT: "The original",
    "incumbent": "What is served now",
    "first": "The first approved version",
}


@dataclass(frozen=True)
class Confidences:
    """What one model says of rows: confidence, whether it is right, its Brier score; scores for the temperature."""

    role: str
    confidence: Floats
    right: Floats
    brier: Floats
    scores: Floats
    labels: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.confidence)

    def only(self, kept: NDArray[np.bool_]) -> Confidences:
        """The same of some rows."""
        parts = (self.confidence, self.right, self.brier, self.scores)
        confidence, right, brier, scores = (part[kept] for part in parts)
        return Confidences(self.role, confidence, right, brier, scores, self.labels[kept])

    @cached_property
    def bins(self) -> NDArray[np.intp]:
        """The bin of equal mass of each row."""
        return equal_mass_bins(self.confidence)

    @cached_property
    def temperature(self) -> Temperature:
        """The best temperature."""
        return best_temperature(self.scores, self.labels)


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
    models, sequences = _usable(outputs, plan)
    if len(models[VERSION]) < _ROWS_LEAST:
        return []
    figures = dict(zip(models, _figures(list(models.values()), context.seed, sequences), strict=True))
    own = _own(models[VERSION], figures[VERSION], context.seed)
    kinds = {KIND: own}
    for role in outputs.others:
        kind = KIND if role == PARENT else f"{KIND}-{role}"
        kinds.setdefault(kind, []).extend(_own(models[role], figures[role], context.seed))
        kinds[kind] += _differences(models[VERSION], figures[VERSION], role, figures[role])
    kinds[KIND] += [entry for role in models if role in (VERSION, PARENT) for entry in _reliability(models[role])]
    return [Found(kind, METHOD, found, seed=context.seed) for kind, found in kinds.items()]


def confidences(outputs: Outputs, role: str, plan: Plan) -> Confidences:
    """What one model says of every row, and how right it is."""
    probabilities = scores.probabilities(outputs, role, plan)
    labels = scores.labels(outputs, plan)
    predicted = scores.predicted(outputs, role, plan)
    rows = np.arange(len(labels))
    squares = np.square(probabilities).sum(axis=1) - 2 * probabilities[rows, labels] + 1
    return Confidences(
        role,
        probabilities[rows, predicted],
        (predicted == labels).astype(np.float64),
        squares / 2 if probabilities.shape[1] == 2 else squares,
        logits_of(outputs, role, plan),
        labels,
    )


def equal_mass_bins(confidence: Floats) -> NDArray[np.intp]:
    """The bin of each row: up to 15, of at least 20 rows each, edges at quantiles; equal confidences share a bin."""
    count = max(1, min(BINS, len(confidence) // BIN_ROWS_LEAST))
    edges = np.unique(np.quantile(confidence, np.arange(1, count) / count))
    return np.searchsorted(edges, confidence, side="right")


def calibration_error(model: Confidences) -> float:
    """The expected calibration error: distance of mean confidence and accuracy in each bin, weighted by its rows."""
    sums = np.bincount(model.bins, weights=model.confidence - model.right)
    return float(np.abs(sums).sum() / len(model))


def errors_by_chance(model: Confidences, seed: int) -> Floats:
    """Errors [2,000] that a perfectly calibrated model with these confidences would show, sums of bins being normal."""
    deviations = np.sqrt(np.bincount(model.bins, weights=model.confidence * (1 - model.confidence)))
    drawn = np.random.default_rng(seed).normal(size=(RESAMPLES, len(deviations)))
    errors: Floats = (np.abs(drawn) * deviations).sum(axis=1) / len(model)
    return errors


def logits_of(outputs: Outputs, role: str, plan: Plan) -> Floats:
    """[rows, classes]: the logits themselves, or scores whose softmax the probabilities are; one column as a pair."""
    if scores.are_probabilities(outputs, plan):
        return log_scores(scores.probabilities(outputs, role, plan))
    logits = scores.matrix(outputs.answer(role), "scores").astype(np.float64)
    return logits if logits.shape[1] > 1 else np.hstack([np.zeros_like(logits), logits])


def _usable(outputs: Outputs, plan: Plan) -> tuple[dict[str, Confidences], Array | None]:
    """Every model on the rows that all of them answered with numbers, and the sequences of these rows."""
    found = {role: confidences(outputs, role, plan) for role in (VERSION, *outputs.others)}
    good = np.all([np.isfinite(model.brier) & np.isfinite(model.confidence) for model in found.values()], axis=0)
    sequences = None if outputs.sequences is None else outputs.sequences[good]
    return {role: model.only(good) for role, model in found.items()}, sequences


def _figures(models: Sequence[Confidences], seed: int, sequences: Array | None) -> list[_Figures]:
    """The figures of all models from one set of resamples; the bins stay those of the rows."""
    from scipy import sparse

    rows = np.arange(len(models[0]))
    parts: list[Any] = []
    for model in models:
        gaps = model.confidence - model.right
        parts.append(sparse.csr_array((gaps, (rows, model.bins)), shape=(len(model), int(model.bins.max()) + 1)))
        parts.append(sparse.csr_array(model.brier[:, None]))
    widths = np.cumsum([0, *(part.shape[1] for part in parts)])
    means = resampled_means(sparse.hstack(parts, format="csr"), seed, sequences)
    found = []
    for index, model in enumerate(models):
        gaps = means[:, widths[2 * index] : widths[2 * index + 1]]
        found.append(
            _Figures(
                {
                    "expected_calibration_error": calibration_error(model),
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
    chance = errors_by_chance(model, seed)
    bias = float(drawn.mean()) - error
    low, high = interval(drawn - 2 * bias)
    shown = error > float(np.quantile(chance, 0.975))
    low, high, corrected = max(0.0, low) if shown else 0.0, max(0.0, high), max(0.0, error - bias)
    who, usual = NAMES[model.role], float(chance.mean())
    verdict = "more than" if shown else "no more than"
    said = (
        f"{who} is off by {100 * error:.1f} points on average between how sure it is and how often it is right, "
        f"{verdict} chance shows on {n} rows."
    )
    left = f"Less what resampling lifts the calibration error by, {100 * corrected:.1f} points remain."
    by_chance = f"A perfectly calibrated model would show {100 * usual:.1f} points on {n} rows by chance."
    why = "it is computed from the confidences, not observed"
    return [
        Measurement(metric, error, _UNIT, n, said, low=low, high=max(error, centred_interval(drawn, error)[1])),
        Measurement(f"{metric}_debiased", corrected, _UNIT, n, left, low=low, high=high),
        Measurement(f"{metric}_by_chance", usual, _UNIT, n, by_chance, reason=why),
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
        plain = f"{what} {changed} that of {other} ({100 * value:+.1f} points)."
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
        confidence, (low, high) = float(model.confidence[inside].mean()), share_interval(right, n)
        plain = f"{NAMES[model.role]} says {100 * confidence:.1f} % and is right on {right} of {n} rows."
        reason = "a mean of the rows as they are"
        found += [
            Measurement(f"{prefix}bin_confidence", confidence, _UNIT, n, plain, reason=reason, slice=where),
            Measurement(f"{prefix}bin_accuracy", right / n, "share", n, plain, low=low, high=high, slice=where),
        ]
    return found
