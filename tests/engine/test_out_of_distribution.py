"""Rows of another kind: whether confidence tells them apart, for version and parent, with intervals that hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.metrics import roc_auc_score

from compression_engine.data import Encoder, Rows
from compression_engine.measure import out_of_distribution as ood
from compression_engine.measure.context import Context, Found
from compression_engine.measure.running import answered
from compression_engine.plan import Plan
from compression_engine.result import Measurement
from compression_engine.runtime import Model
from compression_engine.stage_store import StageStore
from tests.engine import nets

PLAN = Plan(task="classification", label="y", scores="logits")
FEATURES, CLASSES = 8, 4


def means() -> np.ndarray[Any, Any]:
    return 2.0 * np.random.default_rng(3).normal(size=(CLASSES, FEATURES))


def classifier(*, saturated: bool = False, softmax: bool = False) -> onnx.ModelProto:
    """x [rows, 8] -> logits. Saturated: what lies close to the middle of all classes is answered with a sure class 0."""
    nodes = [helper.make_node("MatMul", ["x", "means"], ["clean"])]
    tensors: dict[str, Any] = {"means": means().T.astype(np.float32)}
    if saturated:
        nodes += [
            helper.make_node("ReduceL2", ["x"], ["length"], axes=[1], keepdims=1),
            helper.make_node("Less", ["length", "near"], ["foreign"]),
            helper.make_node("Where", ["foreign", "sure", "clean"], ["felt"]),
        ]
        tensors |= {"near": np.array(3.0, np.float32), "sure": np.array([[40, 0, 0, 0]], np.float32)}
    felt = "felt" if saturated else "clean"
    nodes.append(helper.make_node("Softmax" if softmax else "Identity", [felt], ["y"]))
    ports = ({"x": (TensorProto.FLOAT, ["n", FEATURES])}, {"y": (TensorProto.FLOAT, ["n", CLASSES])})
    return nets.model(nodes, tensors, *ports)


def rows(count: int = 300, *, foreign: bool = False, seed: int = 1) -> Rows:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, count)
    middle = 0 if foreign else means()[labels]
    x = (middle + (0.6 if foreign else 1.0) * generator.normal(size=(count, FEATURES))).astype(np.float32)
    return Rows("sha256:" + str(int(foreign)) * 64, (), {"x": x}, (), {} if foreign else {"y": labels})


def context(
    folder: Path, version: onnx.ModelProto, parent: onnx.ModelProto | None = None, plan: Plan = PLAN
) -> Context:
    saved = {"version": nets.save(version, folder, "version.onnx")}
    if parent is not None:
        saved["parent"] = nets.save(parent, folder, "parent.onnx")
    models = {role: Model(path, 1) for role, path in saved.items()}
    own, other = (Encoder(given, models["version"].inputs(), None, plan) for given in (rows(), rows(foreign=True)))
    outputs = answered(models, own, plan)
    return Context(outputs, plan, 5, models=models, paths=saved, encoder=own, out_of_distribution=other)


def figures(found: list[Found]) -> dict[str, Measurement]:
    return {entry.metric: entry for entry in found[0].measurements}


def test_both_scores_have_the_area_of_scikit_learn_and_the_rate_counted_by_hand(tmp_path: Path) -> None:
    given = context(tmp_path, classifier())
    found = figures(ood.measure(given))
    own, foreign = (held.arrays["x"] @ means().T.astype(np.float32) for held in (rows(), rows(foreign=True)))
    is_own = np.repeat([1, 0], 300)
    for score in ("max_probability", "energy"):
        values = []
        for logits in (own.astype(np.float64), foreign.astype(np.float64)):
            total = np.log(np.exp(logits).sum(axis=1))
            values.append(total if score == "energy" else np.exp(logits.max(axis=1) - total))
        wanted = roc_auc_score(is_own, np.concatenate(values))
        assert found[f"auroc_{score}"].value == pytest.approx(wanted, abs=1e-4)
        threshold = np.sort(values[0])[15]  # 285 of 300 reach it
        assert found[f"fpr95_{score}"].value == pytest.approx((values[1] >= threshold).mean(), abs=0.01)
        assert found[f"auroc_{score}"].low < wanted < found[f"auroc_{score}"].high
    assert found["auroc_energy"].n == 600


def test_a_version_that_is_sure_only_out_of_its_range_is_told_from_its_parent(tmp_path: Path) -> None:
    given = context(tmp_path, classifier(saturated=True), classifier())
    own = given.outputs
    assert np.mean(own.answer("version").values == own.answer("parent").values) > 0.99
    found = figures(ood.measure(given))
    difference = found["auroc_max_probability_difference"]
    assert difference.high < -0.1
    assert "tells foreign rows worse than the original" in difference.plain
    assert found["fpr95_max_probability"].value > found["parent_fpr95_max_probability"].value


def test_a_model_against_itself_shows_no_difference(tmp_path: Path) -> None:
    found = figures(ood.measure(context(tmp_path, classifier(), classifier())))
    difference = found["auroc_energy_difference"]
    assert difference.value == 0
    assert (difference.low, difference.high, difference.reason) == (
        None,
        None,
        "no row is placed otherwise by the two models",
    )
    assert "not shown" in difference.plain


def test_probabilities_have_no_energy(tmp_path: Path) -> None:
    plan = replace(PLAN, scores=None)
    found = figures(ood.measure(context(tmp_path, classifier(softmax=True), plan=plan)))
    assert set(found) == {"auroc_max_probability", "fpr95_max_probability"}


def test_it_does_not_apply_without_foreign_rows_models_or_classes(tmp_path: Path) -> None:
    given = context(tmp_path, classifier())
    assert ood.measure(replace(given, out_of_distribution=None)) == []
    assert ood.measure(replace(given, models={})) == []
    assert ood.measure(replace(given, plan=Plan(task="regression", label="y"))) == []


def test_the_interval_of_the_area_holds_in_95_of_100_worlds() -> None:
    generator = np.random.default_rng(11)
    from scipy.stats import norm

    true = float(norm.cdf(0.7 / np.sqrt(2)))
    held = 0
    for _ in range(400):
        sides = ood.Sides(generator.normal(0.7, 1, 120), generator.normal(size=80), None, None)
        low, high = ood.area_interval(ood.area(sides.own, sides.foreign), sides)
        held += low <= true <= high
    assert 0.925 <= held / 400 <= 0.975


def test_the_interval_of_the_rate_is_that_of_rows_drawn_again() -> None:
    generator = np.random.default_rng(2)
    own, foreign = generator.normal(2, 1, 200), generator.normal(0, 1, 150)
    drawn = [
        ood.false_alarms(generator.choice(own, len(own)), generator.choice(foreign, len(foreign))) for _ in range(3000)
    ]
    low, high = ood.false_alarms_interval(own, foreign, 1)
    assert [low, high] == pytest.approx(list(np.quantile(drawn, [0.025, 0.975])), abs=0.02)
    assert low <= ood.false_alarms(own, foreign) <= high


def test_ties_count_half_and_perfect_order_has_no_interval() -> None:
    assert ood.area(np.ones(5), np.ones(7)).value == 0.5
    sides = ood.Sides(np.arange(5.0) + 10, np.arange(6.0), None, None)
    found = ood.area(sides.own, sides.foreign)
    assert found.value == 1
    assert ood.area_interval(found, sides) is None


def test_rows_of_one_sequence_widen_the_interval() -> None:
    generator = np.random.default_rng(4)
    own, foreign = np.repeat(generator.normal(1, 1, 30), 10), np.repeat(generator.normal(0, 1, 30), 10)
    numbers = np.repeat(np.arange(30), 10)
    alone, together = ood.Sides(own, foreign, None, None), ood.Sides(own, foreign, numbers, numbers)
    found = ood.area(own, foreign)
    widths = [high - low for low, high in (ood.area_interval(found, sides) for sides in (alone, together))]
    assert widths[1] > 2.5 * widths[0]


def test_many_foreign_rows_are_represented_by_evenly_spaced_ones(tmp_path: Path) -> None:
    given = context(tmp_path, classifier())
    many = Encoder(rows(12_000, foreign=True), given.models["version"].inputs(), None, PLAN)
    found = ood.measure(replace(given, out_of_distribution=many))
    assert ("foreign_rows", "5000") in found[0].facts
    assert figures(found)["auroc_energy"].n == 5300


def test_rows_that_a_model_answers_with_nan_are_left_out(tmp_path: Path) -> None:
    given = context(tmp_path, classifier())
    values = given.outputs.answer("version").values
    values[:7] = np.nan
    assert figures(ood.measure(given))["auroc_energy"].n == 593


def test_the_incumbent_answers_foreign_rows_too_and_stands_in_a_document_of_its_own(tmp_path: Path) -> None:
    pair = context(tmp_path, classifier(saturated=True), classifier())
    models = pair.models | {"incumbent": Model(nets.save(classifier(), tmp_path, "incumbent.onnx"), 1)}  # type: ignore[operator]
    outputs = answered(models, pair.encoder, PLAN)  # type: ignore[arg-type]
    own, beside = ood.measure(replace(pair, outputs=outputs, models=models))
    assert (own.kind, beside.kind) == ("out-of-distribution", "out-of-distribution-incumbent")
    assert [entry.figure() for entry in own.measurements] == [
        entry.figure() for entry in ood.measure(pair)[0].measurements
    ]
    figures = {entry.metric: entry for entry in beside.measurements}
    of_parent = {entry.metric: entry for entry in own.measurements}
    assert set(figures) == {
        f"{name}_{score}{end}"
        for score in ("max_probability", "energy")
        for name, end in (("incumbent_auroc", ""), ("incumbent_fpr95", ""), ("auroc", "_difference"))
    }
    difference = figures["auroc_max_probability_difference"]
    assert difference.value == of_parent["auroc_max_probability_difference"].value
    assert "than the incumbent" in difference.plain


def test_what_was_answered_to_foreign_rows_is_not_asked_again_after_a_kill(tmp_path: Path) -> None:
    given = replace(
        context(tmp_path, classifier(saturated=True), classifier()),
        stages=StageStore(tmp_path / "stages", "these models"),
    )
    first = ood.measure(given)

    class Silent(Model):
        def run(self, feed: Any) -> Any:
            raise AssertionError("a model was asked again")

    asleep = {role: Silent(path, 1) for role, path in given.paths.items()}
    again = ood.measure(replace(given, models=asleep))
    assert [entry.figure() for entry in again[0].measurements] == [entry.figure() for entry in first[0].measurements]
    with pytest.raises(AssertionError, match="asked again"):
        ood.measure(replace(given, models=asleep, out_of_distribution=given.encoder))


def test_rows_without_a_score_are_counted(tmp_path: Path) -> None:
    given = context(tmp_path, classifier())
    broken = given.out_of_distribution.rows  # type: ignore[union-attr]
    x = broken.arrays["x"].copy()
    x[:7] = np.nan
    foreign = given.out_of_distribution.with_rows(Rows(broken.digest, (), {"x": x}, ()))  # type: ignore[union-attr]
    (found,) = ood.measure(replace(given, out_of_distribution=foreign))
    assert dict(found.facts)["rows_without_a_score"] == "7"
    assert {entry.n for entry in found.measurements} == {300 + 300 - 7}
