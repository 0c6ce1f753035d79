"""`python -m compression_engine expand`: writes a model in safetensors that was stored smaller as float32 again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from compression_engine.canonical import JSON

if TYPE_CHECKING:
    from compression_engine.commands.speaker import Speaker


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments; no library of the engine is needed to parse them."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a model in safetensors, the index of one, or its folder"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="OUT", help="a new .safetensors file, or a folder"
    )


def run(options: argparse.Namespace, speaker: Speaker) -> tuple[dict[str, JSON], str]:
    """What the result line says beside `type` and `command`, and the words for a person."""
    from compression_engine.expanding import expand

    written = expand(options.file, options.output, speaker.progress)
    words = "\n".join(f"{one['digest']} {one['path']} ({one['size_bytes']:,} bytes)" for one in written)
    return {"outputs": written}, f"{words}\nWritten: {options.output}"
