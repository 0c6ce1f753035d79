"""Slices: their names say their rows, small ones are counted, and what a tree finds is tested on rows that it did not see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compression_engine.measure.slicing import (
    answer_slices,
    chosen,
    declared_slices,
    finding_half,
    found_slices,
)
from compression_engine.outputs import Column, Field, Outputs
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
    slices, left_out = chosen(declared_slices(given))
    assert [entry.name[0][1] for entry in slices] == ["1", "2", "3", "missing"]
    assert left_out == 0
    assert sum(int(entry.member().sum()) for entry in slices) == 300


def test_slices_of_few_rows_are_counted_and_not_judged() -> None:
    given = outputs(300)
    given.slices["race"].codes[:] = np.where(np.arange(300) < 29, 0, 1)
    slices, left_out = chosen(declared_slices(given))
    assert [entry.name for entry in slices] == [(("race", "2"),)]
    assert left_out == 1


def test_answers_and_confidence_are_those_of_the_other_model() -> None:
    given = outputs()
    changed = Outputs({**given.models, "version": {"answer": Field(np.full((4000, 2), 0.5))}}, given.labels)
    slices = answer_slices(changed, "parent", PLAN)
    assert [entry.name[0] for entry in slices[:2]] == [("parent_answer", "no"), ("parent_answer", "yes")]
    quarters = [int(entry.member().sum()) for entry in slices[2:]]
    assert len(quarters) == 4
    assert max(quarters) - min(quarters) <= 1
    highest = slices[-1].member()
    confidence = given.answer("parent").values.max(axis=1)
    assert confidence[highest].min() > confidence[~highest].max()


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
