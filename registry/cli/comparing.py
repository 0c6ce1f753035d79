"""What a shell says of several recipes that were asked for in one request: it waits for all runs, then prints their table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from registry.cli.remote import show_progress
from registry.client import Client

_HEADS = ("recipe", "state", "child", "bytes", "smaller", "kept", "quality", "worst group", "time", "")
_NONE, _MARK = "-", "*"
_POINTS = 100


def compared(client: Client, requested: Mapping[str, Any], *, wait: bool, timeout: float = 7200 * 4) -> int:
    """Prints where the comparison is found, and its table once all runs have ended; exit status 0 where a child came out."""
    address = f"comparisons/{requested['id']}"
    print(f"{len(requested['rows'])} runs are queued: comparison {requested['id']}, page /{address}/.")
    if not wait:
        return 0
    total = len(requested["rows"])

    def seen(found: Mapping[str, Any]) -> None:
        show_progress(total - int(found["in_work"]), total, f"{'runs':<12}")

    found = client.wait_for(address, lambda state: state["in_work"] == 0, seen, timeout)
    for line in table_of(found):
        print(line)
    return 0 if any(row["child"] for row in found["rows"]) else 1


def table_of(found: Mapping[str, Any]) -> list[str]:
    """The table of a comparison, and what is to be said about it."""
    rows = [_HEADS, *(_line(row) for row in found["rows"])]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_HEADS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, "", *_notes(found)]


def _notes(found: Mapping[str, Any]) -> list[str]:
    said = [str(found["times"])]
    if any(row["on_front"] for row in found["rows"]):
        by = "labels" if found["better_by"] == "labels" else "what is kept of the parent's answers"
        said.append(f"{_MARK} no other is as small, as fast and as good by {by}, and better in one of these.")
    for row in found["rows"]:
        if row["ended_at_step"]:
            said.append(f"{row['recipe']}: {row['ended_at_step']}")
        if row["failure_code"]:
            said.append(f"{row['recipe']}: {row['failure_code']}: {row['failure']}")
    return said


def _line(row: Mapping[str, Any]) -> Sequence[str]:
    size = row["size_bytes"]
    return (
        str(row["recipe"]),
        str(row["state"]),
        str(row["child"] or _NONE),
        _NONE if size is None else f"{size:,}",
        _number(row["size_ratio"], 2),
        _number(row["kept"], 4),
        _signed(row["quality"]),
        _worst(row["worst"]),
        _number(row["latency_ratio"], 2),
        _MARK if row["on_front"] else "",
    )


def _number(figure: Mapping[str, Any] | None, digits: int) -> str:
    return _NONE if figure is None else f"{float(figure['value']):.{digits}f}"


def _signed(figure: Mapping[str, Any] | None) -> str:
    """A difference to the parent; of shares in points."""
    if figure is None:
        return _NONE
    if figure["unit"] == "share":
        return f"{_POINTS * float(figure['value']):+.2f} points"
    return f"{float(figure['value']):+.4g}"


def _worst(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return _NONE
    where = ", ".join(f"{part['name']} {part['value']}" for part in figure["slice"])
    value = _signed(figure) if str(figure["metric"]).endswith("_difference") else _number(figure, 4)
    return f"{where}: {value}"
