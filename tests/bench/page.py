"""`python -m tests.bench table FILE... [--of BENCHMARK] [--write PAGE]`: figures, as `--json` prints them, as a page's tables.

Rules:
- figures are never typed by hand: a page holds those of a benchmark between two marks, and this alone writes what stands there;
- a row that does not hold says so in its table and once more in the list of misses; what could not be measured says why, and
  what no file speaks of is named;
- each file begins with what it was measured on and when.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.harness import Row

BEGIN = "<!-- written by `python -m tests.bench table`; figures are not typed by hand -->"
END = "<!-- end of what is written by `python -m tests.bench table` -->"
_FACTS = ("machine", "load", "run")
SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("1. MiniLM, int8 weights", ("quantize_weights",)),
    ("2. MiniLM, dynamic int8", ("quantize_dynamic",)),
    ("3. MiniLM, 4 bits", ("four_bits",)),
    ("4. Voice detector (recurrent)", ("detector",)),
    ("5. Digits (convolutional)", ("digits", "static")),
    ("6. Budget mode", ("search",)),
    ("7. SmolLM2-135M", ("language",)),
    ("8. Streaming", ("streaming",)),
    ("MiniLM, half floats", ("convert_fp16",)),
    ("The peers' stock recipes on MiniLM", ("peer",)),
)
"""Headings, and how the ids of their rows begin (as far as the first `.` or `-`); rows of no section come last."""
TRAINING_SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("1. Pruned in rounds, 4 bits, packed", ("pipeline",)),
    ("2. Channels removed", ("structured",)),
    ("3. Distilled MiniLM", ("distill",)),
    ("4. Training with rounding", ("qat",)),
    ("5. Mortgages by group", ("mortgages",)),
    ("6. Single numbers pruned", ("unstructured",)),
    ("Packed storage", ("storage",)),
)
_OTHER = "Other figures"


@dataclass(frozen=True)
class Block:
    """Where a page holds the figures of one benchmark, and under which headings."""

    begin: str
    end: str
    sections: tuple[tuple[str, tuple[str, ...]], ...]


QUANTIZATION = Block(BEGIN, END, SECTIONS)
TRAINING = Block(
    "<!-- training: written by `python -m tests.bench table --of training`; figures are not typed by hand -->",
    "<!-- training: end of what is written by `python -m tests.bench table` -->",
    TRAINING_SECTIONS,
)
BLOCKS = {"quantization": QUANTIZATION, "training": TRAINING}


class PageError(ValueError):
    """A file holds no rows, or a page has not both marks."""


def read_rows(path: Path) -> list[Row]:
    """The rows of a file; raises PageError, OSError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return [Row(**entry) for entry in document]
    except (ValueError, TypeError) as error:
        raise PageError(f"{path.name} does not hold rows as --json prints them: {error}.") from error


def tables(files: Sequence[Sequence[Row]], block: Block = QUANTIZATION) -> str:
    """All files as one text; of rows with one id the last file's counts."""
    found: dict[str, Row] = {row.id: row for rows in files for row in rows if row.id not in _FACTS}
    lines = ["Measured on:", ""]
    lines += [f"- {_facts(rows)}" for rows in files]
    for heading, rows in _sections(list(found.values()), block):
        lines += [
            "",
            f"### {heading}",
            "",
            "| figure | value | target | holds | n | spread |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_line(row) for row in rows]
    return "\n".join([*lines, *_misses(list(found.values())), *_absent(list(found.values()), block)]) + "\n"


def written(page: str, text: str, block: Block = QUANTIZATION) -> str:
    """The page with the text between its marks; raises PageError."""
    before, begin, rest = page.partition(block.begin)
    _, end, after = rest.partition(block.end)
    if not begin or not end:
        raise PageError(f"The page must hold the lines {block.begin} and {block.end}.")
    return f"{before}{block.begin}\n\n{text}\n{block.end}{after}"


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench table", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--of", choices=sorted(BLOCKS), default="quantization", help="which benchmark's tables")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables between the marks of this page")
    options = parser.parse_args(arguments)
    try:
        block = BLOCKS[options.of]
        text = tables([read_rows(path) for path in options.files], block)
        if options.write is None:
            print(text, end="")
        else:
            page = written(options.write.read_text(encoding="utf-8"), text, block)
            options.write.write_text(page, encoding="utf-8")
    except (PageError, OSError) as error:
        parser.error(str(error))
    return 0


def _sections(rows: list[Row], block: Block) -> list[tuple[str, list[Row]]]:
    known = {begin: heading for heading, begins in block.sections for begin in begins}
    parted: dict[str, list[Row]] = {heading: [] for heading in (*(one for one, _ in block.sections), _OTHER)}
    for row in rows:
        parted[known.get(row.id.replace("-", ".").partition(".")[0], _OTHER)].append(row)
    return [(heading, found) for heading, found in parted.items() if found]


def _facts(rows: Sequence[Row]) -> str:
    facts: dict[str, Any] = {row.id: row for row in rows if row.id in _FACTS}
    if set(facts) != set(_FACTS):
        return "a file that does not say on what"
    machine, load, run = (facts[name] for name in _FACTS)
    count = sum(row.id not in _FACTS for row in rows)
    return (
        f"{run.reason}, {count} figures in {run.value / 60:.0f} minutes: {machine.value:.0f} cores, {machine.reason}; load "
        f"{load.reason} and {load.value:.2f} at the end."
    )


def _line(row: Row) -> str:
    holds = {True: "yes", False: "**no**", None: ""}[row.holds]
    # what holds without a number is an answer in words, such as a refusal
    missing = f"{row.reason}" if row.holds else f"not measured: {row.reason}"
    value = missing if row.value is None else _number(row.value)
    return f"| {_plain(row.what)} | {_plain(value)} | {row.target or ''} | {holds} | {row.n or ''} | {_number(row.spread)} |"


def _misses(rows: list[Row]) -> list[str]:
    missed = [row for row in rows if row.holds is False]
    if not missed:
        return ["", "Every target that was measured holds."]
    lines = ["", "Missed:", ""]
    for row in missed:
        found = f"not measured ({row.reason})" if row.value is None else _number(row.value)
        lines.append(f"- {row.what}: {found}, wanted {row.target}.")
    return lines


def _absent(rows: list[Row], block: Block) -> list[str]:
    """Sections of which no file holds a row, so that nobody takes a part for the whole."""
    there = {heading for heading, _ in _sections(rows, block)}
    missing = [heading for heading, _ in block.sections if heading not in there]
    return ["", f"Not in these files: {'; '.join(missing)}."] if missing else []


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _plain(text: str) -> str:
    """No text of a row may end a cell of the table."""
    return " ".join(text.replace("|", "/").split())
