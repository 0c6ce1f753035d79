"""`python -m compression_engine search`: finds the cheapest recipe that keeps a promise, or says why there is none."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from compression_engine.canonical import JSON
from compression_engine.commands.arguments import content_of, integer_from

if TYPE_CHECKING:
    from compression_engine.commands.speaker import Speaker

_SEED_LIMIT = 2**32
_TRIALS_MOST = 10_000
_MINUTES_MOST = 10_080


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments; no library of the engine is needed to parse them."""
    parser.add_argument("parent", type=Path, metavar="MODEL", help="a model in ONNX, or its folder")
    parser.add_argument(
        "--at-least",
        required=True,
        metavar="SHARE",
        help="what is promised: how much of the answers is kept, such as 0.99",
    )
    parser.add_argument(
        "--then",
        choices=("smallest", "fastest"),
        default="smallest",
        help="which of the recipes that keep the promise (smallest)",
    )
    parser.add_argument(
        "--evaluation", type=Path, required=True, metavar="FILE", help="the rows that recipes are tried on"
    )
    parser.add_argument("--held-back", type=Path, metavar="FILE", help="rows for the verdict (half of the evaluation)")
    parser.add_argument("--calibration", type=Path, metavar="FILE", help="rows that methods may look at")
    parser.add_argument(
        "--measure",
        action="append",
        default=[],
        metavar="NAME",
        help="what is to be kept: cosine_mean, top1_agreement ... (by the answers)",
    )
    parser.add_argument(
        "--slice", nargs="+", action="extend", default=[], metavar="COLUMN", help="kept for each value of it too"
    )
    parser.add_argument(
        "--loses-at-most", metavar="SHARE", help="by the labels of a plan: how much quality may be lost"
    )
    parser.add_argument("--plan", type=Path, metavar="PLAN.json", help="task, columns and measures")
    parser.add_argument("--name", default="searched", metavar="SLUG", help="the name of the recipe")
    parser.add_argument("--licence", metavar="EXPRESSION", help="of the parent, as SPDX writes it")
    parser.add_argument(
        "--seed", type=integer_from(0, _SEED_LIMIT - 1), default=0, help="of everything that is drawn (0)"
    )
    parser.add_argument(
        "--at-most-trials",
        type=integer_from(1, _TRIALS_MOST),
        default=60,
        metavar="N",
        help="the most recipes to try (60)",
    )
    parser.add_argument(
        "--at-most-minutes", type=integer_from(1, _MINUTES_MOST), metavar="N", help="no new recipe is tried after them"
    )
    parser.add_argument("--quick", action="store_true", help="few rounds of latency; the record says how many")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="a new folder")


def run(options: argparse.Namespace, speaker: Speaker) -> tuple[dict[str, JSON], str]:
    """What the result line says beside `type` and `command`, and the words for a person."""
    from compression_engine.plan import Plan
    from compression_engine.recipe import Recipe, Step
    from compression_engine.search import Extent, search_recipe
    from compression_engine.searching.budget import Budget, share_of
    from compression_engine.searching.record import RECIPE_NAME, SEARCH_NAME
    from compression_engine.searching.rows import Files

    Recipe(options.name, (Step("convert_fp16"),))  # a name that is none is refused before anything is read
    loss = None if options.loses_at_most is None else share_of(options.loses_at_most)
    found = search_recipe(
        options.parent,
        Budget(share_of(options.at_least), options.then, tuple(dict.fromkeys(options.measure)), loss),
        Files(options.evaluation, options.calibration, options.held_back),
        output_folder=options.output,
        plan=None if options.plan is None else Plan.parse(content_of(options.plan)),
        slices=options.slice,
        name=options.name,
        seed=options.seed,
        licence=options.licence,
        extent=Extent(options.at_most_trials, options.at_most_minutes, options.quick),
        progress=speaker.progress,
    )
    answer = {
        "recipe_path": str(options.output / RECIPE_NAME),
        "result": found.result.document(),
        "result_path": str(options.output / "RESULT.json"),
        "search": found.record,
        "search_path": str(options.output / SEARCH_NAME),
    }
    paths = [one["path"] for one in found.result.outputs] + ["RESULT.json", RECIPE_NAME, SEARCH_NAME]
    written = f"{options.output}: {', '.join(str(path) for path in paths)}"
    return answer, "\n".join([*found.plain, f"Written: {written}"])
