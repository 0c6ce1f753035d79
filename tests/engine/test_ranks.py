"""Ranks without scipy are scipy's."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from compression_engine.measure.statistics.ranks import average_ranks


def test_ranks_are_those_of_scipy_with_and_without_ties() -> None:
    generator = np.random.default_rng(0)
    for rows in (
        generator.normal(size=(40, 9)),
        generator.integers(0, 4, size=(50, 12)).astype(float),
        np.zeros((3, 5)),
        generator.normal(size=(7, 1)),
    ):
        np.testing.assert_array_equal(average_ranks(rows), rankdata(rows, axis=1))
