"""Scores of single rows: what is right is read as the plan says it, and what does not fit is refused."""

from __future__ import annotations

import importlib
import tracemalloc

import numpy as np
import pytest

from compression_engine.answers.outputs import Array, Field, Outputs
from compression_engine.errors import DataError
from compression_engine.measure import confidence, scores
from compression_engine.measure.probabilities import Probabilities
from compression_engine.measure.quality import auroc, classification
from compression_engine.plan import Plan
from tests.engine import answered

CLASSES = Plan(task="classification", classes=("cat", "dog", "cow"))


def one(answer: Array, labels: Array | Field | None = None, parent: Array | None = None) -> Outputs:
    models = {"version": {"answer": Field(answer)}}
    if parent is not None:
        models["parent"] = {"answer": Field(parent)}
    return Outputs(models, Field(labels) if isinstance(labels, np.ndarray) else labels)


def test_a_class_may_be_named_or_numbered() -> None:
    logits = np.array([[3, 1, 0], [0, 2, 9], [1, 5, 2]], dtype=np.float32)
    for right in (np.array(["cat", "dog", "dog"]), np.array([0, 1, 1]), np.array([[0.0], [1.0], [1.0]])):
        found = scores.per_sample(one(logits, right), "version", CLASSES)
        assert found["accuracy"].tolist() == [1, 0, 1]


@pytest.mark.parametrize("right", [np.array([0, 3]), np.array([0, -1]), np.array(["cat", "horse"]), np.array([0, 0.5])])
def test_a_label_that_is_no_class_is_refused_with_how_many_rows(right: Array) -> None:
    with pytest.raises(DataError, match="1 of 2 rows") as refused:
        scores.labels(one(np.eye(3)[:2], right), CLASSES)
    assert refused.value.code == "data_does_not_fit"


def test_one_column_is_a_pair_of_classes() -> None:
    logits = one(np.array([[-2.0], [0.0], [1000.0]]), np.array([0, 1, 1]))
    found = scores.probabilities(logits, "version", CLASSES).rows(slice(None))
    assert found[:, 1] == pytest.approx([1 / (1 + np.exp(2)), 0.5, 1])
    assert found.sum(axis=1) == pytest.approx([1, 1, 1])
    assert scores.predicted(logits, "version", CLASSES).tolist() == [0, 1, 1]
    shares = one(np.array([[0.4], [0.6]]))
    assert scores.predicted(shares, "version", CLASSES).tolist() == [0, 1]
    assert scores.probabilities(shares, "version", CLASSES).rows(slice(None))[:, 1].tolist() == [0.4, 0.6]


def test_the_plan_decides_what_scores_are_and_else_the_parent_does() -> None:
    flat = np.full((2, 3), 1 / 3)
    unlike = np.array([[0.5, 0.9, 0.1], [2.0, 0.3, 0.3]])
    assert scores.probabilities(one(flat), "version", CLASSES).rows(slice(None)) == pytest.approx(flat)
    said = Plan(task="classification", scores="logits")
    sharp = np.array([[2.0, 0.0, 0.0]])
    assert scores.probabilities(one(sharp), "version", said).rows(slice(None))[0, 0] == pytest.approx(
        np.e**2 / (np.e**2 + 2)
    )
    rounded = np.array([[0.5, 0.4, 0.05]])
    shares = Plan(task="classification", scores="probabilities")
    assert scores.probabilities(one(rounded), "version", shares).rows(slice(None)).tolist() == rounded.tolist()
    assert not scores.are_probabilities(one(rounded), CLASSES)
    broken_child = one(unlike, parent=flat)
    assert scores.are_probabilities(broken_child, CLASSES)
    assert not scores.are_probabilities(one(unlike), CLASSES)


def test_logits_in_one_column_that_all_lie_in_0_to_1_are_doubted() -> None:
    logits = Plan(task="classification", scores="logits")
    shares, reaching = np.array([[0.1], [0.9]]), np.array([[0.1], [1.4]])
    assert scores.doubted(one(shares), logits) == "logits that all lie in 0..1"
    assert scores.doubted(one(reaching), logits) is None
    assert scores.doubted(one(np.eye(2)), logits) is None
    # what the child answers does not matter where there is a parent
    assert scores.doubted(one(shares, parent=reaching), logits) is None
    for other in (CLASSES, Plan(task="classification", scores="probabilities"), Plan(task="regression")):
        assert scores.doubted(one(shares), other) is None


def test_errors_of_numbers_are_means_over_the_entries_of_a_row() -> None:
    outputs = one(np.array([[1.0, 2.0], [0.0, 4.0]]), np.array([[0.0, 2.0], [3.0, 4.0]]))
    found = scores.per_sample(outputs, "version", Plan(task="regression"))
    assert found["absolute_error"].tolist() == [0.5, 1.5]
    assert found["squared_error"].tolist() == [0.5, 4.5]
    with pytest.raises(DataError, match="answers 2 numbers a row, the labels hold 1"):
        scores.per_sample(one(np.zeros((2, 2)), np.zeros(2)), "version", Plan(task="regression"))
    with pytest.raises(DataError, match="1 of 2 rows are no finite"):
        scores.per_sample(one(np.zeros((2, 1)), np.array([0.0, np.nan])), "version", Plan(task="regression"))


def test_a_row_is_found_when_its_nearest_has_its_label() -> None:
    around = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [0.8, 0.3]])
    outputs = one(around, np.array(["a", "a", "b", "b", "c"]))
    found = scores.per_sample(outputs, "version", Plan(task="embedding"))
    assert found["recall_at_1"].tolist() == [1, 1, 1, 1, 0]


