"""Rows that stand in a table twice, nearly twice, with two labels, or also in another file: told apart by digest.

Rules:
- a row is the same when every column but the label holds the same value: a number by its value, however it is written or stored,
  a text by its characters, nothing by being missing; what is nearly the same is said in `data.alike`;
- two files are laid beside each other by the columns that both have; a column that is numbers in one and text in the other is
  compared value by value;
- a column that only numbers or names its rows (whole numbers, or words of one length, no two alike) hides copies, and so does one
  that holds one value in a file (which part of the data it is): what is the same but for these is counted beside, never instead;
- examples are numbers of rows: no value of a row leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compression_engine.data.alike import coarse, folded
from compression_engine.errors import DataError
from compression_engine.profiling.table import Cells, Table, number_of
from compression_engine.progress import Progress
from compression_engine.seen import comparable, row_digests, seen_rows

EXAMPLES_MAX = 10
_GAP = np.iinfo(np.int64).min + 1
"""Where nothing stands: the bits of no number that is finite."""
Places = NDArray[np.int64]


class TableRows:
    """The rows of a table by some of its columns, in a form in which rows of several tables can be compared."""

    def __init__(self, table: Table, form: Form) -> None:
        self.rows = table
        self._numeric = [(table.columns[name], whole) for name, whole in form.numeric]
        self._worded = [_Words(table.columns[name]) for name in form.worded]

    def row_bytes(self, indices: range) -> list[bytes]:
        """The bytes of each row."""
        return self._bytes(indices, alike=False)

    def alike_bytes(self, indices: range) -> list[bytes]:
        """Bytes that nearly equal rows have in common."""
        return self._bytes(indices, alike=True)

    def _bytes(self, indices: range, *, alike: bool) -> list[bytes]:
        part = slice(indices.start, indices.stop)
        block = [words.of(part, alike=alike) for words in self._worded]
        if self._numeric:
            wide = [_as_integers(cells, part, alike=alike and not whole) for cells, whole in self._numeric]
            block.append([row.tobytes() for row in np.concatenate(wide, axis=1)])
        return [b"".join(row) for row in zip(*block, strict=True)]


@dataclass(frozen=True)
class Form:
    """The columns by which rows are compared: numbers (and whether they are whole in every table), and values one by one."""

    numeric: tuple[tuple[str, bool], ...]
    worded: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """Their names."""
        return sorted([*(name for name, _ in self.numeric), *self.worded])


def form_of(tables: Sequence[Table], without: Sequence[str] = ()) -> Form:
    """What the tables have in common; DataError where that is nothing, or an array has another shape in each."""
    common = [name for name in tables[0].columns if all(name in table.columns for table in tables[1:])]
    numeric, worded = [], []
    for name in (name for name in common if name not in without):
        found = [table.columns[name] for table in tables]
        if all(cells.numbers is not None for cells in found):
            shapes = {cells.numbers.shape[1:] for cells in found if cells.numbers is not None}
            if len(shapes) > 1:
                message = f"The rows of {name!r} have the shapes {' and '.join(map(str, sorted(shapes)))}."
                raise DataError("data_does_not_fit", message, "Compare files whose rows have one shape.")
            numeric.append((name, all(_whole(cells) for cells in found)))
        else:
            worded.append(name)
    if not numeric and not worded:
        hint = "Give files that name what they hold in the same way."
        raise DataError("data_does_not_fit", "The files have no column in common beside the label.", hint)
    return Form(tuple(numeric), tuple(worded))


def identifiers(tables: Sequence[Table], without: Sequence[str] = ()) -> list[str]:
    """Columns that only number or name rows in each of the tables, or name the file; none where no other would be left."""
    form = form_of(tables, without)
    found = [
        name
        for name in form.columns
        if all(_names_rows(table.columns[name], len(table)) for table in tables)
        or (len(tables) > 1 and all(_one_value(table.columns[name], len(table)) for table in tables))
    ]
    return found if len(found) < len(form.columns) else []


def _names_rows(cells: Cells, rows: int) -> bool:
    if rows < 2 or cells.missing().any():
        return False
    if cells.codes is not None:
        lengths = {len(value) for value in cells.values}
        words = len(cells.values) == rows == len(np.unique(cells.codes)) and len(lengths) == 1
        return words and not any(letter.isspace() for value in cells.values for letter in value)
    assert cells.numbers is not None
    return cells.numbers.ndim == 1 and _whole(cells) and len(np.unique(cells.numbers)) == rows


def _one_value(cells: Cells, rows: int) -> bool:
    if rows < 2 or cells.missing().any():
        return False
    if cells.codes is not None:
        return len(np.unique(cells.codes)) == 1
    assert cells.numbers is not None
    return cells.numbers.ndim == 1 and bool((cells.numbers == cells.numbers[0]).all())


def _whole(cells: Cells) -> bool:
    numbers = cells.numbers
    assert numbers is not None
    if numbers.dtype.kind in "iu" or numbers.ndim > 1:
        return numbers.dtype.kind in "iu"
    there = numbers[np.isfinite(numbers)]
    return bool((there == np.floor(there)).all())


def _as_integers(cells: Cells, part: slice, *, alike: bool) -> NDArray[np.int64]:
    """The numbers of a column as integers that are equal when they are, or nearly, [rows, entries]; a gap is equal to gaps."""
    assert cells.numbers is not None
    block = np.asarray(cells.numbers[part])
    wide = block.reshape(len(block), -1).astype(np.float64)
    there = np.isfinite(wide)
    wide = np.where(there, wide, 0) + 0.0  # minus zero is the same number as zero
    told = coarse(wide) if alike else wide.astype("<f8").view("<i8")
    return np.where(there, told, _GAP).astype("<i8")


class _Words:
    """The bytes of each different value of a column, worked out once."""

    def __init__(self, cells: Cells) -> None:
        self._numbers = cells.numbers
        self._codes = cells.codes
        self._exact = [_word_bytes(value, alike=False) for value in cells.values]
        self._alike = [_word_bytes(value, alike=True) for value in cells.values]

    def of(self, part: slice, *, alike: bool) -> list[bytes]:
        if self._codes is not None:
            known = [*(self._alike if alike else self._exact), b"-"]
            return [known[code] for code in self._codes[part]]
        assert self._numbers is not None
        block = np.asarray(self._numbers[part], dtype=np.float64)
        if block.ndim > 1:  # a list in one file, text in the other: equal to no text
            return [b"l" + row.tobytes() for row in block]
        return [_one(value, alike=alike) if np.isfinite(value) else b"-" for value in block]


def _word_bytes(value: str, *, alike: bool) -> bytes:
    number = number_of(value)
    if number is not None:
        return _one(number, alike=alike)
    told = (folded(value) if alike else value).encode()
    return b"t" + len(told).to_bytes(8, "little") + told


def _one(value: float, *, alike: bool) -> bytes:
    if alike and value != np.floor(value):
        return b"s" + coarse(np.array([value])).astype("<i8").tobytes()
    return b"n" + (np.array([value]) + 0.0).astype("<f8").tobytes()


# --- within one table ---


@dataclass(frozen=True)
class Repeats:
    """How often rows of a table repeat others. Rows are counted that come after the first of their kind."""

    n: int
    duplicates: int
    """Rows that repeat another one, label included."""
    near: int
    """Rows that are nearly, and not exactly, an earlier one."""
    identifiers: list[str]
    duplicates_without: int | None
    """Rows that repeat another one but for the identifiers; None where there are none."""
    conflicting: int | None
    """Rows for which another row, the same but for the label, has another one; None without a label."""
    conflict_groups: int | None
    duplicate_pairs: list[list[int]]
    near_pairs: list[list[int]]
    conflicts: list[list[int]]
    """Of some groups the numbers of rows with different labels."""


def repeats(table: Table, label: str | None, progress: Progress) -> Repeats:
    """Duplicates, near-duplicates and conflicting labels."""
    rows = TableRows(table, form_of([table], [] if label is None else [label]))
    same = _groups(comparable(row_digests(rows, progress)))
    near = _groups(comparable(row_digests(rows, progress, alike=True)))
    marks = np.zeros(len(table), dtype=np.int64) if label is None else label_marks(table.columns[label])
    named = identifiers([table], [] if label is None else [label])
    bare: int | None = None
    if named:
        fewer = TableRows(table, form_of([table], [*named, *([] if label is None else [label])]))
        groups_bare = _groups(comparable(row_digests(fewer, progress)))
        bare = int(_later(np.unique(np.stack([groups_bare, marks]), axis=1, return_inverse=True)[1].reshape(-1)).sum())
    whole = np.unique(np.stack([same, marks]), axis=1, return_inverse=True)[1].reshape(-1)
    again = _later(whole)
    hair = _later(near) & ~_later(same)
    clash = None if label is None else _clashing(same, marks)
    groups = None if clash is None else sorted(np.unique(same[clash], return_index=True)[1].tolist())
    shown = [] if clash is None or groups is None else [np.flatnonzero(clash)[first] for first in groups[:EXAMPLES_MAX]]
    return Repeats(
        len(table), int(again.sum()), int(hair.sum()), named, bare, None if clash is None else int(clash.sum()),
        None if groups is None else len(groups),
        _pairs(table, whole, again), _pairs(table, near, hair),
        [_placed(table, _one_of_each(same, marks, int(first))) for first in shown],
    )  # fmt: skip


def label_marks(cells: Cells) -> Places:
    """A number for each different label, -1 where there is none."""
    if cells.codes is not None:
        return cells.codes.astype(np.int64)
    assert cells.numbers is not None
    if cells.numbers.ndim > 1:
        hint = "Name a column with one value a row."
        raise DataError("data_does_not_fit", f"The labels in {cells.name!r} are lists.", hint)
    there = np.isfinite(cells.numbers)
    marks = np.unique(np.where(there, cells.numbers, 0), return_inverse=True)[1].reshape(-1)
    return np.where(there, marks, -1)


def _groups(digests: NDArray[np.bytes_]) -> Places:
    """For each row the number of the first row that is the same."""
    _, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
    return first.astype(np.int64)[inverse.reshape(-1)]


def _later(groups: Places) -> NDArray[np.bool_]:
    """Which rows have an earlier one in their group."""
    first = np.unique(groups, return_index=True)[1]
    found = np.ones(len(groups), dtype=bool)
    found[first] = False
    return found


def _clashing(groups: Places, marks: Places) -> NDArray[np.bool_]:
    """Rows in a group with several labels; a label that is missing contradicts none."""
    known = marks >= 0
    pairs = np.unique(np.stack([groups[known], marks[known]]), axis=1)
    named, count = np.unique(pairs[0], return_counts=True)
    return known & np.isin(groups, named[count > 1])


def _one_of_each(groups: Places, marks: Places, place: int) -> list[int]:
    rows = np.flatnonzero((groups == groups[place]) & (marks >= 0))
    first = np.unique(marks[rows], return_index=True)[1]
    return sorted(rows[first].tolist())[:EXAMPLES_MAX]


def _pairs(table: Table, groups: Places, later: NDArray[np.bool_]) -> list[list[int]]:
    """Row and earlier row, of the first few."""
    found = np.flatnonzero(later)[:EXAMPLES_MAX]
    return [_placed(table, [int(np.flatnonzero(groups == groups[row])[0]), int(row)]) for row in found]


def _placed(table: Table, rows: Sequence[int]) -> list[int]:
    return [table.place(row) for row in rows]


# --- between two tables ---


@dataclass(frozen=True)
class Overlap:
    """How many rows of a table stand in another one: the same, and only nearly the same."""

    digest: str
    other_rows: int
    same: int
    near: int
    identifiers: list[str]
    same_without: int | None
    """Rows that stand there but for the identifiers; None where there are none."""
    columns: list[str]
    same_pairs: list[list[int]]
    """Row here and row there, of the first few."""
    near_pairs: list[list[int]]
    files: list[FileOverlap]
    """Of several files those that hold such a row."""


@dataclass(frozen=True)
class FileOverlap:
    """The same for the rows of one file."""

    digest: str
    same: int
    near: int
    same_without: int | None


def overlap(table: Table, other: Table, label: str | None, progress: Progress) -> Overlap:
    """Which rows of `table` stand in `other`; labels do not count. Rows that are the same are not counted as near."""
    form = form_of([table, other], [] if label is None else [label])
    ours, theirs = TableRows(table, form), TableRows(other, form)
    seen = seen_rows(ours, [theirs], progress)
    near = seen.near & ~seen.same
    same_pairs, near_pairs = (
        _beside(table, other, np.flatnonzero(found)[:EXAMPLES_MAX], ours, theirs, progress, alike=alike)
        for found, alike in ((seen.same, False), (near, True))
    )
    named = identifiers([table, other], [] if label is None else [label])
    bare: NDArray[np.bool_] | None = None
    if named:
        form_bare = form_of([table, other], [*named, *([] if label is None else [label])])
        bare = seen_rows(TableRows(table, form_bare), [TableRows(other, form_bare)], progress).same
    return Overlap(
        other.digest, len(other), int(seen.same.sum()), int(near.sum()), named, _counted(bare), form.columns, same_pairs,
        near_pairs, _by_file(table, seen.same, near, bare),
    )  # fmt: skip


def _by_file(
    table: Table, same: NDArray[np.bool_], near: NDArray[np.bool_], bare: NDArray[np.bool_] | None
) -> list[FileOverlap]:
    """The counts file by file: a share of all rows would hide a small file that stands there as a whole."""
    found, begin = [], 0
    for digest, rows in table.files:
        part = slice(begin, begin + rows)
        begin += rows
        without = _counted(None if bare is None else bare[part])
        one = FileOverlap(digest, int(same[part].sum()), int(near[part].sum()), without)
        if one.same or one.near or one.same_without:
            found.append(one)
    return found


def _counted(rows: NDArray[np.bool_] | None) -> int | None:
    return None if rows is None else int(rows.sum())


def _beside(
    table: Table, other: Table, rows: Places, ours: TableRows, theirs: TableRows, progress: Progress, *, alike: bool
) -> list[list[int]]:
    if not len(rows):
        return []
    there = comparable(row_digests(theirs, progress, alike=alike))
    mine = comparable(row_digests(ours, progress, alike=alike))[rows]
    return [
        [table.place(int(row)), other.place(int(np.flatnonzero(there == digest)[0]))]
        for row, digest in zip(rows, mine, strict=True)
    ]


def added_and_removed(table: Table, before: Table, progress: Progress) -> tuple[int, int]:
    """Rows that an earlier version of the data lacks, and rows of it that are gone; a row counts as often as it stands there."""
    form = form_of([table, before])
    now, then = (comparable(row_digests(TableRows(one, form), progress)) for one in (table, before))
    names, inverse = np.unique(np.concatenate([now, then]), return_inverse=True)
    inverse = inverse.reshape(-1)
    here = np.bincount(inverse[: len(now)], minlength=len(names))
    earlier = np.bincount(inverse[len(now) :], minlength=len(names))
    return int(np.maximum(here - earlier, 0).sum()), int(np.maximum(earlier - here, 0).sum())
