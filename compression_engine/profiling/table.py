"""Any file of rows as columns, for looking at the data themselves: nothing is left out because a value is missing or odd.

Rules:
- a column is numbers where every value that is there is one, else text; a value that is no number, text or list is its JSON;
- missing is what is not there: an empty cell, NA, NaN, null, infinity; it stays in its row and is counted;
- whole numbers beyond 2^53 are names and not quantities, so they are kept as text;
- texts are kept once for all rows that hold them; arrays and Parquet are read in their place; a file of text has at most 2 GiB;
- a folder is one table of the rows of all its files, by path (`profile_folder`).
"""

from __future__ import annotations

import csv
import io
import json
import math
from array import array as packed
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import Column, Field
from compression_engine.canonical import digest_of_stream
from compression_engine.data.mapped import blocks, numpy_arrays
from compression_engine.data.rows import Array, Named
from compression_engine.errors import DataError

MISSING_WORDS = frozenset({"", "NA", "NaN", "nan", "null", "None"})
ONLY_ARRAY = "array"
"""What the one array of a .npy file is called."""
_EXACT = 2**53
_TEXT_BYTES_MAX = 2 * 1024**3
_COLUMNS_MAX = 4096
_BROKEN_MAX = 20
_BEGINNINGS = {
    b"PK\x03\x04": "npz", b"\x93NUMPY": "npy", b"PAR1": "parquet", b"ARROW1": "arrow",
}  # fmt: skip
_KINDS = ".jsonl, .csv, .npz, .npy, .parquet or .arrow"


@dataclass(frozen=True)
class Cells:
    """One column: `numbers` [rows, ...] with NaN where one is missing, or `codes` [rows] into `values` with -1."""

    name: str
    kind: str
    """number, numbers (a list or array in each row), text, truth value, list, object, or mixed."""
    numbers: Array | None = None
    codes: NDArray[np.int32] | None = None
    values: tuple[str, ...] = ()

    def missing(self) -> NDArray[np.bool_]:
        """Which rows have no value here, or only a part of one."""
        if self.codes is not None:
            return self.codes < 0
        assert self.numbers is not None
        found = np.zeros(len(self.numbers), dtype=bool)
        if self.numbers.dtype.kind == "f":
            for part in blocks(self.numbers):
                block = self.numbers[part]
                found[part] = ~np.isfinite(block.reshape(len(block), -1)).all(axis=1)
        return found


@dataclass(frozen=True)
class Table:
    """The columns of a file by name, which line or row of it each row is, and which of its lines are no rows."""

    digest: str
    size_bytes: int
    columns: dict[str, Cells]
    rows: int
    numbers: NDArray[np.int64] | None = None
    counted: str = "row"
    broken: tuple[str, ...] = ()
    broken_count: int = 0
    files: tuple[tuple[str, int], ...] = ()
    """Digest and rows of each file that was joined, in the order of the rows; none where it is one file."""

    def __len__(self) -> int:
        return self.rows

    def place(self, index: int) -> int:
        """The number by which a person finds the row in the file, counted from 1."""
        return index + 1 if self.numbers is None else int(self.numbers[index])


def read_file(path: Path) -> Table:
    """The columns of a file. Raises DataError (data_missing, no_usable_row, data_does_not_fit, missing_package)."""
    if not path.is_file():
        raise DataError("data_missing", f"There is no data file {path}.", f"Give a {_KINDS} file.")
    with path.open("rb") as file:
        digest = digest_of_stream(file)
    kind, size_bytes = kind_of(path), path.stat().st_size
    if kind in ("npy", "npz"):
        return _with_rows(path, _arrays(path, digest, size_bytes))
    if kind in ("parquet", "arrow"):
        return _with_rows(path, _parquet(path, digest, size_bytes, arrow=kind == "arrow"))
    if size_bytes > _TEXT_BYTES_MAX:
        hint = "Give the rows as Parquet or as arrays, which are read piece by piece, or a sample of them."
        raise DataError("data_does_not_fit", f"{path.name} has more than 2 GiB of text.", hint)
    return _with_rows(path, _lines(path, digest, size_bytes, as_json=kind == "jsonl"))


def kind_of(path: Path) -> str:
    """npz, npy, parquet, arrow, jsonl or csv: by the bytes and, for text that could be either, by the name."""
    with path.open("rb") as file:
        head = file.read(4096)
    for beginning, kind in _BEGINNINGS.items():
        if head.startswith(beginning):
            return kind
    lines = head.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n")[:5]
    as_json = path.suffix == ".jsonl" or (path.suffix != ".csv" and lines[0].startswith((b"{", b"[")))
    return "jsonl" if as_json else "csv"


