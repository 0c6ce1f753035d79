"""Judges a window of counts against the frozen baseline: did behaviour change by more than chance and more than allowed?

Rules:
- both are needed for drift: an effect (population stability index above the limit) and evidence (chi-square on the frozen bins,
  Benjamini-Hochberg across the features of the window at the agreed level of false alarms);
- the limit of a feature is the larger of the practical one that was approved with the policy and the floor of chance for these
  numbers of rows: chi-square quantile at (level / features), times (1/n + 1/m). So small windows do not cry wolf;
- where that floor lies above the practical limit, the window could not have seen a change of that size: without drift the answer
  is then "insufficient data" with the smallest change it could have seen, never "healthy";
- values that were missing are judged too: by the share of missing rows, with the same demand of effect and evidence;
- bins are the baseline's: a window with other features or edges is refused, not stretched to fit.
The index smooths every bin by half a row, so that an empty bin is finite. Standard library only; no clock; same inputs, same bytes.
Sources: PSI as in credit scoring practice, (p - q) ln(p / q) summed; two-sample chi-square; Benjamini and Hochberg 1995.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from registry.digests import JSON, decimal_text
from registry.monitoring.chi_square import quantile, survival

METHOD = {"name": "psi_chi_square_bh", "version": "1"}
HEALTHY, DRIFTED, INSUFFICIENT = "healthy", "drifted", "insufficient-data"


class WindowError(ValueError):
    """A window that cannot be compared with its baseline; the message says why."""


@dataclass(frozen=True)
class FeatureJudgement:
    """One feature of a window beside the baseline."""

    name: str
    effect: float
    limit: float
    practical_limit: float
    smallest_visible: float
    p_value: float
    adjusted_p: float
    missing_share: float
    baseline_missing_share: float
    drifted_by: tuple[str, ...]
    sentence: str

    @property
    def drifted(self) -> bool:
        return bool(self.drifted_by)

    @property
    def seen_enough(self) -> bool:
        return self.smallest_visible <= self.practical_limit


@dataclass(frozen=True)
class Judgement:
    """The answer for a window: healthy, drifted or insufficient-data, and why."""

    state: str
    summary: str
    n: int
    baseline_n: int
    level: str
    features: tuple[FeatureJudgement, ...]

    def document(self, *, baseline_digest: str, window_digest: str) -> dict[str, JSON]:
        """`pressmark/judgement/1`: what is stored and sealed."""
        return {
            "baseline": baseline_digest,
            "baseline_n": self.baseline_n,
            "features": [_feature_document(f) for f in self.features],
            "level": self.level,
            "method": dict(METHOD),
            "n": self.n,
            "state": self.state,
            "summary": self.summary,
            "type": "pressmark/judgement/1",
            "window": window_digest,
        }


@dataclass(frozen=True)
class _Measured:
    """A feature before the decision: numbers only."""

    name: str
    effect: float
    floor: float
    p_value: float
    missing_p: float
    missing_share: float
    baseline_missing_share: float


def check_comparable(baseline: Mapping[str, Any], distribution: Mapping[str, Any]) -> None:
    """WindowError when the window was not counted in the baseline's bins."""
    frozen = {f["name"]: f["edges"] for f in baseline["features"]}
    counted = {f["name"]: f["edges"] for f in distribution["features"]}
    absent, extra = sorted(set(frozen) - set(counted)), sorted(set(counted) - set(frozen))
    if absent:
        raise WindowError(f"the window lacks the feature {absent[0]!r} of the baseline")
    if extra:
        raise WindowError(f"the window has the feature {extra[0]!r}, which the baseline does not know")
    other = next((name for name in frozen if frozen[name] != counted[name]), None)
    if other is not None:
        raise WindowError(f"the bins of {other!r} are not the baseline's")


def judge(baseline: Mapping[str, Any], distribution: Mapping[str, Any]) -> Judgement:
    """Compare a window's distribution with a `pressmark/baseline/1` document; WindowError when they do not fit."""
    check_comparable(baseline, distribution)
    n, m = int(distribution["n"]), int(baseline["n"])
    limits = baseline["limits"]
    level = float(limits["false_alarm_level"])
    windows = {f["name"]: f for f in distribution["features"]}
    tests = max(len(baseline["features"]), 1)
    measured = [_measure(f, windows[f["name"]], n, m, level / tests) for f in baseline["features"]]
    shape = _benjamini_hochberg([f.p_value for f in measured])
    missing = _benjamini_hochberg([f.missing_p for f in measured])
    features = tuple(
        _decide(f, limits, level, adjusted, adjusted_missing)
        for f, adjusted, adjusted_missing in zip(measured, shape, missing, strict=True)
    )
    state = _state(features)
    return Judgement(state, _summary(state, features, n), n, m, limits["false_alarm_level"], features)


def _measure(frozen: Mapping[str, Any], window: Mapping[str, Any], n: int, m: int, level: float) -> _Measured:
    now, then = list(window["counts"]), list(frozen["counts"])
    rows_now, rows_then = sum(now), sum(then)
    missing_now, missing_then = window["missing"], frozen["missing"]
    floor = math.inf
    if rows_now and rows_then and len(now) > 1:
        floor = quantile(level, len(now) - 1) * (1 / rows_now + 1 / rows_then)
    return _Measured(
        name=frozen["name"],
        effect=stability_index(now, then) if rows_now and rows_then else 0.0,
        floor=floor if len(now) > 1 else 0.0,  # one bin holds everything: there is no shape that could change
        p_value=chi_square_p(now, then),
        missing_p=chi_square_p([missing_now, n - missing_now], [missing_then, m - missing_then]),
        missing_share=missing_now / n if n else 0.0,
        baseline_missing_share=missing_then / m if m else 0.0,
    )


