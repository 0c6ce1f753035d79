"""`python -m compression_engine identify`: says which model of a folder a file was made from, by its weights alone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from compression_engine.canonical import JSON

if TYPE_CHECKING:
    from compression_engine.commands.speaker import Speaker


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments; no library of the engine is needed to parse them."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a model in ONNX or safetensors, of whatever making")
    parser.add_argument(
        "--among", type=Path, required=True, metavar="FOLDER", help="the models that it may be made from"
    )


def run(options: argparse.Namespace, speaker: Speaker) -> tuple[dict[str, JSON], str]:
    """What the result line says beside `type` and `command`, and the words for a person."""
    from compression_engine.identifying.identify import identify

    found = identify(options.file, options.among, speaker.progress)
    return {"identity": found.document(options.among)}, found.plain(options.among)
