"""What walking the uploaded files of a state found, file by file and for all of them together. No tables here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from registry.provenance.rows import Column, Measured


@dataclass(frozen=True)
class MeasuredFile:
    """One file and what is in it; `path` is "" where a state is named by one digest alone."""

    path: str
    digest: str
    size_bytes: int
    measured: Measured


@dataclass(frozen=True)
class MeasuredState:
    """All files: their rows together; format and columns where they agree, else None."""

    format: str | None
    row_count: int
    columns: tuple[Column, ...] | None


def joined(files: Sequence[MeasuredFile]) -> MeasuredState | None:
    """The files as one state; None where nothing was walked."""
    if not files:
        return None
    formats = {file.measured.format for file in files}
    columns = {file.measured.columns for file in files}
    return MeasuredState(
        formats.pop() if len(formats) == 1 else None,
        sum(file.measured.row_count for file in files),
        columns.pop() if len(columns) == 1 else None,
    )
