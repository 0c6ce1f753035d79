"""Counts the numbers that flow through a tensor in bins, so that ranges are found without keeping a single row.

Rules:
- 4,096 bins on either side of zero, whose width is a power of two and begins at zero: 64 KiB a tensor, however large it is and
  however many rows there are;
- where a number lies beyond the last bin, the width is doubled until it does not and neighbouring bins become one: exactly what
  counting with the wider bins from the start had given, so the counts depend neither on the order nor on the grouping of rows;
- the least and the largest number and the count of zeros are kept exactly.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

HALF = 4096
"""Bins on either side of zero."""
_AT_ONCE = 1 << 18
_NARROWEST = -1100  # no number of 64 bits is too small for this exponent
_ONE_BIN = 20  # shifts beyond this leave one bin on either side


class Histogram:
    """Counts of numbers by bins; `counts` [2 * HALF], bin HALF begins at zero and all are `2 ** exponent` wide."""

    def __init__(self) -> None:
        self.counts = np.zeros(2 * HALF, dtype=np.int64)
        self.exponent = _NARROWEST
        self.least, self.most = math.inf, -math.inf
        self.zeros = 0

    def add(self, values: NDArray[Any]) -> None:
        """Counts finite floats of any shape; `Watching.look` shows no others. ValueError for NaN or infinity."""
        flat = values.reshape(-1)
        for start in range(0, flat.size, _AT_ONCE):
            part = flat[start : start + _AT_ONCE].astype(np.float64)
            least, most = float(part.min()), float(part.max())
            if not (math.isfinite(least) and math.isfinite(most)):
                raise ValueError("NaN or infinity has no bin.")
            self.least, self.most = min(self.least, least), max(self.most, most)
            self._widen(max(-least, most))
            self.zeros += part.size - int(np.count_nonzero(part))
            bins = np.floor(np.ldexp(part, -self.exponent)).astype(np.int64) + HALF
            self.counts += np.bincount(bins, minlength=2 * HALF)

    @property
    def total(self) -> int:
        """How many numbers were counted."""
        return int(self.counts.sum())

    @property
    def width(self) -> float:
        """Of a bin."""
        return float(np.ldexp(1.0, self.exponent))

    def filled(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The middles of the bins that hold anything but zeros, ascending, and their counts without zeros."""
        counts = self.counts.copy()
        counts[HALF] -= self.zeros
        taken = np.flatnonzero(counts)
        middles: NDArray[np.float64] = np.clip((taken - HALF + 0.5) * self.width, self.least, self.most)
        return middles, counts[taken].astype(np.float64)

    def quantile(self, share: float) -> float:
        """The number below which this share lies, to within the width of a bin; 0 of nothing."""
        if not self.total:
            return 0.0
        below = np.cumsum(self.counts)
        wanted = share * self.total
        place = min(int(np.searchsorted(below, wanted)), 2 * HALF - 1)
        inside = (wanted - (below[place] - self.counts[place])) / max(1, self.counts[place])
        return float(min(max((place - HALF + inside) * self.width, self.least), self.most))

    def _widen(self, magnitude: float) -> None:
        """Makes bins so wide that a number of this magnitude has one."""
        if magnitude == 0:
            return
        needed = math.frexp(magnitude)[1] - HALF.bit_length() + 1
        steps = needed - self.exponent
        if steps <= 0:
            return
        wider = np.zeros_like(self.counts)
        np.add.at(wider, (np.arange(-HALF, HALF) >> min(steps, _ONE_BIN)) + HALF, self.counts)
        self.counts, self.exponent = wider, needed
