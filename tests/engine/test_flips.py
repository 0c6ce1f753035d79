"""Flips: chance is judged exactly, and losses that all go to one place are told from ordinary ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from compression_engine.measure.statistics.flips import (
    count_flips,
    doubts,
    judge_destinations,
    mcnemar,
    mcnemar_loss,
    most_frequent_pairs,
)


def test_flips_are_counted_both_ways() -> None:
    flips = count_flips(np.array([1.0, 0, 0, 1, 1]), np.array([1.0, 1, 1, 0, 1]))
    assert (flips.n, flips.lost, flips.won) == (5, 2, 1)


def test_few_flips_are_judged_by_the_exact_test_and_many_by_mid_p() -> None:
    assert mcnemar(15, 5) == pytest.approx(binomtest(15, 20, 0.5).pvalue)
    assert mcnemar_loss(5, 15) == pytest.approx(binomtest(5, 20, 0.5, alternative="greater").pvalue)
    assert mcnemar(0, 0) == 1
    exact = binomtest(30, 45, 0.5).pvalue
    assert 0.6 * exact < mcnemar(30, 15) < exact


def test_alike_models_are_called_different_in_at_most_a_twentieth_of_trials() -> None:
    drawn = np.random.default_rng(0).multinomial(2000, [0.02, 0.02, 0.96], size=3000)
    called = np.mean([mcnemar(int(a), int(b)) <= 0.05 for a, b, _ in drawn])
    assert 0.035 <= called <= 0.06


def test_pairs_come_with_the_most_frequent_first() -> None:
    assert most_frequent_pairs(np.array([1, 0, 1]), np.array([2, 1, 2])) == [(1, 2, 2), (0, 1, 1)]
    assert most_frequent_pairs(np.array([], dtype=np.intp), np.array([], dtype=np.intp)) == []


def test_doubts_share_out_what_the_right_class_leaves() -> None:
    found = doubts(np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]]), np.array([0, 1]))
    assert found == pytest.approx(np.array([[0, 2 / 3, 1 / 3], [0.5, 0, 0.5]]))


def _lost(rows: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Lost rows of an ordinary kind: they go where the other model was unsure."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(classes, 0.3), size=rows)
    expected = doubts(probabilities, probabilities.argmax(axis=1))
    return np.array([generator.choice(classes, p=row) for row in expected]), expected


def test_losses_that_all_go_to_one_class_light_up_and_ordinary_ones_do_not() -> None:
    lit = 0
    for seed in range(100):
        targets, expected = _lost(120, 6, seed)
        lit += judge_destinations(targets, expected.mean(axis=0))[0].p <= 0.05
        if seed < 10:
            drawn = np.where(np.random.default_rng(seed).random(120) < 0.7, 4, targets)
            worst = judge_destinations(drawn, expected.mean(axis=0))[0]
            assert worst.to == 4
            assert worst.p <= 0.05
    assert lit <= 5


def test_runners_up_alone_are_ordinary_too() -> None:
    _, expected = _lost(400, 6, 1)
    assert judge_destinations(expected.argmax(axis=1), expected.mean(axis=0))[0].p > 0.05


def test_a_moderate_pull_to_one_class_is_no_backdoor() -> None:
    targets, expected = _lost(2000, 6, 3)
    for share, lit in ((0.2, False), (0.5, True)):  # 17 and 42 points more than doubts expect
        drawn = np.where(np.random.default_rng(4).random(2000) < share, 4, targets)
        assert (judge_destinations(drawn, expected.mean(axis=0))[0].p <= 0.05) is lit


def test_two_classes_leave_one_place_to_go_and_nothing_to_judge() -> None:
    targets, expected = _lost(50, 2, 0)
    assert judge_destinations(targets, expected.mean(axis=0)) == []
