"""Opens a file of rows, whatever its form: .npy, .npz, Parquet, Arrow, CSV or JSON lines, told apart by content.

Rules:
- a broken row is left out, counted and named; a file without a usable row is refused;
- arrays are read without unpickling, in their place where they are large; files of text have at most 2 GiB;
- without a plan rows are texts under `text`, or every array; a plan names the columns.
"""

from __future__ import annotations

import sys
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from compression_engine.canonical import digest_of_stream
from compression_engine.data.mapped import finite_rows, numpy_arrays
from compression_engine.data.parquet import parquet_rows
from compression_engine.data.rows import Array, Named, Rows
from compression_engine.data.tables import comma_separated, json_lines, names_column, wanted
from compression_engine.errors import DataError
from compression_engine.plan import Plan

_TEXT_BYTES_MAX = 2 * 1024**3
_ONLY_ARRAY = ""  # the name of the array of a .npy file until the model's input is known
_UNREADABLE = (
    OSError, ValueError, EOFError, OverflowError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError,
    tokenize.TokenError,
)  # fmt: skip
"""What numpy and zipfile raise at files that are damaged or made to deceive."""
_KINDS = ".jsonl, .csv, .npz, .npy, .parquet or .arrow"


def read_rows(path: Path, plan: Plan | None = None) -> Rows:
    """The rows of a file. Raises DataError (data_missing, no_usable_row, data_does_not_fit, missing_package)."""
    if not path.is_file():
        raise DataError("data_missing", f"There is no data file {path}.", f"Give a {_KINDS} file.")
    with path.open("rb") as file:
        digest = digest_of_stream(file)
    rows = _rows(path, digest, plan)
    if len(rows) == 0:
        named = "; ".join(rows.broken[:3]) or "the file is empty"
        hint = f'Give a {_KINDS} file: one {{"text": "..."}} a line, or columns or arrays with one entry a row.'
        raise DataError("no_usable_row", f"{path.name} has no usable row: {named}.", hint)
    return rows


def _rows(path: Path, digest: str, plan: Plan | None) -> Rows:
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith((b"PK\x03\x04", b"\x93NUMPY")):
        return _arrays(path, digest, plan)
    if head.startswith((b"PAR1", b"ARROW1")):
        return parquet_rows(path, digest, plan, arrow=head.startswith(b"ARROW1"))
    if path.stat().st_size > _TEXT_BYTES_MAX:
        hint = "Give the rows as Parquet or as arrays, which are read piece by piece, or a sample of them."
        raise DataError("data_does_not_fit", f"{path.name} has more than 2 GiB of text.", hint)
    lines = head.lstrip().split(b"\n")[:5]
    named_columns = b"," in lines[0] and not any(line.lstrip().startswith((b"{", b"[")) for line in lines)
    if path.suffix == ".csv" or (path.suffix != ".jsonl" and named_columns):
        return comma_separated(path, digest, plan)
    return json_lines(path, digest, plan)


def _arrays(path: Path, digest: str, plan: Plan | None) -> Rows:
    hint = "Save plain numeric arrays with numpy.savez; arrays of Python objects are refused."
    try:
        arrays = numpy_arrays(path)
    except _UNREADABLE as error:
        raise DataError("data_does_not_fit", f"{path.name} cannot be read: {error}.", hint) from error
    lengths = {array.shape[0] if array.ndim else -1 for array in arrays.values()}
    if len(lengths) != 1 or -1 in lengths:
        hint = "Give every array one entry a row along its first axis."
        raise DataError("data_does_not_fit", f"The arrays of {path.name} have different numbers of rows.", hint)
    if max(lengths) and not any(array.nbytes for array in arrays.values()):
        # a header can tell of any number of rows that hold nothing
        hint = "Give arrays with at least one entry in each row."
        raise DataError("data_does_not_fit", f"The {max(lengths):,} rows of {path.name} hold no entry.", hint)
    chosen, named = arrays, tuple[str, ...]()
    if plan is not None:
        single = set(arrays) == {_ONLY_ARRAY}
        if single:
            _refuse_columns(path, plan)
        read = None if single else wanted(plan, list(arrays))
        named = read.named if read else ()
        inputs = read.inputs if read and read.inputs is not None else tuple(arrays)
        if read and read.text is not None:
            hint = "Give text as .jsonl, .csv or .parquet."
            raise DataError("data_does_not_fit", f"{path.name} holds arrays, the plan reads text.", hint)
        chosen = {name: arrays[name] for name in inputs}
    numeric = {name: array for name, array in chosen.items() if array.dtype.kind in "biuf"}
    if not numeric:
        held = ", ".join(sorted({str(array.dtype) for array in chosen.values()}))
        raise DataError("data_does_not_fit", f"The arrays of {path.name} hold {held}, a model takes numbers.", hint)
    good = np.ones(lengths.pop(), dtype=bool)
    for name, array in numeric.items():
        if name not in named or (plan is not None and plan.inputs):
            good &= finite_rows(array)
    reasons = {int(index): "NaN or infinity" for index in np.flatnonzero(~good)}
    columns = {name: _column(name, arrays[name]) for name in named}
    return Rows(digest, (), numeric, (), columns).without(reasons)


def _refuse_columns(path: Path, plan: Plan) -> None:
    """Raises DataError where a plan names columns beside the inputs of a single array, which has none."""
    named = next((name for name in (plan.label, plan.sequence, *plan.slices) if name is not None), None)
    if named is not None:
        hint = "Give the arrays by their names, as .npz."
        message = f"The data have no column {named!r}: {path.name} holds a single array."
        raise DataError("data_does_not_fit", message, hint)


def _column(name: str, array: Array) -> Named:
    """A named column of numbers as it is, one of text as names; DataError for other types and for what is no text."""
    if array.dtype.kind in "biuf":
        return array
    hint = "Save numbers, or text in valid Unicode; dates as text."
    if array.dtype.kind not in "US":
        raise DataError("data_does_not_fit", f"The column {name!r} holds {array.dtype}.", hint)
    if array.size != len(array):
        raise DataError("data_does_not_fit", f"The column {name!r} holds lists of texts.", "Give one value a row.")
    try:
        words = _words(array.reshape(-1))
    except ValueError as error:
        raise DataError("data_does_not_fit", f"The column {name!r} holds what is no text: {error}.", hint) from error
    return names_column([word or None for word in words])


def _words(array: Array) -> list[str]:
    """Texts of an array; numpy itself lets code points pass that no text may hold."""
    if array.dtype.kind == "S":
        return [bytes(word).decode() for word in array.tolist()]
    points = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).view(np.uint32)
    if ((points > sys.maxunicode) | ((points >= 0xD800) & (points <= 0xDFFF))).any():
        raise ValueError("a code point that is no character")
    words: list[str] = array.tolist()
    return words
