"""Drift needs both an effect that matters and evidence that chance does not explain; too few rows are said, never guessed."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from scipy import stats

from registry.digests import canonical
from registry.monitoring import chi_square, drift
from tests.worlds.monitoring import SHIFTED
from tests.worlds.release import CALM, EDGES, distribution

LIMITS = {"population_stability_index": "0.25", "missing_share": "0.05", "false_alarm_level": "0.01"}


def baseline(counts: list[int] | None = None, *, features: int = 3, missing: int = 0, **limits: str) -> dict[str, Any]:
    found = distribution(counts, features=features, missing=missing)
    return {"features": found["features"], "n": found["n"], "limits": {**LIMITS, **limits}}


def scaled(counts: list[int], share: float) -> list[int]:
    return [round(c * share) for c in counts]


# --- chi-square against scipy ---


@pytest.mark.parametrize("degrees", [1, 2, 5, 9, 31, 200])
@pytest.mark.parametrize("x", [1e-6, 0.3, 1, 4, 9.5, 27.9, 80, 250, 900])
def test_the_upper_tail_is_that_of_scipy(x: float, degrees: int) -> None:
    expected = float(stats.chi2.sf(x, degrees))
    assert chi_square.survival(x, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("degrees", [1, 2, 9, 31, 200])
@pytest.mark.parametrize("level", [0.5, 0.05, 0.01, 0.001, 1e-6, 1e-12])
def test_the_quantile_is_that_of_scipy(level: float, degrees: int) -> None:
    assert chi_square.quantile(level, degrees) == pytest.approx(float(stats.chi2.isf(level, degrees)), rel=1e-9)


def test_a_question_without_an_answer_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        chi_square.survival(1.0, 0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        chi_square.quantile(0.0, 3)


def test_the_two_sample_test_is_that_of_scipy() -> None:
    source = random.Random(5)
    for _ in range(20):
        now = [source.randint(0, 60) for _ in range(8)]
        then = [source.randint(1, 60) for _ in range(8)]
        expected = stats.chi2_contingency([now, then], correction=False).pvalue
        assert drift.chi_square_p(now, then) == pytest.approx(float(expected), rel=1e-9)


def test_adjusted_p_values_are_those_of_scipy() -> None:
    source = random.Random(6)
    found = [source.random() ** 3 for _ in range(25)]
    expected = stats.false_discovery_control(found, method="bh")
    assert drift._benjamini_hochberg(found) == pytest.approx(list(expected))


# --- the index ---


def test_the_index_of_a_known_shift_is_the_known_number() -> None:
    """(p - q) ln(p / q) by hand over two bins of 50:50 against 60:40, large enough that smoothing does not show."""
    assert drift.stability_index([600_000, 400_000], [500_000, 500_000]) == pytest.approx(0.0405465, abs=1e-6)


def test_an_empty_bin_is_finite_and_the_same_counts_are_no_change() -> None:
    assert drift.stability_index(CALM, CALM) == 0
    assert 0 < drift.stability_index([0, 100], [50, 50]) < 5


# --- the judgement ---


def test_the_same_behaviour_is_healthy_and_each_feature_says_so() -> None:
    found = drift.judge(baseline(), distribution())
    assert found.state == "healthy"
    assert all("behaves as when it was approved" in f.sentence for f in found.features)


def test_a_clear_shift_is_drift_and_names_the_feature() -> None:
    window = distribution()
    window["features"][1]["counts"] = SHIFTED
    found = drift.judge(baseline(), window)
    assert found.state == "drifted"
    assert [f.name for f in found.features if f.drifted] == ["output_projection_1"]
    assert "most of all output_projection_1" in found.summary


def test_an_effect_without_evidence_is_no_drift() -> None:
    """Twelve rows differ a lot from the baseline by chance; nobody is woken up for that."""
    few = [0, 1, 3, 2, 2, 4]
    found = drift.judge(baseline(features=1), distribution(few, features=1))
    assert found.features[0].effect > 0.25
    assert found.state == "insufficient-data"


def test_evidence_without_an_effect_is_no_drift() -> None:
    """With a million rows the smallest change is significant; it is below what matters."""
    many, slightly = [c * 2000 for c in CALM], [c * 2000 for c in [51, 101, 150, 150, 99, 49]]
    found = drift.judge(baseline(many), distribution(slightly))
    assert found.features[0].adjusted_p < 0.01
    assert found.state == "healthy"


def test_too_few_rows_are_never_healthy_and_the_smallest_visible_change_is_said() -> None:
    found = drift.judge(baseline(), distribution(scaled(CALM, 0.1)))
    assert found.state == "insufficient-data"
    floor = stats.chi2.isf(0.01 / 3, 5) * (1 / 60 + 1 / 600)
    assert found.features[0].smallest_visible == pytest.approx(float(floor))
    assert "the smallest change that could have been seen" in found.summary
    assert "not the 0.25 that matters" in found.features[0].sentence


def test_a_change_that_is_large_enough_is_seen_in_few_rows_too() -> None:
    found = drift.judge(baseline(), distribution([0, 0, 0, 0, 5, 55]))
    assert found.state == "drifted"


def test_rows_that_are_missing_are_drift_of_their_own() -> None:
    found = drift.judge(baseline(), distribution(missing=120))
    assert found.state == "drifted"
    assert found.features[0].drifted_by == ("missing",)
    assert "missing in 16.7 % of rows, against 0.0 % when approved" in found.features[0].sentence
    assert drift.judge(baseline(), distribution(missing=20)).state == "healthy"


def test_a_window_in_which_every_row_is_missing_is_not_healthy() -> None:
    found = drift.judge(baseline(features=1), distribution([0] * 6, missing=300, features=1))
    assert found.state == "drifted"


def test_a_feature_of_one_bin_cannot_change_its_shape() -> None:
    one = {"counts": [300], "edges": [], "missing": 0, "name": "constant"}
    document = {"features": [one], "n": 300, "limits": LIMITS}
    assert drift.judge(document, {"features": [one], "n": 300}).state == "healthy"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w["features"].pop(), "lacks the feature 'output_projection_2'"),
        (lambda w: w["features"][0].update(name="other"), "lacks the feature"),
        (lambda w: w["features"][0].update(edges=["-2", "-1", "0", "1", "3"]), "bins of 'output_projection_0'"),
    ],
)
def test_a_window_that_was_counted_otherwise_is_refused(change: Any, said: str) -> None:
    window = distribution()
    change(window)
    with pytest.raises(drift.WindowError, match=said):
        drift.judge(baseline(), window)


def test_the_document_is_canonical_and_repeats_byte_for_byte() -> None:
    def written() -> bytes:
        found = drift.judge(baseline(), distribution(SHIFTED))
        return canonical(found.document(baseline_digest="sha256:" + "0" * 64, window_digest="sha256:" + "1" * 64))

    assert written() == written()


def test_chance_alone_rarely_raises_an_alarm_and_a_real_shift_is_found() -> None:
    """60 healthy windows of 400 rows in 10 features: at most one false alarm; a shift of 0.75 sigma is found every time."""
    source = random.Random(11)
    edges = [float(e) for e in EDGES]

    def counts(mean: float, rows: int) -> list[int]:
        values = [source.gauss(mean, 1.2) for _ in range(rows)]
        bounds = [-float("inf"), *edges, float("inf")]
        return [sum(low <= v < high for v in values) for low, high in pairwise(bounds)]

    def window(mean: float, rows: int = 400) -> dict[str, Any]:
        rows_of = [{"counts": counts(mean, rows), "edges": EDGES, "missing": 0, "name": f"f{i}"} for i in range(10)]
        return {"features": rows_of, "n": rows}

    frozen = {**window(0.0, 2000), "limits": {**LIMITS, "population_stability_index": "0.1"}}
    alarms = sum(drift.judge(frozen, window(0.0)).state == "drifted" for _ in range(60))
    assert alarms <= 1
    assert all(drift.judge(frozen, window(0.9)).state == "drifted" for _ in range(10))
