"""Paired comparison: who lost is named, chance is not, the line is judged beside the parent, and bytes repeat."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from compression_engine.answers.outputs import Column, Field, Outputs
from compression_engine.canonical import canonical
from compression_engine.measure import comparison
from compression_engine.measure.comparison import worst_first
from compression_engine.measure.context import Context, Found
from compression_engine.measure.slicing import Slice
from compression_engine.measure.statistics.paired import Compared
from compression_engine.plan import Plan
from compression_engine.result import Evidence, Measurement

CLASSIFY = Plan(task="classification", label="y", scores="logits")


def logits(right: NDArray[np.intp], answers: NDArray[np.intp], classes: int) -> Field:
    values = np.full((len(right), classes), -2.0)
    values[np.arange(len(right)), answers] = 2.0
    return Field(values)


def world(answers: Mapping[str, NDArray[np.intp]], right: NDArray[np.intp], classes: int = 4) -> Outputs:
    n = len(right)
    race = Column(np.arange(n, dtype=np.int32) % 10, tuple("abcdefghij"))
    models = {role: {"answer": logits(right, given, classes)} for role, given in answers.items()}
    return Outputs(models, Field(right), {"race": race}, None, {"age": np.arange(n) * 7919 % 60 + 18.0})


def flipped(answers: NDArray[np.intp], rows: NDArray[np.bool_], classes: int = 4) -> NDArray[np.intp]:
    return np.where(rows, (answers + 1) % classes, answers)


def parent_of(right: NDArray[np.intp], generator: np.random.Generator, wrong: float = 0.1) -> NDArray[np.intp]:
    return flipped(right, generator.random(len(right)) < wrong)


def compared(outputs: Outputs, plan: Plan = CLASSIFY, seed: int = 0) -> dict[str, Found]:
    return {found.kind: found for found in comparison.measure(Context(outputs, plan, seed=seed))}


def figure(found: Found, metric: str, *name: tuple[str, str]) -> Measurement:
    return next(m for m in found.measurements if m.metric == metric and (not name or tuple(m.slice) == name))


def test_a_group_that_lost_is_named_worst_and_others_are_not_named() -> None:
    generator = np.random.default_rng(0)
    right = generator.integers(0, 4, size=6000)
    parent = parent_of(right, generator)
    hurt = (np.arange(6000) % 10 == 3) & (generator.random(6000) < 0.15)
    version = flipped(parent, hurt)
    found = compared(world({"version": version, "parent": parent}, right))["comparison-parent"]
    worst = figure(found, "worst_slice_difference")
    assert tuple(worst.slice) == (("race", "d"),)
    assert worst.low is not None
    assert worst.high is not None
    assert worst.high < 0
    alone = figure(found, "accuracy_difference", ("race", "d"))
    assert alone.value == worst.value
    assert alone.high is not None
    assert alone.high < worst.high  # the worst of many is bounded more cautiously
    named = {tuple(m.slice) for m in found.measurements if m.metric == "adjusted_p" and (m.value or 0) <= 0.05}
    assert "fares worst" in worst.plain
    assert f"{100 * worst.high:.2f} points for all ".replace("-", "") in worst.plain
    assert "for this slice alone" in alone.plain
    assert (("race", "d"),) in named
    assert not any(name[0][0] == "race" and name[0][1] != "d" for name in named)


def test_slices_stand_worst_first() -> None:
    generator = np.random.default_rng(1)
    right = generator.integers(0, 4, size=4000)
    parent = parent_of(right, generator)
    version = flipped(parent, (np.arange(4000) % 10 == 7) & (generator.random(4000) < 0.3))
    found = compared(world({"version": version, "parent": parent}, right))["comparison-parent"]
    slices = [m for m in found.measurements if m.metric == "accuracy_difference" and m.slice]
    highs = [m.high for m in slices]
    assert None not in highs
    assert highs == sorted(highs, key=lambda high: high or 0)
    assert tuple(slices[0].slice) == (("race", "h"),)


def test_equally_good_models_are_rarely_said_to_have_lost_anywhere() -> None:
    named = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        right = generator.integers(0, 4, size=1500)
        models = {role: parent_of(right, generator) for role in ("version", "parent")}
        found = compared(world(models, right), seed=seed)["comparison-parent"]
        named += any(m.metric == "adjusted_p" and (m.value or 0) <= 0.05 for m in found.measurements)
    assert named <= 4


def test_alike_models_lose_in_no_slice_by_answer_though_chance_puts_the_parent_s_lucky_rows_there() -> None:
    generator = np.random.default_rng(12)
    # rows at the border, of which seven in ten are right to be called 1: whoever calls them so is mostly right
    right = (generator.random(2000) < 0.7).astype(np.intp)
    models = {role: logits(right, generator.integers(0, 2, size=2000), 2) for role in ("version", "parent")}
    outputs = Outputs({role: {"answer": field} for role, field in models.items()}, Field(right))
    found = compared(outputs)["comparison-parent"]
    assert (figure(found, "accuracy_difference", ("parent_answer", "1")).high or 0) < -0.1
    assert (figure(found, "adjusted_p", ("parent_answer", "1")).value or 0) > 0.05
    worst = figure(found, "worst_slice_difference")
    assert worst.plain.startswith("None of ")
    assert "fares worst" not in worst.plain
    assert "smallest loss that would be seen four times in five after correction: " in worst.plain
    assert (worst.low or 0) <= 0 <= (worst.high or 0)  # picked as the worst, it is judged by what the p-value is of
    halved = Outputs(
        {**outputs.models, "version": {"answer": logits(right, np.zeros(2000, dtype=np.intp), 2)}}, Field(right)
    )
    found = compared(halved)["comparison-parent"]
    assert (figure(found, "adjusted_p", ("parent_answer", "1")).value or 0) < 1e-6


def test_a_slice_by_answer_that_surely_lost_is_told_by_its_own_rows_and_judged_by_more() -> None:
    generator = np.random.default_rng(13)
    right = generator.integers(0, 4, size=3000)
    version = np.where((right == 1) & (generator.random(3000) < 0.3), 2, right)
    version = np.where((right == 0) & (generator.random(3000) < 0.05), 1, version)
    found = compared(world({"version": version, "parent": right}, right))["comparison-parent"]
    worst = figure(found, "worst_slice_difference")
    assert tuple(worst.slice) == (("parent_answer", "1"),)
    assert worst.n == int((right == 1).sum())
    assert worst.value == pytest.approx(
        -float((version != 1)[right == 1].mean())
    )  # not with the errors that came to it
    assert "judged on all rows to which either" in figure(found, "adjusted_p", ("parent_answer", "1")).plain
    assert "either" not in figure(found, "adjusted_p", ("race", "a")).plain


def test_a_found_slice_comes_before_a_declared_one_only_if_it_is_surely_worse() -> None:
    codes = np.zeros(1, dtype=np.int8)
    declared, found = Slice((("race", "b"),), codes, 0), Slice((("found", "race = b and age <= 40"),), codes, 0)

    def loss(low: float, high: float) -> Compared:
        return Compared(100, -(low + high) / 2, -high, -low, 0.0, 0.0, 0.1)

    sure = [0.001, 0.001]
    assert worst_first([(found, loss(0.13, 0.25)), (declared, loss(0.12, 0.16))], sure) == [1, 0]
    assert worst_first([(found, loss(0.17, 0.25)), (declared, loss(0.12, 0.16))], sure) == [0, 1]
    unsure = [0.001, 0.4]  # the declared one may have lost nothing, whatever its own interval says
    assert worst_first([(found, loss(0.01, 0.25)), (declared, loss(0.02, 0.16))], unsure) == [0, 1]


def test_ten_weekly_children_that_stay_close_to_their_parents_are_caught_against_the_first() -> None:
    generator = np.random.default_rng(5)
    n = 2000
    right = generator.integers(0, 4, size=n)
    line = [parent_of(right, generator, 0.08)]
    close = []
    for _ in range(10):
        before = line[-1]
        lost = generator.permutation(np.flatnonzero(before == right))[:20]
        won = generator.permutation(np.flatnonzero(before != right))[:12]
        after = before.copy()
        after[lost] = (right[lost] + 1) % 4
        after[won] = right[won]
        line.append(after)
        found = compared(world({"version": after, "parent": before, "first": line[0]}, right))
        assert figure(found["comparison-parent"], "accuracy_difference").value == pytest.approx(-0.004)
        close.append((figure(found["comparison-parent"], "mcnemar_p").value or 0) > 0.05)
    assert all(close)
    last = found["comparison-first"]
    assert figure(last, "accuracy_difference").value == pytest.approx(-0.04)
    assert (figure(last, "mcnemar_p").value or 0) < 1e-4
    assert (figure(last, "smallest_detectable_loss").value or 1) < 0.04


def test_a_class_that_draws_all_losses_is_named_as_their_destination() -> None:
    generator = np.random.default_rng(2)
    right = generator.integers(0, 4, size=3000)
    parent = parent_of(right, generator)
    triggered = generator.random(3000) < 0.04
    found = compared(world({"version": np.where(triggered, 2, parent), "parent": parent}, right))["comparison-parent"]
    judged = figure(found, "flip_destination_p")
    assert tuple(judged.slice) == (("to", "2"),)
    assert (judged.value or 0) < 1e-6
    assert figure(found, "flip_destination_share").value == 1
    assert figure(found, "answer_share_difference").slice == (("answer", "2"),)
    ordinary = flipped(parent, triggered)
    found = compared(world({"version": ordinary, "parent": parent}, right))["comparison-parent"]
    assert (figure(found, "flip_destination_p").value or 0) > 0.05


def test_errors_of_regression_are_compared_and_the_group_that_errs_more_is_named() -> None:
    generator = np.random.default_rng(3)
    n = 3000
    truth = generator.normal(size=n)
    parent = truth + generator.normal(size=n) * 0.3
    version = parent + np.where(np.arange(n) % 10 == 4, generator.normal(size=n) * 0.5, 0.02 * generator.normal(size=n))
    race = Column(np.arange(n, dtype=np.int32) % 10, tuple("abcdefghij"))
    models = {"version": {"answer": Field(version[:, None])}, "parent": {"answer": Field(parent[:, None])}}
    found = compared(Outputs(models, Field(truth), {"race": race}), Plan(task="regression", label="y"))[
        "comparison-parent"
    ]
    worst = figure(found, "worst_slice_difference")
    assert tuple(worst.slice) == (("race", "e"),)
    assert worst.low is not None
    assert worst.low > 0
    assert {m.metric for m in found.measurements} >= {"absolute_error_difference_p", "squared_error_difference"}
    same = figure(found, "absolute_error_difference", ("race", "b"))
    assert same.low is not None
    assert same.high is not None
    assert same.low < (same.value or 0) < same.high


def test_rows_of_a_sequence_do_not_count_as_if_each_stood_for_itself() -> None:
    generator = np.random.default_rng(4)
    right = np.repeat(generator.integers(0, 2, size=40), 100)
    wrong = np.repeat(generator.random(40) < 0.3, 100)
    models = {
        "version": {"answer": logits(right, flipped(right, wrong, 2), 2)},
        "parent": {"answer": logits(right, right, 2)},
    }
    sequences = np.repeat(np.arange(40), 100)
    alone = compared(Outputs(models, Field(right)))["comparison-parent"]
    whole = compared(Outputs(models, Field(right), sequences=sequences))["comparison-parent"]
    widths = []
    for found in (alone, whole):
        difference = figure(found, "accuracy_difference")
        assert difference.low is not None
        assert difference.high is not None
        widths.append(difference.high - difference.low)
    assert widths[1] > 5 * widths[0]
    assert ("resampled", "whole sequences") in whole.facts


def test_without_labels_or_another_model_there_is_no_comparison() -> None:
    right = np.zeros(50, dtype=np.intp)
    alone = world({"version": right}, right)
    assert comparison.measure(Context(alone, CLASSIFY)) == []
    unlabelled = Outputs({**alone.models, "parent": alone.models["version"]})
    assert comparison.measure(Context(unlabelled, CLASSIFY)) == []


def test_a_model_against_itself_shows_no_loss_and_says_what_it_could_have_seen() -> None:
    right = np.random.default_rng(6).integers(0, 4, size=400)
    found = compared(world({"version": right, "parent": right}, right))["comparison-parent"]
    difference = figure(found, "accuracy_difference")
    assert difference.value == 0
    assert difference.low == pytest.approx(-(difference.high or 0))
    assert 0.015 < (figure(found, "smallest_detectable_loss").value or 0) < 0.03
    assert figure(found, "slices_lost").value == 0


def test_the_same_answers_give_the_same_bytes_whatever_stands_beside() -> None:
    generator = np.random.default_rng(7)
    right = generator.integers(0, 4, size=900)
    parent = parent_of(right, generator)
    version = parent_of(right, generator)
    first = compared(world({"version": version, "parent": parent}, right))["comparison-parent"]
    second = compared(world({"version": version, "parent": parent, "first": right}, right))["comparison-parent"]
    documents = [canonical(Evidence(f.kind, f.method, f.seed, [], f.measurements).entry()) for f in (first, second)]
    assert documents[0] == documents[1]


def test_twenty_thousand_rows_with_twenty_slices_are_compared_in_seconds() -> None:
    generator = np.random.default_rng(8)
    right = generator.integers(0, 4, size=20_000)
    outputs = world({role: parent_of(right, generator) for role in ("version", "parent")}, right)
    started = time.process_time()
    compared(outputs)
    assert time.process_time() - started < 10