def _decide(
    found: _Measured, limits: Mapping[str, str], level: float, adjusted: float, adjusted_missing: float
) -> FeatureJudgement:
    practical = float(limits["population_stability_index"])
    limit = max(practical, found.floor)
    reasons = []
    if found.effect > limit and adjusted <= level:
        reasons.append("shape")
    if (
        found.missing_share - found.baseline_missing_share > float(limits["missing_share"])
        and adjusted_missing <= level
    ):
        reasons.append("missing")
    return FeatureJudgement(
        name=found.name,
        effect=found.effect,
        limit=limit,
        practical_limit=practical,
        smallest_visible=found.floor,
        p_value=found.p_value,
        adjusted_p=adjusted,
        missing_share=found.missing_share,
        baseline_missing_share=found.baseline_missing_share,
        drifted_by=tuple(reasons),
        sentence=_sentence(found, practical, limit, reasons),
    )


def _state(features: Sequence[FeatureJudgement]) -> str:
    if any(f.drifted for f in features):
        return DRIFTED
    if not features or not all(f.seen_enough for f in features):
        return INSUFFICIENT
    return HEALTHY


# --- statistics ---


def stability_index(now: Sequence[int], then: Sequence[int]) -> float:
    """Population stability index of two lists of counts over the same bins, each bin smoothed by half a row."""
    total_now, total_then = sum(now) + len(now) / 2, sum(then) + len(then) / 2
    shares = [((a + 0.5) / total_now, (b + 0.5) / total_then) for a, b in zip(now, then, strict=True)]
    return math.fsum((p - q) * math.log(p / q) for p, q in shares)


def chi_square_p(now: Sequence[int], then: Sequence[int]) -> float:
    """p-value of the two-sample chi-square test that both lists of counts come from one distribution."""
    n, m = sum(now), sum(then)
    used = [(a, b) for a, b in zip(now, then, strict=True) if a + b]
    if not n or not m or len(used) < 2:
        return 1.0
    up, down = math.sqrt(m / n), math.sqrt(n / m)
    return survival(math.fsum((up * a - down * b) ** 2 / (a + b) for a, b in used), len(used) - 1)


def _benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: a feature is a discovery at level a when its adjusted value is at most a."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i], reverse=True)
    adjusted, least = [1.0] * len(p_values), 1.0
    for rank_from_end, index in enumerate(order):
        least = min(least, p_values[index] * len(p_values) / (len(p_values) - rank_from_end))
        adjusted[index] = least
    return adjusted


# --- words ---


def _sentence(found: _Measured, practical: float, limit: float, reasons: Sequence[str]) -> str:
    parts = []
    if "shape" in reasons:
        parts.append(f"changed: the index is {_short(found.effect)}, above the limit of {_short(limit)}")
    if "missing" in reasons:
        parts.append(
            f"missing in {_percent(found.missing_share)} of rows, against {_percent(found.baseline_missing_share)} when approved"
        )
    if parts:
        return f"{found.name} {', and '.join(parts)}; chance alone does not explain it."
    if math.isinf(found.floor):
        return f"{found.name} holds no usable rows, so nothing can be said about it."
    if found.floor > practical:
        return (
            f"{found.name} shows no change that chance could not explain, but with these rows only an index above "
            f"{_short(found.floor)} could have been seen, not the {_short(practical)} that matters."
        )
    return (
        f"{found.name} behaves as when it was approved: the index is {_short(found.effect)}, the limit {_short(limit)}."
    )


def _summary(state: str, features: Sequence[FeatureJudgement], n: int) -> str:
    drifted = [f for f in features if f.drifted]
    if state == DRIFTED:
        worst = max(drifted, key=lambda f: (f.effect, f.name))
        return f"{len(drifted)} of {len(features)} features changed over {n} rows; most of all {worst.name}."
    if state == INSUFFICIENT:
        widest = max((f.smallest_visible for f in features), default=math.inf)
        if math.isinf(widest):
            return f"{n} rows are too few to say anything."
        return f"{n} rows are too few: the smallest change that could have been seen is an index of {_short(widest)}."
    return f"All {len(features)} features behave as when the version was approved, over {n} rows."


def _feature_document(f: FeatureJudgement) -> dict[str, JSON]:
    return {
        "adjusted_p": _stored(f.adjusted_p),
        "baseline_missing_share": _stored(f.baseline_missing_share),
        "drifted_by": list(f.drifted_by),
        "effect": _stored(f.effect),
        "limit": _stored(f.limit),
        "missing_share": _stored(f.missing_share),
        "name": f.name,
        "p_value": _stored(f.p_value),
        "practical_limit": _stored(f.practical_limit),
        "sentence": f.sentence,
        "smallest_visible": _stored(f.smallest_visible),
    }


def _stored(x: float) -> str | None:
    """Nine significant digits: more would differ between mathematics libraries. Below 1e-300 it is 0; infinity is null."""
    if math.isinf(x):
        return None
    return decimal_text(Decimal(f"{x:.8e}") if abs(x) > 1e-300 else Decimal(0))


def _short(x: float) -> str:
    return decimal_text(Decimal(f"{x:.2e}")) or "0"


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"
