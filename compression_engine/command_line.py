"""Parses a call, runs it, and tells what happens: as JSON lines for a program, in words for a person.

Rules: exit 0 done, 1 refused or stopped with a typed error (`diff`: a difference), 2 wrong call. SIGTERM and SIGINT end the work
at once and leave nothing half-written. Commands that need heavy libraries import them when they are called.
"""

from __future__ import annotations

import argparse
import errno
import json
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from compression_engine.answers import batch_watch
from compression_engine.canonical import JSON, CanonicalError, canonical, parse_json
from compression_engine.commands import (
    compare,
    diff,
    expand,
    identify,
    listings,
    map,
    pack,
    profile,
    replay,
    search,
    target,
    training_options,
    unpack,
)
from compression_engine.commands.arguments import (
    add_budget,
    add_measuring,
    content_of,
    integer_from,
    recipe_of,
    write_whole,
)
from compression_engine.commands.speaker import Speaker
from compression_engine.commands.told_first import words_of
from compression_engine.errors import Cancelled, EngineError
from compression_engine.inspect import inspect_file
from compression_engine.limits import RAISE_DISK, Limits, disk_by_file_limit, within
from compression_engine.packed.opened import unpacked
from compression_engine.plan import Plan

Answer = dict[str, JSON]
_FULL = {errno.ENOSPC, errno.EDQUOT}
_OWN_FILES: dict[str, tuple[Any, str]] = {
    "compare": (compare, "Make a child by each of several recipes, and say in one table what each is worth."),
    "replay": (replay, "Make a result again and say whether, or how nearly, it is the same."),
    "search": (search, "Find the cheapest recipe that keeps a promise, or say why there is none."),
    "expand": (expand, "Write a model in safetensors that was stored smaller as float32 again."),
    "identify": (identify, "Say which model of a folder a file was made from, by its weights alone."),
    "map": (map, "Say how a model is quantised, tensor by tensor, held against its tensors."),
    "diff": (diff, "Say whether two models are the same quantisation, and where not."),
    "pack": (pack, "Write a model as one smaller file, for storage and transfer, that gives every byte back."),
    "unpack": (unpack, "Give back what a packed file holds: the same bytes, or none."),
    "profile": (profile, "Say what is missing, doubled, contradicted or odd in a file of rows."),
    "target": (target, "Measure a model on the host that serves it, as it is served there."),
}
"""Commands with a file of their own: a line each, and nothing else here."""


class _Stop(BaseException):
    """A signal asked to stop; not an Exception, so that no `except Exception` on the way can swallow it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    options = _parser().parse_args(arguments)
    speaker = Speaker(options.json)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    batch_watch.end_batches_on_signals()
    try:
        with within(_limits(options)), unpacked(options, speaker.progress):
            answer, words = options.run(options, speaker)
        speaker.result(options.command, answer, words)
        return int(getattr(options, "exit_code", 0))
    except _Stop:
        error: EngineError = _cancelled(options, speaker.reached)
    except EngineError as caught:
        error = caught
    except MemoryError:
        error = _out_of_memory()
    except ModuleNotFoundError as caught:
        hint = "Install the engine's libraries: pip install 'pressmark[engine]'."
        error = EngineError("missing_package", f"The package {caught.name} is not installed.", hint)
    except Exception as caught:
        error = _unforeseen(caught)
    speaker.error(error)
    return 1


def _limits(options: argparse.Namespace) -> Limits:
    """What the call may take; where it does not say, all of its files together what the system allows one."""
    disk_bytes = getattr(options, "disk_limit", None)
    return Limits(
        disk_by_file_limit() if disk_bytes is None else disk_bytes, getattr(options, "seconds_per_batch", None)
    )


def _out_of_memory() -> EngineError:
    hint = "Give the run more memory, or a smaller model or fewer rows."
    return EngineError("out_of_memory", "There is not enough memory.", hint)


def _unforeseen(caught: Exception) -> EngineError:
    """A full disk or memory is nobody's fault here; everything else that no rule foresaw is."""
    if isinstance(caught, OSError) and caught.errno == errno.EFBIG:
        message = f"A file would be larger than the {disk_by_file_limit() or 0:,} bytes that are allowed here."
        return EngineError("disk_full", message, RAISE_DISK)
    if isinstance(caught, OSError) and caught.errno in _FULL:
        hint = "Make room, or name another folder; then ask again."
        return EngineError("disk_full", f"There is no room to write: {caught.strerror}.", hint)
    if isinstance(caught, OSError) and caught.errno == errno.ENOMEM:
        return _out_of_memory()
    traceback.print_exc(file=sys.stderr)
    hint = "This is a fault of the engine: report it with the log of this run."
    return EngineError("internal", f"{type(caught).__name__}: {caught}", hint)


def _cancelled(options: argparse.Namespace, reached: str) -> Cancelled:
    """How far it was, and the folder to go on from, of steps or of answers, where one was named and something lies in it."""
    named = {name: getattr(options, name) for name in ("resume", "work") if hasattr(options, name)}
    for name, work in named.items():
        if work is not None and work.is_dir() and any(work.iterdir()):
            return Cancelled(Path(work), reached, f"--{name}")
    return Cancelled(None, reached, f"--{next(iter(named))}" if named else None)