def _with_rows(path: Path, table: Table) -> Table:
    if not len(table):
        why = "; ".join(table.broken[:3]) or "the file is empty"
        raise DataError("no_usable_row", f"{path.name} has no usable row: {why}.", f"Give a {_KINDS} file.")
    if len(table.columns) > _COLUMNS_MAX:
        message = f"{path.name} has {len(table.columns)} columns; at most {_COLUMNS_MAX} are looked at."
        raise DataError("data_does_not_fit", message, "Put columns that belong together into one array (.npz).")
    return table


# --- text: CSV and JSON lines ---


@dataclass
class _Coder:
    """A column that grows: each different value once, and for each row which of them it is."""

    places: dict[tuple[str, str], int] = field(default_factory=dict)
    codes: packed[int] = field(default_factory=lambda: packed("i"))

    def add(self, kind: str, text: str) -> None:
        self.codes.append(self.places.setdefault((kind, text), len(self.places)))

    def skip(self, count: int) -> None:
        self.codes.extend([-1] * count)

    def done(self, name: str) -> Cells:
        codes = np.frombuffer(self.codes, dtype=np.int32) if len(self.codes) else np.zeros(0, np.int32)
        values, kinds = [text for _, text in self.places], {kind for kind, _ in self.places}
        told = _numbers(values) if kinds <= {"cell", "number"} else None
        if told is not None:
            return _counted(name, codes, told)
        vectors = _vectors(values) if kinds == {"list"} else None
        if vectors is not None:
            blank = np.full((1, vectors.shape[1]), np.nan)
            return Cells(name, "numbers", numbers=np.concatenate([vectors, blank])[codes])
        kind = "text" if kinds <= {"cell"} else next(iter(kinds)) if len(kinds) == 1 else "mixed"
        # a number too large to count with is a name
        return coded(name, "text" if kind == "number" else kind, values, codes)


def coded(name: str, kind: str, values: Sequence[str], codes: NDArray[Any]) -> Cells:
    """A column of texts, its values sorted and once each: the same column whatever the order of its rows."""
    different = sorted(set(values))
    places = {value: place for place, value in enumerate(different)}
    moved = np.array([*(places[value] for value in values), -1], dtype=np.int32)
    return Cells(name, kind, codes=moved[codes], values=tuple(different))


def _lines(path: Path, digest: str, size_bytes: int, *, as_json: bool) -> Table:
    columns: dict[str, _Coder] = {}
    numbers, broken = packed("q"), list[tuple[int, str]]()
    for number, row in _objects(path) if as_json else _records(path):
        if isinstance(row, str):
            broken.append((number, row))
            continue
        for name, (kind, text) in row.items():
            coder = columns.get(name)
            if coder is None:
                if len(columns) >= _COLUMNS_MAX:
                    message = f"{path.name} has more than {_COLUMNS_MAX} columns."
                    raise DataError("data_does_not_fit", message, "Put what belongs together into one list a row.")
                coder = columns.setdefault(name, _Coder())
            coder.skip(len(numbers) - len(coder.codes))
            if kind == "missing":
                coder.skip(1)
            else:
                coder.add(kind, text)
        numbers.append(number)
    for coder in columns.values():
        coder.skip(len(numbers) - len(coder.codes))
    said = tuple(f"line {number}: {reason}" for number, reason in broken[:_BROKEN_MAX])
    found = {name: columns[name].done(name) for name in sorted(columns)}
    places = np.frombuffer(numbers, dtype=np.int64) if len(numbers) else np.zeros(0, np.int64)
    return Table(digest, size_bytes, found, len(numbers), places, "line", said, len(broken))


Row = dict[str, tuple[str, str]]
"""Of each column the kind of the value and the value as text; `missing` where there is none."""


