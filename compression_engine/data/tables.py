"""Columns from rows of text: JSON lines and CSV, turned into numbers, names or lists, each broken row named.

Rules:
- a line whose object has a member twice is broken: nobody knows which of the two is meant;
- a row that lacks what the model reads is broken; one that lacks a label or a slice is kept here and judged with its label;
- a column is numbers where all its values are, else names; lists of one length are an array, of several a field with offsets;
- an input's rows have the shape of its first usable row.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from compression_engine.answers.outputs import Column, Field
from compression_engine.canonical import shown
from compression_engine.data.mapped import finite_rows
from compression_engine.data.rows import Array, Named, Rows
from compression_engine.errors import DataError
from compression_engine.plan import Plan

TEXT_CHARACTERS_MAX = 1_000_000
_VALUE_CHARACTERS_MAX = 10_000
_MISSING_WORDS = frozenset({"", "NA", "NaN", "nan", "null", "None"})


@dataclass
class Wanted:
    """Which columns are read: the text, the inputs (None: every column of numbers), and those that are only named."""

    text: str | None
    inputs: tuple[str, ...] | None
    named: tuple[str, ...] = ()

    def all(self, present: Sequence[str]) -> list[str]:
        """The columns to read of those that are present."""
        asked = [*([self.text] if self.text else []), *(self.inputs or ()), *self.named]
        return list(present) if self.inputs is None and self.text is None else list(dict.fromkeys(asked))


@dataclass
class Table:
    """Columns as lists of Python values, with None for a missing one, and the numbers of their rows in the file."""

    columns: dict[str, list[Any]] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)
    broken: list[tuple[int, str]] = field(default_factory=list)


def wanted(plan: Plan | None, present: Sequence[str]) -> Wanted:
    """What a plan, or its absence, wants of the columns that are present; raises DataError where one is missing."""
    if plan is None:
        return Wanted("text", ()) if "text" in present else Wanted(None, None)
    named = tuple(dict.fromkeys(name for name in (plan.label, plan.sequence, *plan.slices) if name is not None))
    inputs = tuple(dict.fromkeys(column for _, column in plan.inputs))
    text = plan.text or ("text" if not inputs and "text" in present else None)
    missing = [name for name in (*([text] if text else []), *inputs, *named) if name not in present]
    if missing:
        raise _absent(missing[0], present)
    return Wanted(text, () if text else (inputs or None), named)


def _absent(name: str, present: Sequence[str]) -> DataError:
    shown = ", ".join(sorted(present)[:20]) or "none"
    return DataError("data_does_not_fit", f"The data have no column {name!r}.", f"They have: {shown}.")


def json_lines(path: Path, digest: str, plan: Plan | None) -> Rows:
    """Rows of a .jsonl file: {"text": ...}, or members as the plan names them."""
    read = _first_object(path, plan)
    table = Table({name: [] for name in dict.fromkeys([*read.all(read.present), *read.named])})
    need = read.text
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                entry = _parsed(line, number)
                if not isinstance(entry, dict):
                    raise TypeError
                if need is not None and need not in entry:
                    raise KeyError(need)
                cells = [_plain(entry.get(name)) for name in table.columns]
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                table.broken.append((number, _why(error, need)))
                continue
            # all cells of a row or none: a row that breaks half way would shift every column behind it
            for values, cell in zip(table.columns.values(), cells, strict=True):
                values.append(cell)
            table.numbers.append(number)
    for name in (*([need] if need else []), *(read.inputs or ()), *read.named):
        if name not in read.present and all(value is None for value in table.columns[name]):
            raise _absent(name, read.present)
    return assemble(table, read, digest, "line")


def comma_separated(path: Path, digest: str, plan: Plan | None) -> Rows:
    """Rows of a .csv file with a line of names at its top."""
    hint = "Give a CSV file in UTF-8 whose first line names the columns."
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("data_does_not_fit", f"{path.name} is not valid UTF-8 text.", hint) from error
    reader = csv.reader(io.StringIO(text, newline=""))
    names = next(reader, [])
    if not names or len(set(names)) != len(names):
        raise DataError("data_does_not_fit", f"The first line of {path.name} does not name every column once.", hint)
    read = wanted(plan, names)
    places = {name: names.index(name) for name in read.all(names)}
    table = Table({name: [] for name in places})
    try:
        for number, cells in _numbered(reader):
            if not cells:
                continue
            if len(cells) != len(names):
                table.broken.append((number, f"{len(cells)} cells, the first line names {len(names)}"))
                continue
            table.numbers.append(number)
            for name, place in places.items():
                missing = name != read.text and cells[place].strip() in _MISSING_WORDS
                table.columns[name].append(None if missing else cells[place])
    except csv.Error as error:
        raise DataError("data_does_not_fit", f"{path.name} cannot be read: {error}.", hint) from error
    for name, values in table.columns.items():
        if name != read.text:
            table.columns[name] = (
                [_number(value) for value in values] if name in (read.inputs or ()) else _numbers_of(values)
            )
    return assemble(table, read, digest, "line")


def _numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Records with the line on which each begins: a cell in quotes may hold line breaks."""
    begins = reader.line_num + 1
    for cells in reader:
        yield begins, cells
        begins = reader.line_num + 1


