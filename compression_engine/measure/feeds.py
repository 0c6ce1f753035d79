"""The batch that stands for all rows where time, memory and energy are measured: the same for every model.

Rules:
- texts: the row of median length among up to 4,096 evenly spread ones, as often as the batch has rows, so that nothing is padding;
- arrays: the first rows, from the beginning again where there are fewer than the batch has;
- a model whose first dimension is fixed takes that many rows and no other number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compression_engine.data import Encoder, Feed

_ROWS_LOOKED_AT = 4096


@dataclass(frozen=True)
class TypicalBatch:
    """Inputs of one batch, how many rows it has, and how a sentence names it."""

    feed: Feed
    rows: int
    words: str


def typical_batch(encoder: Encoder, rows: int = 1) -> TypicalBatch:
    """A batch of so many rows, or of as many as the model wants."""
    rows = encoder.fixed_rows or rows
    spread = np.unique(np.linspace(0, len(encoder.rows) - 1, _ROWS_LOOKED_AT).astype(np.int64))
    counts = encoder.only(spread).token_counts() if len(encoder.rows.texts) else None
    if counts is None:
        indices = [index % len(encoder.rows) for index in range(rows)]
        return TypicalBatch(encoder.batch(indices), rows, "one row" if rows == 1 else f"a batch of {rows} rows")
    middle = int(np.argsort(counts, kind="stable")[len(counts) // 2])
    of_tokens = f"of {counts[middle]} tokens"
    words = f"one row {of_tokens}" if rows == 1 else f"a batch of {rows} rows {of_tokens}"
    return TypicalBatch(encoder.batch([int(spread[middle])] * rows), rows, words)
