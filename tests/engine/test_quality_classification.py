"""Quality of classifiers: scikit-learn's figures to 1e-9, intervals that hold, differences over the same rows."""

from __future__ import annotations

import numpy as np
import pytest

from compression_engine.answers.outputs import Outputs
from compression_engine.measure import quality, scores
from compression_engine.measure.probabilities import Probabilities
from compression_engine.measure.quality import auroc, classification
from compression_engine.plan import Plan
from compression_engine.result import Measurement
from tests.engine import answered

PLAN = Plan(task="classification", scores="logits")


def measured(outputs: Outputs, plan: Plan = PLAN, seed: int = 0) -> dict[str, Measurement]:
    (found,) = quality.measure(answered.context(outputs, plan, seed))
    assert found.kind == "quality"
    return answered.by_name(list(found.measurements))


def value(entry: Measurement) -> float:
    assert entry.value is not None
    return entry.value


def bounds(entry: Measurement) -> tuple[float, float]:
    assert entry.low is not None
    assert entry.high is not None
    return entry.low, entry.high


@pytest.mark.parametrize("classes", [2, 4, 9])
def test_every_figure_is_scikit_learns(classes: int) -> None:
    from sklearn import metrics

    outputs = answered.classifier(400, classes)
    found = measured(outputs)
    right = np.asarray(outputs.labels.values if outputs.labels else None)
    for role, prefix in (("version", ""), ("parent", "parent_")):
        logits = outputs.answer(role).values.astype(np.float64)
        odds = np.exp(logits)
        shares, chosen = odds / odds.sum(axis=1, keepdims=True), logits.argmax(axis=1)
        asked = shares[:, 1] if classes == 2 else shares
        expected = {
            "accuracy": metrics.accuracy_score(right, chosen),
            "auroc": metrics.roc_auc_score(right, asked, multi_class="ovr", average="macro"),
            "balanced_accuracy": metrics.balanced_accuracy_score(right, chosen),
            "f1_macro": metrics.f1_score(right, chosen, average="macro"),
            "log_loss": metrics.log_loss(right, shares, labels=range(classes)),
        }
        if classes > 5:
            expected["top5_accuracy"] = metrics.top_k_accuracy_score(right, shares, k=5, labels=range(classes))
        assert {name for name in found if name in expected} == set(expected)
        for name, figure in expected.items():
            assert value(found[prefix + name]) == pytest.approx(figure, abs=1e-9), name
            assert found[prefix + name].n == 400
    for name in ("balanced_accuracy", "f1_macro", "auroc"):
        difference = value(found[name]) - value(found[f"parent_{name}"])
        assert value(found[f"{name}_difference"]) == pytest.approx(difference, abs=1e-12)


def test_equal_scores_count_half_as_in_scikit_learn() -> None:
    from sklearn import metrics

    generator = np.random.default_rng(0)
    right = generator.integers(0, 2, 200)
    coarse = np.round((right[:, None] + generator.normal(size=(200, 1))) * 2) / 2
    found = measured(answered.of({"version": coarse}, right))
    assert value(found["auroc"]) == pytest.approx(metrics.roc_auc_score(right, coarse[:, 0]), abs=1e-9)
    area = auroc.area(Probabilities(np.concatenate([-coarse, coarse], axis=1), given=True), right)
    assert area is not None
    assert area.placements.sum() == pytest.approx(2 * area.value)


def test_classes_that_do_not_occur_are_counted_as_scikit_learn_counts_them() -> None:
    from sklearn import metrics

    logits = np.array([[5, 0, 0, 0], [5, 0, 0, 0], [0, 0, 5, 0], [0, 5, 0, 0], [0, 5, 0, 0]], dtype=float)
    right = np.array([0, 0, 0, 1, 0])
    found = measured(answered.of({"version": logits}, right))
    assert value(found["f1_macro"]) == pytest.approx(metrics.f1_score(right, [0, 0, 2, 1, 1], average="macro"))
    assert value(found["balanced_accuracy"]) == pytest.approx((3 / 4 * 2 / 3 + 1) / 2)
    assert "2 classes without rows are left out" in found["auroc"].plain


def test_all_rows_of_one_class_have_no_area_and_say_why() -> None:
    found = measured(answered.of({"version": 3 * np.eye(3)[[0, 0, 1]]}, np.array([0, 0, 0])))
    assert found["auroc"].value is None
    assert found["auroc"].reason == "all rows have the same label"
    assert value(found["accuracy"]) == pytest.approx(2 / 3)


def test_a_perfect_area_claims_no_interval() -> None:
    found = measured(answered.of({"version": np.eye(2)[[0, 0, 1, 1]] * 3}, np.array([0, 0, 1, 1])))
    assert found["auroc"].value == 1
    assert found["auroc"].low is None
    assert found["auroc"].reason


