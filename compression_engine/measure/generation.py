"""What one more token costs a language model: with its cache of keys and values, and without, at one length of context.

Rules:
- without a cache the whole context runs again for every token; with one, a single token runs beside what was kept;
- a cache is known by its names, as exporters write them: inputs `past_key_values.*` or `past.*`, outputs `present.*`;
- a model without such inputs has no figure with a cache, and says so; the row is the one of median length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compression_engine.answers.outputs import PARENT, ROLES, VERSION
from compression_engine.data import Encoder, Feed
from compression_engine.measure.cached import cache_pairs
from compression_engine.measure.feeds import typical_batch
from compression_engine.measure.opening import Opener
from compression_engine.measure.rounds import Budget, Call, Turns, run_in_turns
from compression_engine.measure.timing_figures import MILLISECOND, NAMES, latency_ratio, prefix_of, quantile_figure
from compression_engine.progress import Progress
from compression_engine.result import Measurement
from compression_engine.runtime import Model

_SWITCH, _MASK = "use_cache_branch", "attention_mask"
_BY_TOKEN = ("input_ids", _MASK, "position_ids", "token_type_ids")


@dataclass(frozen=True)
class Step:
    """One way to get the next token: the inputs that it runs with."""

    role: str
    cache: str
    feed: Feed


def measure_generation(
    models: Mapping[str, Model],
    paths: Mapping[str, Path],
    encoder: Encoder,
    budget: Budget,
    threads: int,
    threads_open: int,
    progress: Progress,
) -> list[Measurement]:
    """Milliseconds for the next token by role and cache, what the cache saves, and ratios to the other models."""
    context = context_of(encoder)
    if context is None:
        return []
    whole, tokens = context
    ordered = {role: models[role] for role in ROLES if role in models}
    steps: dict[str, list[Step]] = {}
    for role, model in ordered.items():
        kept = step_with_cache(model, whole, tokens)
        steps[role] = [Step(role, "without", whole), *([] if kept is None else [Step(role, "with", kept)])]
    opener = Opener(ordered, paths, threads, threads_open, lambda role, model: _calls(model, steps[role]))
    turns = run_in_turns(opener, budget, progress, "generation")
    flat = [step for role in ordered for step in steps[role]]
    by_step = {(step.role, step.cache): found for step, found in zip(flat, turns, strict=True)}
    return [entry for role in ordered for entry in _figures(role, by_step, tokens)]


def step_with_cache(model: Model, feed: Feed, tokens: int) -> Feed | None:
    """The inputs of one further token after this context, with the cache that the model itself made; None without one."""
    pairs = cache_pairs(model)
    if not pairs:
        return None
    outputs = dict(zip(model.output_names, model.run(feed), strict=True))
    rows = len(feed["input_ids"])
    step: Feed = {}
    for entry in model.inputs():
        if entry.name in pairs:
            step[entry.name] = outputs[pairs[entry.name]]
        elif entry.name == "input_ids":
            step[entry.name] = feed[entry.name][:, -1:]
        elif entry.name == _MASK:
            step[entry.name] = np.ones((rows, tokens + 1), dtype=entry.dtype)
        elif entry.name == "position_ids":
            step[entry.name] = np.full((rows, 1), tokens, dtype=entry.dtype)
        elif entry.name == _SWITCH:
            step[entry.name] = np.ones_like(feed[entry.name])
        else:
            step[entry.name] = feed[entry.name]
    return step


def context_of(encoder: Encoder) -> tuple[Feed, int] | None:
    """The row of median length without its padding, and how many tokens it has; None where rows are no tokens."""
    mask = encoder.rows.arrays.get(_MASK)
    if encoder.token_counts() is None and mask is not None:
        counts = np.asarray(mask).sum(axis=1)
        middle = int(np.argsort(counts, kind="stable")[len(counts) // 2])
        feed, tokens = encoder.batch([middle] * (encoder.fixed_rows or 1)), int(counts[middle])
        if tokens and np.asarray(mask[middle])[:tokens].all():
            feed = {name: array[:, :tokens] if name in _BY_TOKEN else array for name, array in feed.items()}
    else:
        feed = typical_batch(encoder).feed
    ids = feed.get("input_ids")
    return None if ids is None or ids.ndim != 2 else (feed, int(ids.shape[1]))


def _calls(model: Model, steps: Sequence[Step]) -> list[Call]:
    return [_running(model, step.feed) for step in steps]


def _running(model: Model, feed: Feed) -> Call:
    return lambda: model.run(feed)


def _figures(role: str, turns: Mapping[tuple[str, str], Turns], tokens: int) -> list[Measurement]:
    prefix, found = prefix_of(role), []
    for cache in ("without", "with"):
        where = (("cache", cache), ("context_tokens", str(tokens)))
        taken = turns.get((role, cache))
        if taken is None:
            reason = "the model has no inputs past_key_values.* with outputs present.*"
            plain = f"{NAMES[role]} keeps no cache."
            found.append(
                Measurement(f"{prefix}token_latency_p50_ms", None, MILLISECOND, 0, plain, reason=reason, slice=where)
            )
            continue
        who = f"{NAMES[role]} gives the next token after {tokens} tokens {cache} a cache"
        found.append(quantile_figure(f"{prefix}token_latency_p50_ms", taken, 0.5, who, "in the median", where))
        if role != VERSION and (VERSION, cache) in turns:
            ours = turns[VERSION, cache]
            name = "token_latency_ratio" if role == PARENT else f"{role}_token_latency_ratio"
            words = f"the next token {cache} a cache"
            found.append(latency_ratio(name, ours, taken, words, NAMES[role].lower(), where))
    if (role, "with") in turns:
        found += _saving(prefix, turns[role, "without"], turns[role, "with"], NAMES[role], tokens)
    return found


def _saving(prefix: str, without: Turns, kept: Turns, who: str, tokens: int) -> list[Measurement]:
    where = (("context_tokens", str(tokens)),)
    filled = quantile_figure(
        f"{prefix}prefill_latency_p50_ms", without, 0.5, f"{who} reads {tokens} tokens", "in the median", where
    )
    ratio = latency_ratio(f"{prefix}cache_latency_ratio", kept, without, "a token with its cache", "without it", where)
    return [filled, ratio]
