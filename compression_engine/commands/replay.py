"""`python -m compression_engine replay`: makes a result again; with `--recorded` says by tensor how far it is from that file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from compression_engine.canonical import JSON
from compression_engine.commands import training_options
from compression_engine.commands.arguments import content_of, write_whole
from compression_engine.environment import ENGINE_VERSION
from compression_engine.errors import EngineError

if TYPE_CHECKING:
    from compression_engine.commands.speaker import Speaker
    from compression_engine.plan import Plan
    from compression_engine.recipe import Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments; no library of the engine is needed to parse them."""
    parser.add_argument("result", type=Path, metavar="RESULT.json", nargs="?", help="what compress wrote")
    parser.add_argument("--parent", type=Path, required=True, help="the model that it was made from")
    parser.add_argument("--calibration", type=Path, metavar="FILE", help="the rows that steps looked at, if some did")
    training_options.add_arguments(parser)
    parser.add_argument(
        "--evaluation", type=Path, metavar="FILE", help="the rows that it was judged by: its figures are made again too"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER|OUT.onnx", help="a new place for what is made, kept if it is the same"
    )
    parser.add_argument("--recorded", type=Path, metavar="FILE", help="compare with this model, tensor by tensor")
    parser.add_argument("--recipe", type=Path, metavar="FILE", help="with --recorded, where there is no RESULT.json")
    parser.add_argument("--plan", type=Path, metavar="PLAN.json", help="with --recipe: how calibration rows are read")
    parser.add_argument("--licence", metavar="SPDX", help="with --recipe: what is stated of the parent")
    parser.add_argument(
        "--recorded-on",
        type=Path,
        metavar="RESULT.json",
        help="with --recipe: a result that says on which processor it was made",
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="with --recorded: where the comparison is written")


def run(options: argparse.Namespace, speaker: Speaker) -> tuple[dict[str, JSON], str]:
    """What the result line says beside `type` and `command`, and the words for a person."""
    if options.recorded is not None:
        return _compared(options, speaker)
    from compression_engine.replaying.replay import engine_of, replayed
    from compression_engine.replaying.said_again import words_of
    from compression_engine.result import read_result

    if options.result is None or options.output is None:
        what = "There is no RESULT.json" if options.result is None else "There is no place for what is made again"
        hint = (
            "Give RESULT.json and --output FOLDER; or --recorded FILE and --report FILE, to compare tensor by tensor."
        )
        raise EngineError("result_invalid", f"{what}.", hint)
    made = replayed(
        options.result,
        parent=options.parent,
        output_folder=options.output,
        calibration=options.calibration,
        training=training_options.files_of(options),
        evaluation=options.evaluation,
        progress=speaker.progress,
    )
    recorded_by = engine_of(read_result(options.result))
    words = f"The same bytes: {made.digest}"
    if recorded_by != ENGINE_VERSION:
        words += f" (engine {recorded_by} made them first, engine {ENGINE_VERSION} made them again)"
    answer: dict[str, JSON] = {"digest": made.digest, "recorded_engine": recorded_by, "same": True}
    parts: list[JSON] = [part.document() for part in made.parts]
    return answer | {"parts": parts}, "\n".join([words, *words_of(made.parts)])


def _compared(options: argparse.Namespace, speaker: Speaker) -> tuple[dict[str, JSON], str]:
    from compression_engine.replaying.rederiving import rederive
    from compression_engine.replaying.replay import environment_of
    from compression_engine.result import read_result

    target: Path | None = options.report
    if options.evaluation is not None:
        hint = "Leave --recorded and --report out, and give --output: figures are held against those of RESULT.json."
        raise EngineError("option_unused", "--evaluation is given, and a comparison of tensors measures nothing.", hint)
    if target is None:
        raise EngineError("not_found", "--recorded needs a place for its report.", "Give --report FILE.")
    if target.exists():
        raise EngineError("output_exists", f"{target} exists already.", "Give a new name.")
    recipe, plan, licence = _how(options)
    made_by = options.result or options.recorded_on
    found = rederive(
        options.recorded,
        parent=options.parent,
        recipe=recipe,
        calibration=options.calibration,
        training=training_options.files_of(options),
        plan=plan,
        licence=licence,
        recorded_on=None if made_by is None else environment_of(read_result(made_by)),
        progress=speaker.progress,
    )
    write_whole(target, found.canonical())
    return {"report": found.document, "result_path": str(target)}, f"{found.plain}\nWritten: {target}"


def _how(options: argparse.Namespace) -> tuple[Recipe, Plan | None, str | None]:
    """Recipe, plan and stated licence: of the result, or given by themselves."""
    from compression_engine.canonical import canonical
    from compression_engine.plan import Plan
    from compression_engine.recipe import Recipe
    from compression_engine.result import read_result

    if (options.result is None) == (options.recipe is None):
        raise EngineError("recipe_invalid", "One thing says what to do again.", "Give RESULT.json, or --recipe.")
    if options.result is None:
        plan = None if options.plan is None else Plan.parse(content_of(options.plan))
        return Recipe.parse(content_of(options.recipe)), plan, options.licence
    document = read_result(options.result)
    if document["recipe"] is None:
        raise EngineError("result_invalid", f"{options.result.name} records no compression.", "Give one that does.")
    plan = None if document.get("plan") is None else Plan.parse(document["plan"])
    return Recipe.parse(canonical(document["recipe"])), plan, document.get("licence") or options.licence
