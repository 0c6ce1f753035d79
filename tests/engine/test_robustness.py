"""Robustness: what damage costs a version beyond its parent, on the same damaged rows of real models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compression_engine.answers.outputs import Field, Outputs
from compression_engine.data import Encoder, Rows
from compression_engine.measure import robustness
from compression_engine.measure.context import Context, Found
from compression_engine.measure.corruptions.damaging import modality_of
from compression_engine.measure.corruptions.loss import Scored
from compression_engine.measure.corruptions.loss import figures as figures_of
from compression_engine.measure.corruptions.row_scores import row_scores
from compression_engine.measure.running import answered
from compression_engine.plan import Plan, State
from compression_engine.result import Measurement
from compression_engine.runtime import Model
from tests.engine import nets

PLAN = Plan(task="classification", label="y", modality="tabular", scores="logits")
FEATURES, CLASSES = 6, 3


def classifier(*, seen_range: float | None = None, shift: float = 0.0) -> onnx.ModelProto:
    """x [rows, 6] -> class means as logits. With `seen_range`, what lies further out than the rows do turns it round."""
    nodes = [helper.make_node("MatMul", ["x", "means"], ["clean"])]
    tensors: dict[str, Any] = {"means": means().T.astype(np.float32)}
    if seen_range is not None:
        nodes += [
            helper.make_node("Abs", ["x"], ["size"]),
            helper.make_node("ReduceMax", ["size"], ["largest"], axes=[1], keepdims=1),
            helper.make_node("Greater", ["largest", "edge"], ["outside"]),
            helper.make_node("Neg", ["clean"], ["turned"]),
            helper.make_node("Where", ["outside", "turned", "clean"], ["felt"]),
        ]
        tensors["edge"] = np.array(seen_range, dtype=np.float32)
    tensors["bias"] = np.array([shift, 0, 0], dtype=np.float32)
    nodes.append(helper.make_node("Add", ["felt" if seen_range is not None else "clean", "bias"], ["y"]))
    ports = ({"x": (TensorProto.FLOAT, ["n", FEATURES])}, {"y": (TensorProto.FLOAT, ["n", CLASSES])})
    return nets.model(nodes, tensors, *ports)


def means() -> np.ndarray[Any, Any]:
    return 2 * np.random.default_rng(8).normal(size=(CLASSES, FEATURES))


def data(count: int = 400) -> Rows:
    generator = np.random.default_rng(5)
    labels = generator.integers(0, CLASSES, count)
    x = np.clip(means()[labels] * 0.5 + generator.normal(size=(count, FEATURES)), -6, 6).astype(np.float32)
    return Rows("sha256:" + "0" * 64, (), {"x": x}, (), {"y": labels})


def context(
    folder: Path, rows: Rows, version: onnx.ModelProto, parent: onnx.ModelProto | None = None, plan: Plan = PLAN
) -> Context:
    saved = {"version": nets.save(version, folder, "version.onnx")}
    if parent is not None:
        saved["parent"] = nets.save(parent, folder, "parent.onnx")
    models = {role: Model(path, 1) for role, path in saved.items()}
    encoder = Encoder(rows, models["version"].inputs(), None, plan)
    outputs = answered(models, encoder, plan)
    return Context(outputs, plan, seed=2, models=models, paths=saved, encoder=encoder)


def overall(found: list[Found]) -> dict[str, Measurement]:
    return {entry.metric: entry for entry in found[0].measurements if not entry.slice}


def at(found: list[Found], metric: str, corruption: str, severity: int) -> Measurement:
    wanted = (("corruption", corruption), ("severity", str(severity)))
    return next(entry for entry in found[0].measurements if entry.metric == metric and tuple(entry.slice) == wanted)


def test_a_fault_beyond_the_range_of_the_rows_is_an_excess_loss_under_damage(tmp_path: Path) -> None:
    rows = data()
    given = context(tmp_path, rows, classifier(seen_range=6.01), classifier())
    assert np.array_equal(given.outputs.answer("version").values, given.outputs.answer("parent").values)
    found = robustness.measure(given)
    excess = overall(found)["accuracy_excess_loss"]
    assert excess.low > 0.02
    assert "more accuracy than the original" in excess.plain
    assert at(found, "accuracy_difference", "wrong_unit", 5).high < -0.1
    assert at(found, "accuracy_difference", "missing_values", 5).value == 0


def test_a_version_that_is_worse_everywhere_loses_no_more_by_damage(tmp_path: Path) -> None:
    given = context(tmp_path, data(), classifier(shift=9.0), classifier())
    found = overall(robustness.measure(given))
    assert found["accuracy_difference"].high < -0.05
    assert found["accuracy_excess_loss"].low <= 0


def test_a_model_against_itself_shows_no_difference_under_any_damage(tmp_path: Path) -> None:
    found = robustness.measure(context(tmp_path, data(200), classifier(), classifier()))
    differences = [entry for entry in found[0].measurements if entry.metric == "accuracy_difference"]
    assert len(differences) == 1 + 4 + 4 * 5
    assert {entry.value for entry in differences} == {0.0}
    single = at(found, "accuracy_difference", "jitter", 3)
    assert single.low < 0 < single.high  # no row differs, and the interval still says what could have been missed


def test_accuracy_falls_with_the_severity_and_is_that_of_the_damaged_rows(tmp_path: Path) -> None:
    rows = data()
    found = robustness.measure(context(tmp_path, rows, classifier()))
    falling = [at(found, "accuracy", "jitter", severity).value for severity in range(1, 6)]
    assert falling[0] > falling[4]
    assert not any(entry.metric.startswith("parent_") for entry in found[0].measurements)
    logits = rows.arrays["x"] @ means().T
    whole = (logits.argmax(axis=1) == rows.columns["y"]).mean()
    assert falling[0] == pytest.approx(whole, abs=0.03)
    assert all(entry.low <= entry.value <= entry.high for entry in found[0].measurements if entry.low is not None)


def test_without_labels_it_says_whether_a_model_keeps_to_its_own_choice(tmp_path: Path) -> None:
    plan = Plan(task="classification", modality="tabular", scores="logits")
    found = robustness.measure(context(tmp_path, data(), classifier(seen_range=6.01), classifier(), plan))
    figures = overall(found)
    assert set(figures) == {"agreement", "parent_agreement", "agreement_difference"}
    assert figures["agreement_difference"].high < 0
    assert at(found, "agreement", "wrong_unit", 5).value < at(found, "parent_agreement", "wrong_unit", 5).value


def test_answers_that_are_no_classes_are_compared_by_cosine_and_single_numbers_by_their_shift(tmp_path: Path) -> None:
    found = overall(robustness.measure(context(tmp_path, data(60), classifier(), plan=Plan(modality="tabular"))))
    assert found["cosine"].unit == "cosine"
    assert 0 < found["cosine"].value < 1
    one = nets.model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"w": np.ones((FEATURES, 1), dtype=np.float32)},
        {"x": (TensorProto.FLOAT, ["n", FEATURES])},
        {"y": (TensorProto.FLOAT, ["n", 1])},
    )
    shifts = robustness.measure(context(tmp_path, data(60), one, one, Plan(task="regression", modality="tabular")))
    assert at(shifts, "answer_shift", "jitter", 5).value > at(shifts, "answer_shift", "jitter", 1).value > 0
    labelled = Plan(task="regression", label="y", modality="tabular")
    errors = overall(robustness.measure(context(tmp_path, data(60), one, one, labelled)))
    assert errors["absolute_error"].unit == "output_unit"
    assert errors["absolute_error_excess_loss"].value == 0


def test_the_same_seed_damages_alike_and_another_seed_otherwise(tmp_path: Path) -> None:
    given = context(tmp_path, data(120), classifier(), classifier(seen_range=6.01))
    first, second = ([entry.figure() for entry in robustness.measure(given)[0].measurements] for _ in range(2))
    assert first == second
    other = Context(given.outputs, PLAN, seed=3, models=given.models, paths=given.paths, encoder=given.encoder)
    assert [entry.figure() for entry in robustness.measure(other)[0].measurements] != first


def test_rows_are_bounded_and_counted(tmp_path: Path) -> None:
    given = context(tmp_path, data(2000), classifier())
    found = robustness.measure(given)
    assert {entry.n for entry in found[0].measurements} == {800}  # 20,000 runs over 5 corruptions of 5 severities
    assert ("corrupted_rows", "800") in found[0].facts
    large = with_weights_beside_it(tmp_path, 30_000_000)
    found = robustness.measure(replace(given, paths={"version": large}))
    assert ("corrupted_rows", "80") in found[0].facts


def with_weights_beside_it(folder: Path, size_bytes: int) -> Path:
    """A model of a few hundred bytes whose weights lie in a file of their own."""
    net = classifier()
    weights = next(tensor for tensor in net.graph.initializer if tensor.name == "means")
    weights.ClearField("raw_data")
    weights.dims[:] = [size_bytes // 4]
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "means.bin"), ("length", str(size_bytes))):
        weights.external_data.add(key=key, value=value)
    with (folder / "means.bin").open("wb") as file:
        file.truncate(size_bytes)
    return nets.save(net, folder, "beside.onnx")


def test_images_are_recognised_and_damaged(tmp_path: Path) -> None:
    rows = Rows("sha256:" + "1" * 64, (), nets.rows_for("images", 30) | {}, ())
    plan = Plan(task="classification", scores="logits")
    net = nets.convolution()
    net.graph.input[0].name = "x"
    net.graph.node[0].input[0] = "x"
    found = robustness.measure(context(tmp_path, rows, net, net, plan))
    kinds = {dict(entry.slice).get("corruption") for entry in found[0].measurements}
    assert {"gaussian_noise", "jpeg", "pixelate"} <= kinds
    assert ("modality", "image") in found[0].facts


def test_recurrent_models_are_damaged_along_whole_sequences(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Add", ["mean", "state"], ["next"]),
        helper.make_node("Concat", ["next", "mean"], ["y"], axis=1),
    ]
    ports = (
        {"x": (TensorProto.FLOAT, ["n", 300]), "state": (TensorProto.FLOAT, ["n", 1])},
        {"y": (TensorProto.FLOAT, ["n", 2]), "next": (TensorProto.FLOAT, ["n", 1])},
    )
    net = nets.model(nodes, {}, *ports)
    generator = np.random.default_rng(0)
    sounds = np.clip(generator.normal(scale=0.2, size=(60, 300)), -1, 1).astype(np.float32)
    rows = Rows("sha256:" + "2" * 64, (), {"x": sounds}, (), {"part": np.repeat(np.arange(6), 10)})
    plan = Plan(
        task="classification", sequence="part", states=(State("state", "next"),), scores="logits", modality="audio"
    )
    found = robustness.measure(context(tmp_path, rows, net, net, plan))
    figures = overall(found)
    assert figures["agreement"].n == 60
    assert figures["agreement"].low <= figures["agreement"].value <= figures["agreement"].high
    assert {dict(entry.slice).get("corruption") for entry in found[0].measurements} >= {"white_noise", "narrow_band"}


def test_of_sequences_the_beginnings_are_taken_from_many_rather_than_few_as_a_whole() -> None:
    numbers = np.repeat(np.arange(80), 30)
    rows = robustness.beginnings(numbers, 500)
    assert len(rows) == 500
    assert len(np.unique(numbers[rows])) == 50
    assert set(np.bincount(numbers[rows])[np.unique(numbers[rows])]) == {10}
    assert (rows[:10] == np.arange(10)).all()
    uneven = np.repeat([0, 1, 2], [5, 100, 1])
    assert np.bincount(uneven[robustness.beginnings(uneven, 60)]).tolist() == [5, 20, 1]


def scored(damaged: dict[tuple[str, int], dict[str, Any]], **more: Any) -> Scored:
    return Scored("accuracy", "share", True, damaged, None, **more)


def test_a_mean_of_shares_is_bounded_also_where_hardly_a_row_differs() -> None:
    parent = np.ones(500)
    version = parent.copy()
    version[0] = 0
    cells = {
        ("jitter", 1): {"version": version, "parent": parent},
        ("jitter", 2): {"version": parent, "parent": parent},
    }
    found = {entry.metric: entry for entry in figures_of(scored(cells), 1) if not entry.slice}
    difference = found["accuracy_difference"]
    assert difference.value == pytest.approx(-0.001)
    assert -0.02 < difference.low < difference.value < difference.high < 0.01
    assert 0.98 < found["accuracy"].low < found["accuracy"].value <= found["accuracy"].high <= 1


def test_few_sequences_give_no_interval_and_the_reason() -> None:
    cells = {("jitter", 1): {"version": np.arange(40) % 2.0, "parent": np.zeros(40)}}
    found = figures_of(scored(cells, sequences=np.repeat(np.arange(4), 10)), 1)
    assert {entry.low for entry in found} == {None}
    assert {entry.reason for entry in found} == {"there are fewer than six sequences"}


def test_what_cannot_be_damaged_is_said_and_not_passed_over(tmp_path: Path) -> None:
    plan = Plan(task="classification", label="y", modality="text", scores="logits")
    found = robustness.measure(context(tmp_path, data(40), classifier(), plan=plan))
    assert [entry.value for entry in found[0].measurements] == [None]
    assert "no texts" in str(found[0].measurements[0].reason)
    plan = Plan(task="classification", label="y", modality="image", scores="logits")
    found = robustness.measure(context(tmp_path, data(40), classifier(), plan=plan))
    assert "no input of the rows lies like an image" in str(found[0].measurements[0].reason)


def test_token_numbers_are_no_numbers_to_damage_and_that_is_said(tmp_path: Path) -> None:
    net = nets.encoder()
    rows = Rows("sha256:" + "0" * 64, (), nets.rows_for("ids", 12), ())
    (found,) = robustness.measure(context(tmp_path, rows, net, plan=Plan()))
    assert [entry.value for entry in found.measurements] == [None]
    assert "modality" in str(found.measurements[0].reason)


def test_it_does_not_apply_without_models(tmp_path: Path) -> None:
    given = context(tmp_path, data(40), classifier())
    assert robustness.measure(Context(given.outputs, PLAN)) == []


def test_rows_answered_with_nan_under_damage_are_left_out_and_counted(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Sqrt", ["m"], ["y"])]
    ports = ({"x": (TensorProto.FLOAT, ["n", FEATURES])}, {"y": (TensorProto.FLOAT, ["n", 1])})
    root = nets.model(nodes, {"w": np.ones((FEATURES, 1), dtype=np.float32)}, *ports)
    rows = data(80)
    positive = Rows(rows.digest, (), {"x": np.abs(rows.arrays["x"]) / 10 + 0.01}, (), rows.columns)
    plan = Plan(task="regression", label="y", modality="tabular")
    found = robustness.measure(context(tmp_path, positive, root, plan=plan))
    lost = int(dict(found[0].facts)["rows_left_out"])
    assert 0 < lost < 80
    assert {entry.n for entry in found[0].measurements} == {80 - lost}
    assert dict(found[0].facts)["answers_without_a_number"].startswith("version ")


def test_an_answer_that_is_no_number_is_a_wrong_one_and_not_left_out(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "means"], ["m"]),
        helper.make_node("Abs", ["x"], ["size"]),
        helper.make_node("ReduceMax", ["size"], ["largest"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["edge", "largest"], ["left"]),
        helper.make_node("Sqrt", ["left"], ["root"]),  # no number beyond the edge
        helper.make_node("Mul", ["root", "zero"], ["nothing"]),
        helper.make_node("Add", ["m", "nothing"], ["y"]),
    ]
    tensors = {
        "means": means().T.astype(np.float32),
        "edge": np.array(6.01, np.float32),
        "zero": np.array(0, np.float32),
    }
    ports = ({"x": (TensorProto.FLOAT, ["n", FEATURES])}, {"y": (TensorProto.FLOAT, ["n", CLASSES])})
    given = context(tmp_path, data(), nets.model(nodes, tensors, *ports), classifier())
    found = robustness.measure(given)
    worst = at(found, "accuracy", "wrong_unit", 5)
    assert worst.n == 400
    # a value that was scaled up by a thousand is answered with NaN, one that was scaled down with a class
    assert worst.value < at(found, "parent_accuracy", "wrong_unit", 5).value - 0.1
    assert overall(found)["accuracy_excess_loss"].low > 0.02
    told = dict(found[0].facts)["answers_without_a_number"]
    assert told.startswith("version ")
    assert "parent" not in told


def test_rows_that_a_model_breaks_on_before_any_damage_are_no_loss_by_damage(tmp_path: Path) -> None:
    nodes = [helper.make_node("Sqrt", ["x"], ["y"])]
    ports = ({"x": (TensorProto.FLOAT, ["n", FEATURES])}, {"y": (TensorProto.FLOAT, ["n", FEATURES])})
    root = nets.model(nodes, {}, *ports)
    rows = data(60)
    x = np.abs(rows.arrays["x"]) + 3
    x[:20] = -1
    found = robustness.measure(
        context(tmp_path, Rows(rows.digest, (), {"x": x}, ()), root, root, Plan(modality="tabular"))
    )
    assert dict(found[0].facts)["rows_left_out"] == "20"
    assert overall(found)["cosine"].n == 40
    x[:] = -1
    found = robustness.measure(
        context(tmp_path, Rows(rows.digest, (), {"x": x}, ()), root, root, Plan(modality="tabular"))
    )
    assert [entry.value for entry in found[0].measurements] == [None]
    assert "no row can be scored" in str(found[0].measurements[0].reason)


def test_the_incumbent_is_compared_with_in_a_document_of_its_own(tmp_path: Path) -> None:
    rows = data()
    both = context(tmp_path, rows, classifier(seen_range=6.01), classifier())
    path = nets.save(classifier(seen_range=6.01), tmp_path, "incumbent.onnx")
    models = both.models | {"incumbent": Model(path, 1)}
    outputs = answered(models, both.encoder, PLAN)  # type: ignore[arg-type]
    own, beside = robustness.measure(replace(both, outputs=outputs, models=models))
    assert [entry.figure() for entry in own.measurements] == [
        entry.figure() for entry in robustness.measure(both)[0].measurements
    ], "who else is there changes no figure against the parent"
    figures = {entry.metric: entry for entry in beside.measurements if not entry.slice}
    assert set(figures) == {
        "incumbent_accuracy", "incumbent_clean_accuracy", "accuracy_difference", "accuracy_excess_loss"
    }  # fmt: skip
    assert (figures["accuracy_difference"].value, figures["accuracy_excess_loss"].value) == (0, 0)
    assert figures["incumbent_accuracy"].value == overall([own])["accuracy"].value
    assert "the incumbent" in figures["incumbent_accuracy"].plain
    assert "original" not in " ".join(entry.plain for entry in beside.measurements)
    alone = {role: model for role, model in models.items() if role != "parent"}
    kinds = [entry.kind for entry in robustness.measure(replace(both, outputs=outputs, models=alone))]
    assert kinds == ["robustness", "robustness-incumbent"]


def test_one_model_in_two_roles_answers_damaged_rows_once(tmp_path: Path) -> None:
    given = context(tmp_path, data(50), classifier(), classifier())

    class Counting(Model):
        runs = 0

        def run(self, feed: Any) -> Any:
            self.runs += 1
            return super().run(feed)

    once, twice = Counting(given.paths["parent"], 1), Counting(given.paths["parent"], 1)
    robustness.measure(replace(given, models={"version": given.models["version"], "parent": once}))
    models = {"version": given.models["version"], "parent": twice, "incumbent": twice}
    outputs = answered(models, given.encoder, PLAN)  # type: ignore[arg-type]
    twice.runs = 0
    robustness.measure(replace(given, outputs=outputs, models=models))
    checks = 25  # before each corruption and severity it is asked once by each role which output is judged
    assert once.runs <= twice.runs <= once.runs + 2 * checks


def test_one_column_of_scores_is_read_alike_before_and_after_the_damage(tmp_path: Path) -> None:
    """Logits of damaged rows may by chance all lie in 0..1, and would then be taken for probabilities."""
    net = nets.model(
        [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Sigmoid", ["m"], ["s"]),
         helper.make_node("Sub", ["s", "shift"], ["y"])],
        {"w": np.full((FEATURES, 1), 0.1, np.float32), "shift": np.array(1e-4, np.float32)},
        {"x": (TensorProto.FLOAT, ["n", FEATURES])}, {"y": (TensorProto.FLOAT, ["n", 1])},
    )  # fmt: skip
    x = data(2000).arrays["x"].copy()
    drawn = np.random.default_rng(2).choice(2000, size=800, replace=False)
    x[np.setdiff1d(np.arange(2000), drawn)[0]] = -100  # the one row whose logit lies below zero is not damaged
    rows = Rows("sha256:" + "0" * 64, (), {"x": x}, (), {"y": np.ones(2000, np.int64)})
    plan = Plan(task="classification", label="y", modality="tabular")
    found = robustness.measure(context(tmp_path, rows, net, plan=plan))
    assert at(found, "accuracy", "jitter", 1).value > 0.99, (
        "logits above zero are class 1, whatever the damaged rows show"
    )


@pytest.mark.parametrize(
    ("arrays", "texts", "wanted"),
    [
        ({}, ("one", "two"), "text"),
        ({"x": np.zeros((2, 3, 8, 8), np.float32)}, (), "image"),
        ({"x": np.zeros((2, 9, 8), np.uint8)}, (), "image"),
        ({"x": np.sin(np.arange(1000)).reshape(2, 500)}, (), "audio"),
        ({"x": np.random.default_rng(0).normal(size=(2, 500))}, (), "tabular"),
        ({"x": np.zeros(4)}, (), "tabular"),
        ({"input_ids": np.zeros((2, 9), np.int64)}, (), None),
    ],
)
def test_the_kind_of_input_is_looked_at_where_the_plan_says_nothing(
    arrays: dict[str, Any], texts: tuple[str, ...], wanted: str | None
) -> None:
    class Held:
        rows = Rows("", texts, arrays, ())

    assert modality_of(Held(), Plan()) == wanted  # type: ignore[arg-type]
    assert modality_of(Held(), Plan(modality="audio")) == "audio"  # type: ignore[arg-type]


def test_large_rows_are_fewer_so_that_they_fit_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robustness, "_BYTES_MOST", 50 * 4 * FEATURES)
    found = robustness.measure(context(tmp_path, data(400), classifier()))
    assert ("corrupted_rows", "50") in found[0].facts


def test_answers_as_long_as_the_text_cannot_be_held_against_those_before_the_damage() -> None:
    def answers(*shape: int) -> Outputs:
        return Outputs({"version": {"answer": Field(np.ones(shape, dtype=np.float32))}})

    clean, plan = answers(4, 6), Plan(task="embedding", inputs=())
    (score,) = row_scores(clean, plan)
    assert np.allclose(score.of(answers(4, 6), "version"), 1)
    assert np.isnan(score.of(answers(4, 5), "version")).all()
    ragged = Outputs({"version": {"answer": Field(np.ones(10, dtype=np.float32), np.array([0, 2, 5, 9, 10]))}})
    assert np.isnan(score.of(ragged, "version")).all()
