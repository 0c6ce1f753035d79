"""How long a batch takes and how many rows go through in a second, every model measured in turns with the others.

Rules:
- threads are pinned (one session a thread count, no spinning); each batch size meets each thread count of the plan;
- the first batch size and thread count stand without a slice: gates ask for them; every further setting is a slice;
- latency is what the wall clock showed, with the share of turns in which other programs took the processor away; ratios are
  of undisturbed time, paired round by round (see `rounds`);
- a language model is also measured token by token, with its cache and without (see `generation`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from compression_engine.answers.outputs import PARENT, ROLES, VERSION
from compression_engine.data import Encoder, Feed
from compression_engine.measure.context import Context, Found
from compression_engine.measure.feeds import typical_batch
from compression_engine.measure.generation import measure_generation
from compression_engine.measure.opening import Opener
from compression_engine.measure.rounds import ROUNDS, Budget, Call, run_in_turns
from compression_engine.measure.timing_figures import MILLISECOND, Slice, figures_of
from compression_engine.progress import Progress
from compression_engine.result import Measurement
from compression_engine.runtime import Model

__all__ = [
    "METHOD",
    "METHOD_VERSION",
    "ROUNDS",
    "Setting",
    "measure",
    "measure_latency",
    "measure_setting",
    "settings_of",
]

METHOD = "interleaved_rounds"
METHOD_VERSION = "4"
_SECONDS_FIRST = 40.0
_SECONDS_MORE = 6.0


@dataclass(frozen=True)
class Setting:
    """One batch size and thread count; `slice` is empty for the first, which gates ask for."""

    batch: int
    threads: int
    slice: Slice = ()


def measure(context: Context) -> list[Found]:
    """Latency, throughput, processor time and ratios; nothing where no model is at hand."""
    if not context.models or context.encoder is None:
        return []
    found: list[Measurement] = []
    settings = settings_of(context)
    for setting in settings:
        found += _measured(context, context.encoder, setting)
    if context.plan.task == "language-model":
        budget = Budget(context.rounds, _SECONDS_MORE)
        threads = settings[0].threads
        found += measure_generation(
            context.models, context.paths, context.encoder, budget, threads, context.threads, context.progress
        )
    pinned = " ".join(str(count) for count in dict.fromkeys(setting.threads for setting in settings))
    facts = [("rounds", str(context.rounds)), ("spinning", "off"), ("threads_pinned", pinned)]
    return [Found("timing", METHOD, found, None, METHOD_VERSION, facts)]


def _measured(context: Context, encoder: Encoder, setting: Setting) -> list[Measurement]:
    seconds = _SECONDS_MORE if setting.slice else _SECONDS_FIRST
    budget = Budget(context.rounds, seconds)
    return measure_setting(context.models, context.paths, encoder, setting, budget, context.threads, context.progress)


def measure_latency(
    child: Model, parent: Model | None, encoder: Encoder, rounds: int, threads: int, progress: Progress
) -> list[Measurement]:
    """The figures of one row at a time, against the parent where there is one. Models stay open as they are."""
    models = {VERSION: child} if parent is None else {VERSION: child, PARENT: parent}
    budget = Budget(rounds, _SECONDS_FIRST)
    return measure_setting(models, {}, encoder, Setting(1, threads), budget, threads, progress)


def settings_of(context: Context) -> list[Setting]:
    """Every batch size with every thread count. A plan that leaves threads at one is measured with the threads that run."""
    plan = context.plan
    counts = plan.thread_counts if plan.thread_counts != (1,) else (context.threads,)
    pairs = [(batch, threads) for threads in dict.fromkeys(counts) for batch in dict.fromkeys(plan.batch_sizes)]
    first, *more = pairs
    return [
        Setting(*first),
        *(Setting(batch, threads, (("batch", str(batch)), ("threads", str(threads)))) for batch, threads in more),
    ]


def measure_setting(
    models: Mapping[str, Model],
    paths: Mapping[str, Path],
    encoder: Encoder,
    setting: Setting,
    budget: Budget,
    threads_open: int,
    progress: Progress,
) -> list[Measurement]:
    """All figures of one setting. `threads_open`: how many threads the given models were opened with."""
    if encoder.fixed_rows is not None and setting.slice and setting.batch != encoder.fixed_rows:
        reason = f"the model takes exactly {encoder.fixed_rows} rows at a time"
        plain = f"Batches of {setting.batch} rows cannot be measured."
        return [Measurement("latency_p50_ms", None, MILLISECOND, 0, plain, reason=reason, slice=setting.slice)]
    batch = typical_batch(encoder, setting.batch)
    ordered = {role: models[role] for role in ROLES if role in models}
    opener = Opener(ordered, paths, setting.threads, threads_open, lambda role, model: [_running(model, batch.feed)])
    turns = dict(zip(ordered, run_in_turns(opener, budget, progress), strict=True))
    words = f"{batch.words} on {setting.threads} thread{'s' if setting.threads > 1 else ''}"
    return [entry for role in ordered for entry in figures_of(role, turns, batch.rows, words, setting.slice)]


def _running(model: Model, feed: Feed) -> Call:
    return lambda: model.run(feed)
