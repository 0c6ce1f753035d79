"""Counts the rows of a data file by walking it, never by loading it; nothing in it is executed. Standard library only.

Rules:
- the format follows from the bytes: .npy, .npz, JSON lines (one object a line), CSV (a header line, then rows of equal width);
- arrays of Python objects are refused: they are pickles;
- an array file must hold exactly the bytes that its shape needs; the arrays of an .npz must agree in their first dimension;
- what is broken is refused with the line, row or array that is.
"""

from __future__ import annotations

import ast
import csv
import json
import math
import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from registry.errors import Invalid

MAX_LINE_BYTES = 16 * 1024 * 1024
MAX_COLUMNS = 10_000
_MAX_HEADER_BYTES = 64 * 1024
_NPY = b"\x93NUMPY"
_DTYPE = re.compile(r"[<>|=]?([biufcmMSUV?])(\d*)(\[\w+\])?")
_HINT = "Use JSON lines (.jsonl), CSV with a header, .npy or .npz, and save the file again."


@dataclass(frozen=True)
class Column:
    """One column or array: its name, and type and shape of a row as text ("" where the format does not say)."""

    name: str
    dtype: str
    shape: str


@dataclass(frozen=True)
class Measured:
    """What walking the file found."""

    format: str
    row_count: int
    columns: tuple[Column, ...]


def _broken(detail: str) -> Invalid:
    return Invalid(detail, hint=_HINT, code="data-unreadable")


def measure_rows(file: BinaryIO) -> Measured:
    """Format, number of rows and columns of a seekable file; Invalid says what is broken and where."""
    measured = _measure(file)
    if measured.row_count == 0:
        raise _broken("The file holds no row.")
    return measured


def _measure(file: BinaryIO) -> Measured:
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(4096)
    file.seek(0)
    if not head:
        raise _broken("The file is empty.")
    if head.startswith(_NPY):
        shape, dtype = _array(file, size_bytes, "the array")
        return Measured("npy", _rows(shape, "the array"), (Column("", dtype, _text(shape[1:])),))
    if head.startswith(b"PK\x03\x04"):
        return _npz(file)
    if b"\x00" in head:
        raise _broken("The file holds binary data in no format that is read here.")
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return _json_lines(file) if first in (b"{", b"[") else _csv(file)


# --- arrays -----------------------------------------------------------------------------------------------------------


def _npz(file: BinaryIO) -> Measured:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _check_members([m.filename for m in members])
            found = [(m.filename.removesuffix(".npy"), *_member(archive, m)) for m in members]
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise _broken(f"The .npz archive cannot be read: {error}.") from None
    counts = {name: _rows(shape, f"the array {name!r}") for name, shape, _ in found}
    if len(set(counts.values())) != 1:
        named = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise _broken(f"The arrays have different numbers of rows ({named}).")
    columns = tuple(Column(name, dtype, _text(shape[1:])) for name, shape, dtype in found)
    return Measured("npz", next(iter(counts.values())), columns)


def _check_members(names: list[str]) -> None:
    if not names:
        raise _broken("The .npz archive is empty.")
    if len(names) > MAX_COLUMNS or len(set(names)) != len(names):
        raise _broken(f"The .npz archive has a doubled name, or more than {MAX_COLUMNS} arrays.")
    for name in names:
        if not name.endswith(".npy"):
            raise _broken(f"The archive holds {name!r}; an .npz holds .npy arrays only.")


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[tuple[int, ...], str]:
    with archive.open(member) as opened:
        return _array(opened, member.file_size, f"the array {member.filename!r}")


