"""Heavy tails: told from light ones, and bounded more cautiously than resamples of the rows can."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from compression_engine.measure.statistics.intervals import Floats
from compression_engine.measure.statistics.resampling import studentised_intervals
from compression_engine.measure.statistics.tails import allowing_for_tails, tail_index

N, SETS = 500, 200
ONES = np.ones(N)


def held(draw: Callable[[np.random.Generator], Floats], truth: float) -> tuple[float, float, float]:
    """Shares of 200 sets of data: usual intervals that hold the truth, those that allow for tails, sets called heavy."""
    generator = np.random.default_rng(0)
    sets = [draw(generator) for _ in range(SETS)]
    usual, cautious, heavy = [], [], []
    for values, ends in zip(sets, studentised_intervals([_maker(values) for values in sets], N, 0), strict=True):
        assert ends is not None
        (low, high), reason = allowing_for_tails(values, ONES, ends, 0)
        assert low <= ends[0] < ends[1] <= high
        assert (reason is None) == ((low, high) == ends)
        usual.append(ends[0] <= truth <= ends[1])
        cautious.append(low <= truth <= high)
        heavy.append(reason is not None)
    return float(np.mean(usual)), float(np.mean(cautious)), float(np.mean(heavy))


def _maker(values: Floats) -> Callable[[], tuple[Floats, Floats]]:
    return lambda: (values, ONES)


@pytest.mark.parametrize("index", [1.5, 3.0])
def test_hill_s_index_is_that_of_the_law_that_was_drawn(index: float) -> None:
    drawn = np.random.default_rng(1).pareto(index, size=200_000) + 1
    assert tail_index(drawn) == pytest.approx(index, rel=0.15)  # 447 values: its standard error is index / 21
    ordered = np.sort(drawn)[::-1]
    count = round(np.sqrt(len(drawn)))
    assert tail_index(drawn) == pytest.approx(1 / np.mean(np.log(ordered[:count] / ordered[count])))


def test_the_mean_of_heavy_squares_is_held_far_more_often() -> None:
    usual, cautious, heavy = held(lambda g: np.square(g.standard_t(3, size=N)), 3.0)
    assert usual < 0.88
    assert cautious > 0.89
    assert heavy > 0.9


def test_where_both_sides_are_heavy_so_are_both_ends() -> None:
    def draw(generator: np.random.Generator) -> Floats:
        a, b = (np.square(generator.standard_t(3, size=N)) for _ in range(2))
        return np.asarray(a - b)

    usual, cautious, heavy = held(draw, 0.0)
    assert usual < 0.92 < 0.935 < cautious
    assert heavy > 0.95


def test_light_tails_change_nothing() -> None:
    generator = np.random.default_rng(2)
    for values in (np.square(generator.normal(size=N)), generator.exponential(size=N), generator.random(N)):
        assert allowing_for_tails(values, ONES, (0.0, 1.0), 0) == ((0.0, 1.0), None)
    assert tail_index(np.zeros(50)) == tail_index(np.ones(50)) == np.inf


def test_a_hundred_rows_are_needed_and_one_seed_gives_one_interval() -> None:
    values = np.square(np.random.default_rng(3).standard_t(2.5, size=N))
    found = [allowing_for_tails(values, ONES, (2.0, 3.0), seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert "heavy tails (index " in str(found[0][1])
    assert allowing_for_tails(values[:99], ONES[:99], (2.0, 3.0), 0) == ((2.0, 3.0), None)


def test_a_ratio_of_sums_is_bounded_as_the_mean_that_it_is() -> None:
    values = np.square(np.random.default_rng(4).standard_t(2.5, size=N))
    mean = allowing_for_tails(values, ONES, (2.0, 3.0), 0)[0]
    ratio = allowing_for_tails(4 * values, 4 * ONES, (2.0, 3.0), 0)[0]
    assert ratio == pytest.approx(mean)


def test_a_million_rows_cost_what_their_largest_thousand_do() -> None:
    values = np.square(np.random.default_rng(5).standard_t(3, size=1_000_000))
    (low, high), reason = allowing_for_tails(values, np.ones(len(values)), (2.9, 3.1), 0)
    assert reason is not None
    assert 2.7 < low < 3.0 < high < 4.0
