"""`python -m compression_engine unpack`: gives back what a packed file holds, the same bytes or none."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from compression_engine.canonical import JSON
from compression_engine.commands.arguments import add_disk_limit

if TYPE_CHECKING:
    from compression_engine.commands.speaker import Speaker


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments; no library of the engine is needed to parse them."""
    parser.add_argument("packed", type=Path, metavar="FILE.packed", help="what `pack` wrote")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="(MODEL.onnx | FOLDER)", help="a new file or folder"
    )
    add_disk_limit(parser)


def run(options: argparse.Namespace, speaker: Speaker) -> tuple[dict[str, JSON], str]:
    """What the result line says beside `type` and `command`, and the words for a person."""
    from compression_engine.packed.unpacking import unpack

    written = unpack(options.packed, options.output, speaker.progress)
    words = "\n".join(f"{one['digest']} {one['path']} ({one['size_bytes']:,} bytes)" for one in written)
    return {"outputs": written}, f"{words}\nWritten: {options.output}"
