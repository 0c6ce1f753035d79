"""Columns from Parquet and Arrow files, block by block, so that a file may be larger than memory.

Rules:
- only the columns that are asked for are read; numbers go into arrays, which lie in a file where they are large;
- a file is not believed: what is read is held against its own lengths before it is touched;
- nulls are missing values: NaN among numbers, no code among names;
- lists are an array where all have one length; columns of other types are refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from compression_engine.answers.outputs import Column, Field
from compression_engine.data.mapped import Growing, finite_rows
from compression_engine.data.rows import Array, Named, Rows
from compression_engine.data.tables import TEXT_CHARACTERS_MAX, Wanted, wanted
from compression_engine.errors import DataError
from compression_engine.plan import Plan

_BLOCK_ROWS = 16_384


def parquet_rows(path: Path, digest: str, plan: Plan | None, *, arrow: bool) -> Rows:
    """Rows of a Parquet file, or of an Arrow file; raises DataError, or EngineError where pyarrow is not installed."""
    hint = "Give a whole Parquet or Arrow file with columns of numbers, text, or lists of numbers."
    names, types, blocks = _opened(path, hint, arrow)
    read = wanted(plan, names)
    chosen = read.all(names)
    if read.inputs is None and read.text is None:
        chosen = [name for name in names if name in read.named or _is_numeric(types[name])]
    gathered = {name: _gatherer(name, types[name]) for name in chosen}
    count = _gather(path, gathered, blocks(chosen), hint)
    if not count:
        return Rows(digest, (), {}, ())
    return _rows({name: column.done() for name, column in gathered.items()}, read, digest)


def parquet_columns(path: Path, *, arrow: bool) -> dict[str, Named]:
    """Every column of a file with all of its rows, whatever is missing in them; raises as `parquet_rows` does."""
    hint = "Give a whole Parquet or Arrow file with columns of numbers, text, or lists of numbers."
    names, types, blocks = _opened(path, hint, arrow)
    gathered = {name: _gatherer(name, types[name]) for name in names}
    count = _gather(path, gathered, blocks(names), hint)
    return {name: column.done() for name, column in gathered.items()} if count else {}


def _gather(path: Path, gathered: dict[str, Any], batches: Iterator[Any], hint: str) -> int:
    """Fills the columns block by block; the number of rows."""
    count = 0
    try:
        for batch in batches:
            count += len(batch)
            for name, column in gathered.items():
                found = batch.column(name)
                found.validate(full=True)
                column.add(found)
    except (OSError, ValueError, NotImplementedError, TypeError, KeyError) as error:  # all that pyarrow raises
        raise DataError("data_does_not_fit", f"{path.name} cannot be read: {_plain(error)}.", hint) from error
    return count


def _rows(columns: dict[str, Any], read: Wanted, digest: str) -> Rows:
    texts: list[str] = []
    reasons: dict[int, str] = {}
    if read.text is not None:
        column = columns[read.text]
        if not isinstance(column, Column):
            hint = "Name the column that holds text."
            raise DataError("data_does_not_fit", f"The column {read.text!r} holds no text.", hint)
        texts = [column.values[code] if code >= 0 else "" for code in column.codes]
        for index, text in enumerate(texts):
            if not text.strip() or len(text) > TEXT_CHARACTERS_MAX:
                reasons[index] = "the text is empty or too long"
    inputs = read.inputs if read.inputs is not None else tuple(name for name in columns if name not in read.named)
    arrays: dict[str, Array] = {}
    for name in inputs:
        arrays[name] = _input(name, columns[name], reasons)
    named: dict[str, Named] = {name: columns[name] for name in read.named}
    if read.inputs is None:
        arrays |= {name: value for name, value in named.items() if isinstance(value, np.ndarray)}
    return Rows(digest, texts, arrays, (), named).without(reasons)


def _input(name: str, column: Any, reasons: dict[int, str]) -> Array:
    if not isinstance(column, np.ndarray):
        what = "text" if isinstance(column, Column) else "lists of differing lengths"
        raise DataError(
            "data_does_not_fit", f"The column {name!r} holds {what}.", "An input of a model is made of numbers."
        )
    for index in np.flatnonzero(~finite_rows(column)):
        reasons.setdefault(int(index), f"missing, NaN or infinity in {name!r}")
    return column


def _opened(path: Path, hint: str, arrow: bool) -> tuple[list[str], dict[str, Any], Any]:
    try:
        import pyarrow
        from pyarrow import ipc, parquet
    except ModuleNotFoundError as error:
        need = "Install it: pip install 'pressmark[parquet]'."
        raise DataError("missing_package", "Parquet and Arrow files need the package pyarrow.", need) from error
    try:
        if arrow:
            reader = ipc.open_file(pyarrow.OSFile(str(path)))
            schema = reader.schema
        else:
            reader = parquet.ParquetFile(str(path))
            schema = reader.schema_arrow
        names = list(schema.names)
    except (OSError, ValueError) as error:
        raise DataError("data_does_not_fit", f"{path.name} cannot be read: {_plain(error)}.", hint) from error

    def blocks(chosen: list[str]) -> Iterator[Any]:
        if arrow:
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)
        else:
            yield from reader.iter_batches(batch_size=_BLOCK_ROWS, columns=chosen)

    if len(set(names)) != len(names):
        raise DataError("data_does_not_fit", f"Two columns of {path.name} have one name.", "Name every column once.")
    return names, {name: schema.field(name).type for name in names}, blocks


def _is_numeric(kind: Any) -> bool:
    from pyarrow import types

    while types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        kind = kind.value_type
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _gatherer(name: str, kind: Any) -> _Numbers | _Names | _Lists:
    from pyarrow import types

    words = types.is_dictionary(kind) and types.is_string(kind.value_type)
    if types.is_string(kind) or types.is_large_string(kind) or words:
        return _Names()
    if not _is_numeric(kind):
        hint = "Use columns of numbers, text, or lists of numbers."
        raise DataError("data_does_not_fit", f"The column {name!r} holds {kind}.", hint)
    return _Numbers() if not types.is_nested(kind) else _Lists(name)


class _Numbers:
    """A column of numbers; whole numbers with nulls become floats, since only those have NaN."""

    def __init__(self) -> None:
        self._values, self._missing, self._any = Growing(), Growing(), False

    def add(self, column: Any) -> None:
        missing = column.is_null().to_numpy(zero_copy_only=False)
        values = column.fill_null(0).to_numpy(zero_copy_only=False)
        if values.dtype == np.bool_:
            values = values.astype(np.int64)
        self._values.append(values)
        self._missing.append(missing)
        self._any = self._any or bool(missing.any())

    def done(self) -> Array:
        values = self._values.array()
        if not self._any:
            return values
        kind = values.dtype if np.issubdtype(values.dtype, np.floating) else np.dtype(np.float64)
        return np.where(self._missing.array(), np.array(np.nan, dtype=kind), values.astype(kind))


class _Names:
    """A column of text, as codes into its sorted different values."""

    def __init__(self) -> None:
        self._codes, self._places = Growing(), dict[str, int]()

    def add(self, column: Any) -> None:
        block = column if hasattr(column, "dictionary") else column.dictionary_encode()
        values = block.dictionary.to_pylist()
        numbers = [-1 if value is None else self._places.setdefault(value, len(self._places)) for value in values]
        places = np.array(numbers or [0], dtype=np.int32)
        missing = block.is_null().to_numpy(zero_copy_only=False)
        codes = block.indices.fill_null(0).to_numpy(zero_copy_only=False)
        self._codes.append(np.where(missing, np.int32(-1), places[codes]).astype(np.int32))

    def done(self) -> Column:
        codes = self._codes.array()
        ordered = sorted(self._places)
        turned = np.array([*_ranks(self._places, ordered), -1], dtype=np.int32)  # the code -1 finds the last entry
        return Column(turned[codes], tuple(ordered))


class _Lists:
    """A column of lists of numbers, nested ones too where all have one shape; a number that is missing is NaN."""

    def __init__(self, name: str) -> None:
        self._name, self._lengths = name, Growing()
        self._values = _Numbers()
        self._inner: tuple[int, ...] | None = None

    def add(self, column: Any) -> None:
        from pyarrow import types

        if column.null_count:
            raise DataError(
                "data_does_not_fit", f"The column {self._name!r} has rows without a list.", "Leave them out."
            )
        lengths = _lengths(column)
        flat, inner = column.flatten(), []
        while types.is_nested(flat.type):
            if flat.null_count:
                hint = "Leave out the rows with a list that is missing."
                raise DataError("data_does_not_fit", f"The lists in {self._name!r} lack a list within.", hint)
            within = set(_lengths(flat).tolist())
            if len(within) != 1:
                hint = "Give lists in lists that all have one shape."
                raise DataError("data_does_not_fit", f"The lists in {self._name!r} have different shapes.", hint)
            inner.append(int(within.pop()))
            flat = flat.flatten()
        if self._inner not in (None, tuple(inner)):
            raise DataError(
                "data_does_not_fit", f"The lists in {self._name!r} have different shapes.", "Give one shape."
            )
        self._inner = tuple(inner)
        self._values.add(flat)
        self._lengths.append(lengths)

    def done(self) -> Array | Field:
        values, lengths = self._values.done(), self._lengths.array()
        if len(set(lengths.tolist())) == 1:
            return values.reshape(len(lengths), int(lengths[0]), *(self._inner or ()))
        return Field(values.reshape(-1), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def _plain(error: Exception) -> str:
    """What pyarrow says, in one line without its full stop."""
    return " ".join(str(error).split()).rstrip(".")


def _lengths(column: Any) -> Array:
    from pyarrow import types

    if types.is_fixed_size_list(column.type):
        return np.full(len(column), column.type.list_size, dtype=np.int64)
    offsets: Array = column.offsets.to_numpy(zero_copy_only=False)
    return np.diff(offsets).astype(np.int64)


def _ranks(places: dict[str, int], ordered: list[str]) -> list[int]:
    ranks = [0] * len(ordered)
    for rank, value in enumerate(ordered):
        ranks[places[value]] = rank
    return ranks
