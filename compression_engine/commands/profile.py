"""`python -m compression_engine profile`: looks at a file of rows and writes its data profile."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from compression_engine.canonical import JSON
from compression_engine.commands.arguments import integer_from, write_whole
from compression_engine.errors import EngineError

if TYPE_CHECKING:
    from compression_engine.commands.speaker import Speaker

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
    parser.add_argument("--seed", type=integer_from(0, _SEED_LIMIT - 1), default=0)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")


def run(options: argparse.Namespace, speaker: Speaker) -> tuple[dict[str, JSON], str]:
    """What the result line says beside `type` and `command`, and the words for a person."""
    from compression_engine.profiling.profile import profile

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
    write_whole(options.output, found.canonical())
    words = "\n".join([*found.document["plain"], f"Written: {options.output}"])
    return {"profile": found.document, "result_path": str(options.output)}, words
