"""Resampling and intervals: they hold the truth as often as they say, repeat to the bit, and stay small."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from compression_engine.measure.statistics.intervals import (
    Estimate,
    Floats,
    difference_interval,
    paired_share_interval,
    ratio_interval,
    share_interval,
)
from compression_engine.measure.statistics.resampling import (
    UNITS_MAX,
    bootstrap_counts,
    ratio_of,
    studentised_intervals,
    summed,
    units_of,
)


def mean_interval(values: Floats, seed: int) -> tuple[float, float] | None:
    """The studentised 95 % interval of a mean of independent values [n]; None where it cannot be bounded."""
    ones = np.ones(len(values))
    return studentised_intervals([lambda: (values, ones)], len(values), seed)[0]


def test_the_interval_of_a_paired_difference_holds_it_even_where_few_rows_flip() -> None:
    generator = np.random.default_rng(0)
    for lost, won, least in ((0.02, 0.005, 0.94), (0.1, 0.1, 0.94), (0.02, 0.0, 0.94)):
        drawn = generator.multinomial(500, [lost, won, 1 - lost - won], size=2000)
        limits = [paired_share_interval(int(a), int(b), 500) for a, b, _ in drawn]
        assert least <= np.mean([low <= won - lost <= high for low, high in limits]) <= 0.98


def test_at_its_limits_the_difference_is_just_refused_by_the_score_test() -> None:
    lost, won, n = 2, 12, 50
    for limit in paired_share_interval(lost, won, n):
        # the share lost that makes what was seen likeliest if the difference is the limit, found by looking
        shares = np.linspace(max(0.0, -limit) + 1e-9, (1 - limit) / 2 - 1e-9, 200_001)
        likelihood = (
            lost * np.log(shares) + won * np.log(shares + limit) + (n - lost - won) * np.log(1 - 2 * shares - limit)
        )
        share = shares[likelihood.argmax()]
        statistic = (won - lost - n * limit) / np.sqrt(n * (2 * share + limit - limit**2))
        assert abs(statistic) == pytest.approx(1.96, abs=1e-3)
    assert paired_share_interval(won, lost, n) == pytest.approx(
        [-end for end in paired_share_interval(lost, won, n)[::-1]]
    )


def test_no_flip_at_all_does_not_make_an_interval_certain() -> None:
    low, high = paired_share_interval(0, 0, 100)
    assert low == pytest.approx(-high)
    assert 0.03 < high < 0.04
    assert paired_share_interval(0, 0, 100, z=3.0)[1] > high


def test_differences_and_ratios_of_two_groups_hold_the_truth() -> None:
    generator = np.random.default_rng(1)
    differences, ratios = [], []
    for a, b in zip(generator.binomial(300, 0.2, size=1500), generator.binomial(800, 0.3, size=1500), strict=True):
        ours, theirs = Estimate(a / 300, *share_interval(a, 300)), Estimate(b / 800, *share_interval(b, 800))
        low, high = difference_interval(ours, theirs)
        differences.append(low <= -0.1 <= high)
        limits = ratio_interval(ours, theirs)
        assert limits is not None
        ratios.append(limits[0] <= 2 / 3 <= limits[1])
    assert 0.935 <= np.mean(differences) <= 0.965
    assert 0.935 <= np.mean(ratios) <= 0.965


def test_a_ratio_to_what_may_be_nothing_has_no_interval() -> None:
    nothing, half = Estimate(0.0, 0.0, 0.1), Estimate(0.5, 0.4, 0.6)
    assert ratio_interval(half, nothing) is None
    assert ratio_interval(nothing, half) == (0.0, 0.1 / 0.4)


def test_the_studentised_interval_holds_a_skewed_mean() -> None:
    generator = np.random.default_rng(2)
    held = []
    for seed in range(300):
        interval = mean_interval(generator.exponential(size=200), seed)
        assert interval is not None
        held.append(interval[0] <= 1 <= interval[1])
    assert 0.925 <= np.mean(held) <= 0.975


def test_sequences_are_drawn_whole_so_that_rows_that_repeat_each_other_do_not_count_twice() -> None:
    generator = np.random.default_rng(3)
    values = np.repeat(generator.normal(size=60), 20)
    sequences = np.repeat(np.arange(60), 20)
    units = units_of(len(values), sequences, 0)
    assert units is not None
    ones = np.ones(len(values))
    whole = studentised_intervals([lambda: (summed(values, units, 60), summed(ones, units, 60))], 60, 0)[0]
    single = mean_interval(values, 0)
    assert whole is not None
    assert single is not None
    assert whole[1] - whole[0] > 3.5 * (single[1] - single[0])  # sqrt(20) = 4.5
    assert ratio_of(summed(values, units, 60), summed(ones, units, 60)).error == pytest.approx(
        values[::20].std(ddof=1) / np.sqrt(60)
    )


def test_many_rows_are_drawn_in_groups_with_the_same_spread() -> None:
    rows = 2 * UNITS_MAX
    units = units_of(rows, None, 0)
    assert units is not None
    assert set(np.bincount(units)) == {2}
    assert units_of(UNITS_MAX, None, 0) is None
    other = units_of(rows, None, 1)
    assert other is not None
    assert (units != other).any()  # by lot, so that no order of the rows gets into the groups
    values = np.random.default_rng(4).normal(size=rows)
    grouped = ratio_of(summed(values, units, UNITS_MAX), summed(np.ones(rows), units, UNITS_MAX))
    assert grouped.error == pytest.approx(1 / np.sqrt(rows), rel=0.02)
    assert grouped.value == pytest.approx(values.mean())


def test_a_slice_is_judged_on_its_own_rows_and_the_draws_repeat_with_the_seed() -> None:
    generator = np.random.default_rng(5)
    values, member = generator.normal(size=3000), generator.random(3000) < 0.2
    slices = [lambda: (values * member, member.astype(np.float64)), lambda: (values, np.ones(3000))]
    first, second = studentised_intervals(slices, 3000, 7), studentised_intervals(slices, 3000, 7)
    assert first == second != studentised_intervals(slices, 3000, 8)
    inside = values[member]
    half = 1.96 * inside.std(ddof=1) / np.sqrt(len(inside))
    assert first[0] == pytest.approx((inside.mean() - half, inside.mean() + half), abs=0.15 * half)


def test_what_cannot_be_bounded_gives_no_interval() -> None:
    assert mean_interval(np.ones(1), 0) is None
    assert mean_interval(np.ones(50), 0) is None
    assert studentised_intervals([], 10, 0) == []


def test_resampled_counts_keep_their_total_and_their_mean() -> None:
    tables = np.array([[10, 20, 970], [0, 0, 50]])
    drawn = bootstrap_counts(tables, 0)
    assert drawn.shape == (2000, 2, 3)
    assert set(drawn[:, 0].sum(axis=1)) == {1000}
    assert drawn[:, 0, 0].mean() == pytest.approx(10, abs=0.3)
    assert drawn[:, 0, 0].std() == pytest.approx(np.sqrt(10), rel=0.1)
    assert set(drawn[:, 1, 2]) == {50}


def test_a_spread_that_is_small_beside_its_mean_is_not_lost() -> None:
    values = 1e6 + 1e-3 * np.random.default_rng(6).normal(size=500)
    interval = mean_interval(values, 0)
    assert interval is not None
    half = 1.96 * values.std(ddof=1) / np.sqrt(500)
    assert interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)


def test_values_that_differ_by_rounding_alone_do_not_differ() -> None:
    assert ratio_of(np.full(7, 0.1), np.ones(7)).error == 0  # 0.1 * 7 / 7 is not 0.1 in floats
    assert ratio_of(np.array([0.1] * 6 + [0.1 + 1e-9]), np.ones(7)).error != 0


def test_without_scipy_the_bits_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(7)
    values, weights = generator.exponential(size=400), generator.integers(1, 9, size=400).astype(np.float64)
    slices = [lambda: (values, np.ones(400)), lambda: (values * weights, weights)]
    with_scipy = studentised_intervals(slices, 400, 0)
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    assert studentised_intervals(slices, 400, 0) == with_scipy


def test_one_huge_value_does_not_hide_how_the_others_differ() -> None:
    values = np.append(np.random.default_rng(8).normal(size=499), 3e5)
    interval = mean_interval(values, 0)
    assert interval is not None
    assert interval[0] < values.mean() < interval[1]
