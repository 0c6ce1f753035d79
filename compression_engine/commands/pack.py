"""`python -m compression_engine pack`: writes a model as one smaller file that gives every byte back."""

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
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="ONNX, safetensors or .pt2, or a folder with model.onnx"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="MODEL.onnx.packed", help="a new file")
    add_disk_limit(parser)


def run(options: argparse.Namespace, speaker: Speaker) -> tuple[dict[str, JSON], str]:
    """What the result line says beside `type` and `command`, and the words for a person."""
    from compression_engine.packed.packing import pack

    made = pack(options.model, options.output, speaker.progress)
    held = sum(one["size_bytes"] for one in made["holds"])
    words = (
        f"{held:,} bytes are {made['size_bytes']:,} packed, {held / made['size_bytes']:.2f} times fewer, for storage and "
        f"transfer: unpacked it is the same model.\nWritten: {options.output}"
    )
    return {"packed": made}, words
