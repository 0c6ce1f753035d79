"""Fidelity by task: each figure against its definition, and each planted loss where it shows."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from compression_engine.answers.outputs import Array, Field, Outputs
from compression_engine.data import Encoder, Rows
from compression_engine.errors import OutputRefused
from compression_engine.measure import fidelity, recurrence
from compression_engine.measure.context import Context, Found
from compression_engine.measure.figures import cosine_figures
from compression_engine.plan import Plan, State
from compression_engine.result import Measurement
from compression_engine.runtime import Model
from tests.engine import answered, nets

CLASSES = Plan(task="classification", scores="logits")
DIGEST = "sha256:" + "0" * 64


def by_name(found: list[Found]) -> dict[str, Measurement]:
    return answered.by_name([entry for document in found for entry in document.measurements])


def compared(outputs: Outputs, plan: Plan) -> dict[str, Measurement]:
    return by_name(fidelity.measure(answered.context(outputs, plan)))


def value(entry: Measurement) -> float:
    assert entry.value is not None
    return entry.value


def softmax(logits: Array) -> Array:
    odds = np.exp(logits.astype(np.float64))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def test_divergences_are_those_of_scipy() -> None:
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import entropy, spearmanr

    outputs = answered.classifier(80, 5)
    found = compared(outputs, CLASSES)
    ours, theirs = (softmax(outputs.answer(role).values) for role in ("version", "parent"))
    assert value(found["kl_divergence"]) == pytest.approx(entropy(theirs, ours, axis=1).mean(), abs=1e-9)
    middle = jensenshannon(theirs, ours, axis=1) ** 2
    assert value(found["js_divergence"]) == pytest.approx(middle.mean(), abs=1e-9)
    raw = [outputs.answer(role).values for role in ("version", "parent")]
    ranks = [spearmanr(a, b).statistic for a, b in zip(*raw, strict=True)]
    assert value(found["rank_correlation"]) == pytest.approx(np.mean(ranks), abs=1e-9)
    same = raw[0].argmax(axis=1) == raw[1].argmax(axis=1)
    assert value(found["top1_agreement"]) == pytest.approx(same.mean())
    assert all(found[name].n == 80 for name in ("kl_divergence", "js_divergence", "rank_correlation"))
    assert all(found[name].low is not None for name in ("kl_divergence", "js_divergence", "rank_correlation"))


def test_a_probability_of_zero_makes_no_divergence_infinite() -> None:
    shares = answered.of({"version": np.array([[0.0, 1.0], [0.5, 0.5]]), "parent": np.array([[0.5, 0.5], [1.0, 0.0]])})
    found = compared(shares, Plan(task="classification", scores="probabilities"))
    assert np.isfinite(value(found["kl_divergence"]))
    assert value(found["js_divergence"]) < np.log(2)


def test_one_score_is_a_decision_of_two() -> None:
    outputs = answered.of({"version": np.array([[0.2], [0.7], [0.9]]), "parent": np.array([[0.4], [0.6], [0.1]])})
    found = compared(outputs, Plan(task="classification"))
    assert value(found["top1_agreement"]) == pytest.approx(2 / 3)
    p, q = np.array([0.4, 0.6, 0.1]), np.array([0.2, 0.7, 0.9])
    expected = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    assert value(found["kl_divergence"]) == pytest.approx(expected, abs=1e-6)


def test_one_number_has_no_direction_so_no_cosine_calls_it_alike() -> None:
    """0.1 against 0.9 has the cosine 1: a gate on it would pass any model of one output."""
    shares = answered.of({"version": np.array([[0.9], [0.9], [0.8]]), "parent": np.array([[0.1], [0.1], [0.1]])})
    for task in ("none", "regression"):
        found = compared(shares, Plan(task=task))
        for metric in ("cosine_mean", "cosine_min", "cosine_p05"):
            assert (found[metric].value, found[metric].reason) == (None, "one number a row has no direction")
        assert value(found["mean_abs_difference"]) == pytest.approx(2.3 / 3)
    pair = compared(shares, Plan(task="classification"))["cosine_mean"]
    assert value(pair) == pytest.approx((2 * 0.18 / 0.82 + 0.26 / np.sqrt(0.68 * 0.82)) / 3, abs=1e-6)


def test_without_a_task_only_answers_that_look_like_distributions_diverge() -> None:
    outputs = answered.classifier(40, 5)
    assert "kl_divergence" not in compared(outputs, Plan())
    assert {"cosine_mean", "max_abs_difference", "top1_agreement", "rank_correlation"} <= set(compared(outputs, Plan()))
    shares = answered.of({role: softmax(outputs.answer(role).values) for role in ("version", "parent")})
    assert value(compared(shares, Plan())["kl_divergence"]) == pytest.approx(
        value(compared(outputs, CLASSES)["kl_divergence"]), abs=1e-6
    )


def test_every_other_model_has_a_document_of_its_own() -> None:
    outputs = answered.classifier(50, 4)
    models = dict(outputs.models) | {"incumbent": outputs.models["version"], "first": outputs.models["parent"]}
    found = fidelity.measure(answered.context(Outputs(models), CLASSES))
    assert [entry.kind for entry in found] == ["fidelity", "fidelity-incumbent", "fidelity-first"]
    against = [answered.by_name(list(entry.measurements)) for entry in found]
    assert against[1]["kl_divergence"].value == 0
    assert against[0]["kl_divergence"].value == against[2]["kl_divergence"].value
    assert "the incumbent's to 1.0000" in against[1]["cosine_mean"].plain


def test_a_model_of_another_form_is_not_compared_and_says_so() -> None:
    outputs = answered.of({"version": np.zeros((3, 4)), "incumbent": np.zeros((3, 5))})
    found = compared(outputs, Plan())
    assert (found["cosine_mean"].value, found["cosine_mean"].n) == (None, 0)
    assert found["cosine_mean"].reason == "the incumbent's answers have another form"


def test_rows_without_a_yardstick_are_left_out_and_a_version_that_loses_one_is_refused() -> None:
    good = np.arange(12.0).reshape(4, 3)
    spoiled = good.copy()
    spoiled[1] = np.nan
    found = compared(answered.of({"version": good, "parent": spoiled}), Plan())
    assert found["cosine_mean"].n == 3
    assert found["max_abs_difference"].value == 0
    with pytest.raises(OutputRefused, match="1 of 4 rows") as refused:
        compared(answered.of({"version": spoiled, "parent": good}), Plan())
    assert refused.value.code == "output_not_finite"


def test_neighbours_of_embeddings_are_compared() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(60, 16))
    near, far = (rows + size * generator.normal(size=rows.shape) for size in (0.01, 3.0))
    close = compared(answered.of({"version": near, "parent": rows}), Plan(task="embedding"))
    lost = compared(answered.of({"version": far, "parent": rows}), Plan(task="embedding"))
    assert value(close["nearest_neighbour_kept"]) > 0.9 > 0.4 > value(lost["nearest_neighbour_kept"])
    assert value(close["top10_overlap"]) > 0.9 > 0.5 > value(lost["top10_overlap"])


def test_a_recogniser_that_reads_nothing_agrees_by_frames_and_not_by_strings() -> None:
    """Nine of ten frames are blank, so frames alone say that nearly all is well."""
    plan = Plan(task="sequence", classes=("_", "a", "b"), blank=0)
    symbols = np.zeros((30, 40), dtype=int)
    symbols[:, [5, 15, 25, 35]] = [1, 2, 1, 2]
    silent = np.zeros_like(symbols)
    models = {"version": np.eye(3)[silent] * 5, "parent": np.eye(3)[symbols] * 5}
    found = compared(answered.of(models), plan)
    assert value(found["frame_agreement"]) == pytest.approx(0.9)
    assert found["decoded_agreement"].value == 0
    assert found["decoded_difference"].value == 1
    assert found["frame_agreement_without_blank"].value == 0
    same = compared(answered.of({"version": models["parent"], "parent": models["parent"]}), plan)
    assert (same["decoded_agreement"].value, same["decoded_difference"].value) == (1, 0)
    assert same["kl_divergence"].value == 0


def leaky(decay: float, folder: Path) -> Path:
    """x [batch, 4], state [1, batch, 1] -> state * decay + mean of x as the next state; answer = its sigmoid [batch, 1]."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Squeeze", ["state", "front"], ["before"]),
        helper.make_node("Mul", ["before", "decay"], ["kept"]),
        helper.make_node("Add", ["kept", "mean"], ["after"]),
        helper.make_node("Sigmoid", ["after"], ["y"]),
        helper.make_node("Unsqueeze", ["after", "front"], ["next"]),
    ]
    tensors = {"decay": np.array([decay], dtype=np.float32), "front": np.array([0])}
    inputs = {"x": (TensorProto.FLOAT, ["batch", 4]), "state": (TensorProto.FLOAT, [1, "batch", 1])}
    outputs = {"y": (TensorProto.FLOAT, ["batch", 1]), "next": (TensorProto.FLOAT, [1, "batch", 1])}
    return nets.save(nets.model(nodes, tensors, inputs, outputs), folder)


