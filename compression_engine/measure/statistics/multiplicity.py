"""Corrects p-values for the number of questions that were asked.

Sources: Holm (1979) holds the chance of any false finding; Benjamini and Hochberg (1995) the share of false findings among
the findings, for questions that are independent or positively dependent, as slices of the same rows are.
"""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given; a finding is one at most the level that is meant for all together."""
    count = len(p_values)
    adjusted, least = [1.0] * count, 0.0
    for rank, place in enumerate(sorted(range(count), key=p_values.__getitem__)):
        least = max(least, min(1.0, (count - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given; among those at most q, a share of at most q is false in the long run."""
    count = len(p_values)
    adjusted, most = [1.0] * count, 1.0
    for rank, place in reversed(list(enumerate(sorted(range(count), key=p_values.__getitem__), start=1))):
        most = min(most, count / rank * p_values[place])
        adjusted[place] = most
    return adjusted
