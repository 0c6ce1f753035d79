"""Do the intervals of calibration and of telling foreign rows apart hold the truth: 2,000 simulated repeats of 500 rows.

Worlds: a classifier of four classes whose labels are drawn from its own probabilities, and children of it whose logits are 1.3
and 3 times as large. The truth of each figure is taken from two million rows. The interval of the calibration error allows for
its bias and is too wide on purpose where a model is nearly calibrated: it must hold the truth often enough, not exactly as often.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from scipy.stats import norm

from compression_engine.answers.outputs import Field, Outputs
from compression_engine.measure import calibration
from compression_engine.measure import out_of_distribution as foreign
from compression_engine.measure.confidence import calibration_error, confidences
from compression_engine.measure.context import Context
from compression_engine.measure.temperature import best_temperature
from compression_engine.plan import Plan
from tests.bench.harness import Row, at_least

REPEATS, REPEATS_QUICK = 2000, 200
LOW, HIGH = 0.935, 0.965
ROWS, ROWS_OF_TRUTH = 500, 2_000_000
CLASSES = 4
PLAN = Plan(task="classification", label="label", scores="logits")
_SHARPNESS = (1.0, 1.3, 3.0)
_EXACT = ("overconfidence", "brier_score", "best_temperature", "brier_score_difference", "overconfidence_difference")


def calibration_rows(quick: bool) -> list[Row]:
    """All rows; `quick` takes 200 repeats, too few to judge by."""
    repeats = REPEATS_QUICK if quick else REPEATS
    rows = []
    for sharpness in _SHARPNESS:
        held: dict[str, list[bool]] = defaultdict(list)
        for seed in range(repeats):
            for metric, holds in _held(sharpness, seed):
                held[metric].append(holds)
        for metric, found in held.items():
            what = f"coverage: {metric.replace('_', ' ')}, {ROWS} rows, logits times {sharpness:g}"
            exact = metric in _EXACT
            rows.append(_row(f"{metric}_{sharpness:g}", what, float(np.mean(found)), repeats, quick, exact=exact))
    return rows + foreign_rows(quick)


def foreign_rows(quick: bool) -> list[Row]:
    """Coverage of the area and of the rate, for normal scores of 500 own and 500 foreign rows."""
    repeats = REPEATS_QUICK if quick else REPEATS
    shift, generator = 1.5, np.random.default_rng(1)
    truth = {"auroc": float(norm.cdf(shift / np.sqrt(2))), "fpr95": float(norm.sf(norm.ppf(0.05) + shift))}
    held: dict[str, list[bool]] = defaultdict(list)
    for seed in range(repeats):
        own, other = generator.normal(shift, 1, ROWS), generator.normal(size=ROWS)
        sides = foreign.Sides(own, other, None, None)
        area = foreign.area_interval(foreign.area(own, other), sides)
        assert area is not None
        for name, (low, high) in {"auroc": area, "fpr95": foreign.false_alarms_interval(own, other, seed)}.items():
            held[name].append(low <= truth[name] <= high)
    return [
        _row(name, f"coverage: {name} of normal scores, {ROWS} and {ROWS} rows", float(np.mean(found)), repeats, quick)
        for name, found in held.items()
    ]


def _row(name: str, what: str, held: float, repeats: int, quick: bool, *, exact: bool = True) -> Row:
    spread = float(np.sqrt(held * (1 - held) / repeats))
    if quick:
        reason = "200 repeats are too few to judge by"
        return Row(f"coverage_{name}", what, held, "share", None, None, repeats, spread, reason)
    if not exact:
        return at_least(f"coverage_{name}", what, held, LOW, "share", repeats, spread)
    return Row(f"coverage_{name}", what, held, "share", f"{LOW} to {HIGH}", LOW <= held <= HIGH, repeats, spread)


def _held(sharpness: float, seed: int) -> Iterator[tuple[str, bool]]:
    """Whether each interval of one world holds the truth."""
    found = calibration.measure(Context(_world(ROWS, sharpness, seed + 10), PLAN, seed=seed))[0]
    for entry in found.measurements:
        truth = _truths(sharpness).get(entry.metric)
        if truth is not None and not entry.slice and entry.low is not None and entry.high is not None:
            yield entry.metric, entry.low <= truth <= entry.high


@cache
def _truths(sharpness: float) -> dict[str, float]:
    outputs = _world(ROWS_OF_TRUTH, sharpness, 1)
    ours, theirs = (confidences(outputs, role, PLAN) for role in ("version", "parent"))
    truth = {
        "expected_calibration_error": 0.0 if sharpness == 1 else calibration_error(ours),
        "overconfidence": float((ours.confidence - ours.right).mean()),
        "brier_score": float(ours.brier.mean()),
        "best_temperature": float(best_temperature(ours.scores, ours.labels).value or np.nan),
    }
    if sharpness == 1:
        return truth  # a model against itself: every difference is zero, and so is its interval
    return truth | {
        "brier_score_difference": truth["brier_score"] - float(theirs.brier.mean()),
        "overconfidence_difference": truth["overconfidence"] - float((theirs.confidence - theirs.right).mean()),
    }


def _world(rows: int, sharpness: float, seed: int) -> Outputs:
    generator = np.random.default_rng(seed)
    logits = 2 * generator.normal(size=(rows, CLASSES)).astype(np.float32)
    chances = np.exp(logits.astype(np.float64))
    chances /= chances.sum(axis=1, keepdims=True)
    labels: Any = (chances.cumsum(axis=1) < generator.random((rows, 1))).sum(axis=1).clip(0, CLASSES - 1)
    models = {"version": {"answer": Field(sharpness * logits)}, "parent": {"answer": Field(logits)}}
    return Outputs(models, labels=Field(labels))