def assemble(table: Table, read: Wanted, digest: str, counted: str) -> Rows:
    """Rows of a table: texts or arrays, and the named columns; what the model cannot read is broken."""
    reasons: dict[int, str] = {}
    texts: list[str] = []
    arrays: dict[str, Array] = {}
    if read.text is not None:
        texts = _texts(table.columns[read.text], reasons)
    elif read.inputs is None:
        for name in sorted(table.columns):
            first = next((value for value in table.columns[name] if value is not None), None)
            if name not in read.named and first is not None and _numeric(first) is not None:
                arrays[name] = _input(name, table.columns[name], reasons)
    else:
        arrays = {name: _input(name, table.columns[name], reasons) for name in read.inputs}
    columns = {name: column_of(name, table.columns[name]) for name in read.named}
    if read.inputs is None:
        arrays |= {name: value for name, value in columns.items() if isinstance(value, np.ndarray)}
    rows = Rows(digest, texts, arrays, (), columns, np.array(table.numbers, dtype=np.int64), counted)
    kept = rows.without(reasons)
    said = [*table.broken, *((table.numbers[index], reason) for index, reason in reasons.items())]
    broken = tuple(f"{counted} {number}: {reason}" for number, reason in sorted(said))
    return Rows(digest, tuple(kept.texts), kept.arrays, broken, kept.columns, kept.numbers, counted)


def column_of(name: str, values: Sequence[Any]) -> Named:
    """A named column in the form that its values have; raises DataError for values of several kinds."""
    present = [value for value in values if value is not None]
    if any(isinstance(value, dict) for value in present):
        hint = "Give numbers, text, or lists of numbers."
        raise DataError("data_does_not_fit", f"The column {name!r} holds objects.", hint)
    if any(isinstance(value, list) for value in present):
        return _lists(name, values)
    if any(isinstance(value, str) for value in present) or not present:
        return names_column([None if value is None else _word(value) for value in values])
    whole = len(present) == len(values) and all(isinstance(value, int) for value in present)
    if whole and all(-(2**63) <= value < 2**63 for value in present):
        return _array(name, values, np.int64)
    return _array(name, [math.nan if value is None else value for value in values], np.float64)


def names_column(values: Sequence[str | None]) -> Column:
    """Texts as codes into their sorted different values."""
    different = sorted({value for value in values if value is not None})
    places: dict[str | None, int] = {value: place for place, value in enumerate(different)}
    codes = np.fromiter((places.get(value, -1) for value in values), dtype=np.int32, count=len(values))
    return Column(codes, tuple(different))


@dataclass
class _Lines(Wanted):
    present: tuple[str, ...] = ()


def _first_object(path: Path, plan: Plan | None) -> _Lines:
    """What to read, decided by the first line that is an object."""
    if plan is None:
        return _Lines("text", (), (), ("text",))
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                entry = _parsed(line, number)
            except (ValueError, RecursionError):
                continue
            if isinstance(entry, dict):
                present = tuple(entry)
                # a row may lack a member that others have
                found = wanted(plan, [*present, *plan.columns()])
                return _Lines(found.text, found.inputs, found.named, present)
    return _Lines("text", (), (), ("text",))


def _texts(values: Sequence[Any], reasons: dict[int, str]) -> list[str]:
    found: list[str] = []
    for index, value in enumerate(values):
        usable = isinstance(value, str) and bool(value.strip())
        if not usable:
            reasons.setdefault(index, "the text is empty or not text")
        elif len(value) > TEXT_CHARACTERS_MAX:
            reasons.setdefault(index, f"the text has more than {TEXT_CHARACTERS_MAX} characters")
        found.append(value if isinstance(value, str) else "")
    return found


