"""`python -m compression_engine compare`: several recipes on one parent, every child made and measured, in one table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from compression_engine.canonical import JSON
from compression_engine.commands import training_options
from compression_engine.commands.arguments import content_of, integer_from, recipe_of

if TYPE_CHECKING:
    from compression_engine.commands.speaker import Speaker

_SEED_LIMIT = 2**32
_QUICK_ROUNDS = 9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments; no library of the engine is needed to parse them."""
    parser.add_argument("parent", type=Path, metavar="MODEL", help="a model, or its folder")
    parser.add_argument(
        "--recipe",
        action="append",
        required=True,
        help="a recipe file, or the name of one that ships; once for each recipe",
    )
    parser.add_argument(
        "--evaluation", type=Path, required=True, metavar="FILE", help="the rows that all children are judged on"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="a new folder")
    parser.add_argument("--calibration", type=Path, metavar="FILE", help="rows for steps that look at data")
    training_options.add_arguments(parser)
    training_options.add_resume(parser)
    parser.add_argument("--plan", type=Path, metavar="PLAN.json", help="task, columns and measures")
    parser.add_argument("--at-least", metavar="SHARE", help="of the answers, to be kept after every step, such as 0.99")
    parser.add_argument(
        "--loses-at-most", metavar="SHARE", help="of quality by labels, after every step: 0.01 is one point"
    )
    parser.add_argument("--licence", metavar="SPDX", help="the parent's licence expression, written into the outputs")
    parser.add_argument(
        "--seed", type=integer_from(0, _SEED_LIMIT - 1), default=0, help="of what is drawn while measuring"
    )
    parser.add_argument("--threads", type=integer_from(1, 256), default=1, help="of the runtime while measuring (1)")
    parser.add_argument("--rounds", type=integer_from(3, 10_000), default=60, help="rounds of latency (60)")
    parser.add_argument(
        "--seen", type=Path, nargs="+", action="extend", default=[], metavar="FILE", help="rows of training"
    )
    parser.add_argument("--allow-seen", action="store_true", help="judge on such rows all the same, and say so")
    parser.add_argument("--quick", action="store_true", help="few rounds; the table says how many")
    parser.add_argument(
        "--disk-limit", type=integer_from(1, 2**60), metavar="BYTES", help="the most that may be written"
    )
    parser.add_argument(
        "--seconds-per-batch", type=integer_from(1, 604_800), metavar="S", help="the longest batch (1800)"
    )


def run(options: argparse.Namespace, speaker: Speaker) -> tuple[dict[str, JSON], str]:
    """What the result line says beside `type` and `command`, and the words for a person."""
    from dataclasses import replace

    from compression_engine.compare import compare_recipes
    from compression_engine.comparing.requested import COMPARISON_NAME, Requested
    from compression_engine.evaluation import Settings
    from compression_engine.plan import Plan
    from compression_engine.searching.budget import share_of
    from compression_engine.steps.budget_kept import StepBudget

    shares = (None if text is None else share_of(text) for text in (options.at_least, options.loses_at_most))
    quick = (_QUICK_ROUNDS, 1)
    settings = Settings(options.seed, options.threads, *(quick if options.quick else (options.rounds,)))
    asked = Requested(
        parent=options.parent,
        recipes=[recipe_of(source) for source in options.recipe],
        evaluation=options.evaluation,
        calibration=options.calibration,
        training=replace(training_options.files_of(options), resume=None),
        plan=None if options.plan is None else Plan.parse(content_of(options.plan)),
        budget=StepBudget(*shares),
        settings=settings,
        licence=options.licence,
        seen=options.seen,
        allow_seen=options.allow_seen,
    )
    found = compare_recipes(asked, output_folder=options.output, resume=options.resume, progress=speaker.progress)
    path = options.output / COMPARISON_NAME
    answer: dict[str, JSON] = {"comparison": found.document, "comparison_path": str(path)}
    return answer, "\n".join(
        [*found.plain, f"Written: {path}, and each child with its RESULT.json in a folder beside it"]
    )
