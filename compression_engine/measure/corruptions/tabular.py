"""Damages a record as data pipelines do, in five degrees: values go missing, jitter, run wild, change unit or category.

The kinds of fault follow Schelter, Rukat and Biessmann, "Learning to validate the predictions of black box classifiers on
unseen data", 2020; the grades are our own. A column of at most 20 different whole numbers counts as categories: it is never
jittered, scaled or thrown out of range, and what is missing in it becomes the commonest category instead of the median. What
columns are like is looked at in values that are numbers; one that is missing already (NaN) takes part in nothing that reckons
with it. A value that its type cannot hold becomes the largest that it can.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import Array
from compression_engine.measure.statistics.intervals import Floats

_CATEGORIES_MAX = 20
_SPREADS_OUT = 6.0
_UNIT_FACTORS = (1000.0, 0.001)
_NORMAL_QUARTILES = 1.349
"""The distance of the quartiles of a normal distribution, in standard deviations."""


@dataclass(frozen=True)
class Columns:
    """What the columns of the rows are like: middle, spread, which are categories, and values that occur."""

    middle: Floats
    spread: Floats
    categories: NDArray[np.bool_]
    seen: Floats
    """[rows, columns]: what a wrong category is drawn from."""

    @classmethod
    def of(cls, rows: Array) -> Columns:
        """Looked at in rows [rows, ...], each entry of a row being a column."""
        values = rows.reshape(len(rows), -1).astype(np.float64)
        known = [column[np.isfinite(column)] for column in values.T]
        categories = np.array([_is_categories(column) for column in known])
        middle = np.array([_middle(*pair) for pair in zip(known, categories, strict=True)])
        return cls(middle, np.array([_spread(column) for column in known]), categories, values)

    @property
    def names(self) -> list[str]:
        """The corruptions that these columns can suffer."""
        fitting = {"numbers": not self.categories.all(), "categories": bool(self.categories.any()), "all": True}
        return [name for name, (what, _) in CORRUPTIONS.items() if fitting[what]]

    def corrupt(self, row: Array, name: str, severity: int, generator: np.random.Generator) -> Array:
        """One row after a corruption of severity 1 to 5, in the shape and type that it had."""
        damaged = CORRUPTIONS[name][1](row.reshape(-1).astype(np.float64), self, severity - 1, generator)
        return held(damaged, row.dtype).reshape(row.shape)


def held(values: Floats, dtype: np.dtype[Any]) -> Array:
    """The values in a type: whole where it is, and no further out than it reaches."""
    if dtype.kind in "iu":
        whole = np.iinfo(dtype)
        return np.asarray(np.clip(np.rint(values), whole.min, whole.max).astype(dtype))
    if dtype.kind == "f":
        widest = np.finfo(dtype)
        values = np.where(np.isfinite(values), np.clip(values, float(widest.min), float(widest.max)), values)
    return np.asarray(values.astype(dtype))


def _is_categories(column: Floats) -> bool:
    distinct = np.unique(column)
    return 0 < len(distinct) <= _CATEGORIES_MAX and bool((distinct == np.rint(distinct)).all())


def _middle(column: Floats, categories: bool) -> float:
    if not len(column):
        return float("nan")
    return _commonest(column) if categories else float(np.median(column))


def _spread(column: Floats) -> float:
    """By the quartiles; where these are one value, the standard deviation."""
    if not len(column):
        return 0.0
    low, high = np.quantile(column, [0.25, 0.75])
    return float((high - low) / _NORMAL_QUARTILES) if high > low else float(column.std())


def _commonest(column: Floats) -> float:
    distinct, counts = np.unique(column, return_counts=True)
    return float(distinct[counts.argmax()])


def _missing(values: Floats, columns: Columns, grade: int, generator: np.random.Generator) -> Floats:
    lost = generator.random(len(values)) < (0.05, 0.1, 0.2, 0.3, 0.5)[grade]
    return np.where(lost, columns.middle, values)


def _jitter(values: Floats, columns: Columns, grade: int, generator: np.random.Generator) -> Floats:
    noise = (0.05, 0.1, 0.2, 0.4, 0.8)[grade] * columns.spread * generator.normal(size=len(values))
    return np.where(columns.categories, values, values + noise)


def _outliers(values: Floats, columns: Columns, grade: int, generator: np.random.Generator) -> Floats:
    hit = (generator.random(len(values)) < (0.01, 0.02, 0.05, 0.1, 0.2)[grade]) & ~columns.categories
    sides = np.where(generator.random(len(values)) < 0.5, -1.0, 1.0)
    return np.where(hit, columns.middle + sides * _SPREADS_OUT * columns.spread, values)


def _wrong_unit(values: Floats, columns: Columns, grade: int, generator: np.random.Generator) -> Floats:
    hit = (generator.random(len(values)) < (0.01, 0.02, 0.05, 0.1, 0.2)[grade]) & ~columns.categories
    factors = generator.choice(_UNIT_FACTORS, size=len(values))
    return np.where(hit, values * factors, values)


def _wrong_category(values: Floats, columns: Columns, grade: int, generator: np.random.Generator) -> Floats:
    hit = (generator.random(len(values)) < (0.02, 0.05, 0.1, 0.2, 0.3)[grade]) & columns.categories
    rows = generator.integers(0, len(columns.seen), size=len(values))
    return np.where(hit, columns.seen[rows, np.arange(len(values))], values)


CORRUPTIONS: dict[str, tuple[str, Callable[[Floats, Columns, int, np.random.Generator], Floats]]] = {
    "missing_values": ("all", _missing),
    "jitter": ("numbers", _jitter),
    "outliers": ("numbers", _outliers),
    "wrong_unit": ("numbers", _wrong_unit),
    "wrong_category": ("categories", _wrong_category),
}
