"""What a search promises, without one: what is kept of answers, by which bound, and which budgets are none."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from compression_engine import Plan
from compression_engine.answers.outputs import Column, Field, Outputs
from compression_engine.errors import EngineError, OutputRefused
from compression_engine.searching.bounds import figures, rows_needed, too_small
from compression_engine.searching.budget import Budget, share_of
from compression_engine.searching.kept import Kept, kept, measures_for


def test_so_many_rows_are_needed_and_no_fewer() -> None:
    pair = [Kept("top1_agreement", np.ones(n), np.ones(n), True, None) for n in (380, 381)]
    budget = Budget(Decimal("0.99"))
    assert rows_needed(0.99) == 381
    assert [figures([entry], {}, budget, 0)[0].holds for entry in pair] == [False, True]


def test_small_slices_are_named_and_judged_by_the_mean_or_not_at_all() -> None:
    values = np.ones(1000)
    values[[0, 31]] = 0
    column = Column(np.repeat([0, 1, 2, 3], [20, 40, 440, 500]).astype(np.int32), ("tiny", "small", "large", "rest"))
    made = figures(
        [Kept("top1_agreement", values, np.ones(1000), True, None)], {"kind": column}, Budget(Decimal("0.99")), 0
    )
    told = {entry.where[1] if entry.where else "": (entry.by_bound, entry.holds) for entry in made}
    assert told == {"": (True, True), "small": (False, False), "large": (True, True), "rest": (True, True)}
    everything = np.ones(1000, dtype=bool)
    assert too_small({"kind": column}, everything) == [("kind", "tiny", 20)]
    broken = everything & (np.arange(1000) >= 31)
    assert too_small({"kind": column}, broken) == [("kind", "tiny", 0), ("kind", "small", 29)], (
        "rows that count, not all"
    )
    assert made[0].document()["could_hide"] is not None


def test_numbers_are_kept_in_their_own_spread_and_the_same_number_in_its_own_size() -> None:
    theirs = np.stack([np.linspace(-3, 3, 50), np.full(50, 7.0)], axis=1)
    ours = theirs + np.array([0.3, 0.07])
    outputs = Outputs({"version": {"answer": Field(ours)}, "parent": {"answer": Field(theirs)}})
    entry = kept("variance_kept", outputs, Plan(task="regression"))
    expected = 1 - (0.09 / theirs[:, 0].var() + 0.0001) / 2
    assert entry.values == pytest.approx(np.full(50, expected))
    broken = Outputs({"version": {"answer": Field(ours * np.nan)}, "parent": {"answer": Field(theirs)}})
    with pytest.raises(OutputRefused, match="50 rows with NaN"):
        kept("variance_kept", broken, Plan(task="regression"))


@pytest.mark.parametrize(
    ("answers", "plan", "expected"),
    [
        (np.eye(40)[:30], Plan(), ("cosine_mean",)),
        (np.full((30, 4), 0.25), Plan(), ("top1_agreement",)),
        (np.linspace(-2, 9, 30).reshape(30, 1), Plan(), ("variance_kept",)),
        (np.linspace(-2, 9, 120).reshape(30, 4), Plan(), ("cosine_mean", "top1_agreement")),
        (np.linspace(-2, 9, 120).reshape(30, 4), Plan(task="embedding"), ("cosine_mean",)),
        (np.linspace(-2, 9, 120).reshape(30, 4), Plan(task="classification"), ("top1_agreement",)),
        (np.linspace(-2, 9, 240).reshape(30, 4, 2), Plan(task="sequence"), ("decoded_agreement",)),
        (np.linspace(-2, 9, 240).reshape(30, 4, 2), Plan(), ("cosine_mean",)),
    ],
)
def test_what_is_to_be_kept_follows_from_what_the_model_does(
    answers: Any, plan: Plan, expected: tuple[str, ...]
) -> None:
    assert measures_for(Outputs({"version": {"answer": Field(answers)}}), plan) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"at_least": "1"}, "between 0 and 1"),
        ({"at_least": "NaN"}, "between 0 and 1"),
        ({"at_least": "0.9", "then": "prettiest"}, "smallest or fastest"),
        ({"at_least": "0.9", "measures": ("goodness",)}, "cosine_mean"),
        ({"at_least": "0.9", "loses_at_most": "2"}, "between 0 and 1"),
    ],
)
def test_a_budget_that_is_none_is_refused(given: dict[str, Any], said: str) -> None:
    for name in ("at_least", "loses_at_most"):
        if name in given:
            given[name] = share_of(given[name])
    with pytest.raises(EngineError) as refused:
        Budget(**given)
    assert refused.value.code == "budget_invalid"
    assert said in f"{refused.value.message} {refused.value.hint}"
