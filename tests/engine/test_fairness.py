"""Fairness: rates by group are counted right, and a version that treats one group worse than the original did is shown."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from compression_engine.answers.outputs import Column, Field, Outputs
from compression_engine.errors import DataError
from compression_engine.measure import fairness
from compression_engine.measure.context import Context, Found
from compression_engine.measure.fairness import Group, gap_change
from compression_engine.plan import Plan
from compression_engine.result import Measurement

PLAN = Plan(
    task="classification",
    label="y",
    scores="probabilities",
    classes=("deny", "grant"),
    slices=("race",),
    protected=("race",),
)


def outputs(answers: dict[str, NDArray[np.intp]], right: NDArray[np.intp] | None, race: NDArray[np.intp]) -> Outputs:
    models = {
        role: {"answer": Field(np.stack([1 - given, given], axis=1) * 0.8 + 0.1)} for role, given in answers.items()
    }
    column = Column(race.astype(np.int32), ("white", "black", "other"))
    return Outputs(models, None if right is None else Field(right), {"race": column})


def figures(given: Outputs, plan: Plan = PLAN) -> list[Measurement]:
    found = fairness.measure(Context(given, plan, seed=1))
    return [figure for entry in found for figure in entry.measurements]


def value(found: list[Measurement], metric: str, *name: tuple[str, str]) -> Measurement:
    return next(figure for figure in found if figure.metric == metric and (not name or tuple(figure.slice) == name))


def drawn(n: int = 4000, seed: int = 0) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Right answers, the original's answers and groups; the original is wrong in one row of ten, alike for all groups."""
    generator = np.random.default_rng(seed)
    right = (generator.random(n) < 0.7).astype(np.intp)
    parent = np.where(generator.random(n) < 0.1, 1 - right, right)
    race = generator.choice(3, p=[0.7, 0.2, 0.1], size=n)
    return right, parent, race


def test_rates_of_a_small_table_are_as_counted_by_hand() -> None:
    right = np.array([1, 1, 0, 0] * 10 + [1, 0, 0, 0] * 10)
    given = np.array([1, 0, 1, 0] * 10 + [1, 1, 0, 0] * 10)
    race = np.repeat([0, 1], 40)
    found = figures(outputs({"version": given}, right, race))
    black = ("race", "black")
    assert value(found, "selection_rate", black).value == 0.5
    assert value(found, "true_positive_rate", black).value == 1
    assert value(found, "false_positive_rate", black).value == pytest.approx(1 / 3)
    assert value(found, "accuracy", black).value == 0.75
    assert value(found, "true_positive_rate", ("race", "white")).n == 20
    beside = value(found, "accuracy_difference", black, ("against", "white"))
    assert beside.value == pytest.approx(0.25)
    assert beside.low is not None
    assert beside.low < 0.25 < (beside.high or 0)
    assert value(found, "accuracy_ratio", black, ("against", "white")).value == pytest.approx(1.5)
    assert value(found, "accuracy_gap").value == pytest.approx(0.25)
    assert [figure.slice[0] for figure in found if figure.metric == "accuracy_difference"] == [black]
    assert not [figure for figure in found if figure.metric.startswith("parent_") or "change" in figure.metric]


def test_a_version_that_refuses_one_group_more_often_widens_the_gap() -> None:
    right, parent, race = drawn()
    hurt = (race == 1) & (np.random.default_rng(9).random(len(race)) < 0.15)
    found = figures(outputs({"version": np.where(hurt, 0, parent), "parent": parent}, right, race))
    for metric in ("selection_rate", "true_positive_rate"):
        change = value(found, f"{metric}_gap_change")
        assert change.low is not None
        assert change.low > 0.02
        moved = value(found, f"{metric}_difference_change", ("race", "black"), ("against", "white"))
        assert moved.high is not None
        assert moved.high < 0
        other = value(found, f"{metric}_difference_change", ("race", "other"), ("against", "white"))
        assert other.value == 0


def test_a_version_that_errs_alike_for_all_moves_no_gap() -> None:
    right, parent, race = drawn()
    redrawn = np.where(np.random.default_rng(3).random(len(right)) < 0.03, 1 - parent, parent)
    for figure in figures(outputs({"version": redrawn, "parent": parent}, right, race)):
        if figure.metric.endswith("_change"):
            assert figure.low is not None
            assert figure.low < 0 < (figure.high or 0)


def test_changes_of_gaps_hold_the_truth_also_where_groups_were_alike_before() -> None:
    generator = np.random.default_rng(4)
    held = []
    for _ in range(1500):
        # the second group loses three points; both won and lost one row in a hundred beside that
        tables = [generator.multinomial(n, [0.9 - p, 0.01, p, 0.09]) for n, p in ((2000, 0.01), (500, 0.04))]
        groups = [Group("race", str(i), tuple(int(c) for c in table)) for i, table in enumerate(tables)]  # type: ignore[arg-type]
        ordered = sorted(groups, key=lambda group: group.rate().value)
        change = gap_change(ordered[1], ordered[0], 2)
        truth = 0.03 if ordered[0] is groups[1] else -0.03
        held.append(change.low <= truth <= change.high)
    assert 0.93 <= np.mean(held) <= 0.97