def _array(file: Any, size_bytes: int, what: str) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of an array whose header is read and whose bytes are only counted."""
    prefix = file.read(8)
    if len(prefix) < 8 or not prefix.startswith(_NPY):
        raise _broken(f"{what.capitalize()} has no numpy header.")
    width = 2 if prefix[6] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    if length > _MAX_HEADER_BYTES:
        raise _broken(f"{what.capitalize()} claims a header of {length} bytes.")
    header = _header(file.read(length), what)
    shape, dtype = header["shape"], header["descr"]
    if not isinstance(shape, tuple) or not all(type(n) is int and 0 <= n < 2**53 for n in shape):
        raise _broken(f"{what.capitalize()} has no valid shape.")
    needed = math.prod(shape) * _item_bytes(dtype, what)
    held = size_bytes - 8 - width - length
    if needed != held:
        raise _broken(f"{what.capitalize()} needs {needed} bytes for its shape {shape}, the file holds {held}.")
    return shape, str(dtype)


def _header(data: bytes, what: str) -> dict[str, Any]:
    try:
        header = ast.literal_eval(data.decode("utf-8").strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise _broken(f"{what.capitalize()} has a header that cannot be read; the file may be cut off.") from None
    if not isinstance(header, dict) or not {"descr", "shape"} <= set(header):
        raise _broken(f"{what.capitalize()} has a header without type or shape.")
    return header


def _item_bytes(dtype: object, what: str) -> int:
    if isinstance(dtype, str) and "O" in dtype:
        raise Invalid(
            f"{what.capitalize()} holds Python objects, which are pickled.",
            hint="A pickle can run any code when it is opened. Save numbers or text instead.",
            code="pickle-refused",
        )
    match = _DTYPE.fullmatch(dtype) if isinstance(dtype, str) else None
    if match is None:
        raise _broken(f"{what.capitalize()} has the type {dtype!r}, which is not read here.")
    size = int(match[2] or 1)
    return size * 4 if match[1] == "U" else size


def _rows(shape: tuple[int, ...], what: str) -> int:
    if not shape:
        raise _broken(f"{what.capitalize()} is a single number; the first dimension must count the rows.")
    return shape[0]


def _text(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


# --- text -------------------------------------------------------------------------------------------------------------


def _lines(file: BinaryIO) -> Iterator[tuple[int, str]]:
    """Numbered lines, each of at most MAX_LINE_BYTES, strictly UTF-8; a mark at the beginning is dropped."""
    number = 0
    while raw := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES:
            raise _broken(f"Line {number} is longer than {MAX_LINE_BYTES} bytes.")
        if b"\x00" in raw:
            raise _broken(f"Line {number} holds a NUL byte; this is no text file.")
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise _broken(f"Line {number} is not UTF-8 (byte {error.start}).") from None
        yield number, text


def _json_lines(file: BinaryIO) -> Measured:
    count, names = 0, None
    for number, text in _lines(file):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _broken(f"Line {number} is not JSON: {error}.") from None
        if not isinstance(row, dict):
            raise _broken(f"Line {number} is not a JSON object; each line is one row with named values.")
        if names is None:
            names = sorted(row)
        count += 1
    if len(names or ()) > MAX_COLUMNS:
        raise _broken(f"A row has more than {MAX_COLUMNS} names.")
    return Measured("jsonl", count, tuple(Column(name, "", "") for name in names or ()))


def _csv(file: BinaryIO) -> Measured:
    reader = csv.reader(_text_lines(file), strict=True)
    try:
        header = next(reader)
        if not any(name.strip() for name in header):
            raise _broken("The file has no header line.")
        if len(header) > MAX_COLUMNS or len(set(header)) != len(header):
            raise _broken("The header line names a column twice, or too many columns.")
        count = 0
        for row in reader:
            if row and len(row) != len(header):
                raise _broken(f"The row that ends at line {reader.line_num} has {len(row)} values, not {len(header)}.")
            count += bool(row)
    except StopIteration:
        raise _broken("The file has no header line.") from None
    except csv.Error as error:
        raise _broken(f"Line {reader.line_num} is no CSV: {error}.") from None
    return Measured("csv", count, tuple(Column(name, "", "") for name in header))


def _text_lines(file: BinaryIO) -> Iterator[str]:
    """The text lines alone, as the csv module wants them."""
    return (text for _, text in _lines(file))
