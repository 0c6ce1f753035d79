"""Figures: intervals that keep their promise, sentences that say the figure, evidence in the frozen form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from compression_engine.answers.answering import answer
from compression_engine.canonical import canonical, parse_canonical
from compression_engine.commands.told_first import words_of
from compression_engine.data import Encoder, read_rows
from compression_engine.errors import OutputRefused
from compression_engine.evaluation import Settings, evaluate
from compression_engine.measure import fidelity
from compression_engine.measure.context import Context
from compression_engine.measure.fidelity import cosine_rows
from compression_engine.measure.size import measure_size
from compression_engine.measure.statistics.bootstrap import SHARE, interval_of_mean
from compression_engine.measure.statistics.intervals import (
    quantile_interval,
    rarer_than,
    share_interval,
)
from compression_engine.plan import Plan
from compression_engine.result import Evidence, Measurement
from compression_engine.runtime import Model
from tests.engine import nets


def test_the_interval_of_a_median_holds_it_95_times_in_100() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        low, high = quantile_interval(generator.exponential(size=40), 0.5)
        assert low is not None
        assert high is not None
        held += low <= np.log(2) <= high
    assert 940 <= held <= 995  # order statistics are cautious, never too bold


def test_an_end_that_so_few_values_cannot_bound_is_left_open() -> None:
    values = np.arange(20.0)
    assert quantile_interval(values, 0.95)[1] is None
    assert quantile_interval(values, 0.05)[0] is None
    assert None not in quantile_interval(values, 0.5)


def test_the_bootstrap_holds_the_mean_and_repeats_with_its_seed() -> None:
    generator = np.random.default_rng(1)
    held = 0
    for seed in range(100):
        low, high = interval_of_mean(generator.normal(size=100), seed)
        assert low is not None
        assert high is not None
        held += low <= 0 <= high
    assert 88 <= held <= 100
    values = generator.normal(size=50)
    assert interval_of_mean(values, 7) == interval_of_mean(values, 7) != interval_of_mean(values, 8)
    assert interval_of_mean(values[:1], 7) == (None, None)


def test_equal_values_are_no_certainty_where_the_figure_is_a_share() -> None:
    always = np.ones(12)
    assert interval_of_mean(always, 0, None, SHARE) == share_interval(12, 12)
    sequences = np.repeat(np.arange(3), 4)
    assert interval_of_mean(always, 0, sequences, SHARE) == share_interval(
        3, 3
    )  # three sequences, whatever their length
    assert interval_of_mean(np.zeros(12), 0, None, SHARE) == share_interval(0, 12)
    assert interval_of_mean(np.full(12, 0.25), 0) == (0.25, 0.25)


def test_the_interval_of_a_share_stays_between_0_and_1() -> None:
    assert share_interval(0, 10)[0] == 0
    assert share_interval(10, 10)[1] == pytest.approx(1)
    low, high = share_interval(8, 10)
    assert low == pytest.approx(0.4902, abs=1e-4)  # Wilson 1927
    assert high == pytest.approx(0.9433, abs=1e-4)


def test_how_rare_worse_rows_are_is_the_rule_of_three() -> None:
    assert rarer_than(300) == pytest.approx(3 / 300, rel=0.01)


def test_size_is_said_as_bytes_and_as_ratio() -> None:
    found = {entry.metric: entry for entry in measure_size(250, 1000)}
    assert found["size_ratio"].value == 4
    assert "4.00 times smaller" in found["size_ratio"].plain
    assert [entry.metric for entry in measure_size(250, None)] == ["size_bytes"]


def test_evidence_is_canonical_and_has_every_member_of_the_format() -> None:
    figure = Measurement("m", 0.1, "ratio", 3, "It is a tenth.", low=1e-7, high=None, reason="too few")
    document = Evidence("size", "file_size", None, [{"name": "a", "value": "b"}], [figure]).document()
    assert parse_canonical(canonical(document)) == document
    assert set(document) == {"environment", "figures", "kind", "method", "seed", "source", "subjects", "type"}
    assert document["figures"] == [
        {"high": None, "low": "0.0000001", "metric": "m", "n": 3, "reason": "too few", "slice": [], "spread": None,
         "unit": "ratio", "value": "0.1"}
    ]  # fmt: skip


def test_a_value_that_is_no_number_becomes_null() -> None:
    assert Measurement("m", float("nan"), "ratio", 0, "Unknown.", reason="no rows").figure()["value"] is None


def test_cosine_of_zeros_and_of_nan_is_defined() -> None:
    zero, one, nan = np.zeros(2), np.ones(2), np.full(2, np.nan)
    assert cosine_rows([zero, zero, one, one], [zero, one, one, -one]).tolist() == pytest.approx([1, 0, 1, -1])
    assert np.isnan(cosine_rows([nan], [one])[0])


def agreement(child: Path, parent: Path, rows: Path, folder: Path) -> dict[str, Measurement]:
    """The figures of fidelity of two models that answered the same rows."""
    models = {"version": Model(child, 1), "parent": Model(parent, 1)}
    encoder = Encoder(read_rows(rows), models["version"].inputs(), None)
    outputs = answer(models, encoder, Plan(), folder=folder / "answers")
    found = fidelity.measure(Context(outputs, Plan(), models=models, encoder=encoder))
    assert [entry.kind for entry in found] == ["fidelity", "invariance"]
    return {entry.metric: entry for document in found for entry in document.measurements}


def test_a_model_against_itself_agrees_fully(mlp_folder: Path, tmp_path: Path) -> None:
    path = mlp_folder / "model.onnx"
    found = agreement(path, path, mlp_folder / "rows.npz", tmp_path)
    assert found["cosine_mean"].value == pytest.approx(1)
    assert found["max_abs_difference"].value == 0
    assert found["top1_agreement"].value == 1
    assert found["cosine_mean"].n == 40
    assert "40 rows" in found["cosine_min"].plain


def test_a_child_that_answers_nan_is_refused(tmp_path: Path) -> None:
    good = nets.save(nets.mlp(), tmp_path / "good")
    broken = nets.mlp()
    bias = next(tensor for tensor in broken.graph.initializer if tensor.name == "second_bias")
    bias.raw_data = np.full(48, np.nan, dtype=np.float32).tobytes()
    bad = nets.save(broken, tmp_path / "bad")
    rows = nets.save_rows(nets.rows_for("x"), tmp_path / "rows.npz")
    with pytest.raises(OutputRefused, match="40 of 40") as refused:
        agreement(bad, good, rows, tmp_path)
    assert refused.value.code == "output_not_finite"


def test_an_answer_that_depends_on_its_batch_is_caught(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("Div", ["x", "largest"], ["y"]),
    ]
    ports = ({"x": (TensorProto.FLOAT, ["n", 64])}, {"y": (TensorProto.FLOAT, ["n", 64])})
    path = nets.save(nets.model(nodes, {}, *ports), tmp_path)
    rows = nets.save_rows(nets.rows_for("x"), tmp_path / "rows.npz")
    found = agreement(path, path, rows, tmp_path)
    worst = found["batch_difference_max"].value
    assert worst is not None
    assert worst > 0.1


def test_an_answer_that_is_no_number_when_alone_is_never_the_same(tmp_path: Path) -> None:
    """Alone a row is the smallest of its batch, so it is divided by nothing: 0 / 0 where company gives a number."""
    nodes = [
        helper.make_node("ReduceMin", ["x"], ["smallest"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "smallest"], ["above"]),
        helper.make_node("ReduceMax", ["above"], ["widest"], axes=[0], keepdims=1),
        helper.make_node("Div", ["above", "widest"], ["y"]),
    ]
    ports = ({"x": (TensorProto.FLOAT, ["n", 64])}, {"y": (TensorProto.FLOAT, ["n", 64])})
    path = nets.save(nets.model(nodes, {}, *ports), tmp_path)
    rows = nets.save_rows(nets.rows_for("x"), tmp_path / "rows.npz")
    found = agreement(path, path, rows, tmp_path)["batch_difference_max"]
    assert found.value is None
    assert "only one of two answers" in (found.reason or "")
    assert "otherwise alone and in a batch" in found.plain


def noisy(folder: Path) -> Path:
    """A model that adds up to a tenth, drawn anew at every call."""
    nodes = [
        helper.make_node("RandomUniformLike", ["x"], ["noise"], low=0.0, high=0.1),
        helper.make_node("Add", ["x", "noise"], ["y"]),
    ]
    ports = ({"x": (TensorProto.FLOAT, ["n", 64])}, {"y": (TensorProto.FLOAT, ["n", 64])})
    return nets.save(nets.model(nodes, {}, *ports), folder)


def test_a_model_that_answers_otherwise_when_asked_again_is_said_to(tmp_path: Path) -> None:
    still = nets.model(
        [helper.make_node("Identity", ["x"], ["y"])], {},
        {"x": (TensorProto.FLOAT, ["n", 64])}, {"y": (TensorProto.FLOAT, ["n", 64])},
    )  # fmt: skip
    quiet, loud = nets.save(still, tmp_path / "still"), noisy(tmp_path / "noisy")
    rows = nets.save_rows(nets.rows_for("x"), tmp_path / "rows.npz")
    by_parent = agreement(quiet, loud, rows, tmp_path / "one")
    assert 0 < (by_parent["parent_repeat_difference_max"].value or 0) <= 0.1
    assert "The original answers the same rows otherwise" in by_parent["parent_repeat_difference_max"].plain
    assert "repeat_difference_max" not in by_parent
    settings = Settings(rounds=3, memory_repeats=1)
    plan = Plan(measures=("fidelity",))
    beside = evaluate(loud, data=rows, incumbent=loud, first=loud, plan=plan, settings=settings)
    for prefix in ("", "incumbent_", "first_"):
        assert (beside.value(f"{prefix}repeat_difference_max") or 0) > 0
    assert any("The model answers the same rows otherwise" in line for line in words_of(beside.document())[:4])
    alone = evaluate(loud, data=rows, plan=plan, settings=settings)
    assert (alone.value("repeat_difference_max") or 0) > 0


def test_a_model_that_repeats_itself_gets_no_figure_of_it(mlp_folder: Path) -> None:
    plan = Plan(measures=("fidelity",))
    found = evaluate(mlp_folder, data=mlp_folder / "rows.npz", incumbent=mlp_folder, plan=plan)
    assert "repeat_difference" not in found.canonical().decode()