RECURRENT = Plan(
    task="classification", scores="probabilities", output="y", states=(State("state", "next"),), sequence="s"
)


def along(path: Path, rows: Array, *, carried: bool) -> Array:
    """Answers of a model along sequences [sequences, steps, 4], its state carried or fresh at every row; flat over rows."""
    model, found = Model(path, 1), []
    for sequence in rows:
        state = np.zeros((1, 1, 1), dtype=np.float32)
        for row in sequence:
            answer, after = model.run({"x": row[None], "state": state})
            state = after if carried else state
            found.append(answer[0])
    return np.array(found)


def test_drift_along_a_sequence_shows_that_rows_from_a_fresh_state_hide(tmp_path: Path) -> None:
    parent, child = leaky(0.98, tmp_path / "parent"), leaky(1.0, tmp_path / "child")
    generator = np.random.default_rng(0)
    rows = (generator.normal(size=(6, 150, 4)) + np.array([1, -1, 1, -1, 1, -1])[:, None, None] * 0.05).astype(
        np.float32
    )
    numbers = np.repeat(np.arange(6), 150)
    found = {}
    for carried in (True, False):
        answers = {role: along(path, rows, carried=carried) for role, path in (("version", child), ("parent", parent))}
        (document,) = fidelity.measure(answered.context(answered.of(answers, sequences=numbers), RECURRENT))
        found[carried] = document.measurements
    whole, fresh = (answered.by_name(list(found[carried])) for carried in (True, False))
    assert fresh["drift_along_sequence"].value == 0
    assert fresh["top1_agreement"].value == 1
    drift = whole["drift_along_sequence"]
    assert drift.low is not None
    assert drift.low > 0
    assert drift.n == 6
    by_place = [entry for entry in found[True] if entry.metric == "mean_abs_difference" and entry.slice]
    assert [entry.slice[0] for entry in by_place] == [
        ("sequence_position", span) for span in ("1-32", "33-64", "65-128", "129-256")
    ]
    assert [entry.n for entry in by_place] == [192, 192, 384, 132]
    assert value(by_place[-1]) > 3 * value(by_place[0])
    agreeing = [entry for entry in found[True] if entry.metric == "top1_agreement" and entry.slice]
    assert value(agreeing[-1]) < value(agreeing[0])


