"""Zeros that pruning left in a weight: who counts as pruned, so that later steps keep exactly these numbers zero.

Rule: a weight of which at least a tenth of the numbers are exactly zero was pruned; fewer zeros are chance (rows for padding,
numbers too small for their type), and nobody is bound by them. Minus zero is zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PRUNED_PART = 10
"""One number in so many must be zero in a weight that was pruned."""
Mask = NDArray[np.bool_]


def kept_zeros(array: NDArray[Any]) -> Mask | None:
    """True where a pruned weight is zero, in its own shape; None for a weight that was not pruned."""
    zeros: Mask = array == 0
    count = int(np.count_nonzero(zeros))
    return zeros if count and count * PRUNED_PART >= array.size else None


def zeros_in(array: NDArray[Any]) -> int:
    """How many numbers are exactly zero."""
    return int(array.size - np.count_nonzero(array))
