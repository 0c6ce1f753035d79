"""Corrections for many questions: against scipy where it has them, against the definition where not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from compression_engine.measure.statistics.multiplicity import benjamini_hochberg, holm


def test_holm_multiplies_the_least_by_all_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_benjamini_and_hochberg_are_as_scipy_has_them() -> None:
    values = np.random.default_rng(0).random(40) ** 3
    assert benjamini_hochberg(list(values)) == pytest.approx(list(false_discovery_control(values)))


def test_of_many_true_nulls_holm_names_one_in_at_most_a_twentieth_of_trials() -> None:
    generator = np.random.default_rng(1)
    named = [min(holm(list(row))) <= 0.05 for row in generator.random((2000, 50))]
    assert 0.03 <= np.mean(named) <= 0.065