def test_a_difference_that_stays_the_same_is_no_drift() -> None:
    answers = np.random.default_rng(0).random(size=(80, 3))
    outputs = answered.of({"version": answers + 0.5, "parent": answers}, sequences=np.repeat(np.arange(4), 20))
    (document,) = fidelity.measure(answered.context(outputs, Plan(task="regression", sequence="s")))
    found = answered.by_name(list(document.measurements))
    assert value(found["mean_abs_difference"]) == pytest.approx(0.5)
    assert value(found["drift_along_sequence"]) == pytest.approx(0, abs=1e-6)


def test_places_are_counted_from_the_start_of_each_sequence() -> None:
    assert recurrence.positions(np.array([0, 0, 0, 1, 2, 2])).tolist() == [1, 2, 3, 1, 1, 2]


def recurrent_context(path: Path, sequences: int = 4) -> Context:
    rows = np.random.default_rng(0).normal(size=(sequences * 10, 4)).astype(np.float32)
    model = Model(path, 1)
    encoder = Encoder(Rows(DIGEST, (), {"x": rows}, ()), model.inputs(), None, RECURRENT)
    answers = along(path, rows.reshape(sequences, 10, 4), carried=True)
    outputs = answered.of({"version": answers, "parent": answers}, sequences=np.repeat(np.arange(sequences), 10))
    return Context(outputs, RECURRENT, models={"version": model, "parent": model}, encoder=encoder)


def test_a_sequence_is_answered_the_same_alone_and_beside_others(tmp_path: Path) -> None:
    found = by_name(fidelity.measure(recurrent_context(leaky(0.9, tmp_path))))
    assert value(found["batch_difference_max"]) < 1e-6
    assert found["batch_difference_max"].n == 40
    assert found["parent_batch_difference_max"].value == found["batch_difference_max"].value
    lone = by_name(fidelity.measure(recurrent_context(leaky(0.9, tmp_path), sequences=1)))["batch_difference_max"]
    assert (lone.value, lone.reason) == (None, "there are no two sequences")