def _objects(path: Path) -> Iterator[tuple[int, Row | str]]:
    """The rows of JSON lines with their line; a text says what is wrong with one."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                yield number, {name: _told(value) for name, value in entry.items()}
            except (ValueError, RecursionError):
                yield number, "no JSON object in valid UTF-8"
            except AttributeError:
                yield number, "JSON, but no object"


def _told(value: Any) -> tuple[str, str]:
    if value is None or (isinstance(value, str) and not value.strip()):
        return "missing", ""
    if isinstance(value, str):
        value.encode()  # a lone surrogate is no text: UnicodeEncodeError is a ValueError
        return "text", value
    if isinstance(value, bool):
        return "truth value", "true" if value else "false"
    if isinstance(value, int | float):
        return ("number", repr(value)) if math.isfinite(value) else ("missing", "")
    return "list" if isinstance(value, list) else "object", json.dumps(value, sort_keys=True, ensure_ascii=False)


def _records(path: Path) -> Iterator[tuple[int, Row | str]]:
    """The rows of CSV with the line on which each begins."""
    hint = "Give a CSV file in UTF-8 whose first line names every column once."
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text)
        try:
            names = next(reader, [])
            if not names or len(set(names)) != len(names):
                raise DataError("data_does_not_fit", f"The first line of {path.name} does not.", hint)
            begins = reader.line_num + 1
            for cells in reader:
                if len(cells) == len(names):
                    yield begins, dict(zip(names, map(_cell, cells), strict=True))
                elif cells:
                    yield begins, f"{len(cells)} cells, the first line names {len(names)}"
                begins = reader.line_num + 1
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError("data_does_not_fit", f"{path.name} cannot be read: {error}.", hint) from error


def _cell(text: str) -> tuple[str, str]:
    return ("missing", "") if text.strip() in MISSING_WORDS else ("cell", text)


def number_of(text: str) -> float | None:
    """The number that a text says, None where it says none, or one that float64 cannot count with."""
    try:
        value = float(text) if "_" not in text else math.nan
        exact = abs(value) <= _EXACT or not text.strip().lstrip("+-").isdigit()
    except ValueError:
        return None
    return value if math.isfinite(value) and exact else None


def _numbers(values: Sequence[str]) -> NDArray[np.float64] | None:
    found = [number_of(value) for value in values]
    return None if not found or None in found else np.array(found, dtype=np.float64)


def _counted(name: str, codes: NDArray[Any], values: NDArray[np.float64]) -> Cells:
    numbers = np.append(values, np.nan)[codes]
    whole = bool((codes >= 0).all()) and bool((values == np.floor(values)).all())
    return Cells(name, "number", numbers=numbers.astype(np.int64) if whole else numbers)


def _vectors(values: Sequence[str]) -> NDArray[np.float64] | None:
    """Lists of numbers of one length, else None."""
    parsed = [json.loads(value) for value in values]
    if len({len(row) for row in parsed}) != 1 or not parsed[0]:
        return None
    if not all(isinstance(entry, int | float) and not isinstance(entry, bool) for row in parsed for entry in row):
        return None
    try:
        found = np.array(parsed, dtype=np.float64)
    except (OverflowError, ValueError):
        return None
    return found if (np.abs(found) <= _EXACT).all() else None


# --- arrays and Parquet ---


def _arrays(path: Path, digest: str, size_bytes: int) -> Table:
    hint = "Save plain arrays with numpy.savez, each with one entry a row; arrays of Python objects are refused."
    try:
        arrays = numpy_arrays(path)
    except Exception as error:  # whatever numpy and zipfile raise at damaged files
        if isinstance(error, MemoryError):
            raise
        raise DataError("data_does_not_fit", f"{path.name} cannot be read: {error}.", hint) from error
    lengths = {len(array) if array.ndim else -1 for array in arrays.values()}
    if len(lengths) != 1 or -1 in lengths:
        raise DataError("data_does_not_fit", f"The arrays of {path.name} have different numbers of rows.", hint)
    columns = {name or ONLY_ARRAY: _array(name or ONLY_ARRAY, arrays[name], hint) for name in sorted(arrays)}
    return Table(digest, size_bytes, columns, lengths.pop())


def _array(name: str, array: Array, hint: str) -> Cells:
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.dtype.kind in "iuf":
        if array.ndim > 1 and array.size == len(array):
            array = array.reshape(-1)
        if array.ndim == 1 and array.dtype.kind in "iu" and array.size and _largest(array) > _EXACT:
            return _texts(name, array.astype(str))
        return Cells(name, "number" if array.ndim == 1 else "numbers", numbers=array)
    if array.dtype.kind in "US" and array.size == len(array):
        return _texts(name, array.reshape(-1), hint)
    raise DataError("data_does_not_fit", f"The array {name!r} holds {array.dtype}.", hint)


def _largest(array: Array) -> int:
    return max(abs(int(array.min())), abs(int(array.max())))


def _texts(name: str, array: Array, hint: str = "") -> Cells:
    values, codes = np.unique(array, return_inverse=True)
    try:
        words = [value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist()]
        for word in words:
            word.encode()
    except ValueError as error:
        raise DataError("data_does_not_fit", f"The array {name!r} holds what is no text: {error}.", hint) from error
    empty = np.array([word.strip() == "" for word in words], dtype=bool)
    return coded(name, "text", words, np.where(empty[codes.reshape(-1)], -1, codes.reshape(-1)))


def _parquet(path: Path, digest: str, size_bytes: int, *, arrow: bool) -> Table:
    from compression_engine.data.parquet import parquet_columns

    read = parquet_columns(path, arrow=arrow)
    columns = {name: _named(name, read[name]) for name in sorted(read)}
    return Table(digest, size_bytes, columns, len(next(iter(columns.values())).missing()) if columns else 0)


def _named(name: str, column: Named) -> Cells:
    if isinstance(column, Column):
        return coded(name, "text", column.values, column.codes)
    if isinstance(column, Field):
        texts = [json.dumps(column.row(index).tolist()) for index in range(len(column))]
        return coded(name, "list", texts, np.arange(len(texts)))
    return _array(name, column, "Give numbers, text or lists of numbers.")
