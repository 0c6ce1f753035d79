"""`python -m compression_engine target`: measures a model on the host that serves it and writes the document.

It is what `pressmark measure` starts, so that the process whose memory and threads are measured holds nothing else.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from compression_engine.canonical import JSON, canonical
from compression_engine.commands.arguments import content_of, integer_from, write_whole
from compression_engine.errors import EngineError

if TYPE_CHECKING:
    from compression_engine.commands.speaker import Speaker

QUICK_ROUNDS = 9
_NAMED = ("data", "parent", "plan", "output", "threads", "graph_optimisation", "provider", "setting", "rounds", "seed")
_OPTIMISATIONS = ("none", "basic", "extended", "all")


def add_arguments(parser: argparse.ArgumentParser, *, all_required: bool = True) -> None:
    """The arguments, shared with `pressmark measure`; no library of the engine is needed to parse them."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="the weights, or a folder with model.onnx")
    parser.add_argument("--data", type=Path, required=all_required, metavar="ROWS", help="the rows to measure on")
    parser.add_argument("--parent", type=Path, metavar="PARENT", help="compare with it, both in turns")
    parser.add_argument("--plan", type=Path, metavar="PLAN.json", help="task, columns and batch sizes")
    parser.add_argument(
        "--output", type=Path, required=all_required, metavar="FILE", help="where the document is written"
    )
    parser.add_argument(
        "--threads", type=integer_from(1, 256), default=1, help="threads of one prediction, as it is served (1)"
    )
    parser.add_argument("--graph-optimisation", choices=_OPTIMISATIONS, default="all", help="as it is served (all)")
    parser.add_argument("--provider", default="CPUExecutionProvider", help="execution provider, as it is served")
    parser.add_argument(
        "--setting", action="append", default=[], metavar="NAME=VALUE", help="what else is set where it is served"
    )
    parser.add_argument("--rounds", type=integer_from(3, 10_000), default=60, help="rounds of latency (60)")
    parser.add_argument("--seed", type=integer_from(0, 2**32 - 1), default=0)
    parser.add_argument("--quick", action="store_true", help="few rounds; the evidence says how many")


def words_of(options: argparse.Namespace) -> list[str]:
    """The same call as words, for a process of its own; what else a namespace holds is left out."""
    words = [str(options.model), *(["--quick"] if options.quick else [])]
    for name in _NAMED:
        value = getattr(options, name)
        values = value if isinstance(value, list) else [] if value is None else [value]
        words += [f"--{name.replace('_', '-')}={entry}" for entry in values]
    return words


def run(options: argparse.Namespace, speaker: Speaker) -> tuple[dict[str, JSON], str]:
    """Measures, and writes the document under a name that was free."""
    from compression_engine.plan import Plan
    from compression_engine.target import Serving, measure_target

    if options.output.exists():
        raise EngineError("output_exists", f"{options.output} exists already.", "Give a new name.")
    named = settings_of(options.setting)
    document = measure_target(
        options.model,
        data=options.data,
        parent=options.parent,
        plan=None if options.plan is None else Plan.parse(content_of(options.plan)),
        serving=Serving(options.threads, options.graph_optimisation, options.provider, named),
        rounds=QUICK_ROUNDS if options.quick else options.rounds,
        memory_repeats=1 if options.quick else 3,
        seed=options.seed,
        progress=speaker.progress,
    )
    write_whole(options.output, canonical(document))
    words = "\n".join([*document["evidence"][0]["plain"], f"Written: {options.output}"])
    return {"measurement": document, "result_path": str(options.output)}, words


def settings_of(pairs: list[str]) -> dict[str, str]:
    """NAME=VALUE as a mapping; raises EngineError (setting_invalid)."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name in found:
            what = "stands twice" if name in found else "is not NAME=VALUE"
            raise EngineError("setting_invalid", f"--setting {pair} {what}.", "Write for example --setting replicas=2.")
        found[name] = value
    return found