def test_intervals_hold_the_truth_about_95_times_in_100() -> None:
    """The truth is what the same drawing gives on very many rows."""
    names = (
        "accuracy",
        "balanced_accuracy",
        "f1_macro",
        "auroc",
        "log_loss",
        "auroc_difference",
        "f1_macro_difference",
    )
    truth = measured(answered.classifier(60_000, 3, seed=99))
    held = dict.fromkeys(names, 0)
    for seed in range(40):
        found = measured(answered.classifier(250, 3, seed=seed), seed=seed)
        for name in names:
            low, high = bounds(found[name])
            held[name] += low <= value(truth[name]) <= high
    assert all(34 <= count <= 40 for count in held.values()), held


def test_rows_of_one_sequence_are_drawn_together() -> None:
    """Eight copies of each row hold no more knowledge than one."""
    single = answered.classifier(60, 3)
    copied = {role: np.repeat(fields["answer"].values, 8, axis=0) for role, fields in single.models.items()}
    assert single.labels is not None
    right = np.repeat(single.labels.values, 8)
    apart = measured(answered.of(copied, right))
    together = measured(answered.of(copied, right, sequences=np.repeat(np.arange(60), 8)))
    alone = measured(single)
    for name in ("accuracy", "f1_macro", "auroc", "log_loss", "auroc_difference"):
        widths = [high - low for low, high in (bounds(found[name]) for found in (apart, together, alone))]
        assert widths[0] < 0.5 * widths[1], name
        assert widths[1] == pytest.approx(widths[2], rel=0.25), name
        assert value(together[name]) == pytest.approx(value(alone[name])), name


def test_delongs_interval_is_the_bootstraps() -> None:
    outputs = answered.classifier(300, 3)
    right, shares = scores.labels(outputs, PLAN), scores.probabilities(outputs, "version", PLAN)
    area = auroc.area(shares, right)
    assert area is not None
    assert area.placements.sum() == pytest.approx(2 * area.value)
    ends = auroc.interval(area, right)
    assert ends is not None
    generator, drawn = np.random.default_rng(0), []
    for _ in range(400):
        rows = generator.integers(0, len(right), len(right))
        again = auroc.area(Probabilities(shares.rows(rows), given=True), right[rows])
        assert again is not None
        drawn.append(again.value)
    assert ends == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.008)


def test_the_same_answers_differ_by_nothing_and_surely() -> None:
    outputs = answered.classifier(200, 3, noise=0.0)
    found = measured(outputs)
    for name in ("balanced_accuracy_difference", "f1_macro_difference", "auroc_difference"):
        assert (found[name].value, found[name].low, found[name].high) == (0, 0, 0)


def test_a_difference_is_paired_and_so_narrower_than_its_parts() -> None:
    found = measured(answered.classifier(400, 3, noise=0.2))
    for name in ("f1_macro", "auroc"):
        own, paired = bounds(found[name]), bounds(found[f"{name}_difference"])
        assert paired[1] - paired[0] < 0.7 * (own[1] - own[0])


def test_the_same_seed_gives_the_same_figures_and_another_another_interval() -> None:
    outputs = answered.classifier(200, 3)
    one, again, other = (measured(outputs, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one["f1_macro"].low != other["f1_macro"].low
    assert one["f1_macro"].value == other["f1_macro"].value


def test_incumbent_and_first_stand_beside_the_parent() -> None:
    outputs = answered.classifier(100, 3)
    models = dict(outputs.models) | {"incumbent": outputs.models["parent"], "first": outputs.models["version"]}
    found = measured(Outputs(models, outputs.labels))
    assert found["incumbent_accuracy"].value == found["parent_accuracy"].value
    assert found["first_log_loss"].value == found["log_loss"].value
    assert found["first_accuracy"].plain.startswith("The first approved version is right for")


def test_figures_of_a_thousand_classes_take_no_room() -> None:
    generator = np.random.default_rng(0)
    right = generator.integers(0, 1000, 2000)
    chosen = np.where(generator.random(2000) < 0.8, right, generator.integers(0, 1000, 2000))
    found = measured(answered.of({"version": np.eye(1000)[chosen] * 9}, right))
    assert bounds(found["f1_macro"])[0] < value(found["f1_macro"])


def test_without_labels_there_is_no_quality() -> None:
    outputs = answered.classifier(10, 3)
    assert quality.measure(answered.context(Outputs(outputs.models), PLAN)) == []
    assert quality.measure(answered.context(outputs, Plan())) == []


def test_among_the_first_five_counts_equal_scores_once() -> None:
    even = np.full((2, 7), 0.1)
    assert classification.among_first(Probabilities(even, given=True), np.array([4, 5]), 5).tolist() == [True, False]
