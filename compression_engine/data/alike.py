"""Rows that are nearly the same: a form of numbers and texts in which what differs by a hair is equal.

Rules:
- a number stands by its sign and its step: 256 equal steps lie between a power of two and the next, each 0.2 to 0.4 % wide, about
  three significant digits; no short decimal lies on the edge of a step, so a change of the last bit rarely crosses one;
- zero is alike to zero alone, a whole number of an integer input to itself alone;
- a text stands by its letters without case, in Unicode's compatibility form (NFKC), and with single spaces between words.

What it finds: copies that were written in another precision, case or spacing. In 32-bit numbers one value in 50,000 crosses an edge
when its last bit changes, so a copied row of a thousand numbers is missed one time in fifty; in 16-bit numbers most are missed.
What it does not find: noise over zeros, noise of a percent (`nearness` finds these), paraphrases: no likeness of meaning is looked
for.
What it finds in vain: different people in a table of few columns can share all their steps.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STEPS = 256
_OFFSET = 0.38
"""Moves the edges of the steps to where no number of few digits lies."""


def coarse(array: NDArray[Any]) -> NDArray[Any]:
    """Floats, of any shape and finite, as the numbers of their steps, int64; other arrays as they are."""
    if array.dtype.kind != "f":
        return array
    mantissa, exponent = np.frexp(np.abs(array.astype(np.float64)))
    within = np.floor((mantissa - 0.5) * (2 * _STEPS) + _OFFSET).astype(np.int64)
    # 2,000 octaves at most: the sign and the zero fit beside them
    step = (exponent.astype(np.int64) + 2048) * _STEPS + within
    found: NDArray[Any] = np.where(array == 0, 0, np.sign(array).astype(np.int64) * step)
    return found


def folded(text: str) -> str:
    """The text without case, compatibility forms and runs of white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