def test_a_sequence_is_what_is_left_without_blanks_and_repeats() -> None:
    plan = Plan(task="sequence", classes=("_", "a", "b"), blank=0)
    frames = [np.eye(3)[[0, 1, 1, 0, 1, 2, 2]], np.eye(3)[[0, 0, 2, 0]]]
    values = np.concatenate([row.reshape(-1) for row in frames])
    offsets = np.array([0, 21, 33], dtype=np.int64)
    words = Field(np.array(["aab", "a"]))
    found = scores.per_sample(Outputs({"version": {"answer": Field(values, offsets)}}, words), "version", plan)
    assert found["edit_distance"].tolist() == [0, 1]
    assert found["exact_match"].tolist() == [1, 0]
    assert found["label_length"].tolist() == [3, 1]
    padded = Field(np.array([[1, 1, 2], [1, -1, -1]]))
    again = scores.per_sample(Outputs({"version": {"answer": Field(values, offsets)}}, padded), "version", plan)
    assert {name: row.tolist() for name, row in again.items()} == {name: row.tolist() for name, row in found.items()}


def test_frames_that_cannot_be_told_apart_are_refused() -> None:
    outputs = Outputs({"version": {"answer": Field(np.zeros(8), np.array([0, 4, 8]))}}, Field(np.array([1, 1])))
    with pytest.raises(DataError, match="frames are not known"):
        scores.per_sample(outputs, "version", Plan(task="sequence", classes=("_", "a", "b"), blank=0))
    with pytest.raises(DataError, match="no symbol of the plan"):
        words = Outputs({"version": {"answer": Field(np.zeros((1, 2, 2)))}}, Field(np.array(["ax"])))
        scores.per_sample(words, "version", Plan(task="sequence", classes=("_", "a"), blank=0))


def test_tokens_are_averaged_over_a_text() -> None:
    offsets = np.array([0, 2, 3], dtype=np.int64)
    fields = {
        "answer": Field(np.zeros(2)),
        "token_nll": Field(np.array([1.0, 3.0, 5.0]), offsets),
        "token_correct": Field(np.array([1, 0, 0], dtype=np.uint8), offsets),
    }
    found = scores.per_sample(Outputs({"version": fields}), "version", Plan(task="language-model"))
    assert found["token_nll"].tolist() == [2, 5]
    assert found["token_accuracy"].tolist() == [0.5, 0]


def test_without_labels_nothing_is_scored() -> None:
    assert scores.per_sample(one(np.eye(3)), "version", CLASSES) == {}
    with pytest.raises(DataError, match="no labels"):
        scores.labels(one(np.eye(3)), CLASSES)


@pytest.mark.parametrize(
    ("called", "answers", "said"),
    [
        ("probabilities", [[2.0, -1.0, 0.5]], "from -1 to 2"),
        ("probabilities", [[0.2], [3.0]], "from 0 to 3"),
        ("logits", [[0.2, 0.3, 0.5], [0.9, 0.1, 0.0]], "add up to 1"),
    ],
)
def test_scores_that_are_surely_not_what_the_plan_calls_them_are_refused(
    called: str, answers: list[list[float]], said: str
) -> None:
    plan = Plan(task="classification", scores=called)
    with pytest.raises(DataError, match=said) as refused:
        scores.probabilities(one(np.array(answers)), "version", plan).rows(slice(None))
    other = {"probabilities": "logits", "logits": "probabilities"}[called]
    assert f'"scores": "{other}"' in refused.value.hint


def test_a_broken_child_is_no_fault_of_the_plan() -> None:
    plan = Plan(task="classification", scores="probabilities")
    found = scores.probabilities(one(np.array([[2.0, -1.0]]), parent=np.array([[0.5, 0.5]])), "version", plan).rows(
        slice(None)
    )
    assert found.tolist() == [[2.0, -1.0]]


def test_figures_of_very_many_classes_never_hold_a_table_of_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    importlib.import_module("scipy.optimize")  # its code would count
    rows, classes = 400, 10_000
    monkeypatch.setattr("compression_engine.measure.probabilities._BLOCK_ENTRIES", 100_000)
    monkeypatch.setattr("compression_engine.measure.temperature._ENTRIES_MAX", 100_000)
    generator = np.random.default_rng(0)
    answers = {role: generator.normal(size=(rows, classes)).astype(np.float32) for role in ("version", "parent")}
    right = generator.integers(0, classes, rows)
    answers["version"][np.arange(rows), right] += 6
    outputs = answered.of(answers, right)
    plan = Plan(task="classification", label="y", scores="logits")
    tracemalloc.start()
    try:
        shares, labels = scores.probabilities(outputs, "version", plan), scores.labels(outputs, plan)
        model = confidence.confidences(outputs, "version", plan).only(labels >= 0)
        found = (model.temperature.value, auroc.area(shares, labels), shares.largest())
        first = classification.among_first(shares, labels, 5)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert None not in found[:2]
    assert 0 < first.sum() < rows
    assert peak_bytes < 8 * rows * classes / 2, f"{peak_bytes:,}: half a table of all rows and classes in float64"


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("width", [1, 2, 9])
def test_a_column_of_probabilities_is_that_of_the_rows(given: bool, width: int) -> None:
    answers = np.random.default_rng(1).dirichlet(np.ones(max(2, width)), 50)[:, :width]
    found = Probabilities(answers if given else 9 * answers, given=given)
    whole = found.rows(slice(None))
    columns = dict(found.columns(np.array([1, 0])))
    assert all(columns[index].tolist() == whole[:, index].tolist() for index in (0, 1))
    assert found.largest().tolist() == whole.max(axis=1).tolist()