def _stop(number: int, frame: FrameType | None) -> None:
    for again in (signal.SIGTERM, signal.SIGINT):
        signal.signal(again, signal.SIG_IGN)  # a second signal must not interrupt the cleaning up
    raise _Stop


def _inspect(options: argparse.Namespace, speaker: Speaker) -> tuple[Answer, str]:
    name = options.declared or options.file.name
    document = inspect_file(options.file, name=name, siblings=frozenset(options.sibling)).document()
    return {"inspection": document}, json.dumps(document, indent=2, ensure_ascii=False)


def _compress(options: argparse.Namespace, speaker: Speaker) -> tuple[Answer, str]:
    from compression_engine.pipeline import compress
    from compression_engine.placing import result_path

    recipe = recipe_of(options.recipe)
    if options.outputs is not None:
        _refuse_existing(options.outputs)
        _refuse_within(options.outputs, options.output)
    result = compress(
        options.parent,
        recipe,
        calibration=options.calibration,
        incumbent=options.incumbent,
        first=options.first,
        evaluation=options.evaluation,
        output_folder=options.output,
        plan=_plan(options.plan),
        beside=_beside(options),
        settings=_settings(options, recipe.seed),
        licence=options.licence,
        training=training_options.files_of(options),
        budget=_budget(options),
        pack=options.pack,
        progress=speaker.progress,
    )
    return _measured(result, result_path(options.output))


def _evaluate(options: argparse.Namespace, speaker: Speaker) -> tuple[Answer, str]:
    from compression_engine.evaluation import evaluate

    for file in filter(None, (options.output, options.outputs)):
        _refuse_existing(file)
    if options.outputs is not None:
        _refuse_within(options.outputs, options.output)
    result = evaluate(
        options.child,
        parent=options.parent,
        incumbent=options.incumbent,
        first=options.first,
        data=options.data,
        plan=_plan(options.plan),
        beside=_beside(options),
        settings=_settings(options, 0),
        progress=speaker.progress,
    )
    write_whole(options.output, result.canonical())
    return _measured(result, options.output)


def _figures(options: argparse.Namespace, speaker: Speaker) -> tuple[Answer, str]:
    from compression_engine.answers.figures import recompute

    _refuse_existing(options.output)
    result = recompute(options.outputs, measures=options.measure, progress=speaker.progress)
    write_whole(options.output, result.canonical())
    return _measured(result, options.output)


def _observe(options: argparse.Namespace, speaker: Speaker) -> tuple[Answer, str]:
    from compression_engine.carrying.door import carried_all
    from compression_engine.data import read_rows
    from compression_engine.formats.onnx_io import inspect_model, weights_file
    from compression_engine.measure.distribution import measure_distribution, parse_bins
    from compression_engine.opening import open_pair

    _refuse_existing(options.output)
    bins = None if options.bins is None else parse_bins(_json_file(options.bins, "data_does_not_fit"))
    with carried_all({"child": options.child, "parent": options.parent}) as doors:
        paths = [None if path is None else weights_file(path) for path in doors.paths.values()]
        for path in filter(None, paths):
            inspect_model(path)
        assert paths[0] is not None
        model, parent, encoder = open_pair(paths[0], paths[1], read_rows(options.data), options.threads)
        found = measure_distribution(model, parent, encoder, bins, speaker.progress)
    write_whole(options.output, canonical(found))
    words = f"{found['n']} rows counted in {len(found['features'])} features: {options.output}"
    return {"distribution": found, "result_path": str(options.output)}, words


def _plan(path: Path | None) -> Plan | None:
    return None if path is None else Plan.parse(content_of(path))


def _budget(options: argparse.Namespace) -> Any:
    from compression_engine.searching.budget import share_of
    from compression_engine.steps.budget_kept import StepBudget

    shares = (None if text is None else share_of(text) for text in (options.at_least, options.loses_at_most))
    return StepBudget(*shares)


def _beside(options: argparse.Namespace) -> Any:
    from compression_engine.evaluation import Beside
    from compression_engine.price_sheet import PriceSheet

    return Beside(
        out_of_distribution=options.out_of_distribution,
        outputs=options.outputs,
        work=options.work,
        price_sheet=None if options.price_sheet is None else PriceSheet.parse(content_of(options.price_sheet)),
        seen=options.seen,
        allow_seen=options.allow_seen,
    )


def _settings(options: argparse.Namespace, seed: int) -> Any:
    from compression_engine.evaluation import Settings
    from compression_engine.measure.rounds import QUICK_ROUNDS

    chosen = seed if options.seed is None else options.seed
    if options.quick:
        return Settings(chosen, options.threads, QUICK_ROUNDS, 1, options.provider)
    return Settings(chosen, options.threads, options.rounds, provider=options.provider)


