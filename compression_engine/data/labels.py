"""Labels, slices and sequences: a plan's columns in the form in which figures are computed from them.

Rules:
- a row without a label, or with one that is no class, is broken and named;
- labels that are names and none of the plan's classes are told by value, since one renamed class may hide behind few rows;
- a class is an index, or a name among the plan's classes; the symbols of a transcript are found in the plan's alphabet;
- a slice column of more than 20 different numbers is cut at its quartiles, and the values say where; a missing value belongs
  to no slice;
- rows of one sequence follow each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import Column, Field
from compression_engine.canonical import decimal_text
from compression_engine.data.encoder import Encoder
from compression_engine.data.mapped import blocks, temporary
from compression_engine.data.rows import Array, Indices, Named, Rows
from compression_engine.errors import DataError
from compression_engine.plan import Plan

_NUMBERS_KEPT = 20
_SLICE_VALUES_MAX = 200
_SLICE_CHARACTERS_MAX = 200
_INPUT_COLUMNS_MAX = 64
CUT_LIMIT = 3e38
"""Numbers to cut by lie within; trees work in single precision."""


@dataclass
class Labels:
    """What is right for each row, and the rows without a usable label with their reasons."""

    given: Field | None = None
    broken: dict[int, str] = field(default_factory=dict)
    unlisted: dict[str, int] = field(default_factory=dict)
    """Of labels that are names: how many rows have each that the plan's classes do not hold, the most frequent first."""


def labels_of(rows: Rows, plan: Plan, width: int | None) -> Labels:
    """The labels of all rows (a broken row's is 0); `width` is the number of classes that the model tells apart.

    classification: int64 [rows]; regression: float64 [rows, ...]; embedding: int64 [rows], equal for what belongs together;
    sequence: symbols by index, flat with offsets. Raises DataError where the column cannot be labels at all.
    """
    if plan.label is None:
        return Labels()
    column = rows.columns[plan.label]
    if plan.task == "classification":
        return _classes(column, plan, width)
    if plan.task == "regression":
        return _numbers(column, plan.label)
    if plan.task == "embedding":
        return _groups(column, plan.label)
    return _symbols(column, plan)


def slices_of(rows: Rows, plan: Plan) -> dict[str, Column]:
    """The plan's slice columns by name."""
    return {name: _slice(name, rows.columns[name]) for name in plan.slices}


def sequence_numbers(rows: Rows, plan: Plan) -> Indices | None:
    """The number of each row's sequence, ascending; raises DataError where rows of one sequence lie apart."""
    if plan.sequence is None:
        return None
    column = rows.columns[plan.sequence]
    values: Array = (
        column.codes if isinstance(column, Column) else column.values if isinstance(column, Field) else column
    )
    missing = values < 0 if isinstance(column, Column) else _missing(values)
    if isinstance(column, Field) or values.ndim != 1 or missing.any():
        hint = "Give the name or number of its sequence in every row."
        raise DataError(
            "data_does_not_fit", f"The column {plan.sequence!r} does not name a sequence in every row.", hint
        )
    changes = np.concatenate([[False], values[1:] != values[:-1]])
    if len(np.unique(values)) != changes.sum() + 1:
        seen: set[object] = set()
        for index in np.flatnonzero(np.concatenate([[True], changes[1:]])):
            if values[index].item() in seen:
                hint = "Sort the rows so that each sequence is in one piece, in its order."
                raise DataError("data_does_not_fit", f"{rows.name(int(index))}: its sequence began earlier.", hint)
            seen.add(values[index].item())
    return np.cumsum(changes).astype(np.int64)


def cut_columns(encoder: Encoder, plan: Plan) -> dict[str, Array]:
    """Numbers of the rows that a slice finder may cut by: slice columns of numbers, and inputs of few columns."""
    found: dict[str, Array] = {}
    for name in plan.slices:
        column = encoder.rows.columns[name]
        if isinstance(column, np.ndarray) and column.ndim == 1:
            found[name] = column
    for name, array in encoder.rows.arrays.items():
        if array.ndim > 2 or array.dtype.kind not in "biuf":
            continue
        flat = array.reshape(len(array), -1)
        if flat.shape[1] <= _INPUT_COLUMNS_MAX:
            columns = _names_of(name, flat.shape[1], plan)
            found = {title: flat[:, place] for place, title in enumerate(columns)} | found
    counts = encoder.token_counts()
    return _bounded(found if counts is None else found | {"token_count": counts})


