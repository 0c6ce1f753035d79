"""A folder of files of rows as one table: the rows of all files one after the other, by path.

Rules:
- the files are of one format, and a column is numbers in all of them, or text in all: else nothing is joined, and it is said which;
- a column that a file lacks is missing in its rows; arrays have one shape;
- rows are numbered over all files, since a line number alone would not say in which;
- the digest is that of the list of files, `pressmark/dataset_files/1`: files by path, each with digest and size in bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from compression_engine.canonical import canonical, digest_of
from compression_engine.errors import DataError
from compression_engine.profiling.table import Cells, Table, coded, kind_of, read_file

FILES_TYPE = "pressmark/dataset_files/1"
_BROKEN_MAX = 20


def read_table(path: Path) -> Table:
    """The columns of a file, or of all files in a folder.

    Raises DataError (data_missing, no_usable_row, data_does_not_fit, missing_package).
    """
    return _read_folder(path) if path.is_dir() else read_file(path)


def _read_folder(folder: Path) -> Table:
    paths = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    if not paths:
        raise DataError("data_missing", f"The folder {folder.name} holds no file.", "Give a folder of files of rows.")
    named = {name: paths[name] for name in sorted(paths)}
    kinds = {name: kind_of(path) for name, path in named.items()}
    if len(set(kinds.values())) > 1:
        told = "; ".join(
            f"{kind}: {', '.join(n for n in named if kinds[n] == kind)[:200]}" for kind in sorted({*kinds.values()})
        )
        hint = "Files of one format are read as one table; register those of another as data of their own."
        raise DataError("formats_differ", f"The files are of several formats: {told}.", hint)
    tables = {name: read_file(path) for name, path in named.items()}
    files = [{"digest": t.digest, "path": name, "size_bytes": t.size_bytes} for name, t in tables.items()]
    if len(tables) == 1:
        return next(iter(tables.values()))
    digest = digest_of(canonical({"files": files, "type": FILES_TYPE}))
    columns = {name: _joined(name, tables) for name in sorted({c for t in tables.values() for c in t.columns})}
    broken = [f"{name}, {entry}" for name, t in tables.items() for entry in t.broken]
    size_bytes = sum(t.size_bytes for t in tables.values())
    count = sum(t.broken_count for t in tables.values())
    rows = sum(len(t) for t in tables.values())
    parts = tuple((t.digest, len(t)) for t in tables.values())
    shown = tuple(broken[:_BROKEN_MAX])
    return Table(digest, size_bytes, columns, rows, broken=shown, broken_count=count, files=parts)


def _joined(name: str, tables: dict[str, Table]) -> Cells:
    found = {file: table.columns.get(name) for file, table in tables.items()}
    there = {file: cells for file, cells in found.items() if cells is not None}
    numeric = [file for file, cells in there.items() if cells.numbers is not None]
    if numeric and len(numeric) < len(there):
        other = next(file for file in there if file not in numeric)
        message = f"The column {name!r} is numbers in {numeric[0]} and none in {other}."
        raise DataError(
            "data_does_not_fit", message, "Write it in one way, or register the files as data of their own."
        )
    lengths = [len(table) for table in tables.values()]
    if not numeric:
        return _texts(name, list(found.values()), lengths)
    shapes = {cells.numbers.shape[1:] for cells in there.values() if cells.numbers is not None}
    if len(shapes) > 1:
        told = " and ".join(map(str, sorted(shapes)))
        raise DataError("data_does_not_fit", f"The rows of {name!r} have the shapes {told}.", "Give rows of one shape.")
    shape = shapes.pop()
    parts = [
        np.full((rows, *shape), np.nan) if cells is None or cells.numbers is None else np.asarray(cells.numbers)
        for cells, rows in zip(found.values(), lengths, strict=True)
    ]
    kind = next(iter(there.values())).kind
    return Cells(name, kind, numbers=np.concatenate(parts))


def _texts(name: str, found: Sequence[Cells | None], lengths: Sequence[int]) -> Cells:
    values: list[str] = []
    parts = []
    for cells, rows in zip(found, lengths, strict=True):
        if cells is None or cells.codes is None:
            parts.append(np.full(rows, -1, dtype=np.int64))
            continue
        codes = cells.codes.astype(np.int64)
        parts.append(np.where(codes >= 0, codes + len(values), -1))
        values += cells.values
    kinds = {cells.kind for cells in found if cells is not None}
    codes = np.concatenate(parts)
    # the values of several files may be the same: each stands once in what `coded` makes of them
    return coded(name, kinds.pop() if len(kinds) == 1 else "mixed", values, codes)
