"""Quality of numbers, embeddings and sequences: scikit-learn's figures, edit distances of decoded strings, what has no figure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compression_engine.answers.outputs import Column, Field, Outputs
from compression_engine.errors import DataError
from compression_engine.measure import comparison, quality
from compression_engine.plan import Plan
from compression_engine.result import Measurement
from tests.engine import answered

SPELLED = Plan(task="sequence", classes=("_", "a", "b", "c"), blank=0)


def measured(outputs: Outputs, plan: Plan) -> dict[str, Measurement]:
    (found,) = quality.measure(answered.context(outputs, plan))
    return answered.by_name(list(found.measurements))


def value(entry: Measurement) -> float:
    assert entry.value is not None
    return entry.value


@pytest.mark.parametrize("entries", [1, 3])
def test_errors_of_numbers_are_scikit_learns(entries: int) -> None:
    from sklearn import metrics

    generator = np.random.default_rng(0)
    right = generator.normal(size=(200, entries)) * np.arange(1, entries + 1)
    outputs = answered.of({"version": right + 0.3 * generator.normal(size=right.shape), "parent": right * 0.9}, right)
    found = measured(outputs, Plan(task="regression"))
    for role, prefix in (("version", ""), ("parent", "parent_")):
        answer = outputs.answer(role).values.astype(np.float64)
        expected = {
            "mean_absolute_error": metrics.mean_absolute_error(right, answer),
            "root_mean_squared_error": metrics.root_mean_squared_error(right, answer),
            "r2": metrics.r2_score(right, answer),
        }
        for name, figure in expected.items():
            entry = found[prefix + name]
            assert value(entry) == pytest.approx(figure, abs=1e-9)
            assert entry.low is not None
            assert entry.high is not None
            assert entry.low <= value(entry) <= entry.high
            assert entry.high - entry.low < 0.5 * max(1.0, value(entry))


def test_labels_that_do_not_vary_have_no_share_explained() -> None:
    found = measured(answered.of({"version": np.arange(4.0)[:, None]}, np.ones(4)), Plan(task="regression"))
    assert (found["r2"].value, found["r2"].reason) == (None, "the labels do not vary")
    assert value(found["mean_absolute_error"]) == 1.0


def test_recall_counts_rows_that_find_one_of_their_label() -> None:
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 5)
    centres = generator.normal(size=(12, 32))
    rows = centres[groups] + 1.3 * generator.normal(size=(60, 32))
    found = measured(answered.of({"version": rows, "parent": centres[groups]}, groups), Plan(task="embedding"))
    unit = rows.astype(np.float32).astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -2)
    order = np.argsort(-similarity, axis=1)
    for rank in (1, 5, 10):
        expected = np.mean([(groups[order[i, :rank]] == groups[i]).any() for i in range(60)])
        assert value(found[f"recall_at_{rank}"]) == pytest.approx(expected)
    assert 0.3 < value(found["recall_at_1"]) < value(found["recall_at_10"]) <= 1
    assert found["parent_recall_at_1"].value == 1
    alone = np.arange(60)
    nothing = measured(answered.of({"version": rows}, alone), Plan(task="embedding"))["recall_at_5"]
    assert nothing.value == 0
    assert "60 have a label of their own" in nothing.plain


def test_beyond_so_many_rows_neighbours_are_looked_for_among_rows_drawn_by_the_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("compression_engine.measure.sampling.NEIGHBOUR_ROWS_MAX", 40)
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 5)
    rows = {role: generator.normal(size=(60, 32)) for role in ("version", "parent")}
    outputs = replace(answered.of(rows, groups), slices={"half": Column(np.arange(60, dtype=np.int32) % 2, ("a", "b"))})
    plan = Plan(task="embedding", label="y", slices=("half",))
    both = [quality.measure, comparison.measure]
    found = [measure(answered.context(outputs, plan, seed=3))[0] for measure in both]
    for document in found:
        assert ("drawn_rows", "40 of 60, by the seed") in document.facts
        assert max(entry.n for entry in document.measurements) == 40
    drawn = np.sort(np.random.default_rng(3).choice(60, 40, replace=False))
    part = answered.of({role: array[drawn] for role, array in rows.items()}, groups[drawn])
    alone = measured(part, Plan(task="embedding"))
    assert answered.by_name(found[0].measurements)["recall_at_1"].value == alone["recall_at_1"].value
    again = [measure(answered.context(outputs, plan, seed=3))[0] for measure in both]
    assert again == found


def spoken(words: list[str], spoiled: dict[int, str]) -> Field:
    """Frames that read as the words, each symbol twice and parted by blanks; some rows read as something else."""
    rows = []
    for index, word in enumerate(words):
        symbols = [0]
        for letter in spoiled.get(index, word):
            symbols += [SPELLED.classes.index(letter)] * 2 + [0, 0, 0]
        rows.append((np.eye(4)[symbols] * 4).astype(np.float32))
    return answered.ragged(rows)


def test_the_error_rate_is_edits_over_length_of_labels() -> None:
    words = ["abc", "aab", "c", "bbbb"] * 10
    spoiled = dict.fromkeys(range(0, 40, 4), "ab") | {3: "babab", 21: "b"}
    models = {"version": {"answer": spoken(words, spoiled)}, "parent": {"answer": spoken(words, {})}}
    found = measured(Outputs(models, Field(np.array(words))), SPELLED)
    assert value(found["character_error_rate"]) == pytest.approx((10 + 2 + 2) / 110)
    assert value(found["exact_match"]) == 28 / 40
    assert found["parent_character_error_rate"].value == 0
    assert found["character_error_rate"].n == 40
    low, high = found["character_error_rate"].low, found["character_error_rate"].high
    assert low is not None
    assert high is not None
    assert 0 <= low < 14 / 110 < high
    lone = measured(Outputs({"version": {"answer": spoken(["a"], {})}}, Field(np.array(["a"]))), SPELLED)
    assert "what so few as 1 rows leave open" in (lone["character_error_rate"].reason or "")
    none = found["parent_character_error_rate"]  # 40 rows, none with an error: 7.2 % of rows may have one, of 4 symbols
    assert (none.low, none.high) == (0, pytest.approx((1 - 0.05 ** (1 / 40)) * 4 * 40 / 110))


def test_an_error_rate_may_pass_one_and_needs_a_label_that_is_not_empty() -> None:
    long = Outputs({"version": {"answer": spoken(["a"], {0: "abc"})}}, Field(np.array(["b"])))
    assert value(measured(long, SPELLED)["character_error_rate"]) == 2.0
    empty = Outputs({"version": {"answer": spoken(["a"], {})}}, Field(np.array([""])))
    assert measured(empty, SPELLED)["character_error_rate"].reason == "all labels are empty"


def test_without_a_blank_every_frame_is_a_symbol() -> None:
    answer = np.eye(3)[[[0, 0, 1], [2, 2, 2]]]
    outputs = answered.of({"version": answer}, np.array([[0, 0, 1], [2, 1, 2]]))
    found = measured(outputs, Plan(task="sequence", classes=("x", "y", "z")))
    assert value(found["character_error_rate"]) == pytest.approx(1 / 6)
    assert value(found["exact_match"]) == 0.5


def test_many_rows_are_drawn_in_groups_and_the_interval_stays() -> None:
    from compression_engine.measure.statistics import bootstrap

    values = np.sort(np.random.default_rng(0).exponential(size=40_000))  # neighbours are alike: groups must be drawn
    low, high = bootstrap.interval_of_mean(values, 0)
    assert low is not None
    assert high is not None
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 200, rel=0.06)
    assert (high + low) / 2 == pytest.approx(values.mean(), abs=0.001)


def test_errors_with_heavy_tails_are_bounded_by_larger_ones_than_were_seen_and_say_so() -> None:
    generator = np.random.default_rng(3)
    right = generator.normal(size=(600, 1))
    found = {}
    for name, errors in (
        ("heavy", generator.standard_t(2.5, size=(600, 1))),
        ("light", generator.normal(size=(600, 1))),
    ):
        outputs = answered.of({"version": right + errors}, right)
        (document,) = quality.measure(answered.context(outputs, Plan(task="regression")))
        found[name] = answered.by_name(list(document.measurements))["root_mean_squared_error"]
    heavy, light = found["heavy"], found["light"]
    assert "heavy tails (index " in (heavy.reason or "")
    assert light.reason is None
    for entry in (heavy, light):
        assert entry.low is not None
        assert entry.high is not None
        assert entry.low < (entry.value or 0) < entry.high
    assert (heavy.high or 0) / (heavy.value or 1) > 1.3 > 1.1 > (light.high or 0) / (light.value or 1)


def test_a_token_id_that_is_no_whole_number_is_refused_and_not_cut() -> None:
    plan = Plan(task="sequence", classes=tuple("_abc"), blank=0)
    logits = np.zeros((2, 3, 4))
    outputs = answered.of({"version": logits}, np.array([[1.0, np.nan], [2.5, 1.0]]))
    with pytest.raises(DataError, match="The label of row 2 holds 2"):
        quality.measure(answered.context(outputs, plan))


def test_recall_of_rows_of_sequences_is_bounded_by_sequences() -> None:
    generator = np.random.default_rng(4)
    rows, groups = generator.normal(size=(200, 6)), generator.integers(0, 20, size=200)
    found = []
    for sequences in (None, np.repeat(np.arange(10), 20)):
        outputs = (
            answered.of({"version": rows}, groups)
            if sequences is None
            else answered.of({"version": rows}, groups, sequences=sequences)
        )
        (document,) = quality.measure(answered.context(outputs, Plan(task="embedding")))
        found.append(answered.by_name(list(document.measurements))["recall_at_1"])
    assert found[0].value == found[1].value
    assert (found[0].low, found[0].high) != (found[1].low, found[1].high)
