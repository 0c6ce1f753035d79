"""Some of the rows of all answers, with their labels, slices and sequences; and how many of them neighbours are looked for among.

Rules:
- to find a row's neighbours asks it against every other: the time grows with the square of the rows. Beyond 20,000 rows as many
  are drawn by the seed, without replacement; every n is then theirs, and the environment says of how many (`drawn_rows`);
- the same rows are drawn for every model and figure of one evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import Column, Field, Outputs
from compression_engine.measure.context import Context

NEIGHBOUR_ROWS_MAX = 20_000
Indices = NDArray[np.intp]
Facts = Sequence[tuple[str, str]]


def among_neighbours(context: Context) -> tuple[Context, Facts]:
    """The context over the rows that are asked against each other, and what its documents say about that.

    As it is for every task but embedding, and where rows are few.
    """
    rows = len(context.outputs)
    if context.plan.task != "embedding" or rows <= NEIGHBOUR_ROWS_MAX:
        return context, ()
    drawn = np.random.default_rng(context.seed).choice(rows, NEIGHBOUR_ROWS_MAX, replace=False)
    facts = [("drawn_rows", f"{NEIGHBOUR_ROWS_MAX:,} of {rows:,}, by the seed")]
    return replace(context, outputs=subset(context.outputs, np.sort(drawn))), facts


def subset(outputs: Outputs, rows: Indices) -> Outputs:
    """The answers to some rows, in the order given, with all that stands beside them."""
    return Outputs(
        {role: {name: _taken(held, rows) for name, held in fields.items()} for role, fields in outputs.models.items()},
        None if outputs.labels is None else _taken(outputs.labels, rows),
        {name: Column(column.codes[rows], column.values) for name, column in outputs.slices.items()},
        None if outputs.sequences is None else outputs.sequences[rows],
        {name: column[rows] for name, column in outputs.inputs.items()},
    )


def _taken(held: Field, rows: Indices) -> Field:
    if held.offsets is None:
        return Field(np.asarray(held.values[rows]))
    lengths = np.diff(held.offsets)[rows]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Field(np.concatenate([held.row(int(row)) for row in rows]), offsets)
