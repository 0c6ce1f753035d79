"""Whether a language model scores a text the same from its cache of keys and values as from the whole text at once.

The beginning of a text is read at once, up to its last eight tokens, which follow one by one from the cache. Inputs named
`past_key_values...` or `past...` take the outputs `present...` of the step before, as exporters name them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from compression_engine.data import Array, Encoder, Feed
from compression_engine.errors import EngineError
from compression_engine.measure.figures import UNIT, larger_of, largest_difference
from compression_engine.measure.statistics.intervals import share_interval
from compression_engine.plan import Plan
from compression_engine.result import Measurement
from compression_engine.runtime import Model

_TEXTS = 16
_STEPS_MAX = 8
_SWITCH, _MASK = "use_cache_branch", "attention_mask"
_RENAMED = (("past_key_values", "present"), ("past_key_values", "present_key_values"), ("past", "present"))


def figures(model: Model, encoder: Encoder, plan: Plan, output: int, prefix: str, who: str) -> list[Measurement]:
    """Largest difference of a score and share of equal first choices; nothing for a model without a cache."""
    pairs = cache_pairs(model)
    if not pairs:
        return []
    metric = f"{prefix}cache_difference_max"
    try:
        differences, same = _compared(model, encoder, pairs, output)
    except EngineError as error:
        return [_none(metric, who, f"it does not run from its cache: {error.message}")]
    if not same:
        return [_none(metric, who, "no text has two tokens, or the model takes a fixed number of rows")]
    worst: float | None = 0.0
    for difference in differences:
        worst = larger_of(worst, difference)
    hits, n = sum(same), len(same)
    reason = "a largest value has no interval"
    exactly = "exactly the same" if worst == 0 else f"the same up to {worst:.2g}"
    if worst is None:
        reason, exactly = "only one of two scores of the same token is finite", "otherwise"
    plain = f"{who} scores a token {exactly} from its cache and from the whole text ({n} tokens)."
    low, high = share_interval(hits, n)
    said = f"{who} makes the same first choice from its cache and from the whole text for {hits} of {n} tokens."
    return [
        Measurement(metric, worst, UNIT, n, plain, reason=reason),
        Measurement(f"{prefix}cache_agreement", hits / n, "share", n, said, low, high),
    ]


def cache_pairs(model: Model) -> dict[str, str]:
    """Input of the cache -> output that fills it; empty where the model has none or lacks an output."""
    inputs = [entry.name for entry in model.inputs() if entry.name.startswith("past")]
    found: dict[str, str] = {}
    for name in inputs:
        names = [name.replace(old, new, 1) for old, new in _RENAMED if name.startswith(old)]
        given = [other for other in names if other in model.output_names]
        if given:
            found[name] = given[0]
    return found if len(found) == len(inputs) else {}


def _compared(
    model: Model, encoder: Encoder, pairs: Mapping[str, str], output: int
) -> tuple[list[float | None], list[bool]]:
    differences: list[float | None] = []
    same: list[bool] = []
    if encoder.fixed_rows not in (None, 1):
        return differences, same
    for index in range(min(_TEXTS, len(encoder.rows))):
        feed = _real_tokens(encoder.batch([index]))
        length = _tokens(feed)
        if length < 2:
            continue
        whole = model.run(feed)[output][0].astype(np.float64)
        for place, scores in _from_cache(model, feed, pairs, output, length):
            differences.append(largest_difference(scores, whole[place]))
            same.append(bool(scores.argmax() == whole[place].argmax()))
    return differences, same


def _from_cache(
    model: Model, feed: Feed, pairs: Mapping[str, str], output: int, length: int
) -> Iterator[tuple[int, Array]]:
    """(place, scores) of the last tokens, each from the cache of all before it."""
    steps = min(_STEPS_MAX, length - 1)
    begin = length - steps
    answered = model.run(_part(feed, 0, begin, length))
    for place in range(begin, length):
        cache = {name: answered[model.output_names.index(other)] for name, other in pairs.items()}
        answered = model.run(_part(feed, place, place + 1, length) | cache)
        yield place, answered[output][0, -1].astype(np.float64)


def _part(feed: Feed, start: int, end: int, length: int) -> Feed:
    """Some tokens of the text; the mask covers those before them too, and the switch says that there is a cache."""
    part: Feed = {}
    for name, array in feed.items():
        if name == _SWITCH:
            part[name] = np.full_like(array, start > 0)
        elif array.ndim == 2 and array.shape[1] == length:
            part[name] = array[:, :end] if name == _MASK else array[:, start:end]
        else:
            part[name] = array
    return part


def _real_tokens(feed: Feed) -> Feed:
    mask = feed.get(_MASK)
    if mask is None:
        return feed
    kept = np.flatnonzero(mask[0])
    return {
        name: array[:, kept] if array.ndim == 2 and array.shape[1] == mask.shape[1] else array
        for name, array in feed.items()
    }


def _tokens(feed: Feed) -> int:
    named: Sequence[Array] = [array for name, array in feed.items() if name == "input_ids"]
    found = named or [array for array in feed.values() if array.ndim == 2 and array.dtype.kind in "iu"]
    return int(found[0].shape[1]) if found else 0


def _none(metric: str, who: str, reason: str) -> Measurement:
    return Measurement(metric, None, UNIT, 0, f"{who} was not compared with its cache: {reason}.", reason=reason)
