"""`python -m compression_engine diff`: whether two files, or a file and a RESULT.json, are the same quantisation, and where not.

Exit 0: the same; 1: not the same, with every tensor that differs in the result line.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from compression_engine.canonical import JSON

if TYPE_CHECKING:
    from compression_engine.commands.speaker import Speaker

_SHOWN_MAX = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments; no library of the engine is needed to parse them."""
    for name in ("first", "second"):
        parser.add_argument(name, type=Path, metavar=name.upper(), help="a model, its folder, or a RESULT.json")


def run(options: argparse.Namespace, speaker: Speaker) -> tuple[dict[str, JSON], str]:
    """What the result line says beside `type` and `command`, and the words for a person; `options.exit_code` is set."""
    from compression_engine.mapping.map_reading import read_map
    from compression_engine.mapping.quantization_map import differences

    first, second = read_map(options.first), read_map(options.second)
    found = differences(first, second)
    options.exit_code = int(bool(found))
    answer: dict[str, JSON] = {
        "differences": found,
        "same": not found,
        "sources": [first.source, second.source],
        "tensors": [len(first.entries), len(second.entries)],
    }
    if not found:
        return answer, f"The same quantisation: {len(first.entries)} tensors."
    lines = [f"Not the same quantisation: {len(found)} tensors differ."]
    lines += [_line(one, options.first.name, options.second.name) for one in found[:_SHOWN_MAX]]
    lines += [f"  and {len(found) - _SHOWN_MAX} more"] * (len(found) > _SHOWN_MAX)
    if "graph" in (first.source, second.source) and first.source != second.source:
        lines.append("One of them has no map: its tensors are told by their names in that file.")
    return answer, "\n".join(lines)


def _line(one: dict[str, JSON], first: str, second: str) -> str:
    if one["only"] is not None:
        return f"  {one['tensor']}: only in {first if one['only'] == 'first' else second}"
    return f"  {one['tensor']}: other {', '.join(one['in'])}"