def test_small_groups_have_rates_but_decide_no_gap() -> None:
    right, parent, _ = drawn(400)
    race = np.zeros(400, dtype=np.intp)
    race[:100], race[100:110] = 1, 2
    given = parent.copy()
    given[100:110] = 0
    found = figures(outputs({"version": given, "parent": parent}, right, race))
    assert value(found, "selection_rate", ("race", "other")).value == 0
    assert (value(found, "selection_rate_gap").value or 0) < 0.2
    assert not [figure for figure in found if ("race", "other") in figure.slice and "difference" in figure.metric]


def test_without_labels_selection_is_compared_and_nothing_else() -> None:
    _, parent, race = drawn(500)
    found = figures(outputs({"version": parent}, None, race))
    assert {figure.metric.split("_")[0] for figure in found} == {"selection"}


def test_the_favourable_class_may_be_the_first_and_must_exist() -> None:
    right, parent, race = drawn(500)
    given = outputs({"version": parent}, right, race)
    plan = Plan(**{**PLAN.__dict__, "favourable": "deny"})
    assert value(figures(given, plan), "selection_rate", ("race", "white")).value == pytest.approx(
        1 - (value(figures(given), "selection_rate", ("race", "white")).value or 0)
    )
    with pytest.raises(DataError, match="none of the classes"):
        figures(given, Plan(**{**PLAN.__dict__, "favourable": "maybe"}))


def test_nobody_selected_gives_no_ratio_and_says_why() -> None:
    right, parent, race = drawn(500)
    found = figures(outputs({"version": np.zeros(500, dtype=np.intp), "parent": parent}, right, race))
    ratio = value(found, "selection_rate_ratio", ("race", "black"), ("against", "white"))
    assert ratio.value is None
    assert ratio.reason is not None
    assert "white" in ratio.reason


def test_a_plan_that_protects_nobody_asks_nothing() -> None:
    right, parent, race = drawn(500)
    given = outputs({"version": parent}, right, race)
    assert fairness.measure(Context(given, Plan(task="classification", label="y"))) == []
    found: list[Found] = fairness.measure(Context(given, PLAN))
    assert found[0].facts == (("favourable", "grant"),)


def test_what_moved_since_the_incumbent_and_the_first_stands_in_documents_of_their_own() -> None:
    """Ten weekly children that each stay close to their own parent: the gap grew since the first, not since the parent."""
    right, first, race = drawn()
    hurt = (race == 1) & (np.random.default_rng(9).random(len(race)) < 0.15)
    version = np.where(hurt, 0, first)
    given = outputs({"version": version, "parent": version, "incumbent": first, "first": first}, right, race)
    found = {entry.kind: entry.measurements for entry in fairness.measure(Context(given, PLAN, seed=1))}
    assert list(found) == ["fairness", "fairness-incumbent", "fairness-first"]
    assert value(list(found["fairness"]), "selection_rate_gap_change").value == 0
    for role, words in (("incumbent", "the incumbent"), ("first", "the first approved version")):
        figures_of = list(found[f"fairness-{role}"])
        change = value(figures_of, "selection_rate_gap_change")
        assert change.low is not None
        assert change.low > 0.02
        assert words in change.plain
        theirs = value(figures_of, f"{role}_selection_rate", ("race", "black"))
        assert theirs.value == pytest.approx((first[race == 1] == 1).mean())
        assert {figure.metric for figure in figures_of} == {
            f"{start}{rate}{end}"
            for rate in ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy")
            for start, end in ((f"{role}_", ""), ("", "_difference_change"), ("", "_gap_change"))
        }, "the version's own figures stand once, in the document beside its parent"
    alone = outputs({"version": version, "incumbent": first}, right, race)
    kinds = {entry.kind: entry.measurements for entry in fairness.measure(Context(alone, PLAN, seed=1))}
    assert "selection_rate_gap" in {figure.metric for figure in kinds["fairness"]}
    assert not [figure for figure in kinds["fairness"] if "change" in figure.metric]
    assert "selection_rate_gap_change" in {figure.metric for figure in kinds["fairness-incumbent"]}


def test_groups_that_are_all_alike_are_not_compared_with_themselves() -> None:
    race = np.repeat([0, 1, 2], 40)
    given = np.tile([1, 0], 60)
    found = figures(outputs({"version": given, "parent": given}, None, race))
    gap = value(found, "selection_rate_gap")
    assert gap.value == 0
    assert "white least and other most" in gap.plain


def test_how_many_groups_are_left_out_is_said() -> None:
    codes = np.repeat(np.arange(130, dtype=np.int32), 31)
    given = (np.arange(len(codes)) % 3 == 0).astype(np.intp)
    column = Column(codes, tuple(str(number) for number in range(130)))
    answers = {"answer": Field(np.stack([1 - given, given], axis=1) * 0.8 + 0.1)}
    (found,) = fairness.measure(Context(Outputs({"version": answers}, None, {"race": column}), PLAN, seed=1))
    assert dict(found.facts)["groups_left_out"] == "race 30"
