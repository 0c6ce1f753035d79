"""Looks at data themselves: what is missing, doubled, contradicted, out of place or probably labelled wrongly, and what changed.

Rules:
- the same file, settings and libraries give the same bytes; no time, no path, no value of a row but names of classes and the ends
  of columns of numbers: examples are numbers of rows;
- every figure is a `pressmark/evidence/1` figure with value or reason and n; a count of all rows has no interval;
- rows are counted against other files of data only as far as columns have the same names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compression_engine.canonical import JSON, canonical, decimal_text
from compression_engine.environment import ENGINE_VERSION, environment
from compression_engine.errors import DataError
from compression_engine.profiling.columns import ColumnFacts, facts_of, shift
from compression_engine.profiling.figures import (
    change_figures,
    label_figures,
    overlap_figures,
    row_figures,
)
from compression_engine.profiling.folder import read_table
from compression_engine.profiling.labels import Classes, LabelFacts, classes_of, suspected_errors
from compression_engine.profiling.rows import (
    EXAMPLES_MAX,
    FileOverlap,
    Overlap,
    Repeats,
    added_and_removed,
    overlap,
    repeats,
)
from compression_engine.profiling.table import Table
from compression_engine.progress import Progress, silent
from compression_engine.result import Measurement

PROFILE_TYPE = "pressmark/data_profile/1"
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class Profile:
    """What was found: the document and, figure by figure, a sentence."""

    document: dict[str, JSON]

    def canonical(self) -> bytes:
        """The bytes of the profile."""
        return canonical(self.document)


@dataclass(frozen=True)
class _Change:
    digest: str
    rows: int
    added: int
    removed: int
    columns_added: list[str]
    columns_removed: list[str]
    shifts: list[tuple[str, float | None, str | None]]


def profile(
    data: Path,
    *,
    label: str | None = None,
    against: Sequence[Path] = (),
    previous: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Profile:
    """The profile of a file of rows, or of all files of a folder. `against`: data whose rows must not stand in it.

    `previous`: an earlier state of these data.

    Shares are of rows, counts in rows; see `profile_rows`, `profile_columns` and `profile_labels` for what is counted and by which
    source. Raises DataError (data_missing, no_usable_row, data_does_not_fit, formats_differ, label_missing).
    """
    progress("read", 0, 1, "reading the rows")
    table = read_table(data)
    progress("read", 1, 1, f"{len(table):,} rows, {len(table.columns)} columns")
    if label is not None and label not in table.columns:
        shown = ", ".join(sorted(table.columns)[:20])
        raise DataError("label_missing", f"The data have no column {label!r}.", f"They have: {shown}.")
    facts, outliers = _columns(table, label, progress)
    twice = repeats(table, label, progress)
    classes = None if label is None else classes_of(table.columns[label])
    doubted = LabelFacts("the labels are quantities, or more than 1,000 different ones")
    if label is not None and classes is not None:
        doubted = suspected_errors(table, label, classes, seed, progress)
    others = [overlap(table, read_table(path), label, progress) for path in against]
    change = None if previous is None else _change(table, read_table(previous), progress)
    figures = [*row_figures(table, facts, outliers, twice), *overlap_figures(len(table), others)]
    if label is not None:
        figures += label_figures(table, label, classes, twice, doubted)
    if change is not None:
        figures += change_figures(len(table), change.rows, change.added, change.removed, change.shifts)
    return Profile(_document(table, label, seed, facts, outliers, twice, classes, doubted, others, change, figures))


def _columns(table: Table, label: str | None, progress: Progress) -> tuple[list[ColumnFacts], NDArray[np.bool_]]:
    """The facts of every column, and which rows hold an outlier in one beside the label."""
    found, outliers = [], np.zeros(len(table), dtype=bool)
    for place, (name, cells) in enumerate(table.columns.items()):
        progress("columns", place, len(table.columns), name[:60])
        facts, far = facts_of(cells)
        found.append(facts)
        if name != label:
            outliers |= far
    progress("columns", len(found), len(found), f"{int(outliers.sum())} rows hold an outlier")
    return found, outliers


def _change(table: Table, before: Table, progress: Progress) -> _Change:
    added, removed = added_and_removed(table, before, progress)
    both = [name for name in table.columns if name in before.columns]
    shifts = [(name, *shift(table.columns[name], before.columns[name])) for name in both]
    return _Change(
        before.digest, len(before), added, removed,
        [name for name in table.columns if name not in before.columns],
        [name for name in before.columns if name not in table.columns], shifts,
    )  # fmt: skip


def _document(
    table: Table,
    label: str | None,
    seed: int,
    facts: Sequence[ColumnFacts],
    outliers: NDArray[np.bool_],
    twice: Repeats,
    classes: Classes | None,
    doubted: LabelFacts,
    others: Sequence[Overlap],
    change: _Change | None,
    figures: Sequence[Measurement],
) -> dict[str, JSON]:
    return {
        "against": [_overlap(other, several=bool(table.files)) for other in others],
        "columns": [_column(entry) for entry in facts],
        "data": {
            "broken": [_short(entry) for entry in table.broken], "broken_rows": table.broken_count, "counted": table.counted,
            "digest": table.digest, "rows": len(table), "size_bytes": table.size_bytes, **_files(table),
        },
        "engine": {"name": "compression_engine", "version": ENGINE_VERSION},
        "environment": environment(1),
        "examples": {
            "conflicting_labels": twice.conflicts,
            "duplicates": twice.duplicate_pairs,
            "near_duplicates": twice.near_pairs,
            "outliers": [table.place(int(row)) for row in np.flatnonzero(outliers)[:EXAMPLES_MAX]],
        },
        "figures": [figure.figure() for figure in figures],
        "identifiers": [_short(name) for name in twice.identifiers],
        "label": None if label is None else _labels(label, classes, doubted),
        "plain": [figure.plain for figure in figures],
        "previous": None if change is None else _changed(change),
        "seed": seed,
        "type": PROFILE_TYPE,
    }  # fmt: skip


def _column(facts: ColumnFacts) -> dict[str, JSON]:
    return {
        "constant": facts.constant,
        "distinct": facts.distinct,
        "kind": facts.kind,
        "maximum": _text(facts.maximum),
        "median": _text(facts.median),
        "minimum": _text(facts.minimum),
        "missing": facts.missing,
        "name": _short(facts.name),
        "outlier_rule": facts.outlier_rule,
        "outliers": facts.outliers,
        "shape": list(facts.shape),
    }


def _overlap(found: Overlap, *, several: bool) -> dict[str, JSON]:
    """Pairs are a row here and a row there. Of several files those are named that share a row."""
    return {
        "columns": [_short(name) for name in found.columns],
        "digest": found.digest,
        "identifiers": [_short(name) for name in found.identifiers],
        "near_pairs": found.near_pairs,
        "near_rows": found.near,
        "rows": found.other_rows,
        "same_pairs": found.same_pairs,
        "same_rows": found.same,
        "same_rows_without_identifiers": found.same_without,
        **({"files": [_file_overlap(one) for one in found.files]} if several else {}),
    }


def _file_overlap(found: FileOverlap) -> dict[str, JSON]:
    return {
        "digest": found.digest,
        "near_rows": found.near,
        "same_rows": found.same,
        "same_rows_without_identifiers": found.same_without,
    }


def _files(table: Table) -> dict[str, JSON]:
    """Of several files each with its rows, in their order; of one alone nothing more is to say."""
    return {"files": [{"digest": digest, "rows": rows} for digest, rows in table.files]} if table.files else {}


def _labels(label: str, classes: Classes | None, doubted: LabelFacts) -> dict[str, JSON]:
    return {
        "classes": None if classes is None else _balance(classes),
        "column": _short(label),
        "looked_at": doubted.looked_at,
        "model": doubted.model or None,
        "planted": doubted.planted,
        "planted_found": doubted.planted_found,
        "reason": doubted.reason,
        "suspected": doubted.suspected,
        "suspects": [
            {
                "given": _short(one.given),
                "given_probability": _rounded(one.given_probability),
                "row": one.row,
                "suggested": _short(one.suggested),
                "suggested_probability": _rounded(one.suggested_probability),
            }
            for one in doubted.suspects
        ],
    }


def _balance(classes: Classes) -> list[JSON]:
    counts = np.bincount(classes.codes[classes.codes >= 0], minlength=len(classes.names))
    return [{"name": _short(name), "rows": int(count)} for name, count in zip(classes.names, counts, strict=True)]


def _changed(change: _Change) -> dict[str, JSON]:
    return {
        "columns_added": [_short(name) for name in change.columns_added],
        "columns_removed": [_short(name) for name in change.columns_removed],
        "digest": change.digest,
        "rows": change.rows,
        "rows_added": change.added,
        "rows_removed": change.removed,
        "shifts": [{"name": _short(name), "psi": _text(psi), "reason": why} for name, psi, why in change.shifts],
    }


def _text(number: float | None) -> str | None:
    return None if number is None else decimal_text(float(number))


def _rounded(number: float) -> str | None:
    return decimal_text(round(number, 4))


def _short(text: str) -> str:
    """A name of the data's own as a document may hold it."""
    return text[:_SHOWN_CHARACTERS].replace("\0", "\N{REPLACEMENT CHARACTER}")
