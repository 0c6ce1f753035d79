"""What rows are once they are read: texts or arrays with one entry a row, the columns that a plan names, what was left out.

Rules:
- all members have the same rows in the same order; a row that could not be used is in none of them, and is named;
- arrays may lie in a file (memory-mapped): take them apart by rows, never change them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import Column, Field
from compression_engine.canonical import JSON
from compression_engine.data.mapped import taken

Array = NDArray[Any]
Feed = dict[str, Array]
Indices = NDArray[np.int64]
Named = Array | Column | Field
"""A column that a plan names: numbers [rows, ...] (NaN stands for a missing one), texts, or lists of differing lengths."""
_NAMED_ROWS_MAX = 20
_NAME_CHARACTERS_MAX = 300
_NAMED_LABELS_MAX, _LABEL_CHARACTERS_MAX = 20, 200


@dataclass(frozen=True)
class ModelInput:
    """An input of a model as the runtime declares it: numpy type, the first dimension where it is fixed, the whole shape."""

    name: str
    dtype: np.dtype[Any]
    fixed_rows: int | None
    shape: tuple[Any, ...] | None = None
    """Sizes, names of free ones, None; None where the model does not say."""


@dataclass(frozen=True)
class Rows:
    """Usable rows, as texts or as arrays with one entry a row, and what was left out."""

    digest: str
    texts: Sequence[str]
    arrays: Mapping[str, Array]
    broken: tuple[str, ...]
    columns: Mapping[str, Named] = field(default_factory=dict)
    numbers: Indices | None = None
    """Which line or row of the file each usable row is, counted from 1; None where every row of the file is usable."""
    counted: str = "row"
    """What `numbers` count: line or row."""
    unlisted_labels: tuple[tuple[str, int], ...] = ()
    """Labels that are names and none of the plan's classes, with the number of their rows, the most frequent first."""

    def __len__(self) -> int:
        return len(self.texts) or len(next(iter(self.arrays.values()), ()))

    def record(self, role: str) -> dict[str, JSON]:
        """How a result names this file."""
        named = [entry[:_NAME_CHARACTERS_MAX] for entry in self.broken[:_NAMED_ROWS_MAX]]
        if len(self.broken) > len(named):
            named.append(f"and {len(self.broken) - len(named)} more")
        found: dict[str, JSON] = {"broken": named, "digest": self.digest, "role": role, "rows": len(self)}
        if self.unlisted_labels:
            labels = self.unlisted_labels[:_NAMED_LABELS_MAX]
            found["unlisted_labels"] = [
                {"label": label[:_LABEL_CHARACTERS_MAX], "rows": rows} for label, rows in labels
            ]
        return found

    def name(self, index: int) -> str:
        """How a person finds a row in the file."""
        number = index + 1 if self.numbers is None else int(self.numbers[index])
        return f"{self.counted} {number}"

    def without(self, reasons: Mapping[int, str]) -> Rows:
        """The same without some rows, each named with its reason."""
        if not reasons:
            return self
        good = np.ones(len(self), dtype=bool)
        good[list(reasons)] = False
        broken = tuple(f"{self.name(index)}: {reasons[index]}" for index in sorted(reasons))
        return self.take(np.flatnonzero(good).astype(np.int64), broken)

    def take(self, indices: Indices, broken: Sequence[str] = ()) -> Rows:
        """Some of the rows, in the order given; `broken` is added to what was left out."""
        numbers = np.arange(1, len(self) + 1, dtype=np.int64) if self.numbers is None else self.numbers
        return Rows(
            digest=self.digest,
            texts=tuple(self.texts[index] for index in indices) if len(self.texts) else (),
            arrays={name: taken(array, indices) for name, array in self.arrays.items()},
            broken=(*self.broken, *broken),
            columns={name: _taken(column, indices) for name, column in self.columns.items()},
            numbers=numbers[indices],
            counted=self.counted,
            unlisted_labels=self.unlisted_labels,
        )


def _taken(column: Named, indices: Indices) -> Named:
    if isinstance(column, Column):
        return Column(column.codes[indices], column.values)
    if isinstance(column, Field):
        if column.offsets is None:
            return Field(taken(column.values, indices))
        lengths = np.diff(column.offsets)[indices]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        parts = [column.row(index) for index in indices]
        return Field(np.concatenate(parts) if parts else column.values[:0], offsets)
    return taken(column, indices)
