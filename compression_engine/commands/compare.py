"""`python -m compression_engine compare`: several recipes on one parent, every child made and measured, in one table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from compression_engine.canonical import JSON
from compression_engine.commands import training_options
from compression_engine.commands.arguments import add_budget, add_measuring, content_of, integer_from, recipe_of

if TYPE_CHECKING:
    from compression_engine.commands.speaker import Speaker

_SEED_LIMIT = 2**32


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
    add_budget(parser)
    parser.add_argument("--licence", metavar="SPDX", help="the parent's licence expression, written into the outputs")
    parser.add_argument(
        "--seed", type=integer_from(0, _SEED_LIMIT - 1), default=0, help="of what is drawn while measuring"
    )
    add_measuring(parser)


def run(options: argparse.Namespace, speaker: Speaker) -> tuple[dict[str, JSON], str]:
    """What the result line says beside `type` and `command`, and the words for a person."""
    from dataclasses import replace

    from compression_engine.compare import compare_recipes
    from compression_engine.comparing.requested import COMPARISON_NAME, Requested
    from compression_engine.evaluation import Settings
    from compression_engine.measure.rounds import QUICK_ROUNDS
    from compression_engine.plan import Plan
    from compression_engine.searching.budget import share_of
    from compression_engine.steps.budget_kept import StepBudget

    shares = (None if text is None else share_of(text) for text in (options.at_least, options.loses_at_most))
    quick = (QUICK_ROUNDS, 1)
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
