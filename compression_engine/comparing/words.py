"""A comparison as a person reads it in a shell: a table of all recipes, what is on the front, and why some have no child."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compression_engine.comparing.judging import Judged
from compression_engine.comparing.table import Table
from compression_engine.searching.bounds import Figure
from compression_engine.searching.budget import QUALITY

_HEADS = ("recipe", "size", "smaller", "kept", "worst group", "points lost", "worst group", "time", "")
_MARK = "*"
_NONE = "-"


def words_of(table: Table) -> list[str]:
    """Lines: the table, then what is to be said about it."""
    front = table.front()
    lines = [_line(table, one, one.child.name in front) for one in table.found]
    original = ("original", _size(table.original.size_bytes), "1.00", *(_NONE,) * 4, "1.00", "")
    shown = _columns([_HEADS, original, *lines], with_labels=QUALITY in table.yardstick.measures)
    return [*shown, "", *_notes(table, front)]


def _notes(table: Table, front: Sequence[str]) -> Iterator[str]:
    rows = len(table.yardstick.encoder.rows)
    measure = next(name for name in table.yardstick.measures if name != QUALITY)
    yield f"Kept: {measure} with the original's answers, {rows:,} rows, the same for all. Intervals stand in comparison.json."
    rounds = next((one.pace.n for one in table.found if one.pace is not None), None)
    if rounds is not None:
        yield f"Time: for one row, in the original's, all of them in turns in one run of {rounds} rounds; less is faster."
    if front:
        yield f"{_MARK} no other is as small, as fast and as good, and better in one of these: {', '.join(front)}."
    for one in table.found:
        if one.child.error is not None:
            yield f"{one.child.name}: {one.child.error.code}: {one.child.error.message} {one.child.error.hint}"
            continue
        ended = ((one.child.result or {}).get("budget") or {}).get("ended")
        if ended is not None:
            yield f"{one.child.name} ended early, with the last state that kept the budget. {ended['plain']}"


def _line(table: Table, one: Judged, is_on_front: bool) -> tuple[str, ...]:
    child = one.child
    if one.held is None:
        return (child.name, *(_NONE,) * 7, "refused")
    measure = next(name for name in table.yardstick.measures if name != QUALITY)
    ended = ((child.result or {}).get("budget") or {}).get("ended")
    return (
        child.name,
        _size(child.size_bytes),
        f"{table.original.size_bytes / child.size_bytes:.2f}",
        _of(next((figure for figure in one.overall() if figure.measure == measure), None)),
        _of(one.worst(measure), named=True),
        _of(next((figure for figure in one.overall() if figure.measure == QUALITY), None)),
        _of(one.worst(QUALITY), named=True),
        _NONE if one.pace is None or one.pace.value is None else f"{one.pace.value:.2f}",
        " ".join([*([_MARK] if is_on_front else []), *(["ended early"] if ended is not None else [])]),
    )


def _of(figure: Figure | None, *, named: bool = False) -> str:
    if figure is None:
        return _NONE
    said = f"{0.0 - 100 * figure.value:.2f}" if figure.measure == QUALITY else f"{figure.value:.4f}"
    return f"{said} ({figure.where[0]} {figure.where[1]})" if named and figure.where is not None else said


def _size(size_bytes: int) -> str:
    return f"{size_bytes:,} B" if size_bytes < 100_000 else f"{size_bytes / 1e6:.2f} MB"


def _columns(rows: Sequence[Sequence[str]], *, with_labels: bool) -> list[str]:
    """Rows in columns that are as wide as what stands in them; without labels those of quality are left out."""
    kept = [place for place in range(len(_HEADS)) if with_labels or place not in (5, 6)]
    kept = [place for place in kept if place in (0, len(_HEADS) - 1) or any(row[place] != _NONE for row in rows[2:])]
    widths = {place: max(len(row[place]) for row in rows) for place in kept}
    lines = []
    for row in rows:
        cells = [
            row[place].ljust(widths[place]) if place in (0, 8) else row[place].rjust(widths[place]) for place in kept
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