def _bounded(columns: dict[str, Array]) -> dict[str, Array]:
    """Numbers as float64 within what a tree can hold, in a file where they are many; NaN stands for a missing one."""
    rows = len(next(iter(columns.values()), ()))
    made = temporary((len(columns), rows), np.dtype(np.float64))
    for place, column in enumerate(columns.values()):
        for part in blocks(column):
            made[place, part] = np.clip(column[part], -CUT_LIMIT, CUT_LIMIT, dtype=np.float64)
    return {name: made[place] for place, name in enumerate(columns)}


def _names_of(name: str, width: int, plan: Plan) -> list[str]:
    columns = [column for given, column in plan.inputs if given == name]
    if len(columns) == width:
        return columns
    return [name] if width == 1 else [f"{name}[{place}]" for place in range(width)]


def _classes(column: Named, plan: Plan, width: int | None) -> Labels:
    names = list(plan.classes)
    count = width or len(names) or None
    if isinstance(column, Column):
        if not names:
            hint = (
                "Name the classes in the plan's 'classes', in the order of the model's outputs, or give their indices."
            )
            raise DataError(
                "data_does_not_fit", f"The labels in {plan.label!r} are names, and the plan has no classes.", hint
            )
        known = {name: place for place, name in enumerate(names)}
        places = np.array([*(known.get(value, -2) for value in column.values), -1])
        found = places[column.codes].astype(np.int64)
        broken = {
            int(index): "label missing"
            if found[index] == -1
            else f"label {column.values[column.codes[index]]!r} is no class"
            for index in np.flatnonzero(found < 0)
        }
        return Labels(Field(np.maximum(found, 0)), broken, _unlisted(column, found == -2))
    values = _single(column, plan.label)
    missing = _missing(values)
    present = np.where(missing, 0, values)
    right = (present == np.floor(present)) & (present >= 0) & (present < (count or np.inf))
    said = f"no class of {count}" if count else "no index of a class"
    broken = {
        int(index): "label missing" if missing[index] else f"label {_text(values[index])} is {said}"
        for index in np.flatnonzero(missing | ~right)
    }
    found = np.where(missing | ~right, 0, present).astype(np.int64)
    return Labels(Field(np.maximum(found, 0)), broken)


def _unlisted(column: Column, rows: NDArray[np.bool_]) -> dict[str, int]:
    counts = np.bincount(column.codes[rows], minlength=len(column.values))
    ranked = sorted(np.flatnonzero(counts), key=lambda code: (-counts[code], column.values[code]))
    return {column.values[code]: int(counts[code]) for code in ranked}


def _numbers(column: Named, label: str | None) -> Labels:
    if not isinstance(column, np.ndarray):
        raise DataError("data_does_not_fit", f"The labels in {label!r} are not numbers.", "Regression needs numbers.")
    values = column.astype(np.float64)
    missing = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    values[missing] = 0
    return Labels(Field(values), {int(index): "label missing" for index in np.flatnonzero(missing)})


def _groups(column: Named, label: str | None) -> Labels:
    if isinstance(column, Column):
        codes, missing = column.codes.astype(np.int64), column.codes < 0
    else:
        values = _single(column, label)
        missing = _missing(values)
        codes = np.unique(np.where(missing, 0, values), return_inverse=True)[1].astype(np.int64)
    return Labels(Field(np.maximum(codes, 0)), {int(index): "label missing" for index in np.flatnonzero(missing)})


def _symbols(column: Named, plan: Plan) -> Labels:
    """Lists of indices as they are; texts symbol by symbol."""
    if isinstance(column, np.ndarray):
        flat = column.reshape(len(column), -1)
        column = Field(flat.reshape(-1), np.arange(len(flat) + 1, dtype=np.int64) * flat.shape[1])
    if isinstance(column, Field):
        return _indices(column)
    if not plan.classes:
        hint = "Give the alphabet in the plan's 'classes', by index, or labels as lists of indices."
        raise DataError(
            "data_does_not_fit", f"The labels in {plan.label!r} are text, and the plan has no classes.", hint
        )
    places = {symbol: place for place, symbol in enumerate(plan.classes)}
    broken: dict[int, str] = {}
    spelled = [[places.get(symbol, -1) for symbol in value] for value in column.values]
    parts: list[list[int]] = []
    for index, code in enumerate(column.codes):
        part = spelled[code] if code >= 0 else [-1]
        if -1 in part:
            symbol = "" if code < 0 else column.values[code][part.index(-1)]
            broken[index] = "label missing" if code < 0 else f"label has {symbol!r}, which is not in the alphabet"
        parts.append([place for place in part if place >= 0])
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    return Labels(Field(np.array([place for part in parts for place in part], dtype=np.int64), offsets), broken)


