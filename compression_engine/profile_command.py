"""`python -m compression_engine profile`: looks at a file of rows and writes its data profile."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from compression_engine.canonical import JSON
from compression_engine.errors import EngineError

if TYPE_CHECKING:
    from compression_engine.speaker import Speaker

_SEED_LIMIT = 2**31


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments; no library of the engine is needed to parse them."""
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="the rows to look at: a file, or a folder of files of one format"
    )
    parser.add_argument("--label", metavar="COLUMN", help="the column with the right answers")
    parser.add_argument(
        "--against",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="OTHER",
        help="rows not to be found here",
    )
    parser.add_argument("--previous", type=Path, metavar="EARLIER", help="an earlier version of the same data")
    parser.add_argument("--seed", type=_seed, default=0)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) >= _SEED_LIMIT:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 0 to {_SEED_LIMIT - 1}")
    return int(text)


def run(options: argparse.Namespace, speaker: Speaker) -> tuple[dict[str, JSON], str]:
    """What the result line says beside `type` and `command`, and the words for a person."""
    from compression_engine.profile import profile

    if options.output.exists():
        raise EngineError("output_exists", f"{options.output} exists already.", "Give a new name.")
    found = profile(
        options.data,
        label=options.label,
        against=options.against,
        previous=options.previous,
        seed=options.seed,
        progress=speaker.progress,
    )
    partial = options.output.parent / f".{options.output.name}.partial-{os.getpid()}"
    options.output.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.write_bytes(found.canonical())
        partial.rename(options.output)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    words = "\n".join([*found.document["plain"], f"Written: {options.output}"])
    return {"profile": found.document, "result_path": str(options.output)}, words
