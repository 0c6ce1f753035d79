"""What models answered, row by row: the material from which every figure of quality, agreement and slices is computed.

Rules:
- every model answered the same rows in the same order; a row that could not be used is in none of the arrays;
- figures are functions of this and a plan alone, so whoever holds the stored outputs computes them again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

VERSION, PARENT, INCUMBENT, FIRST = "version", "parent", "incumbent", "first"
ROLES = (VERSION, PARENT, INCUMBENT, FIRST)
"""What is judged, what it was made from, what the alias serves now, the first approved version of the line."""
ANSWER = "answer"
"""The field that holds a model's own output."""


@dataclass(frozen=True)
class Field:
    """One array for each row: `values` is [rows, ...] where all have one shape, else all of them flat with `offsets` [rows + 1]."""

    values: Array
    offsets: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    def row(self, index: int) -> Array:
        """The array of one row; flat where rows differ in length."""
        if self.offsets is None:
            return np.asarray(self.values[index])
        return np.asarray(self.values[self.offsets[index] : self.offsets[index + 1]])

    def matrix(self) -> Array | None:
        """[rows, entries], or None where rows differ in length."""
        return None if self.offsets is not None else self.values.reshape(len(self.values), -1)


@dataclass(frozen=True)
class Column:
    """A column of few values: `codes` [rows] points into `values`; -1 stands for a missing one."""

    codes: NDArray[np.int32]
    values: tuple[str, ...]


@dataclass(frozen=True)
class Outputs:
    """All answers. `models` holds fields by role (`version` is always there) and name (`answer`, and what a task adds)."""

    models: Mapping[str, Mapping[str, Field]]
    labels: Field | None = None
    slices: Mapping[str, Column] = field(default_factory=dict)
    sequences: NDArray[np.int64] | None = None
    """For recurrent models: the number of the sequence that each row belongs to, ascending."""
    inputs: Mapping[str, Array] = field(default_factory=dict)
    """Numeric columns of the rows that a slice finder may cut by; [rows]."""

    def __len__(self) -> int:
        return len(next(iter(self.models[VERSION].values())))

    def answer(self, role: str) -> Field:
        """A model's own output; KeyError where that model was not run."""
        return self.models[role][ANSWER]

    @property
    def others(self) -> Sequence[str]:
        """The roles that the version is compared with, in the order of ROLES."""
        return [role for role in ROLES if role in self.models and role != VERSION]