def test_a_state_that_is_mixed_among_sequences_is_caught(tmp_path: Path) -> None:
    """Every sequence alone is answered rightly; side by side their states run into each other."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("ReduceMean", ["state"], ["common"], axes=[1], keepdims=0),
        helper.make_node("Add", ["common", "mean"], ["after"]),
        helper.make_node("Sigmoid", ["after"], ["y"]),
        helper.make_node("Unsqueeze", ["after", "front"], ["next"]),
    ]
    inputs = {"x": (TensorProto.FLOAT, ["batch", 4]), "state": (TensorProto.FLOAT, [1, "batch", 1])}
    outputs = {"y": (TensorProto.FLOAT, ["batch", 1]), "next": (TensorProto.FLOAT, [1, "batch", 1])}
    path = nets.save(nets.model(nodes, {"front": np.array([0])}, inputs, outputs), tmp_path)
    assert value(by_name(fidelity.measure(recurrent_context(path)))["batch_difference_max"]) > 0.1


def test_an_answer_that_leans_on_its_batch_is_caught_with_a_plan(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("Div", ["x", "largest"], ["half"]),
        helper.make_node("Mul", ["half", "scale"], ["y"]),
    ]
    inputs = {"x": (TensorProto.FLOAT, ["n", 6]), "scale": (TensorProto.FLOAT, [])}
    path = nets.save(nets.model(nodes, {}, inputs, {"y": (TensorProto.FLOAT, ["n", 6])}), tmp_path)
    model, plan = Model(path, 1), Plan(task="regression", inputs=(("x", "given"), ("scale", "one")))
    given = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    rows = Rows(DIGEST, (), {"given": given, "one": np.ones(20, dtype=np.float32)}, ())
    encoder = Encoder(rows, model.inputs(), None, plan)
    outputs = answered.of({"version": given})
    found = fidelity.measure(Context(outputs, plan, models={"version": model}, encoder=encoder))
    assert [entry.kind for entry in found] == ["outputs", "invariance"]
    named = by_name(found)
    assert value(named["batch_difference_max"]) > 0.1
    assert value(named["output_mean"]) == pytest.approx(given.mean(axis=1).mean())


def test_answers_of_differing_length_are_compared_row_by_row() -> None:
    generator = np.random.default_rng(0)
    rows = [generator.normal(size=size) for size in (3, 7, 5)]
    models = {
        "version": {"answer": answered.ragged([row + 0.01 for row in rows])},
        "parent": {"answer": answered.ragged(rows)},
    }
    found = compared(Outputs(models), Plan())
    assert value(found["max_abs_difference"]) == pytest.approx(0.01)
    assert found["cosine_mean"].n == 3
    assert "top1_agreement" not in found
    broken = {"version": models["version"], "parent": {"answer": answered.ragged([rows[0], rows[1][:6], rows[2]])}}
    assert compared(Outputs(broken), Plan())["cosine_mean"].value is None


@pytest.mark.parametrize("task", ["none", "classification", "regression", "embedding", "sequence"])
def test_a_serving_host_with_numpy_alone_gets_the_same_figures(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    width = 1 if task == "regression" else 40
    parent = np.random.default_rng(0).normal(size=(60, width))
    version = parent + 0.1 * np.random.default_rng(1).normal(size=parent.shape)
    plan = Plan(task=task, classes=tuple("_abc") if task == "sequence" else (), blank=0 if task == "sequence" else None)
    outputs = answered.of({"version": version, "parent": parent})
    with_all = compared(outputs, plan)
    for name in ("scipy", "scipy.sparse", "scipy.stats", "sklearn", "rapidfuzz", "rapidfuzz.distance"):
        monkeypatch.setitem(sys.modules, name, None)
    alone = compared(outputs, plan)
    if task == "sequence":
        assert "rapidfuzz" in (alone.pop("decoded_difference").reason or "")
        assert (with_all.pop("decoded_difference").value or 0) > 0
    assert alone == with_all
    assert any(entry.low is not None for entry in alone.values())


def test_the_same_answers_and_seed_give_the_same_figures() -> None:
    outputs = answered.classifier(120, 4)
    one, again = (fidelity.measure(answered.context(outputs, CLASSES, seed=3)) for _ in range(2))
    assert one == again
    assert one != fidelity.measure(answered.context(outputs, CLASSES, seed=4))


def test_a_single_row_has_figures_without_intervals() -> None:
    found = compared(Outputs({role: {"answer": Field(np.eye(3)[:1])} for role in ("version", "parent")}), CLASSES)
    assert found["kl_divergence"].value == 0
    assert (found["kl_divergence"].low, found["kl_divergence"].reason) == (
        None,
        "too few rows that differ to bound both ends",
    )


@pytest.mark.parametrize(("rows", "share"), [(1, "95 %"), (833, "0.36 %"), (60_000, "0.005 %")])
def test_how_rare_worse_rows_may_be_is_never_said_to_be_none(rows: int, share: str) -> None:
    found = {m.metric: m.plain for m in cosine_figures(np.ones(rows), None, "parent", 0)}
    assert f"at most {share} of such rows agree less" in found["cosine_min"]