def _input(name: str, values: Sequence[Any], reasons: dict[int, str]) -> Array:
    """An input's values as one array; rows of another shape, and those without a number, are broken."""
    made: list[Array] = []
    like: Array | None = None
    for index, value in enumerate(values):
        entry = _numeric(value)
        if entry is None:
            reasons.setdefault(index, f"no number in {name!r}" if value is not None else f"no member {name!r}")
        elif like is None:
            like = entry
        elif entry.shape != like.shape:
            reasons.setdefault(
                index, f"{name!r} has the shape {list(entry.shape)}, the first row's is {list(like.shape)}"
            )
            entry = None
        made.append(entry if entry is not None else np.zeros(0))
    if like is None:
        hint = "Give numbers, or lists of numbers, in every row."
        raise DataError("no_usable_row", f"The column {name!r} holds no numbers.", hint)
    whole = all(entry.dtype == np.int64 for entry in made if entry.size or entry.shape == like.shape)
    blank = np.zeros(like.shape, dtype=np.int64 if whole else np.float64)
    array = np.stack([entry if entry.shape == like.shape else blank for entry in made])
    for place in np.flatnonzero(~finite_rows(array)):
        reasons.setdefault(int(place), "NaN or infinity")
    return array


def _numeric(value: Any) -> Array | None:
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    if array.dtype == np.bool_ or np.issubdtype(array.dtype, np.integer):
        return array.astype(np.int64) if array.dtype != np.uint64 else None
    return array.astype(np.float64) if np.issubdtype(array.dtype, np.floating) else None


def _lists(name: str, values: Sequence[Any]) -> Field | Array:
    """Lists of numbers: an array where all have one length, else flat with offsets."""
    hint = "Give a flat list of numbers in every row."
    parts = []
    for value in values:
        entry = None if not isinstance(value, list) else _numeric(value) if value else np.zeros(0, dtype=np.int64)
        if entry is None or entry.ndim != 1:
            raise DataError(
                "data_does_not_fit", f"The column {name!r} holds lists and what is no list of numbers.", hint
            )
        parts.append(entry)
    if len({len(part) for part in parts}) == 1:
        return np.stack(parts)
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    return Field(np.concatenate(parts), offsets)


def _array(name: str, values: Sequence[Any], dtype: type[Any]) -> Array:
    try:
        return np.array(values, dtype=dtype)
    except (OverflowError, ValueError, TypeError) as error:
        raise DataError(
            "data_does_not_fit", f"The column {name!r} holds numbers that are too large.", "Use 64 bit."
        ) from error


def _numbers_of(values: list[Any]) -> list[Any]:
    """Cells of text as numbers where every one of them is a number."""
    for kind in (int, float):
        try:
            return [None if value is None else _strict(kind, value) for value in values]
        except ValueError:
            continue
    return values


def _number(value: str | None) -> Any:
    """A cell of an input: a number, else the text as it is, which makes its row a broken one."""
    return None if value is None else _numbers_of([value])[0]


def _strict(kind: Callable[[str], Any], text: str) -> Any:
    if "_" in text:
        raise ValueError(text)
    return kind(text)


class _Doubled(ValueError):
    """A member that stands twice in its object."""


def _parsed(line: bytes, number: int) -> Any:
    return json.loads(_decoded(line, number), object_pairs_hook=_members)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        doubled = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise _Doubled(f"the member {shown(doubled)} stands twice")
    return members


def _decoded(line: bytes, number: int) -> str:
    return line.decode("utf-8-sig" if number == 1 else "utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        value.encode()  # a lone surrogate is not text
    return value


def _word(value: Any) -> str:
    word = value if isinstance(value, str) else json.dumps(value)
    return word[:_VALUE_CHARACTERS_MAX]


def _why(error: Exception, need: str | None) -> str:
    if isinstance(error, _Doubled):
        return str(error)
    if isinstance(error, RecursionError):
        return "lists in lists without end"
    if isinstance(error, UnicodeError):
        return "not valid UTF-8 text"
    if isinstance(error, json.JSONDecodeError):
        return "not JSON"
    if isinstance(error, KeyError | TypeError):
        return f"no member {need or 'of a column'!r}"
    return "a number of too many digits"  # the one thing that json reads and Python refuses
