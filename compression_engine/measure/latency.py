"""How long one row takes, child and parent measured in turns so that a busy machine slows both alike.

Rules:
- one row at a time, the same for both: the one of median length; threads pinned; warm-up runs are not counted;
- each round runs both, in alternating order, and gives one ratio; at least 25 rounds unless asked for fewer (n says so);
- very fast models run several times a round, so that the clock's grain does not show.
"""

from __future__ import annotations

import time

import numpy as np

from compression_engine.data import Encoder, Feed
from compression_engine.measure.intervals import Floats, quantile_interval, quartile_range
from compression_engine.progress import Progress
from compression_engine.result import Measurement
from compression_engine.runtime import Model, batches

METHOD = "interleaved_rounds"
ROUNDS = 60
_WARM_UP = 5
_ROUND_SECONDS_MIN = 0.001
_REPEATS_MAX = 1000
_UNIT = "millisecond"


def measure_latency(
    child: Model, parent: Model | None, encoder: Encoder, rounds: int, threads: int, progress: Progress
) -> list[Measurement]:
    """Median and 95 % quantile of each, and the ratio child / parent (below 1: the child is faster)."""
    feed, words = _typical_row(encoder)
    models = [child] if parent is None else [child, parent]
    repeats = [_repeats(model, feed) for model in models]
    times = np.empty((rounds, len(models)))
    for number in range(rounds):
        progress("latency", number, rounds, "measuring in turns")
        order = range(len(models)) if number % 2 == 0 else reversed(range(len(models)))
        for index in order:
            times[number, index] = 1000 * _seconds(models[index], feed, repeats[index])
    progress("latency", rounds, rounds, "measured")
    setting = f"{words} on {threads} thread{'s' if threads > 1 else ''}"
    found = _figures("latency", times[:, 0], f"The model answers {setting}")
    if parent is not None:
        found += _figures("parent_latency", times[:, 1], f"The original answers {setting}")
        found.append(_ratio(times[:, 0] / times[:, 1], setting))
    return found


def _typical_row(encoder: Encoder) -> tuple[Feed, str]:
    counts = encoder.token_counts()
    if counts is None:
        return next(batches(encoder, 1)).feed, "one row" if encoder.fixed_rows in (None, 1) else "one batch"
    index = int(np.argsort(counts, kind="stable")[len(counts) // 2])
    indices = [index] * (encoder.fixed_rows or 1)
    return encoder.batch(indices), f"one row of {counts[index]} tokens"


def _repeats(model: Model, feed: Feed) -> int:
    for _ in range(_WARM_UP):
        model.run(feed)
    seconds = _seconds(model, feed, 1)
    return min(_REPEATS_MAX, max(1, round(_ROUND_SECONDS_MIN / max(seconds, 1e-7))))


def _seconds(model: Model, feed: Feed, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        model.run(feed)
    return (time.perf_counter() - start) / repeats


def _figures(prefix: str, times: Floats, who: str) -> list[Measurement]:
    found = []
    for share, name, words in ((0.5, "p50", "in the median"), (0.95, "p95", "in 19 of 20 cases")):
        value = float(np.quantile(times, share))
        low, high = quantile_interval(times, share)
        found.append(
            Measurement(
                f"{prefix}_{name}_ms",
                value,
                _UNIT,
                len(times),
                f"{who} within {value:.2f} ms {words} ({len(times)} rounds).",
                low=low,
                high=high,
                spread=quartile_range(times),
                reason=None if low is not None and high is not None else f"{len(times)} rounds do not bound both ends",
            )
        )
    return found


def _ratio(ratios: Floats, setting: str) -> Measurement:
    value = float(np.median(ratios))
    low, high = quantile_interval(ratios, 0.5)
    if value <= 0.95:
        words = f"{1 / value:.2f} times faster than the original"
    elif value >= 1.05:
        words = f"{value:.2f} times slower than the original"
    else:
        words = f"as fast as the original ({value:.2f} of its time)"
    return Measurement(
        "latency_ratio",
        value,
        "ratio",
        len(ratios),
        f"For {setting} it is {words}, both measured in turns.",
        low=low,
        high=high,
        spread=quartile_range(ratios),
        reason=None if low is not None and high is not None else f"{len(ratios)} rounds do not bound both ends",
    )
