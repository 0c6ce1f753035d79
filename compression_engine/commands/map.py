"""`python -m compression_engine map`: how a file is quantised, tensor by tensor, held against what really lies in it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compression_engine.canonical import JSON

if TYPE_CHECKING:
    from compression_engine.commands.speaker import Speaker
    from compression_engine.mapping.quantization_map import QuantizationMap
    from compression_engine.methods.report import Stored

_FROM = {
    "map": "its own map, every digest computed again",
    "graph": "it has no map; as far as its graph says, under the names of this file",
    "result": "what the result says; its model was not looked at",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments; no library of the engine is needed to parse them."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a model, its folder, or a RESULT.json")


def run(options: argparse.Namespace, speaker: Speaker) -> tuple[dict[str, JSON], str]:
    """What the result line says beside `type` and `command`, and the words for a person."""
    from compression_engine.mapping.map_reading import read_map

    found = read_map(options.file)
    return document_of(found), "\n".join([f"{options.file.name}: {_FROM[found.source]}", *_table(found)])


def document_of(found: QuantizationMap) -> dict[str, JSON]:
    """A map as JSON: where it is from, its entries, and what no entry names."""
    from compression_engine.mapping.quantization_map import entry

    unmapped = [{"digest": digest, "dtype": kind, "tensor": name} for name, kind, digest in found.unmapped]
    return {
        "quantization_map": [entry(one) for one in found.entries],
        "source": found.source,
        "unmapped": unmapped,
    }


def _table(found: QuantizationMap) -> Sequence[str]:
    lines = [_line(one) for one in found.entries]
    if found.unmapped:
        names = ", ".join(name for name, _, _ in found.unmapped)
        lines.append(f"Integers or short floats that no entry names: {names}")
    return lines


def _line(one: Stored) -> str:
    what = "rounded while running" if one.values_digest is None else f"values {one.values_digest[:19]}"
    scales = "" if one.scale_digest is None else f", scales {one.scale_digest[:19]}"
    return f"  {one.tensor}: {one.dtype} {one.scheme}, per {one.granularity}, {one.rounding}; {what}{scales}"