def _indices(column: Field) -> Labels:
    """Lists of symbols' indices; a row with an entry that is no index is broken."""
    assert column.offsets is not None
    values = column.values
    right = np.isfinite(values) & (values == np.floor(values)) & (values >= 0)
    rows = np.searchsorted(column.offsets, np.flatnonzero(~right), side="right") - 1
    first = {int(row): place for row, place in reversed(list(zip(rows, np.flatnonzero(~right), strict=True)))}
    broken = {row: f"label has {_said(values[place])}, which is no index of a symbol" for row, place in first.items()}
    return Labels(Field(np.where(right, values, 0).astype(np.int64), column.offsets), broken)


def _slice(name: str, column: Named) -> Column:
    if isinstance(column, Field) or (isinstance(column, np.ndarray) and column.size != len(column)):
        raise DataError("data_does_not_fit", f"The slice column {name!r} holds lists.", "Give one value a row.")
    if isinstance(column, Column):
        used = np.unique(column.codes[column.codes >= 0])
        if len(used) > _SLICE_VALUES_MAX:
            hint = f"Give a column of at most {_SLICE_VALUES_MAX} values: bands instead of single values."
            raise DataError("data_does_not_fit", f"The slice column {name!r} has {len(used)} values.", hint)
        longest = max((len(column.values[code]) for code in used), default=0)
        if longest > _SLICE_CHARACTERS_MAX:
            hint = f"Every figure repeats its slice: give names of at most {_SLICE_CHARACTERS_MAX} characters."
            raise DataError(
                "data_does_not_fit", f"A value of the slice column {name!r} has {longest} characters.", hint
            )
        if any("\0" in column.values[code] for code in used):
            raise DataError("data_does_not_fit", f"The slice column {name!r} holds U+0000.", "Give plain text.")
        codes = np.where(column.codes < 0, -1, np.searchsorted(used, column.codes))
        return Column(codes.astype(np.int32), tuple(column.values[code] for code in used))
    values = column.reshape(-1)
    present = values[~_missing(values)]
    different = np.unique(present)
    if len(different) > _NUMBERS_KEPT:
        return _quartiles(values, present)
    codes = np.where(
        _missing(values),
        -1,
        np.searchsorted(different, np.where(_missing(values), different[:1] if len(different) else 0, values)),
    )
    return Column(codes.astype(np.int32), tuple(_text(value) for value in different))


def _quartiles(values: Array, present: Array) -> Column:
    edges = np.unique(np.quantile(present, [0.25, 0.5, 0.75], method="higher"))
    codes = np.where(
        _missing(values), -1, np.searchsorted(edges, np.where(_missing(values), edges[0], values), side="right")
    )
    texts = [_text(edge) for edge in edges]
    inner = [f"{low} to below {high}" for low, high in pairwise(texts)]
    return Column(codes.astype(np.int32), (f"below {texts[0]}", *inner, f"{texts[-1]} or more"))


def _single(column: Named, label: str | None) -> Array:
    if not isinstance(column, np.ndarray) or column.size != len(column):
        raise DataError("data_does_not_fit", f"The labels in {label!r} are lists.", "Give one label a row.")
    return column.reshape(-1)


def _missing(values: Array) -> NDArray[np.bool_]:
    missing: NDArray[np.bool_] = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, dtype=bool)
    return missing


def _said(value: object) -> str:
    return "nothing" if value != value else _text(value)


def _text(value: object) -> str:
    number = float(value)  # type: ignore[arg-type]
    if math.isinf(number):
        return "infinity" if number > 0 else "-infinity"
    return decimal_text(Decimal(int(number)) if number == int(number) else number) or ""
