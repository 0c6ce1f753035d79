"""The smallest loss that could have been seen: simulated losses of that size are seen four times in five."""

from __future__ import annotations

import numpy as np
import pytest

from compression_engine.measure.statistics.flips import mcnemar, mcnemar_loss
from compression_engine.measure.statistics.power import smallest_mean_loss, smallest_share_loss


@pytest.mark.parametrize(("n", "discordance"), [(1000, 0.05), (400, 0.2), (5000, 0.02)])
def test_a_loss_of_the_smallest_size_is_seen_four_times_in_five(n: int, discordance: float) -> None:
    loss = smallest_share_loss(round(discordance * n), n)
    assert loss is not None
    lost, won = (discordance + loss) / 2, (discordance - loss) / 2
    drawn = np.random.default_rng(0).multinomial(n, [lost, won, 1 - lost - won], size=1500)
    seen = np.mean([mcnemar(int(a), int(b)) <= 0.05 for a, b, _ in drawn])
    assert 0.75 <= seen <= 0.86


def test_where_nothing_flips_the_exact_test_sets_the_least_loss() -> None:
    loss = smallest_share_loss(0, 1000)
    assert loss is not None
    drawn = np.random.default_rng(1).binomial(1000, loss, size=1500)
    assert 0.77 <= np.mean([mcnemar(int(lost), 0) <= 0.05 for lost in drawn]) <= 0.83


def test_five_rows_show_nothing_and_more_rows_show_smaller_losses() -> None:
    assert smallest_share_loss(5, 5) is None
    found = [smallest_share_loss(n // 20, n) for n in (100, 1000, 10000)]
    assert found == sorted(found, key=lambda loss: -(loss or 0))


def test_after_a_correction_only_a_larger_loss_is_seen_and_that_one_four_times_in_five() -> None:
    n, discordance, tail = 1000, 0.05, 0.05 / 40
    loss, alone = smallest_share_loss(50, n, tail), smallest_share_loss(50, n)
    assert loss is not None
    assert alone is not None
    assert loss > 1.3 * alone
    lost, won = (discordance + loss) / 2, (discordance - loss) / 2
    drawn = np.random.default_rng(3).multinomial(n, [lost, won, 1 - lost - won], size=1500)
    assert 0.75 <= np.mean([mcnemar_loss(int(a), int(b)) <= tail for a, b, _ in drawn]) <= 0.86
    assert smallest_share_loss(0, 9, tail) is None  # 0.5**10 is the first below a fortieth of 5 %


@pytest.mark.parametrize("units", [5, 30])
def test_few_units_need_a_larger_loss_by_student_s_t(units: int) -> None:
    from scipy.stats import ttest_1samp

    error = 1 / np.sqrt(units)
    drawn = np.random.default_rng(4).normal(-smallest_mean_loss(error, units), 1, size=(4000, units))
    assert 0.77 <= np.mean(ttest_1samp(drawn, 0, axis=1).pvalue <= 0.05) <= 0.83


def test_a_mean_that_falls_by_the_smallest_loss_is_seen_four_times_in_five() -> None:
    generator = np.random.default_rng(2)
    means = generator.normal(-smallest_mean_loss(0.1, 5000), 0.1, size=4000)
    assert 0.77 <= np.mean(np.abs(means) > 1.96 * 0.1) <= 0.83
