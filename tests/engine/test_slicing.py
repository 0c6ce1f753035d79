"""Slices: their names say their rows, small ones are counted, and what a tree finds is tested on rows that it did not see."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import Column, Field, Outputs
from compression_engine.measure.slicing import (
    Slice,
    answer_slices,
    chosen,
    declared_slices,
    finding_half,
    found_slices,
)
from compression_engine.plan import Plan

PLAN = Plan(task="classification", label="y", scores="probabilities", classes=("no", "yes"))


def outputs(n: int = 4000, seed: int = 0, sequences: NDArray[np.int64] | None = None) -> Outputs:
    generator = np.random.default_rng(seed)
    share = generator.random(n)
    answers = Field(np.stack([1 - share, share], axis=1))
    income = np.where(generator.random(n) < 0.05, np.nan, generator.integers(10, 90, size=n))
    race = Column(generator.integers(0, 3, size=n).astype(np.int32), ("1", "2", "3"))
    inputs = {"income": income, "noise": generator.normal(size=n)}
    models = {"version": {"answer": answers}, "parent": {"answer": answers}}
    return Outputs(models, Field(generator.integers(0, 2, size=n)), {"race": race}, sequences, inputs)


def test_every_value_of_a_declared_column_is_a_slice_and_missing_ones_are_one_too() -> None:
    given = outputs(300)
    given.slices["race"].codes[:40] = -1
    slices, left_out = declared_slices(given)
    assert [entry.name[0][1] for entry in slices] == ["1", "2", "3", "missing"]
    assert left_out == 0
    assert sum(int(entry.member().sum()) for entry in slices) == 300


def test_slices_of_few_rows_are_counted_and_not_judged() -> None:
    given = outputs(300)
    given.slices["race"].codes[:] = np.where(np.arange(300) < 29, 0, 1)
    slices, left_out = declared_slices(given)
    assert [entry.name for entry in slices] == [(("race", "2"),)]
    assert left_out == 1


def test_slices_by_answer_are_the_other_model_s_and_judged_on_what_either_model_answers() -> None:
    given = outputs()
    parent = given.answer("parent").values
    turned = parent.copy()
    turned[:50] = turned[:50, ::-1]
    slices = answer_slices(
        Outputs({**given.models, "version": {"answer": Field(turned)}}, given.labels), "parent", PLAN
    )
    assert [entry.name[0] for entry in slices[:2]] == [("parent_answer", "no"), ("parent_answer", "yes")]
    either = (parent.argmax(axis=1) == 0) | (turned.argmax(axis=1) == 0)
    assert (slices[0].judged() == either).all()
    assert (slices[0].member() == (parent.argmax(axis=1) == 0)).all()
    assert (slices[0].judged() & slices[1].judged()).sum() == 50
    quarters = [int(entry.member().sum()) for entry in slices[2:]]
    assert len(quarters) == 4
    assert max(quarters) - min(quarters) <= 1
    highest = slices[-1].member()
    confidence = parent.max(axis=1)
    assert confidence[highest].min() > confidence[~highest].max()


def test_alike_models_do_not_seem_to_lose_where_the_parent_happens_to_be_right() -> None:
    generator = np.random.default_rng(11)
    sums = np.zeros(2)
    for _ in range(300):
        # rows near the border of which seven in ten are right to be called yes: whoever calls them yes is mostly right
        right = (generator.random(400) < 0.7).astype(np.intp)
        answers = [np.eye(2)[generator.integers(0, 2, size=400)] for _ in range(2)]
        models = {role: {"answer": Field(given)} for role, given in zip(("version", "parent"), answers, strict=True)}
        slices = answer_slices(Outputs(models, Field(right)), "parent", PLAN)[:2]
        difference = (answers[0].argmax(axis=1) == right) * 1.0 - (answers[1].argmax(axis=1) == right)
        sums += [float(difference[entry.judged()].mean()) for entry in slices]
    assert np.abs(sums / 300).max() < 0.01  # on the parent's rows alone: a loss of 0.2


def test_the_tree_finds_the_corner_that_loses_and_names_it_by_its_cuts() -> None:
    given = outputs(8000)
    corner = (given.inputs["income"] < 40) & (given.slices["race"].codes == 1)
    loss = (corner & (np.random.default_rng(1).random(8000) < 0.5)).astype(np.float64)
    found = found_slices(given, loss, seed=3)
    assert found
    name = found[0].name[0]
    assert name[0] == "found"
    assert "race = 2" in name[1]
    assert "income <=" in name[1]
    member = found[0].member()
    assert (corner & member).sum() > 0.95 * member.sum()
    assert [entry.name for entry in found_slices(given, loss, seed=3)] == [entry.name for entry in found]


def test_a_found_slice_holds_no_row_that_it_was_found_on() -> None:
    given = outputs(8000)
    loss = (given.inputs["income"] > 70).astype(np.float64)
    found = found_slices(given, loss, seed=5)
    assert found
    assert not (found[0].member() & finding_half(given, 5)).any()
    assert 0.49 < finding_half(given, 5).mean() < 0.51


def test_loss_without_a_pattern_is_not_given_one() -> None:
    names = []
    for seed in range(10):
        loss = (np.random.default_rng(100 + seed).random(4000) < 0.1).astype(np.float64)
        names += found_slices(outputs(seed=seed), loss, seed)
    assert len(names) <= 3  # of up to forty


def test_a_slice_that_is_bad_all_over_is_not_cut_further() -> None:
    given = outputs(8000)
    loss = ((given.inputs["income"] <= 40) & (np.random.default_rng(2).random(8000) < 0.3)).astype(np.float64)
    found = found_slices(given, loss, seed=1)
    assert [entry.name[0][1] for entry in found] == ["9.5 < income <= 40.5"]  # without the missing ones
    with_missing = given.inputs["income"] <= 40
    assert not (found[0].member() & ~with_missing).any()


def test_halves_keep_sequences_whole() -> None:
    sequences = np.repeat(np.arange(100), 40)
    half = finding_half(outputs(sequences=sequences), 0)
    assert set(np.bincount(sequences, weights=half)) == {0.0, 40.0}


def test_a_column_of_many_values_costs_no_more_than_its_rows() -> None:
    n = 50_000
    column = Column(np.arange(n, dtype=np.int32), tuple(str(i) for i in range(n)))
    slices, left_out = declared_slices(Outputs({"version": {"answer": Field(np.zeros(n))}}, slices={"id": column}))
    assert (slices, left_out) == ([], n)


def test_of_too_many_slices_the_largest_are_tested_in_their_order() -> None:
    codes = np.repeat(np.arange(400, dtype=np.int32), np.where(np.arange(400) % 4 == 0, 31, 40))
    column = Column(codes, tuple(str(i) for i in range(400)))
    slices, _ = declared_slices(Outputs({"version": {"answer": Field(codes)}}, slices={"group": column}))
    kept, left_out = chosen(slices)
    assert (len(kept), left_out) == (300, 100)
    assert [int(entry.name[0][1]) for entry in kept] == [i for i in range(400) if i % 4]


def test_slices_are_counted_as_if_each_was_looked_at_alone_and_many_take_no_time() -> None:
    generator = np.random.default_rng(0)
    codes, other = (
        generator.integers(-1, 5, size=900).astype(np.int32),
        generator.integers(0, 3, size=900).astype(np.int8),
    )
    slices = [Slice((("a", str(code)),), codes, code) for code in range(-1, 5)]
    slices += [Slice((("b", str(code)),), other, code) for code in range(3)]
    kept, left_out = chosen(slices)
    assert [entry.name for entry in kept] == [entry.name for entry in slices if entry.member().sum() >= 30]
    assert left_out == 0
    rows = 200_000
    each = np.arange(rows, dtype=np.int32) // 2
    begun = time.process_time()
    assert chosen([Slice((("id", str(code)),), each, code) for code in range(rows // 2)]) == ([], rows // 2)
    assert time.process_time() - begun < 5  # one by one: 100,000 times 200,000
