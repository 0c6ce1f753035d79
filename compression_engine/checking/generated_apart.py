"""Whether a child still answers as its parent does on generated inputs: the sentence for a person, the figure for a program.

Rules:
- an answer is one array of one output in one call; it is the parent's while its cosine is at least 0.9; where it is one number a
  row, which has no direction, while it lies as near as two of one length with that cosine do; where it is no floats, while
  half of its entries are the same;
- where nothing could be compared the figure has no value, and the reason says so;
- noise proves nothing in either direction, and the sentence says that beside what to do.

Why 0.9: measured on generated inputs, the least cosine of children with 8 bits, and of those with 4 that keep 99 % of first
choices, was 0.907 to 1; of four children of a voice detector that lose 9 % of its decisions and more it was 0.37 to 0.84
(docs/methods.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from compression_engine.data import Array
from compression_engine.result import Measurement

METRIC = "generated_apart"
LEAST_COSINE = 0.9
_MOST_DISTANCE = math.sqrt(2 - 2 * LEAST_COSINE)
_LEAST_EQUAL = 0.5
_NO_PROOF = (
    "Such inputs are noise, which proves neither that it is broken nor that it is sound. Give real rows (--evaluation) to know "
    "what was lost, let `search` find a recipe within a budget, or take a gentler recipe: 8 bits, or weights left out by `exclude`."
)


@dataclass
class Apart:
    """How many answers were compared, and how many of them are not the parent's."""

    compared: int = 0
    apart: int = 0

    def add_floats(self, ours: Array, theirs: Array, shape: tuple[int, ...], cosine: float) -> None:
        """An answer of floats, as the finite numbers of `shape`; `cosine` is that of all of them."""
        self.compared += 1
        if math.prod(shape[1:]) > 1:
            self.apart += cosine < LEAST_COSINE
            return
        longest = max(float(np.linalg.norm(ours)), float(np.linalg.norm(theirs)))
        self.apart += float(np.linalg.norm(ours - theirs)) > _MOST_DISTANCE * longest

    def add_entries(self, equal: int, entries: int) -> None:
        """An answer of integers, booleans or words of which so many are the same."""
        if entries:
            self.compared += 1
            self.apart += equal < _LEAST_EQUAL * entries

    def figure(self, least_cosine: float | None) -> Measurement:
        """The share of answers that are not the parent's; the plain sentence is for the top where that is not 0."""
        if not self.compared:
            plain = f"None of its answers could be compared with its original's on generated inputs. {_NO_PROOF}"
            return Measurement(METRIC, None, "share", 0, plain, reason="no answer could be compared")
        share, n = self.apart / self.compared, self.compared
        if not self.apart:
            plain = (
                f"All {n} answers on generated inputs are like its original's (a cosine of {LEAST_COSINE} or more); "
            )
            return Measurement(METRIC, share, "share", n, f"{plain}such inputs say nothing about real ones.")
        least = "" if least_cosine is None else f" (the least cosine is {least_cosine:.3f})"
        plain = f"On generated inputs its answers are NOT its original's: {self.apart} of {n} are far from them{least}. {_NO_PROOF}"
        return Measurement(METRIC, share, "share", n, plain, reason="generated inputs are no sample of anything")