def _measured(result: Any, path: Path) -> tuple[Answer, str]:
    document = result.document()
    return {"result": document, "result_path": str(path)}, "\n".join([*words_of(document), _where(document, path)])


def _where(document: Answer, path: Path) -> str:
    """What was written: the result, and the files of the model that it is about where they were made now."""
    made = document["outputs"] if document["command"] == "compress" else []
    assert isinstance(made, list)
    names = [str(path.parent / str(entry["path"])) for entry in made if isinstance(entry, dict)]
    return f"Written: {', '.join([*names, str(path)])}"


def _json_file(path: Path, code: str) -> JSON:
    try:
        return parse_json(content_of(path))
    except CanonicalError as error:
        raise EngineError(code, f"{path.name}: {error}.", "Give a JSON file.") from error


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise EngineError("output_exists", f"{path} exists already.", "Give a new name.")


def _refuse_within(outputs: Path, target: Path) -> None:
    """One would overwrite the other, or stand in a folder that may appear only whole."""
    if target.resolve() in (outputs.resolve(), *outputs.resolve().parents):
        message = f"--outputs {outputs} is, or lies within, what --output writes."
        raise EngineError("output_exists", message, "Give it a name of its own beside it.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m compression_engine", description="Compresses and measures models.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[..., tuple[Answer, str]], summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary)
        added.add_argument("--json", action="store_true", help="say everything as JSON lines")
        added.set_defaults(run=run)
        return added

    looked = command("inspect", _inspect, "Say what a model file is, without opening what is in it.")
    looked.add_argument("file", type=Path)
    looked.add_argument("--as", dest="declared", metavar="NAME", help="the name under which the file is declared")
    looked.add_argument("--sibling", action="append", default=[], metavar="NAME", help="a file that came with it")
    made = command("compress", _compress, "Make a smaller model by a recipe, and measure it against its parent.")
    made.add_argument("parent", type=Path, metavar="PARENT", help="a model (.onnx, .safetensors), or its folder")
    made.add_argument("--recipe", required=True, help="a recipe file, or the name of a recipe that ships")
    made.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER|OUT.onnx", help="new; OUT.RESULT.json lies beside a file"
    )
    made.add_argument(
        "--calibration", type=Path, metavar="FILE", help="rows of inputs for steps that look at data (.npz, .jsonl ...)"
    )
    made.add_argument("--licence", metavar="SPDX", help="the parent's licence expression, written into the output")
    made.add_argument(
        "--evaluation",
        type=Path,
        metavar="FILE",
        help="rows to measure on; without them generated inputs show that it runs",
    )
    made.add_argument("--pack", action="store_true", help="write it packed too, for storage and transfer")
    training_options.add_arguments(made)
    training_options.add_resume(made)
    add_budget(made)
    _measuring(made)
    judged = command("evaluate", _evaluate, "Measure a model, against its parent where one is given.")
    judged.add_argument("child", type=Path, metavar="CHILD")
    judged.add_argument("--parent", type=Path, help="what it was made from")
    judged.add_argument("--data", type=Path, required=True, metavar="FILE")
    judged.add_argument("--output", type=Path, required=True, metavar="RESULT.json")
    _measuring(judged)
    again = command("figures", _figures, "Compute figures again from stored answers, without a model.")
    again.add_argument("outputs", type=Path, metavar="OUTPUTS.safetensors")
    again.add_argument("--measure", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    again.add_argument("--output", type=Path, required=True, metavar="RESULT.json")
    watched = command("observe", _observe, "Count how inputs and answers are distributed.")
    watched.add_argument("child", type=Path, metavar="CHILD")
    watched.add_argument("--parent", type=Path)
    watched.add_argument("--data", type=Path, required=True, metavar="FILE")
    watched.add_argument("--bins", type=Path, metavar="BASELINE.json")
    watched.add_argument("--output", type=Path, required=True, metavar="OUT.json")
    watched.add_argument("--threads", type=integer_from(1, 256), default=1)
    for name, (module, summary) in _OWN_FILES.items():
        module.add_arguments(command(name, module.run, summary))
    command("methods", listings.methods, "List the methods and their parameters.")
    command("recipes", listings.recipes, "List the recipes that ship.")
    return parser


def _measuring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--incumbent", type=Path, help="what is served now")
    parser.add_argument("--first", type=Path, help="the first approved version of the line")
    parser.add_argument(
        "--seed", type=integer_from(0, 2**32 - 1), help="of what is drawn while measuring (the recipe's, or 0)"
    )
    parser.add_argument(
        "--provider", default="CPUExecutionProvider", help="onnxruntime's execution provider (the CPU's)"
    )
    parser.add_argument("--plan", type=Path, metavar="PLAN.json", help="task, columns and measures")
    parser.add_argument("--out-of-distribution", type=Path, metavar="FILE", help="rows of another kind")
    parser.add_argument("--outputs", type=Path, metavar="OUTPUTS.safetensors", help="keep every answer in this file")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="go on here after the work was killed")
    parser.add_argument("--price-sheet", type=Path, metavar="SHEET.json", help="adds energy and cost")
    add_measuring(parser)
