"""Calibration: how often a model is right against how sure it is, beside its parent, with what chance alone would show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from compression_engine.answers.outputs import Field, Outputs
from compression_engine.measure import calibration, confidence
from compression_engine.measure.context import Context, Found
from compression_engine.measure.probabilities import Logits
from compression_engine.measure.statistics.row_weights import resampled_means
from compression_engine.measure.temperature import best_temperature
from compression_engine.plan import Plan
from compression_engine.result import Measurement

PLAN = Plan(task="classification", label="y", scores="logits")


def world(rows: int, seed: int = 1, classes: int = 4) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits of a perfectly calibrated model: labels are drawn from its own probabilities."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.normal(size=(rows, classes))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (probabilities.cumsum(axis=1) < generator.random((rows, 1))).sum(axis=1).clip(0, classes - 1)
    return logits, labels


def context(labels: NDArray[np.int64], plan: Plan = PLAN, **models: NDArray[np.float64]) -> Context:
    fields = {role: {"answer": Field(values.astype(np.float32))} for role, values in models.items()}
    return Context(Outputs(fields, labels=Field(labels)), plan, seed=3)


def figures(found: list[Found], kind: str = "calibration") -> dict[str, Measurement]:
    document = next(entry for entry in found if entry.kind == kind)
    return {entry.metric: entry for entry in document.measurements if not entry.slice}


def test_the_error_is_the_weighted_gap_of_bins_counted_by_hand() -> None:
    sure = np.repeat([0.6, 0.8, 0.95], 40)
    right = np.concatenate([np.repeat([1.0, 0.0], [20, 20]), np.repeat([1.0, 0.0], [32, 8]), np.ones(40)])
    empty = Logits(np.zeros((120, 2)), given=False)
    model = confidence.Confidences("version", sure, right, right, empty, np.zeros(120, dtype=np.intp))
    # gaps of the three bins: 0.6 - 0.5, 0.8 - 0.8, 1.0 - 0.95
    assert confidence.calibration_error(model) == pytest.approx((0.1 + 0.0 + 0.05) / 3, abs=1e-12)


def test_bins_hold_equal_numbers_of_rows_and_never_split_equal_confidences() -> None:
    spread = confidence.equal_mass_bins(np.linspace(0.3, 1, 1500))
    assert np.bincount(spread).tolist() == [100] * 15
    tied = confidence.equal_mass_bins(np.repeat([0.5, 1.0], [90, 110]))
    assert len(set(tied[:90])) == len(set(tied[90:])) == 1
    assert np.bincount(confidence.equal_mass_bins(np.linspace(0, 1, 100))).tolist() == [20] * 5


def test_a_calibrated_model_shows_no_more_than_chance_and_an_overconfident_one_is_named_so() -> None:
    logits, labels = world(2000)
    found = figures(calibration.measure(context(labels, version=3 * logits, parent=logits)))
    own, original = found["expected_calibration_error"], found["parent_expected_calibration_error"]
    assert original.low == 0
    assert "no more than chance" in original.plain
    alone = figures(calibration.measure(context(labels, version=logits)))
    corrected = alone["expected_calibration_error_debiased"]
    assert corrected.value < alone["expected_calibration_error"].value
    assert corrected.high < alone["expected_calibration_error"].high
    assert own.value > 0.15
    assert own.low > 0.1
    assert "more than chance shows" in own.plain
    assert "overconfident" in found["overconfidence"].plain
    assert found["overconfidence"].low > 0
    assert found["parent_overconfidence"].low < 0 < found["parent_overconfidence"].high
    assert found["expected_calibration_error_difference"].low > 0.1
    dull = figures(calibration.measure(context(labels, version=logits / 3)))
    assert "underconfident" in dull["overconfidence"].plain
    assert set(dull).isdisjoint({"parent_brier_score", "brier_score_difference"})


def test_a_model_against_itself_shows_no_difference() -> None:
    logits, labels = world(600)
    found = figures(calibration.measure(context(labels, version=logits, parent=logits)))
    for metric in ("expected_calibration_error", "overconfidence", "brier_score"):
        entry = found[f"{metric}_difference"]
        assert (entry.value, entry.low, entry.high) == (0, 0, 0)


def test_the_best_temperature_undoes_the_factor_by_which_logits_were_sharpened() -> None:
    logits, labels = world(4000)
    found = figures(calibration.measure(context(labels, version=2.5 * logits, parent=logits)))
    assert found["best_temperature"].low < 2.5 < found["best_temperature"].high
    assert found["best_temperature"].high - found["best_temperature"].low < 0.5
    assert found["parent_best_temperature"].low < 1 < found["parent_best_temperature"].high
    assert "too sure" in found["best_temperature"].plain
    assert "stay" in found["parent_best_temperature"].plain


def test_probabilities_and_logits_of_one_model_have_the_same_figures() -> None:
    logits, labels = world(500)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    a = figures(calibration.measure(context(labels, version=logits)))
    given = Plan(task="classification", label="y", scores="probabilities")
    b = figures(calibration.measure(context(labels, given, version=probabilities)))
    assert a.keys() == b.keys()
    for metric, entry in a.items():
        assert entry.value == pytest.approx(b[metric].value, abs=1e-5), metric


def test_the_brier_score_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import brier_score_loss

    logits, labels = world(300)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    plan = Plan(task="classification", label="y", scores="probabilities")
    found = figures(calibration.measure(context(labels, plan, version=probabilities)))
    wanted = brier_score_loss(labels, probabilities.astype(np.float32), labels=[0, 1, 2, 3])
    assert found["brier_score"].value == pytest.approx(wanted, abs=1e-6)
    two, one = labels % 2, probabilities[:, 0]
    found = figures(calibration.measure(context(two, plan, version=one[:, None])))
    assert found["brier_score"].value == pytest.approx(brier_score_loss(two, one.astype(np.float32)), abs=1e-6)


def test_one_column_of_logits_is_a_pair_of_classes() -> None:
    generator = np.random.default_rng(5)
    logit = 2 * generator.normal(size=3000)
    labels = (generator.random(3000) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    found = figures(calibration.measure(context(labels, version=2 * logit[:, None])))
    assert found["best_temperature"].low < 2 < found["best_temperature"].high


def test_no_temperature_is_given_where_none_is_best() -> None:
    labels = np.arange(60) % 3
    right = best_temperature(np.eye(3)[labels], labels)
    assert right.value is None
    assert "sharper" in str(right.reason)
    wrong = best_temperature(np.eye(3)[(labels + 1) % 3], labels)
    assert wrong.value is None
    assert "no temperature" in str(wrong.reason)


def test_a_probability_of_zero_is_taken_for_the_least_that_occurs() -> None:
    scores = Logits(np.array([[0.0, 1.0], [1e-9, 1 - 1e-9]]), given=True).rows(slice(None))
    assert scores[0, 0] == scores[1, 0] == pytest.approx(np.log(1e-9))


def test_reliability_bins_count_every_row_once_and_bound_the_accuracy() -> None:
    logits, labels = world(700)
    document = calibration.measure(context(labels, version=logits, parent=2 * logits))[0]
    for prefix in ("", "parent_"):
        bins = [entry for entry in document.measurements if entry.metric == f"{prefix}bin_accuracy"]
        assert sum(entry.n for entry in bins) == 700
        assert all(entry.low <= entry.value <= entry.high for entry in bins)
        names = [dict(entry.slice)["confidence_bin"] for entry in bins]
        assert names == sorted(set(names))
    said = [entry.plain for entry in document.measurements if "bin_" in entry.metric]
    assert len(set(said)) == len(said)
    for entry in (entry for entry in document.measurements if entry.metric == "bin_confidence"):
        low, high = dict(entry.slice)["confidence_bin"].split("-")
        assert float(low) <= entry.value <= float(high)


def test_each_other_model_is_compared_in_a_document_of_its_own() -> None:
    logits, labels = world(400)
    found = calibration.measure(context(labels, version=2 * logits, parent=logits, incumbent=logits, first=logits))
    assert [entry.kind for entry in found] == ["calibration", "calibration-incumbent", "calibration-first"]
    against = figures(found, "calibration-incumbent")
    assert "incumbent_brier_score" in against
    assert against["brier_score_difference"].value == figures(found)["brier_score_difference"].value


def test_the_same_outputs_and_seed_give_the_same_figures() -> None:
    logits, labels = world(300)
    given = context(labels, version=2 * logits, parent=logits)
    documents = [[entry.figure() for found in calibration.measure(given) for entry in found.measurements]]
    documents.append([entry.figure() for found in calibration.measure(given) for entry in found.measurements])
    assert documents[0] == documents[1]


def test_rows_of_one_sequence_are_drawn_together_so_that_intervals_widen() -> None:
    values = np.repeat(np.random.default_rng(2).normal(size=50), 20)[:, None]
    alone = resampled_means(values, 1).std()
    together = resampled_means(values, 1, np.repeat(np.arange(50), 20)).std()
    assert 3 < together / alone < 6  # the square root of 20


def test_few_sequences_bound_nothing_and_many_bound_less_than_rows() -> None:
    logits, labels = world(400)
    given = context(labels, version=2 * logits, parent=logits)
    alone = figures(calibration.measure(given))
    for count in (4, 20):
        numbers = np.repeat(np.arange(count), 400 // count)
        together = replace(given, outputs=replace(given.outputs, sequences=numbers))
        document = calibration.measure(together)[0]
        found = figures([document])
        assert found["brier_score"].value == pytest.approx(alone["brier_score"].value)
        assert "expected_calibration_error_by_chance" not in found
        assert (found["brier_score"].low is None) == (count == 4)
        accuracy = [entry for entry in document.measurements if entry.metric == "bin_accuracy"]
        assert {entry.low for entry in accuracy} == {None}
    repeated = np.repeat(np.arange(40), 10)
    same = context(labels[repeated], version=logits[repeated])
    clustered = replace(same, outputs=replace(same.outputs, sequences=repeated))
    narrow, wide = (figures(calibration.measure(entry))["best_temperature"] for entry in (same, clustered))
    assert narrow.value == wide.value
    assert wide.high / wide.low > (narrow.high / narrow.low) ** 2


def test_it_does_not_apply_without_labels_or_classes() -> None:
    logits, labels = world(50)
    assert calibration.measure(context(labels, Plan(task="regression"), version=logits)) == []
    bare = Outputs({"version": {"answer": Field(logits)}})
    assert calibration.measure(Context(bare, PLAN)) == []


def test_rows_that_a_model_answers_with_nan_are_left_out_and_not_counted() -> None:
    logits, labels = world(200)
    broken = logits.copy()
    broken[:5] = np.nan
    found = figures(calibration.measure(context(labels, version=logits, parent=broken)))
    assert {entry.n for entry in found.values()} == {195}


def test_a_class_that_is_ruled_out_leaves_the_temperature_as_it_is() -> None:
    generator = np.random.default_rng(2)
    scores = generator.normal(size=(900, 3)) * 2
    sharp = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    labels = np.array([generator.choice(3, p=row) for row in sharp])
    without = best_temperature(2 * scores, labels)
    ruled_out = np.hstack([2 * scores, np.full((900, 1), -np.inf)])
    assert best_temperature(ruled_out, labels) == without
    assert without.value == pytest.approx(2, rel=0.2)
